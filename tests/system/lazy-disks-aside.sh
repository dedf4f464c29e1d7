#!/bin/bash
# Raw disks, and one above a backing image, that are filled aside while their guest runs: clusnapd, QEMU and both killed at each step, a snapshot and a
# rollback in between; afterwards each disk is the file that it was, with the guest's last state.  One disk is given
# with -drive, whose node QEMU opens by its name again.
# shellcheck source=tests/lib-lazy-disks.sh
. "${srcdir:-.}/tests/lib-lazy-disks.sh"
requires_root
requires jq ip nbdkit socat

drive=$tmp/drive.raw
truncate -s 32M "$drive"
cluster_start lazyr 1 memory=128 run=probe options=dirty=4 'disks=raw:none qcow2+backing:writeback' \
    "extra=-drive file=$drive,format=raw,if=virtio,cache=writeback -qmp unix:@BASE@.watch,server=on,wait=off"
cluster_wait
lazy_files="$cluster_directory/0.disk0.raw $cluster_directory/0.disk1.qcow2 $drive"
lazy_begin clusnap_cluster_of_nodes

forms() {
    local file
    for file in $lazy_files; do
        qemu-img info -U -f "${file##*.}" --output=json "$file" |
            jq -c '[.filename, .format, ."virtual-size", ."backing-filename", ."backing-filename-format"]'
        stat -c '%a %u %g' "$file"
    done
    tr '\0' '\n' <"/proc/$(vm_pid 0)/cmdline" | sed '/^-incoming$/,+1d; /^-S$/d; 1d'
    vm_qmp 0 '{"execute":"query-named-block-nodes","arguments":{"flat":true}}' |
        jq -c '.[] | [(.["node-name"] | sub("^#.*"; "#")), .file, .drv, .ro, .cache]' | sort
}
forms >"$tmp/before"
sha256sum "$cluster_directory/0.disk1.backing" >"$tmp/backing.sum"
own_before=$(own_of "$cluster_directory/0.disk1.qcow2")

# local_again TEXT
local_again() {
    disks_are_local "$1"
    forms >"$tmp/after"
    cmp "$tmp/before" "$tmp/after" || fail "the disks have changed ($1): $(diff "$tmp/before" "$tmp/after")"
    cluster_check --wait-progress 20
}

# restored_lazily SNAPSHOT: and not filled.
restored_lazily() {
    fill_stops
    vm_kill 0
    clusnap -q restore c "$1" --fill-rate 0 --no-wait >/dev/null
    all_lazy "$1"
    cluster_check --wait-progress 5
}

note "restored, and filled"
vm_kill 0
clusnap restore c one
local_again "restored"

for point in $(test_parts "disk-name" "disk-write disk-mirror disk-pivot disk-finish"); do
    note "clusnapd is killed at $point"
    restored_lazily one
    clusnapd_ends_at "$point"
    local_again "$point"
done

for point in $(test_parts "disk-pivot" "disk-write disk-mirror"); do
    note "QEMU is killed at $point"
    restored_lazily one
    vm_qmp 0 '{"execute":"stop"}' >/dev/null
    reference
    arm "$point:hold"
    sleep 2
    vm_kill 0
    fill_goes_on
    same_as_reference "$point"
done

for point in $(test_parts "disk-mirror" "disk-write disk-name disk-pivot disk-finish"); do
    note "clusnapd and QEMU are killed at $point"
    restored_lazily one
    vm_qmp 0 '{"execute":"stop"}' >/dev/null
    reference
    clusnapd_ends_at "$point" vm_kill 0
    same_as_reference "$point"
done

note "a snapshot and a rollback while the disks are lazy"
restored_lazily one
watch_start
clusnap -q snapshot create c two >/dev/null
cluster_check --wait-progress 5
all_lazy "captured"
clusnap -q rollback c two >/dev/null
all_lazy "rolled back"
cluster_check --wait-progress 5
note "and while they are written, which fails and is tried again"
arm disk-write:error
written() {
    grep -q "injected fault at 'disk-write'" "$clusnapd_directory/clusnapd.log"
}
wait_for 60 written || fail "nothing is written"
clusnap -q snapshot create c between >/dev/null
all_lazy "being written"
note "and again while a job mirrors them"
arm disk-name:error
jobs_are_ready() {
    [ "$(vm_qmp 0 '{"execute":"query-block-jobs"}' | jq 'map(select(.ready)) | length')" -eq 3 ]
}
wait_for 60 jobs_are_ready || fail "no job mirrors: $(vm_qmp 0 '{"execute":"query-block-jobs"}')"
cluster_check --wait-progress 5
clusnap -q snapshot create c three >/dev/null
wait_for 60 jobs_are_ready || fail "no job mirrors after the snapshot"
clusnap -q rollback c three >/dev/null
cluster_check --wait-progress 5
# QEMU 10.0 writes to freed memory when a job that copies writes is cancelled while the guest writes.
if grep '"BLOCK_JOB_CANCELLED".*"mirror"' "$cluster_directory/0.moments"; then fail "a job that mirrors was cancelled"; fi
[ "$(moments 0 BLOCK_JOB_READY | wc -l)" -ge 6 ] || fail "a job did not begin anew after it was held"
fill_goes_on
local_again "rolled back"
is_thin "$cluster_directory/0.disk1.qcow2" "$own_before"

note "the next snapshot has little of the disks, and all of them come back"
clusnap -q snapshot create c four >/dev/null
clusnap snapshot show c four -f json >"$tmp/show.json"
jq -e '[.vms[].incremental] | all' "$tmp/show.json" >/dev/null || fail "the snapshot after a fill is not incremental"
jq -e '[.disks[] | .size > ."bytes-read"] | all' "$tmp/show.json" >/dev/null ||
    fail "disks were read whole: $(jq -c .disks "$tmp/show.json")"
jq -e '[.disks[] | (.filename | test("clusnap-(lazy|fill)") | not) and .format == (.filename | split(".")[-1])] | all' "$tmp/show.json" >/dev/null ||
    fail "the snapshot names what is ours: $(jq -c .disks "$tmp/show.json")"
for name in two three four; do
    vm_kill 0
    clusnap restore c "$name"
    local_again "$name"
done

note "what an interrupted restore left is not taken away"
vm_kill 0
touch "$drive.clusnap-lazy"
if clusnap -q restore c four 2>"$tmp/said"; then
    fail "it was"
fi
grep -q "left from a restore" "$tmp/said" || fail "it is not said: $(cat "$tmp/said")"
rm "$drive.clusnap-lazy"
clusnap restore c four --eager
all_plain || fail "--eager is not"
sha256sum -c --quiet "$tmp/backing.sum" || fail "the backing image was written to"
cluster_check --wait-progress 20
