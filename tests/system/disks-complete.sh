#!/bin/bash
# All kinds of disks that are captured, and those that are left alone, in one cluster: snapshots under load and
# discards, the loss of all guests, a restore; every disk byte by byte what it was at the cut.  Bare QEMUs, or libvirt
# domains with the argument "libvirt".
. "${srcdir:-.}/tests/lib-storage.sh"
requires_root
requires jq ip socat
disks='raw:none:discard qcow2:writeback:discard qcow2:unsafe:scsi:discard qcow2+backing:writeback raw:writeback:ro iso:none'
storage_kind "${1:-bare}"
options=(memory=192 "run=trim,probe" 'options=dirty=2 table=16 iops=60' "disks=$disks")
if [ "$storage" = libvirt ]; then
    requires virsh
    start_libvirtd_if_needed
    domains_start "clusnap-disks-$$" 2 "${options[@]}"
    check=domains_check
else
    cluster_start disks 2 "${options[@]}"
    check=cluster_check
fi
cluster_wait
clusnapd_start
clusnap store init >/dev/null

# What is not captured is left out, and what is captured is there.
names() {
    jq -r '.disks[] | "\(.vm) \(.name) \(.format)"' "$tmp/show.json" | sort
}

definitions() {
    local name
    [ "$storage" = libvirt ] || return 0
    for name in $(domain_names); do
        virsh_system dumpxml --inactive "$name"
        virsh_system domblklist "$name"
        virsh_system dumpxml "$name" | xmllint --xpath '//devices/disk' - |
            grep -v -e '<alias' -e '<address' | sed "s/ index=['\"][0-9]*['\"]//"
    done
}

trimmed() {
    grep -q "TRIM vda [1-9]" "$cluster_directory/0.log" && grep -q "TRIM sda [1-9]\|TRIM sdc [1-9]" "$cluster_directory/0.log"
}
wait_for 60 trimmed || fail "the guest discards nothing: $(grep TRIM "$cluster_directory/0.log" | tail -n 3)"

chains >"$tmp/chains.before"
definitions >"$tmp/definitions.before"
snapshot_with_reference full
snapshot_with_reference first
sleep 2
snapshot_with_reference second
chains >"$tmp/chains.between"
cmp "$tmp/chains.before" "$tmp/chains.between" || fail "snapshots have changed the images: $(diff "$tmp/chains.before" "$tmp/chains.between")"

clusnap snapshot show c second -f json >"$tmp/show.json"
[ "$(names | wc -l)" -eq 8 ] || fail "not four disks of each VM are captured: $(names)"
jq -e '[.vms[].incremental] | all' "$tmp/show.json" >/dev/null || fail "the snapshot is not incremental"
jq -e '[.disks[] | .size > ."bytes-read" and ."bytes-read" > 0] | all' "$tmp/show.json" >/dev/null ||
    fail "no bytes per disk: $(jq -c .disks "$tmp/show.json")"
jq -e '([.disks[]."bytes-zero"] | max) > 0' "$tmp/show.json" >/dev/null ||
    fail "discarded ranges are not stored as zeros: $(jq -c .disks "$tmp/show.json")"
jq -e '. as $show | .vms | all(. as $vm | ([$show.disks[] | select(.vm == $vm.name) | ."bytes-read"] | add)
    == $vm."disk-bytes")' "$tmp/show.json" >/dev/null || fail "the disks' bytes are not the VM's"
clusnap snapshot show c second >"$tmp/table"
grep -q "Read.*Zero" "$tmp/table" || fail "'snapshot show' prints no bytes per disk: $(cat "$tmp/table")"

$check --wait-progress 10
for name in second first; do
    if [ "$storage" = libvirt ]; then
        for domain in $(domain_names); do
            virsh_system destroy "$domain"
        done
    else
        kill_all
    fi
    restore_with_comparison "$name"
    $check --wait-progress 20
    chains >"$tmp/chains.after"
    cmp "$tmp/chains.before" "$tmp/chains.after" ||
        fail "the restore has changed the images: $(diff "$tmp/chains.before" "$tmp/chains.after")"
    definitions >"$tmp/definitions.after"
    cmp "$tmp/definitions.before" "$tmp/definitions.after" ||
        fail "libvirt's view has changed: $(diff "$tmp/definitions.before" "$tmp/definitions.after")"
done
snapshot_with_reference third
clusnap snapshot show c third -f json >"$tmp/show.json"
jq -e '[.vms[].incremental] | all' "$tmp/show.json" >/dev/null || fail "the snapshot after a restore is not incremental"
