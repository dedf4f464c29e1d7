#!/bin/bash
# Only who must goes back: four guests in two pairs that exchange numbered messages, each pair by itself (the cut
# probe).  One guest is killed; its partner goes back with it to their snapshot, and the other pair is not stopped for
# a moment: no STOP of its QEMUs, no message missing, no counter set back.
# CLUSNAP_TEST_PARTS chooses parts: group crash release both coordinated independent.
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
    # Who was started anew is counted from its first frame on, and known to run.
    [ "$(sequences counted) $(sequences running)" = "[true,true,true,true] [true,true,true,true]" ] ||
        fail "after the recovery: $(clusnap deps c)"
    must_fail 6 "name those that failed" clusnap -q recover c
    recover_progress
    clusnap -q deps c -f json | jq -c .dependencies >"$tmp/edges"
    jq -e 'length == 2 and all(.sources == ["flows"])' "$tmp/edges" >/dev/null || fail "not the two pairs: $(cat "$tmp/edges")"
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
    recover_create --only vm0,vm1
    recover_create --only vm2,vm3
    recover_create
    [ "$sets" = all ] || fail "not one snapshot: $sets"
    [ "$(clusnap snapshot list c -f json | jq -c 'max_by(.created) | [.parent, (.parents | length)]')" = "[null,2]" ] ||
        fail "not the two before it are its parents: $(clusnap snapshot list c)"
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

# shape FILE: what a recovery would do if vm0 failed now, without its numbers.
shape() {
    clusnap -q recover c --dry-run --failed vm0 -f json |
        jq -c '[.vms[] | [.name, .action, .snapshot, (.reason | gsub("interval [0-9]+"; "an interval"))]]' >"$1"
}

sequences() {
    clusnap -q deps c -f json | jq -c "[.vms[] | .$1]"
}

# fails_at POINT: clusnapd dies there, in a recovery of the first pair, and is started again
fails_at() {
    note "clusnapd is killed at $1"
    arm "$1:crash"
    must_fail 13 "clusnapd" clusnap -q recover c --failed vm0
    daemon_dies
    disarm
    daemon_start
    all_run
    if grep -E 'took .* VM\(s\) back|as before its rollback' "$clusnapd_directory/clusnapd.log"; then
        fail "they were taken back again, or their lines were not"
    fi
    nothing_left
}

release() {
    note "clusnapd is killed when all are back: only their lines are still to go back"
    : >"$clusnapd_directory/clusnapd.log"
    recover_policy group
    recover_create
    recover_progress
    recovers in-place,in-place,-,- --failed vm0
    recover_progress
    shape "$tmp/as-always"
    old=$(sequences sequence)
    recover_mark
    fails_at rollback-release
    [ "$(sequences counted)" = "[true,true,true,true]" ] || fail "not counted: $(clusnap deps c)"
    [ "$(sequences sequence)" = "$(jq -c '[.[0] + 1, .[1] + 1, .[2], .[3]]' <<<"$old")" ] ||
        fail "the intervals were $old, and are $(sequences sequence)"
    recover_left_alone 1
    recover_progress
    shape "$tmp/now"
    cmp -s "$tmp/as-always" "$tmp/now" || fail "another recovery line: $(cat "$tmp/as-always" "$tmp/now")"

    old=$(sequences sequence)
    fails_at rollback-agent
    [ "$(sequences counted)" = "[true,true,true,true]" ] || fail "not counted: $(clusnap deps c)"
    [ "$(sequences sequence)" = "$(jq -c '[.[0] + 1, .[1] + 1, .[2], .[3]]' <<<"$old")" ] ||
        fail "they went back twice: the intervals were $old, and are $(sequences sequence)"
    recover_progress
    shape "$tmp/now"
    cmp -s "$tmp/as-always" "$tmp/now" || fail "another recovery line: $(cat "$tmp/as-always" "$tmp/now")"

    # Those that were let go already are bound to all.
    fails_at rollback-resume
    recover_progress
    shape "$tmp/now"
    cat "$tmp/now" >&2
    jq -e '(.[0][2] != null) and .[0][2] == .[1][2]' "$tmp/now" >/dev/null || fail "not the pair at least: $(cat "$tmp/now")"
    recover_create
    recover_progress
}

for part in $(test_parts "group crash" "release both coordinated independent"); do
    "$part"
done
clusnap -q snapshot verify c >/dev/null
