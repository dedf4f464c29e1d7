#!/bin/bash
# Rollbacks that fail at each of their fault points: before the point of no return the guest runs on
# untouched, and what changed is not forgotten; after it the VM stands until it is taken back anew,
# with all of its memory and disks.
#
# A guest must never run half taken back: its rings are of another time than its devices, so QEMU
# executes requests of the past again.  QEMU says so ("Virtqueue size exceeded", "moved used
# index"), and that is looked for: what the guest itself finds of it is a matter of luck.
. "${srcdir:-.}/tests/lib.sh"
. "$srcdir/tests/lib-rollback.sh"

# after POINT STEP...: the steps fail there, and then take the VM back to snapshot a.
after() {
    local point=$1
    shift
    roll "$point" snapshot a run 300 sh "echo $point:error >$tmp/fault" "$@" \
        run 200 snapshot b run 200 rollback a rollback b clean
    guest_goes_on "$point"
    cmp -s "$tmp/at-start" "$cluster_directory/0.stderr" ||
        fail "QEMU complains ($point): $(cat "$cluster_directory/0.stderr")"
    rm -rf "$store"
}

# What QEMU does for others while the VM stands half taken back must not make it look into a ring.
disturb_make() {
    cat >"$tmp/requests" <<'END'
{"execute":"qmp_capabilities"}
{"execute":"blockdev-add","arguments":{"driver":"raw","node-name":"other","file":"disk0","read-only":true}}
{"execute":"query-blockstats"}
{"execute":"blockdev-del","arguments":{"node-name":"other"}}
{"execute":"block_resize","arguments":{"node-name":"disk0","size":67108864}}
END
    cat >"$tmp/disturb" <<END
answered() { [ "\$(grep -c -e '"return"' -e '"error"' $tmp/answers)" -ge 5 ]; }
: >$tmp/answers
{ cat $tmp/requests; for i in \$(seq 600); do answered || sleep 0.1; done; } |
    socat - UNIX-CONNECT:$cluster_directory/0.events >$tmp/answers
[ "\$(grep -c '"return"' $tmp/answers)" -eq 5 ] || { cat $tmp/answers >&2; exit 1; }
END
}

cluster_start rollback-faults 1 memory=192 network=none run=probe throttle=0
cluster_wait
cp "$cluster_directory/0.stderr" "$tmp/at-start"
disturb_make
reference='{"name":"vm","qmp":"'"$cluster_directory/0.qmp"'"}'
export CLUSNAP_FAULT=@$tmp/fault
after rollback-stop fails a sh "rm $tmp/fault" clean rollback a
for point in rollback-apply rollback-devices rollback-resume; do
    after "$point" breaks a sh "rm $tmp/fault" clean sh "sh $tmp/disturb" redo a
done
