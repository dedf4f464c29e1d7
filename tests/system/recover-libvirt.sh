#!/bin/bash
# Only who must goes back, with libvirt domains: two that exchange numbered messages, and one by itself (the cut probe).  The
# QEMU of one of the pair is killed: libvirt starts it again from its snapshot, its partner goes back in place, and the third
# domain is not stopped for a moment.
# shellcheck disable=SC2119
# shellcheck source=tests/lib-faults.sh
. "${srcdir:?}/tests/lib-faults.sh"
# shellcheck source=tests/lib-recover.sh
. "$srcdir/tests/lib-recover.sh"

requires nft stdbuf
recover_start_domains "clusnap-rc-$$" "2 1"

# domain I: its name
domain() {
    echo "$cluster_name-$1"
}
domain_is_off() {
    [ "$(virsh_system domstate "$(domain "$1")")" = "shut off" ]
}
domain_kill() {
    kill -9 "$(cat "/run/libvirt/qemu/$(domain "$1").pid")"
    wait_for 30 domain_is_off "$1" || fail "$(domain "$1") does not end"
}
pids() {
    local name
    for name; do
        cat "/run/libvirt/qemu/$name.pid"
    done
}

recover_policy group
recover_create
recover_progress
recover_create
[ "$sets" = "$(domain 0),$(domain 1) $(domain 2)" ] || fail "not the pair and the third: '$sets'"
recover_progress
recover_mark
before=$(pids "$(domain 1)" "$(domain 2)")
domain_kill 0
recover_run || fail "no recovery"
jq -c '{back, kept, lost, total, attempts}, (.vms[] | {name, action, way, snapshot, reason})' "$tmp/recovered.json" >&2
[ "$(jq -r '[.vms[] | .way // "-"] | join(",")' "$tmp/recovered.json")" = cold,in-place,- ] ||
    fail "not who must: $(cat "$tmp/recovered.json")"
[ "$(pids "$(domain 1)" "$(domain 2)")" = "$before" ] || fail "a domain was started anew that ran"
[ "$(jq -r '[.vms[].snapshot | select(.)] | unique | length' "$tmp/recovered.json")" = 1 ] || fail "not one snapshot"
recover_left_alone 1
# The one that libvirt started is counted from its first frame on.
clusnap -q deps c -f json >"$tmp/deps"
jq -e '(.vms | all(.counted and .running)) and (.dependencies | all(.sources == ["flows"]))' "$tmp/deps" >/dev/null ||
    fail "after the recovery: $(cat "$tmp/deps")"
recover_progress
for name in $(domain_names); do
    [ "$(virsh_system domstate "$name")" = running ] || fail "libvirt says '$name' does not run"
done
nothing_in_the_journal

note "and once more, with what has been snapshotted since"
recover_create
[ "$sets" = "$(domain 0),$(domain 1) $(domain 2)" ] || fail "after a recovery not the pair and the third: '$sets'"
recover_progress
recover_mark
domain_kill 2
recover_run || fail "no second recovery"
[ "$(jq -r '[.vms[] | .way // "-"] | join(",")' "$tmp/recovered.json")" = -,-,cold ] ||
    fail "not the third alone: $(cat "$tmp/recovered.json")"
recover_left_alone 0
recover_progress
nothing_in_the_journal
clusnap -q snapshot verify c >/dev/null
