# shellcheck shell=bash
# QEMUs that run tests/guest/pages.S, for the tests of the memory tracker.  To be sourced after lib.sh.
#
#   start_qemu COMMAND...   QEMU as COMMAND with that guest; ends with the test or the next start
#   run_tool VERB [N]       tests/system/tracker-tool on it; fails the test when it fails
#   kvm_works               whether this host has KVM; says why not
#   $qemu, $tool, $anonymous and $shared (arguments: machine and memory)
requires qemu-system-x86_64
requires_root
tool=$builddir/tests/system/tracker-tool
firmware=$tmp/pages.bin
install -m 0644 "$builddir/tests/guest/pages.bin" "$firmware"
qemu=

end_qemu() {
    [ -z "$qemu" ] || kill "$qemu" 2>/dev/null || :
    [ -z "$qemu" ] || wait "$qemu" 2>/dev/null || :
    qemu=
}
on_exit end_qemu

# start_qemu COMMAND... -- starts QEMU as COMMAND with the guest and its two sockets.
start_qemu() {
    end_qemu
    rm -f "$tmp/run/qmp" "$tmp/run/serial"
    "$@" -nodefaults -no-user-config -display none -bios "$firmware" \
        -qmp "unix:$tmp/run/qmp,server=on,wait=off" \
        -serial "unix:$tmp/run/serial,server=on,wait=off" >"$tmp/qemu.log" 2>&1 &
    qemu=$!
    wait_for 10 test -S "$tmp/run/serial" || fail "QEMU does not start: $(cat "$tmp/qemu.log")"
}

run_tool() {
    "$tool" "$tmp/run/qmp" "$tmp/run/serial" "$@" || fail "$*: $(cat "$tmp/qemu.log")"
}

mkdir "$tmp/run"
chmod 0777 "$tmp/run"
anonymous="-machine pc -m 64"
shared="-machine pc,memory-backend=mem0 -m 64 -object memory-backend-memfd,id=mem0,size=64M,share=on"

kvm_works() {
    local why
    why=$(printf '{"execute":"qmp_capabilities"}{"execute":"quit"}' |
        timeout 10 qemu-system-x86_64 -accel kvm -machine pc -nodefaults -display none -S -qmp stdio 2>&1 >/dev/null) &&
        return
    note "KVM left out: $why"
    false
}
