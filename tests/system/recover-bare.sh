#!/bin/bash
# Only who must goes back: four guests in two pairs that exchange numbered messages, each pair by itself (the cut
# probe).  One guest is killed; its partner goes back with it to their snapshot, and the other pair is not stopped for
# a moment: no STOP of its QEMUs, no message missing, no counter set back.
# CLUSNAP_TEST_PARTS chooses parts: group crash both coordinated independent.
# shellcheck source=tests/lib-faults.sh
. "${srcdir:-.}/tests/lib-faults.sh"
# shellcheck source=tests/lib-recover.sh
. "$srcdir/tests/lib-recover.sh"

recover_start recover "2 2"

# Also those that were started again: else they count as bound to all others.
all_are_counted() {
    clusnap deps c -f json >"$tmp/deps"
    jq -e '.vms | length == 4 and all(.running and .counted)' "$tmp/deps" >/dev/null ||
        fail "a VM is not counted: $(jq -c '.vms[] | {name, running, counted}' "$tmp/deps")"
}

# recovers WAYS [ARG...]: as "cold,in-place,-,-"
recovers() {
    local ways=$1
    shift
    recover_run "$@" || fail "no recovery"
    [ "$(jq -r '[.vms[] | .way // "-"] | join(",")' "$tmp/recovered.json")" = "$ways" ] ||
        fail "not the ways '$ways': $(cat "$tmp/recovered.json")"
    jq -c '{policy, back, kept, lost, total, attempts}, (.vms[] | {name, action, snapshot, reason})' \
        "$tmp/recovered.json" >&2
}

group() {
    note "group: the pair, and nobody else"
    recover_policy group
    recover_create
    recover_progress
    recover_create
    # shellcheck disable=SC2154
    [ "$sets" = "vm0,vm1 vm2,vm3" ] || fail "not two pairs: '$sets', $(cat "$tmp/created.json")"
    recover_progress
    recover_mark
    vm_kill 0
    clusnap -q recover c --dry-run >"$tmp/plan"
    cat "$tmp/plan" >&2
    grep -q "depends on interval [0-9]* of 'vm0' (flows.*), which is undone" "$tmp/plan" || fail "no reason"
    [ "$(vm_status 1)" = running ] || fail "--dry-run did something"
    recovers cold,in-place,-,-
    all_are_counted
    recover_left_alone 1
    recover_progress
    nothing_left
    recover_create
    [ "$sets" = "vm0,vm1 vm2,vm3" ] || fail "not two pairs after the recovery: '$sets'"
    recover_progress
    note "one that runs, in place"
    recover_mark
    recovers in-place,in-place,-,- --failed vm1
    recover_left_alone 1
    recover_progress
    must_fail 6 "name those that failed" clusnap -q recover c
}

both() {
    note "both pairs, each to its own snapshot"
    recover_policy group
    recover_create
    recover_progress
    recover_create
    recover_progress
    recovers in-place,in-place,in-place,in-place --failed vm1,vm2
    [ "$(jq -r '[.vms[].snapshot] | unique | length' "$tmp/recovered.json")" = 2 ] || fail "not a snapshot per pair"
    recover_progress
    nothing_left
}

crash() {
    note "clusnapd is killed past the point of no return"
    recover_policy group
    recover_create
    recover_progress
    recover_create
    recover_progress
    arm rollback-devices:crash
    must_fail 13 "clusnapd" clusnap -q recover c --failed vm0,vm3
    daemon_dies
    disarm
    daemon_start
    grep -q "took 4 VM(s) back to 2 snapshots" "$clusnapd_directory/clusnapd.log" || fail "it did not finish"
    all_are_counted
    all_run
    recover_progress
    nothing_left
}

coordinated() {
    note "coordinated: one cut, and still only the pair goes back"
    recover_policy coordinated
    recover_create
    [ "$sets" = all ] || fail "not one snapshot: $sets"
    recover_progress
    recover_mark
    vm_kill 1
    recovers in-place,cold,-,-
    recover_left_alone 1
    recover_progress
}

independent() {
    note "independent: each by itself, and the line goes back as far as it must"
    recover_policy independent
    recover_create cut
    recover_create --stagger 200ms
    jq -c '.snapshots, .domino' "$tmp/created.json" >&2
    recover_progress
    recover_mark
    vm_kill 0
    recovers cold,in-place,-,-
    recover_left_alone 1
    recover_progress
}

for part in $(test_parts "group crash" "both coordinated independent"); do
    "$part"
done
clusnap -q snapshot verify c >/dev/null
