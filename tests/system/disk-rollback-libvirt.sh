#!/bin/bash
# The disks of a libvirt domain, rolled back in place under a guest that writes and checks numbered
# blocks; libvirt's own view of the disks is as if nothing had been, and its disk operations work.
# shellcheck source=tests/lib.sh
. "${srcdir:-.}/tests/lib.sh"
. "$srcdir/tests/lib-disk-rollback.sh"
export TMPDIR=$tmp

domains_start "diskrb$$" 1 disks="raw:none qcow2:writeback" disk_size=64M throttle=0 memory=192 \
    options="iops=200"
domain=diskrb$$-0 d=$cluster_directory
xml_of_disks() { virsh_system dumpxml "$domain" | sed -n '/<disk /,/<\/disk>/p'; }
domains_wait
before=$(xml_of_disks)
disk_rollback_rounds "libvirt:$domain" "$d/0.log" \
    "cd $d && qemu-img convert -U -f raw -O raw 0.disk0.raw $tmp/now/virtio-disk0 && qemu-img convert -U -f qcow2 -O raw 0.disk1.qcow2 $tmp/now/virtio-disk1"

note "libvirt's view"
[ "$(xml_of_disks)" = "$before" ] || fail "the domain's XML has changed"
left=$(virsh_system qemu-monitor-command "$domain" '{"execute":"query-named-block-nodes","arguments":{"flat":true}}' |
    jq -r '.return[] | .["node-name"], (.["dirty-bitmaps"][]?.name)' | grep clusnap || true)
[ -z "$left" ] || fail "left in QEMU: $left"
virsh_system domblkinfo "$domain" vda >/dev/null
virsh_system snapshot-create-as "$domain" --disk-only --no-metadata s >/dev/null
for disk in vda vdb; do
    virsh_system blockcommit "$domain" $disk --active --pivot >/dev/null || fail "blockcommit of $disk"
done
domains_check --timeout 60 || fail "the guest saw an error"
virsh_system destroy "$domain"
qemu-img check "$d/0.disk1.qcow2" >&2 || fail "the qcow2 image is damaged"
