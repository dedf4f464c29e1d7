#!/bin/bash
# Two libvirt domains are taken back in place together: back and forth, with one that was destroyed, with an error and
# with a clusnapd that is killed past the point of no return.  libvirt's own view is true afterwards.
# shellcheck source=tests/lib-faults.sh
. "${srcdir:-.}/tests/lib-faults.sh"

requires virsh
start_libvirtd_if_needed
domains_start "clusnap-rb-$$" 2 memory=128 run=probe 'options=dirty=4 table=16' disks=qcow2:writeback
domains_wait
daemon_start
clusnap store init >/dev/null
clusnap_cluster_of_domains c

# rolls_back SNAPSHOT WAYS
rolls_back() {
    clusnap -q rollback c "$1" -f json >"$tmp/back.json" 2>"$tmp/said" ||
        fail "no rollback to '$1': $(cat "$tmp/said")"
    jq -c '.vms[] | {name, way, pause, pages, "disk-bytes"}' "$tmp/back.json" >&2
    [ "$(jq -r '[.vms[].way] | join(",")' "$tmp/back.json")" = "$2" ] || fail "not the ways '$2'"
}

consistent() {
    local name
    for name in $(domain_names); do
        [ "$(virsh_system domstate "$name")" = running ] || fail "libvirt says '$name' does not run"
    done
    nothing_in_the_journal
    domains_check --wait-progress 5 >"$tmp/checked" || fail "the cluster is not consistent: $(cat "$tmp/checked")"
}

snapshot s1 full
domains_check --wait-progress 5 >/dev/null
snapshot s2 incremental
domains_check --wait-progress 5 >/dev/null
rolls_back s2 in-place,in-place
consistent
rolls_back s1 in-place,in-place
consistent
snapshot s3 incremental
[ "$(clusnap snapshot list c -f json | jq -r '.[] | select(.snapshot == "s3") | .parent')" = s1 ] ||
    fail "the parent of s3 is not s1"

note "one was destroyed"
virsh_system destroy "$cluster_name-1" >/dev/null
rolls_back s2 in-place,cold
consistent

note "error before the point of no return"
arm rollback-journal:error
must_fail 1 "nothing was changed" clusnap -q rollback c s1
disarm
consistent

note "killed past the point of no return"
arm rollback-devices:crash
must_fail 13 "clusnapd" clusnap -q rollback c s1
daemon_dies
disarm
daemon_start
consistent
snapshot last
rolls_back last in-place,in-place
consistent
