#!/bin/bash
# libvirt domains whose disks have backing images with what their guests wrote, restored lazily while the guests write:
# libvirt opens a backing image only when the copy ends, so a write of a part of a cluster must not reach the image
# before (vmm/lazy-aside-libvirt.c).  clusnapd, the domains, or both end meanwhile; nobody is left standing.
# shellcheck source=tests/lib-lazy-disks.sh
. "${srcdir:-.}/tests/lib-lazy-disks.sh"
requires_root
requires jq virsh ip nbdkit
start_libvirtd_if_needed

domains_start "clusnap-above-$$" 2 memory=192 run=probe 'disks=qcow2:none qcow2:writeback'
domains_wait
domains_check --wait-progress 20
i=0
for domain in $(domain_names); do
    snapshot=()
    for n in 0 1; do
        file=$cluster_directory/$i.top$n.qcow2
        snapshot+=(--diskspec "vd$([ "$n" = 0 ] && echo a || echo b),file=$file")
        lazy_files+=" $file"
    done
    virsh_system snapshot-create-as "$domain" --disk-only --no-metadata "${snapshot[@]}" >/dev/null
    i=$((i + 1))
done
domains_check --wait-progress 20
lazy_begin clusnap_cluster_of_domains

all_run() {
    local domain
    for domain in $(domain_names); do
        [ "$(virsh_system domstate "$domain")" = running ] || fail "'$domain' does not run ($1): $(virsh_system domstate --reason "$domain")"
    done
}

whole() {
    local file
    disks_are_local "$1"
    for file in $lazy_files; do
        [[ $(backing_of "$file") == *".disk"* ]] || fail "'$file' has another backing image ($1): '$(backing_of "$file")'"
    done
    all_run "$1"
    domains_check --wait-progress 20
}

for round in $(test_parts "1 2" "3 4 5 6"); do
    note "round $round"
    domains_are_lost
    clusnap -q restore c one >/dev/null
    whole "round $round"
done

note "not lazily"
domains_are_lost
clusnap -q restore c one --eager >/dev/null
whole "eager"

restored_lazily() {
    fill_stops
    domains_are_lost
    clusnap -q restore c one --no-wait >/dev/null
    all_lazy "$1"
}

for point in $(test_parts "disk-name" "disk-mirror disk-pivot disk-finish"); do
    note "an error at $point, and again without it"
    restored_lazily "$point"
    arm "$point:error"
    sleep 2
    domains_check --wait-progress 20
    fill_goes_on
    whole "an error at $point"

    note "clusnapd is killed at $point"
    restored_lazily "$point"
    clusnapd_ends_at "$point"
    whole "killed at $point"

    note "clusnapd is killed and the domains end at $point"
    restored_lazily "$point"
    for domain in $(domain_names); do
        virsh_system suspend "$domain" >/dev/null
    done
    reference
    clusnapd_ends_at "$point" domains_are_lost
    same_as_reference "both at $point"
done

note "a snapshot and a rollback while the guests' writes are copied, and when a disk has changed over without its name"
restored_lazily two
arm disk-pivot:error
sleep 2
clusnap -q snapshot create c two >/dev/null
sleep 1
clusnap -q rollback c two >/dev/null
domains_check --wait-progress 20
arm disk-name:error
sleep 1
clusnap -q snapshot create c three >/dev/null
domains_check --wait-progress 20
fill_goes_on
whole "rolled back"
domains_are_lost
clusnap -q restore c two >/dev/null
whole "the snapshot in between"
