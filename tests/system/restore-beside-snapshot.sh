#!/bin/bash
# Two clusters of one clusnapd: one is restored, lazily, while snapshots are taken of the other and of itself.  The
# probe sees both go on, and every snapshot taken meanwhile is a consistent cut.  The second cluster is a clone.
. "${srcdir:-.}/tests/lib.sh"
# shellcheck source=tests/lib-clone.sh
. "$srcdir/tests/lib-clone.sh"
requires_root
requires jq ip nbdkit

cluster_start beside 2 memory=128 run=probe 'disks=raw:none qcow2:writeback'
cluster_wait
clusnapd_start
clusnap store init >/dev/null
clusnap_cluster_of_nodes c
clusnap -q snapshot create c s0 >/dev/null
clusnap -q restore c s0 --clone lab >/dev/null
clusnap -q snapshot create lab l0 >/dev/null

# Of c, until $tmp/enough appears: s1, s2, ...; those after s2 are deleted again, which the store has to bear as well.
snapshots_go_on() {
    local n=0
    until [ -e "$tmp/enough" ] && [ $n -ge 2 ]; do
        n=$((n + 1))
        clusnap -q snapshot create c "s$n" >/dev/null || return
        [ $n -le 2 ] || clusnap -q snapshot delete c "s$n" || return
        echo $n >"$tmp/taken"
    done
}
snapshots_go_on &
snapshots=$!

note "the clone is lost and restored while snapshots of the other are taken"
for node in $(cluster_nodes); do
    clone_qmp lab "$node" '{"execute":"quit"}' >/dev/null || true
done
wait_for 30 clone_is_gone lab || fail "the clone's guests do not end"
clusnap -q restore lab l0 --no-wait >/dev/null
clusnap -q snapshot create lab l1 >/dev/null
clone_check lab --wait-progress 20
cluster_check --wait-progress 20
touch "$tmp/enough"
wait "$snapshots" || fail "a snapshot beside a restore failed"
note "$(cat "$tmp/taken") snapshots of the one beside a restore of the other"

note "every cut is whole"
clusnap -q snapshot verify >/dev/null
for snapshot in s1 s2; do
    for node in $(cluster_nodes); do
        vm_kill "$node"
    done
    clusnap -q restore c $snapshot >/dev/null
    cluster_check --wait-progress 20
done
for node in $(cluster_nodes); do
    clone_qmp lab "$node" '{"execute":"quit"}' >/dev/null || true
done
wait_for 30 clone_is_gone lab || fail "the clone's guests do not end"
clusnap -q restore lab l1 >/dev/null
clone_check lab --wait-progress 20
clusnap cluster delete lab --purge >/dev/null
