#!/bin/bash
# Faults come before the fill, and what a VM touches first is known at its next restore: the second
# one of the same snapshot has far fewer faults.  Counts, not times: the fill is held back all the while.
# shellcheck source=tests/lib-faults.sh
. "${srcdir:-.}/tests/lib-faults.sh"

faults_cluster order
daemon_start
faults_store
snapshot base full
cluster_check --wait-progress 1

is_filling() {
    compgen -G "$clusnapd_directory/journal/*.fill" >/dev/null
}

# restored NAME [ARG...]: restores "base" while the fill hardly gets on, lets the guests work, then ends the fill;
# the report is in NAME.json.
restored() {
    local name=$1
    shift
    kill_all
    arm fill:hold
    clusnap -q restore c base "$@" -f json >"$tmp/$name.json" 2>"$tmp/said" &
    local pid=$!
    wait_for 60 is_filling || fail "the VMs do not come back ($name): $(cat "$tmp/said")"
    cluster_check --wait-progress 4
    is_filling || fail "the fill was not held ($name)"
    disarm
    wait "$pid" || fail "cannot restore ($name): $(cat "$tmp/said")"
    cluster_check --wait-progress 2
    nothing_in_the_journal
}

sum() {
    jq -e "[.vms[].$2] | add" "$tmp/$1.json"
}

note "faults are served though the fill stands"
restored first
first=$(sum first faults)
[ "$first" -gt 50 ] || fail "only $first faults while the fill stood"
[ "$(sum first prefetched)" -eq 0 ] || fail "prefetched what nobody has touched before"
hints=("$tmp"/store/hints/*)
[ "${#hints[@]}" -eq 2 ] || fail "not a hint for each VM: ${hints[*]}"

note "the second time they are known"
restored second
second=$(sum second faults)
note "faults: $first, then $second; prefetched $(sum second prefetched) pages"
[ "$(sum second prefetched)" -gt 50 ] || fail "nothing was prefetched"
[ $((second * 2)) -lt "$first" ] || fail "$second faults instead of $first"

note "a damaged one is ignored, and replaced"
for hint in "${hints[@]}"; do
    printf x | dd of="$hint" bs=1 seek=44 conv=notrunc status=none
done
restored third
[ "$(sum third prefetched)" -eq 0 ] || fail "a damaged hint was used"
grep -q "is ignored: 'hints/.*' fails its checksum" "$clusnapd_directory/clusnapd.log" || fail "no warning"
restored fourth --fill-rate 0
[ "$(sum fourth prefetched)" -gt 50 ] || fail "the damaged hint was not replaced"

note "a prefetch that is held holds up nothing; hints go with the snapshot"
arm prefetch:hold
kill_all
clusnap -q restore c base >/dev/null &
pid=$!
wait_for 60 is_filling || fail "the VMs do not come back while the prefetch is held"
cluster_check --wait-progress 2
disarm
wait "$pid"
nothing_in_the_journal
snapshot other
clusnap -q snapshot delete c base
come_back other
clusnap -q store gc >/dev/null
for hint in "${hints[@]}"; do
    [ ! -e "$hint" ] || fail "'$hint' outlives its snapshot"
done
nothing_left
