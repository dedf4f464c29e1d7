#!/bin/bash
# A whole cluster is taken back in place: back and forth between snapshots, with a VM that was killed, with faults in
# every stage, and with a clusnapd that is killed past the point of no return.  After each the guests run and agree
# with each other (cut-check), and nothing is left.
# CLUSNAP_TEST_PARTS chooses parts: back error crash hang.
# shellcheck source=tests/lib-faults.sh
. "${srcdir:-.}/tests/lib-faults.sh"

cluster_start rollback 3 memory=128 run=probe 'options=dirty=4 table=16' disks=qcow2:writeback
cluster_wait
daemon_start
faults_store

# rolls_back SNAPSHOT WAYS [ARG...]: WAYS as "cold,in-place,in-place".
rolls_back() {
    local name=$1 ways=$2
    shift 2
    clusnap -q rollback c "$name" "$@" -f json >"$tmp/back.json" 2>"$tmp/said" ||
        fail "no rollback to '$name': $(cat "$tmp/said")"
    [ "$(jq -r '[.vms[].way] | join(",")' "$tmp/back.json")" = "$ways" ] ||
        fail "not the ways '$ways': $(cat "$tmp/back.json")"
    jq -c '.vms[] | {name, way, pause, pages, "pages-ahead", "disk-bytes", whole}' "$tmp/back.json" >&2
}

all_in_place="in-place,in-place,in-place"

consistent() {
    nothing_left
    cluster_check --wait-progress 5 >"$tmp/checked" || fail "the cluster is not consistent: $(cat "$tmp/checked")"
}

parent_of() {
    clusnap snapshot list c -f json | jq -r --arg name "$1" '.[] | select(.snapshot == $name) | .parent'
}

current() {
    clusnap snapshot list c -f json | jq -r '[.[] | select(.current) | .snapshot] | join(" ")'
}

snapshot s1 full
cluster_check --wait-progress 5 >/dev/null
snapshot s2 incremental
cluster_check --wait-progress 5 >/dev/null

back() {
    note "back to s2, to s1, a branch"
    rolls_back s2 "$all_in_place"
    consistent
    rolls_back s1 "$all_in_place"
    consistent
    [ "$(current)" = s1 ] || fail "the VMs are not based on s1 but on '$(current)'"
    snapshot s3 incremental
    [ "$(parent_of s2) $(parent_of s3)" = "s1 s1" ] || fail "no branches: $(clusnap snapshot list c)"
    clusnap snapshot list c -c snapshot | sed 's/ *$//' | tail -n +2 >"$tmp/tree"
    # shellcheck disable=SC2016  # a corner of the tree
    for line in s1 '|- s2' '`- s3 *'; do
        grep -qxF -- "$line" "$tmp/tree" || fail "no tree: $(cat "$tmp/tree")"
    done
    clusnap -q snapshot verify c >/dev/null
    rolls_back s2 "$all_in_place"
    consistent
    note "the latest one"
    clusnap -q rollback c -f value -c snapshot >"$tmp/out"
    [ "$(cat "$tmp/out")" = s3 ] || fail "not the latest snapshot"
    consistent

    note "again: what was read for the last one is still there"
    rolls_back s3 "$all_in_place"
    consistent
    rolls_back s3 "$all_in_place"
    consistent
    jq -e '[.vms[] | ."pages-ahead" * 4 < .pages] | all' "$tmp/back.json" >/dev/null ||
        fail "much was read: $(cat "$tmp/back.json")"

    note "one VM was killed"
    vm_kill 1
    rolls_back s2 in-place,cold,in-place
    consistent
    snapshot after-cold
    [ "$(parent_of after-cold)" = s2 ] || fail "after a cold start the parent is '$(parent_of after-cold)'"
    rolls_back s1 "$all_in_place"
    consistent

    note "refused"
    must_fail 3 "has no VM 'vm9'" clusnap -q rollback c s1 --only vm9
    must_fail 3 "nowhere" clusnap -q rollback c nowhere
    consistent
}

