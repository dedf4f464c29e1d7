#!/bin/bash
# The monitor on a real bare QEMU: every verb, launch from a captured source, and QEMU's death.
# shellcheck disable=SC2154  # builddir and tmp are tests/lib.sh's
. "${srcdir:-.}/tests/lib.sh"

requires_root
requires qemu-system-x86_64 jq
tool=$builddir/tests/system/monitor-tool
socket=$tmp/vm.qmp
vm=(qmp "$socket")

# start ARG...: a tiny VM that runs its BIOS; $pid.
start() {
    rm -f "$socket"
    qemu-system-x86_64 -name monitor -accel tcg -m 64 -nodefaults -display none \
        -qmp "unix:$socket,server=on,wait=off" "$@" >"$tmp/qemu.log" 2>&1 &
    pid=$!
    on_exit end_process "$pid"
    wait_for 20 "$tool" "${vm[@]}" info >/dev/null || fail "QEMU did not start: $(cat "$tmp/qemu.log")"
}

end_process() {
    kill -KILL "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

# expect STATUS PATTERN COMMAND...: exit status and output.
expect() {
    local status=0 output
    output=$("${@:3}") || status=$?
    [ "$status" -eq "$1" ] || fail "${*:3}: status $status instead of $1: $output"
    grep -q -- "$2" <<<"$output" || fail "${*:3}: no '$2' in: $output"
}

# refused PATTERN ARG...: precheck of a VM with these arguments.
refused() {
    start "${@:2}"
    expect 7 "$1" "$tool" "${vm[@]}" precheck
    end_process "$pid"
}

start -serial null
expect 0 "pid $pid status running" "$tool" "${vm[@]}" info
expect 0 '"machine": "pc-i440fx' "$tool" "${vm[@]}" precheck
expect 0 '^\[ \]$' "$tool" "${vm[@]}" precheck
expect 0 'fdsets 1 then 0' "$tool" "${vm[@]}" add-fd
expect 9 '^STOP' "$tool" "${vm[@]}" events
expect 0 'saved 100 times' "$tool" "${vm[@]}" devices 100
expect 0 '^\[ \]$' "$tool" "${vm[@]}" execute query-fdsets null
expect 0 'stop .* us cont' "$tool" "${vm[@]}" pause 20
"$tool" "${vm[@]}" stop
expect 0 'status paused' "$tool" "${vm[@]}" info
expect 6 'is paused: resume it first' "$tool" "${vm[@]}" precheck
"$tool" "${vm[@]}" cont
expect 8 'CommandNotFound' "$tool" "${vm[@]}" execute no-such-command null
expect 1 'GenericError' "$tool" "${vm[@]}" execute blockdev-del '{"node-name": "none"}'

# One client at a time: the second is told so, and does not disturb the first.
: >"$tmp/wait"
"$tool" "${vm[@]}" wait >"$tmp/wait" &
waiter=$!
wait_for 20 grep -q waiting "$tmp/wait" || fail "the first client did not come up"
expect 5 'another client' "$tool" "${vm[@]}" info

# QEMU's death ends a wait for what never comes.
kill -KILL "$pid"
status=0
wait "$waiter" || status=$?
[ "$status" -eq 13 ] || fail "a wait ended with $status instead of 13 (gone): $(cat "$tmp/wait")"
grep -q 'alive 0, then gone' "$tmp/wait" || fail "not known to be gone: $(cat "$tmp/wait")"
expect 3 'no QEMU listens' "$tool" "${vm[@]}" info
wait "$pid" 2>/dev/null || true

# Started again from its source, from elsewhere, over the stale socket; twice.
start -S -pidfile "$tmp/pid"
"$tool" "${vm[@]}" capture >"$tmp/source"
expect 6 'a QEMU is running at' "$tool" "${vm[@]}" absent "$tmp/source"
expect 6 'a QEMU is running at' "$tool" launch "$tmp/source" "$tmp/launch.log"
end_process "$pid"
for round in 1 2; do
    (cd / && exec "$tool" launch "$tmp/source" "$tmp/launch.log") >"$tmp/launched" ||
        fail "launch $round: $(cat "$tmp/launched")"
    read -r _ pid _ status <"$tmp/launched"
    on_exit end_process "$pid"
    [ "$status" = inmigrate ] || fail "launched QEMU is '$status'"
    [ "$(cat "$tmp/pid")" = "$pid" ] || fail "the pidfile is not the launched QEMU's"
    expect 6 'incoming migration' "$tool" "${vm[@]}" precheck
    "$tool" "${vm[@]}" capture | cmp - "$tmp/source" || fail "captured again, the source differs"
    "$tool" "${vm[@]}" kill "$tmp/source"
    wait_for 5 test ! -e "/proc/$pid" || fail "QEMU $pid was not ended"
done
jq '.argv += ["-no-such-option"]' "$tmp/source" >"$tmp/bad"
expect 1 'no-such-option: invalid option' "$tool" launch "$tmp/bad" "$tmp/launch.log"

# Handed descriptors, and what the tracker would not see.
exec 7<>"$tmp/file"
start -add-fd fd=7,set=2
exec 7>&-
expect 7 'open descriptor' "$tool" "${vm[@]}" capture
end_process "$pid"
refused "device 'shm'" -object memory-backend-ram,id=m,size=1M,share=on \
    -device ivshmem-plain,memdev=m,id=shm,master=on
truncate -s 1M "$tmp/disk"
refused 'non-migratable device: .*nvme' -drive "if=none,id=d,file=$tmp/disk,format=raw" \
    -device nvme,drive=d,serial=x

# Guest RAM that another process has mapped: another QEMU, for want of a smaller one.
truncate -s 64M "$tmp/ram"
ram=(-object "memory-backend-file,id=m,size=64M,share=on,mem-path=$tmp/ram")
qemu-system-x86_64 -machine none -nodefaults -display none "${ram[@]}" &
sharer=$!
on_exit end_process "$sharer"
wait_for 20 grep -q "$tmp/ram" "/proc/$sharer/maps" || fail "the sharing process did not come up"
refused "shares memory with process $sharer" -machine pc,memory-backend=m "${ram[@]}"
end_process "$sharer"
start -machine pc,memory-backend=m "${ram[@]}"
expect 0 '^\[ \]$' "$tool" "${vm[@]}" precheck
