#!/bin/bash
# Two bare QEMUs under the cut probe: full and incremental snapshots, the loss of all guests, a lazy restore, a
# snapshot on top of it, another loss, an eager restore.  The probe sees no violation.
. "${srcdir:-.}/tests/lib.sh"
requires_root
requires jq ip

cluster_start e2e 2 memory=192 run=probe options=dirty=4 'disks=raw:none qcow2:writeback'
cluster_wait
clusnapd_start
clusnap store init >/dev/null
clusnap_cluster_of_nodes e2e

clusnap snapshot create e2e full -f json >"$tmp/full.json"
sleep 1
clusnap snapshot create e2e first -f json >"$tmp/first.json"
sleep 1
clusnap snapshot create e2e second -f json >"$tmp/second.json"

for kind in first second; do
    clusnap snapshot show e2e $kind -f json >"$tmp/show.json"
    jq -e '[.. | .incremental? // empty] | length == 2 and all' "$tmp/show.json" >/dev/null ||
        fail "snapshot $kind is not incremental"
done
cluster_check --wait-progress 20

lose_all() {
    local node
    for node in $(cluster_nodes); do
        vm_kill "$node"
    done
}

# What clusnapd starts runs as it would if anybody else had: not with the priority of its workers.
has_usual_priority() {
    local node usual
    usual=$(ps -o ni= -p "$clusnapd_pid")
    for node in $(cluster_nodes); do
        [ "$(ps -L -o ni= -p "$(vm_pid "$node")" | sort -u)" = "$usual" ] || fail "node $node runs at another priority"
    done
}

lose_all
clusnap restore e2e first
has_usual_priority
cluster_check --wait-progress 30
clusnap snapshot create e2e third -f json >"$tmp/third.json"
clusnap snapshot show e2e third -f json >"$tmp/show.json"
jq -e '[.. | .incremental? // empty] | length == 2 and all' "$tmp/show.json" >/dev/null ||
    fail "the snapshot after a restore is not incremental"

lose_all
clusnap restore e2e third --eager
cluster_check --wait-progress 30

clusnap snapshot delete e2e full
clusnap store gc
clusnap snapshot verify e2e