# What the guests are after an error in POINT: untouched, or back after a VM was started anew.
error() {
    local point
    for point in rollback-begin rollback-prepare rollback-stop rollback-pause rollback-journal; do
        note "error at $point"
        arm "$point:error"
        must_fail 1 "injected fault at '$point'" clusnap -q rollback c s2
        disarm
        grep -q "nothing was changed" "$tmp/said" || fail "it does not say that nothing was changed"
        consistent
    done
    # The engine's, in all VMs at once: untouched if it comes before the first write, else all are started anew.
    for point in rollback-apply rollback-divert rollback-disks rollback-devices rollback-resume; do
        note "error at $point"
        arm "$point:error"
        must_fail - "injected fault at '$point'" clusnap -q rollback c s2
        disarm
        consistent
    done
    note "error at rollback-release"
    arm rollback-release:error
    rolls_back s2 "$all_in_place"
    disarm
    consistent
    note "a VM that did not run cannot be started"
    vm_kill 2
    arm rollback-cold:error
    must_fail 1 "injected fault at 'rollback-cold'" clusnap -q rollback c s2
    disarm
    [ "$(vm_status 0) $(vm_status 1)" = "running running" ] || fail "the others do not run on"
    rolls_back s2 in-place,in-place,cold
    consistent
    rolls_back s2 "$all_in_place"
    consistent
}

pids() {
    local i
    for i in $(cluster_nodes); do
        vm_pid "$i"
    done
}

# killed POINT: clusnapd dies there and is started again; no QEMU ends for that.
killed() {
    local before
    note "killed at $1"
    before=$(pids)
    arm "$1:crash"
    must_fail 13 "clusnapd" clusnap -q rollback c s2
    daemon_dies
    disarm
    daemon_start
    tail -n 3 "$clusnapd_directory/clusnapd.log" >&2
    consistent
    [ "$(pids)" = "$before" ] || fail "a VM was started anew: $(tail -n 5 "$clusnapd_directory/clusnapd.log")"
}

crash() {
    local point points="rollback-prepare rollback-journal rollback-apply rollback-devices rollback-resume"
    if [ -z "${CLUSNAP_TEST_QUICK:-}" ]; then
        points+=" rollback-begin rollback-stop rollback-pause rollback-disks rollback-release"
    fi
    for point in $points; do
        killed "$point"
        case $point in
        rollback-begin | rollback-prepare | rollback-stop | rollback-pause) ;;
        # They were taken back: what they are based on is known again.
        *) grep -q "VM(s) back to snapshot 's2'\|resumed" "$clusnapd_directory/clusnapd.log" || fail "$point: not recovered" ;;
        esac
    done
    snapshot after-crash
    rolls_back s2 "$all_in_place"
    consistent

    note "killed, and a VM dies meanwhile"
    arm rollback-devices:crash
    must_fail 13 "clusnapd" clusnap -q rollback c s2
    daemon_dies
    disarm
    vm_kill 0
    daemon_start
    consistent
}

hang() {
    local point
    for point in rollback-pause rollback-prepare; do
        note "clusnap hangs after $point"
        (exec env "CLUSNAP_FAULT=$point:hang" "$builddir/clusnap" -q --socket "$clusnapd_directory/sock" \
            --state-dir "$clusnapd_directory/state" --store "$tmp/store" rollback c s2 --pause-deadline 1s \
            >/dev/null 2>"$tmp/said") &
        hung=$!
        on_exit end_hung "$hung"
        wait_for 60 compgen -G "$clusnapd_directory/journal/*" >/dev/null || fail "the rollback does not begin"
        if [ "$point" = rollback-pause ]; then
            # The deadline alone ends it.
            nothing_left
        fi
        end_hung "$hung"
        consistent
    done
    note "clusnap dies after rollback-apply"
    must_fail 137 "" env CLUSNAP_FAULT=rollback-apply:crash "$builddir/clusnap" -q --socket "$clusnapd_directory/sock" \
        --state-dir "$clusnapd_directory/state" --store "$tmp/store" rollback c s2
    wait_for 60 all_running || fail "clusnapd does not finish"
    consistent
    [ "$(current)" = s2 ] || fail "the VMs are not based on s2 but on '$(current)'"

    note "clusnapd hangs past the point of no return and is killed"
    arm rollback-devices:hang
    clusnap -q rollback c s1 >/dev/null 2>&1 &
    hung=$!
    on_exit end_hung "$hung"
    wait_for 60 all_apply || fail "it does not begin"
    clusnapd_kill
    wait "$hung" || true
    disarm
    daemon_start
    consistent
}

all_running() {
    local i
    for i in $(cluster_nodes); do
        [ "$(vm_status "$i")" = running ] || return 1
    done
}

all_apply() {
    [ "$(grep -l '"phase":"apply"' "$clusnapd_directory"/journal/*.rollback 2>/dev/null | wc -l)" -eq 3 ]
}

for part in $(test_parts "back crash" "error hang"); do
    "$part"
done
clusnap -q snapshot verify c >/dev/null
