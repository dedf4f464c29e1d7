#!/bin/bash
# The monitor on a real libvirt domain: libvirt's own view is true at every moment, a launch leaves
# the persistent definition clean, and a destroyed domain is known to be gone.
# shellcheck disable=SC2154  # builddir and tmp are tests/lib.sh's
. "${srcdir:-.}/tests/lib.sh"

requires_root
requires qemu-system-x86_64 jq
start_libvirtd_if_needed
tool=$builddir/tests/system/monitor-tool
name=clusnap-monitor-$$
vm=(libvirt qemu:///system "$name")

cat >"$tmp/domain.xml" <<END
<domain type='qemu'>
  <name>$name</name>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices><controller type='usb' model='none'/><memballoon model='none'/></devices>
</domain>
END
remove_domain() {
    virsh_system destroy "$name" >/dev/null 2>&1 || true
    virsh_system undefine "$name" >/dev/null 2>&1 || true
}

# expect STATUS PATTERN COMMAND...: exit status and output.
expect() {
    local status=0 output
    output=$("${@:3}") || status=$?
    [ "$status" -eq "$1" ] || fail "${*:3}: status $status instead of $1: $output"
    grep -q -- "$2" <<<"$output" || fail "${*:3}: no '$2' in: $output"
}

domain_is() {
    local state
    state=$(virsh_system domstate "$name")
    [ "$state" = "$1" ] || fail "libvirt says '$state', the domain is $1 ($2)"
}

on_exit remove_domain
virsh_system define "$tmp/domain.xml" >/dev/null
expect 3 'no-such' "$tool" libvirt qemu:///system no-such info
expect 6 'is not running' "$tool" "${vm[@]}" info
expect 2 'its own host only' "$tool" libvirt qemu+ssh://host/system x info
virsh_system start "$name" >/dev/null
pid=$(cat "/run/libvirt/qemu/$name.pid")

expect 0 "pid $pid status running" "$tool" "${vm[@]}" info
expect 0 '"machine": "pc-q35-' "$tool" "${vm[@]}" precheck
expect 0 '^\[ \]$' "$tool" "${vm[@]}" precheck
expect 0 'fdsets 1 then 0' "$tool" "${vm[@]}" add-fd
expect 9 '^STOP' "$tool" "${vm[@]}" events
expect 0 'saved 100 times' "$tool" "${vm[@]}" devices 100
expect 0 '^\[ \]$' "$tool" "${vm[@]}" execute query-fdsets null
for round in 1 2 3 4 5; do
    "$tool" "${vm[@]}" stop
    domain_is paused "round $round"
    "$tool" "${vm[@]}" cont
    domain_is running "round $round"
done
virsh_system suspend "$name" >/dev/null
expect 6 'is paused: resume it first' "$tool" "${vm[@]}" precheck
virsh_system resume "$name" >/dev/null
expect 8 'CommandNotFound' "$tool" "${vm[@]}" execute no-such-command null
expect 1 'GenericError' "$tool" "${vm[@]}" execute blockdev-del '{"node-name": "none"}'

# Destroyed while somebody waits for what never comes; and QEMU killed behind libvirt's back.
for end in destroy kill; do
    : >"$tmp/wait"
    "$tool" "${vm[@]}" wait >"$tmp/wait" &
    waiter=$!
    wait_for 20 grep -q waiting "$tmp/wait" || fail "the client did not come up"
    if [ $end = destroy ]; then
        "$tool" "${vm[@]}" capture >"$tmp/source"
        virsh_system destroy "$name" >/dev/null
    else
        kill -KILL "$(cat "/run/libvirt/qemu/$name.pid")"
    fi
    status=0
    wait "$waiter" || status=$?
    [ "$status" -eq 13 ] || fail "$end: a wait ended with $status: $(cat "$tmp/wait")"
    grep -q 'alive 0, then gone' "$tmp/wait" || fail "$end: not known to be gone: $(cat "$tmp/wait")"
    [ $end = kill ] || virsh_system start "$name" >/dev/null
done
domain_is 'shut off' 'after kill'

# Started again from its source, twice.
for round in 1 2; do
    expect 0 'status inmigrate' "$tool" launch "$tmp/source" "$tmp/log"
    domain_is paused 'launched'
    expect 6 'incoming migration' "$tool" "${vm[@]}" precheck
    expect 6 'shut it off first' "$tool" launch "$tmp/source" "$tmp/log"
    virsh_system dumpxml "$name" >"$tmp/live"
    grep -q "qemu:arg value='defer'" "$tmp/live" || fail "the live XML lacks the argument"
    virsh_system dumpxml --inactive "$name" >"$tmp/inactive"
    if grep -q 'qemu:' "$tmp/inactive"; then
        fail "round $round: the persistent definition is not clean"
    fi
    "$tool" "${vm[@]}" capture | cmp - "$tmp/source" || fail "captured again, the source differs"
    "$tool" "${vm[@]}" kill "$tmp/source"
    domain_is 'shut off' 'ended'
done

# The name belongs to another domain now; a transient one comes back too.
virsh_system undefine "$name" >/dev/null
virsh_system define "$tmp/domain.xml" >/dev/null
expect 4 'another domain is called' "$tool" launch "$tmp/source" "$tmp/log"
virsh_system undefine "$name" >/dev/null
expect 0 'status inmigrate' "$tool" launch "$tmp/source" "$tmp/log"
"$tool" "${vm[@]}" kill "$tmp/source"
if virsh_system domstate "$name" >/dev/null 2>&1; then
    fail "the transient domain is still there"
fi
