#!/bin/bash
# Clones of two bare QEMUs under the cut probe, beside the running originals: both clusters go on consistently; two
# clones at once; a snapshot of a clone and its restore; purge leaves nothing; so it does when clusnapd was killed.
# shellcheck disable=SC2119
. "${srcdir:-.}/tests/lib.sh"
. "$srcdir/tests/lib-clone.sh"
requires_root
requires jq ip nbdkit

cluster_start bareclone 2 memory=128 run=probe 'disks=raw:none qcow2:writeback' \
    extra='-device vmgenid,id=generation,guid=auto'
cluster_wait
clusnapd_start
clusnap store init >/dev/null
clusnap_cluster_of_nodes clone
clusnap snapshot create clone s1 >/dev/null
host_state "$tmp/state-before"

note "one clone"
clusnap restore clone s1 --clone lab -f json >"$tmp/report.json"
jq -e '.vms | map(.name) == ["lab/vm0", "lab/vm1"]' "$tmp/report.json" >/dev/null || fail "the report: $(cat "$tmp/report.json")"
jq -e '.clones[0] | .running > 0 and .memory > 0 and .disk > 0' "$tmp/report.json" >/dev/null ||
    fail "the clone's report: $(cat "$tmp/report.json")"
cluster_check --wait-progress 30
clone_check lab --wait-progress 30
[ "$(vm_qmp 0 '{"execute":"query-vm-generation-id"}')" != \
    "$(clone_qmp lab 0 '{"execute":"query-vm-generation-id"}')" ] || fail "the clone has the original's generation ID"
# Its bridge has its two taps, and neither is on the original's.
bridge=$(cluster_exec ip -o link show type bridge | sed -n 's/^[0-9]*: \(csc-[^:]*\):.*/\1/p')
[ "$(cluster_exec ip -o link show master "$bridge" | wc -l)" = 2 ] || fail "bridge '$bridge' has not the clone's two taps"
[ "$(cluster_exec ip -o link show master "$(cluster_bridge)" | wc -l)" = 2 ] || fail "a tap is on the original's bridge"
cluster_exec ip -o addr show dev "$bridge" | grep -q inet && fail "the clone's bridge has an address"
# The original's images are not the clone's.
if tr '\0' '\n' <"/proc/$(clone_qmp lab 0 '{"execute":"query-status"}' >/dev/null; pgrep -f "$clones/lab/vm0/0.qmp" | head -n 1)/cmdline" |
    grep -F "$cluster_directory/0."; then
    fail "the clone's QEMU names files of the original's"
fi
clusnap cluster show lab -f json | jq -e '."clone-of" == "clone/s1" and .memory > 0 and (.vms | length) == 2' >/dev/null ||
    fail "cluster show: $(clusnap cluster show lab)"

note "what is refused"
if clusnap cluster delete lab 2>"$tmp/err"; then fail "a running clone was forgotten"; fi
grep -q -- '--purge' "$tmp/err" || fail "no hint: $(cat "$tmp/err")"
if clusnap cluster delete clone --purge 2>"$tmp/err"; then fail "a cluster that is no clone was purged"; fi
if clusnap restore clone s1 --clone lab 2>"$tmp/err"; then fail "two clones of one name"; fi
grep -q "exists already" "$tmp/err" || fail "no reason: $(cat "$tmp/err")"

note "a snapshot of the clone, and back to it"
clusnap snapshot create lab c1 -f json >"$tmp/c1.json"
clusnap snapshot show lab c1 -f json | jq -e '[.. | .incremental? // empty] | length == 2 and all' >/dev/null ||
    fail "the clone's first snapshot is not incremental"
for node in 0 1; do
    clone_qmp lab $node '{"execute":"quit"}' >/dev/null || true
done
wait_for 30 clone_is_gone lab || fail "the clone's guests do not end"
clusnap restore lab c1
clone_check lab --wait-progress 30

note "clones of a clone, two at once; the store loses the snapshot that they read from"
clusnap restore lab c1 --clone many --count 2 --no-wait
clusnap snapshot delete lab c1
clusnap store gc >/dev/null
for clone in many-1 many-2 lab; do
    clone_check $clone --wait-progress 30
done
clusnap cluster delete many-1 many-2 --purge
cluster_check --wait-progress 20
clone_check lab --wait-progress 20

note "a killed clusnapd: the servers go on, or are started again"
clusnapd_kill
server=$(pgrep -f "nbdkit.*$clones/lab/nbd0.sock" | head -n 1)
kill -9 "$server"
wait_for 30 process_is_gone "$server"
clusnapd_start
pgrep -f "nbdkit.*$clones/lab/nbd0.sock" >/dev/null || fail "the disks' server was not started again"
clone_check lab --wait-progress 30
clusnap cluster delete lab --purge
nothing_left "$tmp/state-before" "after purge"
if clusnap cluster delete lab --purge 2>/dev/null; then fail "a clone that is gone was purged"; fi

# die_at FAULT: clusnapd is killed there while it makes a clone; the next one clears it away, and what the CLI
# knows of it goes with --purge.
die_at() {
    note "killed at $1"
    clusnapd_stop
    clusnapd_start CLUSNAP_FAULT="$1:crash"
    if clusnap restore clone s1 --clone lab 2>/dev/null; then fail "no crash at $1"; fi
    wait_for 20 clusnapd_has_ended || fail "clusnapd lives on at $1"
    clusnapd_pid=
    clusnapd_start
    clusnap cluster delete lab --purge 2>/dev/null || true
    nothing_left "$tmp/state-before" "after a crash at $1"
}
die_at clone-record
die_at clone-network
die_at clone-vm
die_at load

note "killed in the middle of the purge"
clusnap restore clone s1 --clone lab >/dev/null
clusnapd_stop
clusnapd_start CLUSNAP_FAULT=clone-remove:crash
if clusnap cluster delete lab --purge 2>/dev/null; then fail "no crash in the purge"; fi
wait_for 20 clusnapd_has_ended || fail "clusnapd lives on"
clusnapd_pid=
clusnapd_start
clusnap cluster delete lab --purge
nothing_left "$tmp/state-before" "after a purge that was done again"

note "a clone that fails undoes itself"
clusnapd_stop
clusnapd_start CLUSNAP_FAULT=load:error
if clusnap restore clone s1 --clone lab 2>/dev/null; then fail "no failure"; fi
nothing_left "$tmp/state-before" "after a failure"
cluster_check --wait-progress 20
