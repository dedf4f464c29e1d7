#!/bin/bash
# The same with libvirt domains, and their raw disks and those with a backing image, which are filled aside: libvirt's view is true while the disks are filled and as before afterwards;
# clusnapd, a disks' server, the domains, or clusnapd and the domains end meanwhile.
# shellcheck source=tests/lib-lazy-disks.sh
. "${srcdir:-.}/tests/lib-lazy-disks.sh"
requires_root
requires jq virsh ip nbdkit
start_libvirtd_if_needed

domains_start "clusnap-lazyd-$$" 2 memory=192 run=probe options=dirty=4 'disks=raw:none qcow2:writeback qcow2+backing:none'
domains_wait
lazy_files=
for i in 0 1; do
    lazy_files+=" $cluster_directory/$i.disk0.raw $cluster_directory/$i.disk1.qcow2 $cluster_directory/$i.disk2.qcow2"
done
lazy_begin clusnap_cluster_of_domains

# Without what differs from start to start.
disks_xml() {
    virsh_system dumpxml "$1" | sed -n '/<disk/,/<\/disk>/p' | sed "s/ index='[0-9]*'//"
}

for domain in $(domain_names); do
    virsh_system dumpxml --inactive "$domain" >"$tmp/$domain.before"
    disks_xml "$domain" >"$tmp/$domain.disks"
done

as_before() {
    local domain
    for domain in $(domain_names); do
        virsh_system dumpxml --inactive "$domain" | cmp -s - "$tmp/$domain.before" ||
            fail "the definition of '$domain' has changed"
        disks_xml "$domain" >"$tmp/disks"
        cmp -s "$tmp/disks" "$tmp/$domain.disks" ||
            fail "the disks of '$domain' have changed: $(diff "$tmp/$domain.disks" "$tmp/disks")"
        virsh_system domblkinfo "$domain" vda >/dev/null
        virsh_system domblkinfo "$domain" vdb >/dev/null
        virsh_system domblkinfo "$domain" vdc >/dev/null
    done
}

owners() {
    # shellcheck disable=SC2086
    stat -c '%n %a %u %g' $lazy_files
}

# restored_lazily SNAPSHOT: and not filled.
restored_lazily() {
    fill_stops
    domains_are_lost
    clusnap -q restore c "$1" --no-wait >/dev/null
    all_lazy "$1"
    domains_check --wait-progress 20
}

# The guests stand, and what they have written is kept.
stand() {
    local domain
    for domain in $(domain_names); do
        virsh_system suspend "$domain" >/dev/null
    done
    reference
}

note "restored, and filled"
domains_are_lost
owners >"$tmp/owners"
own_before=$(own_of "$cluster_directory/0.disk2.qcow2")
sha256sum "$cluster_directory"/*.disk2.backing >"$tmp/backing.sum"
clusnap restore c one
disks_are_local "restored"
as_before
is_thin "$cluster_directory/0.disk2.qcow2" "$own_before"
domains_check --wait-progress 20

note "clusnapd is killed and a snapshot is taken while disks are lazy"
restored_lazily one
clusnapd_kill
server=$(jq -r .restore.disks.serve.pid "$clusnapd_directory"/journal/*.fill | head -n 1)
kill "$server"
wait_for 30 process_is_gone "$server"
daemon_start
clusnap -q snapshot create c two >/dev/null
clusnap snapshot show c two -f json >"$tmp/show.json"
if grep -q 'clusnap-serve\|\.clusnap-' "$tmp/show.json"; then
    fail "the snapshot names what is ours"
fi
jq -e '[.disks[] | .format == (.filename | split(".")[-1])] | all' "$tmp/show.json" >/dev/null ||
    fail "the snapshot has other disks: $(jq -c .disks "$tmp/show.json")"
fill_goes_on
disks_are_local "clusnapd was killed"
as_before
domains_check --wait-progress 20
domains_are_lost
clusnap restore c two
disks_are_local "the snapshot taken between"
as_before

note "the snapshot after that has little of the disks"
clusnap -q snapshot create c three >/dev/null
clusnap snapshot show c three -f json >"$tmp/show.json"
jq -e '[.disks[] | .size > ."bytes-read"] | all' "$tmp/show.json" >/dev/null ||
    fail "disks were read whole: $(jq -c .disks "$tmp/show.json")"

note "a snapshot and a rollback while raw disks are copied"
restored_lazily one
arm disk-name:error
copies_are_ready() {
    local domain
    for domain in $(domain_names); do
        [[ $(virsh_system dumpxml "$domain") == *"disk0.raw' format='raw' job='copy' ready='yes'"* ]] || return 1
    done
}
wait_for 60 copies_are_ready || fail "no copy is ready: $(virsh_system blockjob "${domain:-$(domain_names)}" vda)"
clusnap -q snapshot create c four >/dev/null
domains_check --wait-progress 20
wait_for 60 copies_are_ready || fail "no copy is ready after the snapshot"
clusnap -q rollback c four >/dev/null
domains_check --wait-progress 20
fill_goes_on
disks_are_local "rolled back"
as_before
domains_check --wait-progress 20
clusnap -q rollback c four >/dev/null
domains_check --wait-progress 20
domains_are_lost
clusnap restore c four
disks_are_local "the snapshot while raw disks were copied"
domains_check --wait-progress 20

for point in $(test_parts "disk-pivot" "disk-write disk-mirror disk-name disk-finish"); do
    note "clusnapd is killed at $point"
    restored_lazily one
    clusnapd_ends_at "$point"
    disks_are_local "$point"
    as_before
    domains_check --wait-progress 20
done

for point in $(test_parts "disk-mirror disk-name" "disk-write disk-pivot disk-finish"); do
    note "the domains end at $point"
    restored_lazily one
    stand
    arm "$point:error"
    sleep 2
    domains_are_lost
    fill_goes_on
    same_as_reference "$point"
    owners | cmp - "$tmp/owners" || fail "the files have other owners ($point): $(owners)"
done

for point in $(test_parts "disk-pivot" "disk-write disk-mirror disk-name disk-finish"); do
    note "clusnapd is killed and the domains end at $point"
    restored_lazily one
    stand
    clusnapd_ends_at "$point" domains_are_lost
    same_as_reference "$point"
done

note "libvirt's own block jobs work afterwards"
clusnap restore c three
disks_are_local "the snapshot after the fill"
as_before
domain=$(domain_names)
domain=${domain%% *}
for target in vda vdb vdc; do
    virsh_system blockcopy "$domain" "$target" "$tmp/copy.$target" --wait --finish --transient-job >/dev/null
done
virsh_system snapshot-create-as "$domain" --disk-only --no-metadata --diskspec "vda,file=$tmp/overlay.vda" --diskspec "vdb,file=$tmp/overlay.vdb" \
    --diskspec "vdc,file=$tmp/overlay.vdc" >/dev/null
for target in vda vdb vdc; do
    virsh_system blockcommit "$domain" "$target" --active --shallow --pivot --wait >/dev/null
done
as_before
domains_check --wait-progress 20
sha256sum -c --quiet "$tmp/backing.sum" || fail "a backing image was written to"
