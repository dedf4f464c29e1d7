#!/bin/bash
# The same with libvirt domains: libvirt's view is true while the disks are filled and as before afterwards.
. "${srcdir:-.}/tests/lib.sh"
requires_root
requires jq virsh ip nbdkit
start_libvirtd_if_needed
# shellcheck source=tests/lib-lazy-disks.sh
. "$srcdir/tests/lib-lazy-disks.sh"

domains_start "clusnap-lazyd-$$" 2 memory=192 run=probe options=dirty=4 'disks=raw:none qcow2:writeback'
domains_wait
lazy_files="$cluster_directory/0.disk1.qcow2 $cluster_directory/1.disk1.qcow2"
lazy_begin clusnap_cluster_of_domains

lose_all() {
    local domain
    for domain in $(domain_names); do
        virsh_system destroy "$domain" >/dev/null
    done
}

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
        virsh_system domblkinfo "$domain" vdb >/dev/null
    done
}

note "restored, and filled"
lose_all
clusnap restore c one
disks_are_local "restored"
as_before
domains_check --wait-progress 20

note "clusnapd is killed and a snapshot is taken while disks are lazy"
fill_stops
lose_all
clusnap -q restore c one --no-wait >/dev/null
all_lazy "restored"
domains_check --wait-progress 20
clusnapd_kill
server=$(jq -r .restore.disks.serve.pid "$clusnapd_directory"/journal/*.fill | head -n 1)
kill "$server"
wait_for 30 process_is_gone "$server"
daemon_start
clusnap -q snapshot create c two >/dev/null
clusnap snapshot show c two -f json >"$tmp/show.json"
if grep -q clusnap-serve "$tmp/show.json"; then
    fail "the snapshot names the server"
fi
fill_goes_on
disks_are_local "clusnapd was killed"
as_before
domains_check --wait-progress 20
lose_all
clusnap restore c two
disks_are_local "the snapshot taken between"
as_before

note "libvirt's own block jobs work afterwards"
domain=$(domain_names)
domain=${domain%% *}
virsh_system blockcopy "$domain" vdb "$tmp/copy.qcow2" --wait --finish --transient-job >/dev/null
virsh_system snapshot-create-as "$domain" --disk-only --no-metadata --diskspec "vdb,file=$tmp/overlay.qcow2" --diskspec vda,snapshot=no >/dev/null
virsh_system blockcommit "$domain" vdb --active --pivot --wait >/dev/null
as_before
domains_check --wait-progress 20
