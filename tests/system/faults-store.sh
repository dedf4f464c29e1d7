#!/bin/bash
# The store's file system is full; the store is somewhere else or somebody else's; pieces of it are damaged.
# shellcheck source=tests/lib-faults.sh
. "${srcdir:-.}/tests/lib-faults.sh"

requires mount
mkdir "$tmp/small"
mount -t tmpfs -o size=160m,mode=0700 clusnap-test "$tmp/small" || skip "cannot mount a tmpfs"
on_exit umount -l "$tmp/small"

faults_cluster store
daemon_start
clusnap_store=$tmp/small/store
faults_store

note "full"
snapshot base
fallocate -l "$(df --output=avail -B1 "$tmp/small" | tail -n 1)" "$tmp/small/ballast" 2>/dev/null ||
    dd if=/dev/zero of="$tmp/small/ballast" bs=1M 2>/dev/null || true
sleep 1
for attempt in one two; do
    must_fail 10 "$clusnap_store" clusnap -q snapshot create c "full-$attempt"
    nothing_left "full-$attempt"
    cluster_check --no-verify --wait-progress 5
done
rm "$tmp/small/ballast"
# What follows is not about space, and on a busy host the guests have written much by now.
mount -o remount,size=1g "$tmp/small"
snapshot fits incremental
nothing_left full-one
come_back fits
nothing_left

note "not ours"
mkdir "$tmp/stranger"
touch "$tmp/stranger/letters"
must_fail 3 "$tmp/nowhere" clusnap --store "$tmp/nowhere" -q snapshot create c x
must_fail 2 "$tmp/stranger" clusnap --store "$tmp/stranger" -q snapshot create c x
must_fail - "$tmp/stranger" clusnap --store "$tmp/stranger" store init
must_fail 2 "$tmp/stranger/letters" clusnap --store "$tmp/stranger/letters" -q snapshot create c x
[ "$(ls "$tmp/stranger")" = letters ] || fail "a directory that is not ours was changed"
nothing_left x

note "damaged"
clusnap store gc >/dev/null
# damage FILE: a few bytes in its middle; the original stays in $tmp/whole.
damage() {
    cp "$1" "$tmp/whole"
    printf 'damaged damaged!' | dd of="$1" bs=1 seek=$(($(stat -c %s "$1") / 2)) conv=notrunc status=none
}

mend() {
    cp "$tmp/whole" "$1"
}

snapshot good
snapshot bad incremental
# A daemon that starts anew has nothing of it in memory.
clusnapd_stop
manifest=$clusnap_store/manifests/c/bad
damage "$manifest"
daemon_start
clusnap snapshot list -f json >"$tmp/list"
jq -e '.. | objects | select(.snapshot? == "bad") | select(.state == "damaged")' "$tmp/list" >/dev/null ||
    fail "the damaged snapshot is not shown as such: $(cat "$tmp/list")"
jq -e '.. | objects | select(.snapshot? == "good") | select(.state == "ok")' "$tmp/list" >/dev/null ||
    fail "the good snapshot is not shown as such: $(cat "$tmp/list")"
must_fail 11 "bad" clusnap -q snapshot verify c bad
must_fail 11 "bad" clusnap -q snapshot show c bad
kill_all
must_fail 11 "bad" clusnap -q restore c bad
clusnap -q snapshot verify c good >/dev/null
come_back good
mend "$manifest"
clusnap -q snapshot verify c bad >/dev/null

# The image and the newest segment of the later snapshot.
image=$(jq -r '.vms[0].image' "$manifest")
for victim in "images/$image" "segments/$(find "$clusnap_store/segments" -type f -printf '%f\n' | sort | tail -n 1)"; do
    note "damaged: $victim"
    clusnapd_stop
    damage "$clusnap_store/$victim"
    daemon_start
    must_fail 11 "${victim##*/}" clusnap -q snapshot verify c bad
    kill_all
    must_fail 11 "${victim##*/}" clusnap -q restore c bad --eager
    clusnap -q snapshot verify c good >/dev/null
    come_back good
    mend "$clusnap_store/$victim"
done
come_back bad
nothing_left
