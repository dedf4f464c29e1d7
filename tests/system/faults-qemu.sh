#!/bin/bash
# A QEMU dies in the middle of a snapshot: the snapshot ends and names it, the others run on, and what was consumed of
# their memory is carried over.
# shellcheck source=tests/lib-faults.sh
. "${srcdir:-.}/tests/lib-faults.sh"

faults_cluster dies
daemon_start
faults_store
snapshot base full

others_have_nothing() {
    local things
    things=$(facts 0)
    grep -qx 'status running' <<<"$things" || fail "node 0 does not run: $things"
    if grep -v '^bitmap ' <<<"$things" | grep -vx 'status running'; then
        fail "the above is left in node 0"
    fi
}

by_hand() {
    local method
    for method in "$@"; do
        rpc "snapshot.$method" >/dev/null
    done
}

# dies_before METHOD: node 1 is killed when the methods before METHOD have been answered.
dies_before() {
    local method=$1 before=() known
    for known in check quiesce precopy pause release store; do
        [ "$known" != "$method" ] || break
        before+=("$known")
    done
    note "dies before $method"
    rpc_open
    rpc_begin "dies-$method" '"pause-deadline":5000000'
    by_hand "${before[@]}"
    vm_kill 1
    if rpc "snapshot.$method" >"$tmp/said"; then
        # All of its data was here already, but the cluster is not whole any more: that may succeed.
        [ "$method" = store ] || fail "snapshot.$method succeeded without node 1"
    else
        cat "$tmp/said" >&2
        grep -q "'vm1'" "$tmp/said" || fail "the error does not name the VM"
    fi
    rpc_close
    nothing_in_the_journal
    others_have_nothing
    nothing_in_the_store "dies-$method"
}

for method in precopy pause release store; do
    dies_before "$method"
    # The others alone, as a cluster of their own: incremental in what is left.
    must_fail - "'vm1'" clusnap -q snapshot create c "without-$method"
    vm_kill 0
    clusnap -q restore c base >/dev/null
    cluster_check --wait-progress 5
    nothing_left
done

note "what the survivor's scans consumed is carried over"
clusnap cluster create alone --qmp "vm0=$cluster_directory/0.qmp" >/dev/null
rpc_open
rpc_begin half
by_hand check quiesce precopy pause release
vm_kill 1
rpc_close
nothing_in_the_journal
clusnap -q snapshot create alone half -f json >"$tmp/created.json"
jq -e '.vms[0].incremental' "$tmp/created.json" >/dev/null || fail "the survivor was read as a whole"
