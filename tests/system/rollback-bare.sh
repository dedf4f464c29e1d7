#!/bin/bash
# A real guest on a bare QEMU, rolled back in place: to the latest snapshot and an older one, many
# times over, with nothing known about what changed, after memory was discarded, while memory is still
# arriving.  rollback-one compares all memory with the image before the guest runs again; the
# guest checks its own memory and disks (VIOLATION).
if [ $# -eq 0 ]; then
    "$0" anonymous || exit
    exec "$0" memfd
fi
backend=$1
. "${srcdir:-.}/tests/lib.sh"
. "$srcdir/tests/lib-rollback.sh"

frames() {
    { grep -ao ORPHAN "$cluster_directory/0.pcap" || true; } | wc -l
}

# send_frames COMMAND: prints the command that sends three broadcast frames of a type that nobody uses.
send_frames() {
    printf '\377\377\377\377\377\377\002\000\000\000\000\001\210\265ORPHAN%064d' 0 >"$tmp/frame"
    echo "for i in 1 2 3; do socat -u 'FILE:$tmp/frame' INTERFACE:$(cluster_bridge); done; sleep 0.3"
}

cluster_start "rollback-$backend" 1 memory=192 "backend=$backend" run=probe throttle=0 \
    extra="-object filter-dump,id=dump,netdev=net,file=@BASE@.pcap"
cluster_wait
reference='{"name":"vm","qmp":"'"$cluster_directory/0.qmp"'"}'
note "$backend"
roll "latest, older, branch" snapshot a run 500 rollback a run 500 rollback a clean \
    snapshot b run 300 rollback a run 300 rollback b run 300 snapshot c run 300 rollback b \
    rollback c rollback a clean
guest_goes_on "$backend"
roll "nothing known" snapshot d run 300 forget rollback d run 200 rollback d clean
roll "discarded" snapshot e balloon 120 run 300 rollback e run 500 snapshot f balloon 120 touch \
    rollback f balloon 192 run 300 rollback e clean
roll "given up" snapshot g run 300 cancel g run 100 late g run 100 rollback g clean
guest_goes_on "$backend, given up"
rm -rf "$store"

# Three while it stands, which must not arrive (the host may add one of its own); three while it runs, which must.
before=$(frames)
roll "frames" snapshot h run 200 hook "$(send_frames)" rollback h
grep -qE 'frames ([3-9]|[1-9][0-9]+) ' "$tmp/stdout" || fail "the frames were not counted"
cluster_exec bash -c "$(send_frames)"
[ "$(frames)" -eq $((before + 3)) ] || fail "frames: $before, then $(frames)"

roll "again and again" snapshot i repeat 20 100 i clean
guest_goes_on "$backend, repeated"

pid=$(vm_pid 0)
roll "filling" snapshot j run 300 snapshot k sh "kill -9 $pid; sleep 1" restore k \
    rollback j run 100 rollback k run 100 rollback j fill run 300 rollback j rollback k clean
guest_goes_on "$backend, filling"
