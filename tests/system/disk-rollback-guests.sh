#!/bin/bash
# Real guests on bare QEMU that write and check numbered blocks: virtio-blk and virtio-scsi, raw and
# qcow2, with and without a backing file.  Their disks are taken back, compared byte for byte, and
# taken forward again to what they were at the stop; the guest runs on and finds every block.
# shellcheck source=tests/lib.sh
. "${srcdir:-.}/tests/lib.sh"
. "$srcdir/tests/lib-disk-rollback.sh"
export TMPDIR=$tmp

qemu-img create -q -f raw "$tmp/base.raw" 64M
qemu-img create -q -f qcow2 -b "$tmp/base.raw" -F raw "$tmp/over.qcow2"
cluster_start diskrb 1 memory=192 network=none throttle=0 options="iops=200 disks=/dev/vda,/dev/vdb,/dev/sda" \
    extra="-device virtio-scsi-pci,id=scsi -drive if=none,id=over,file=$tmp/over.qcow2,format=qcow2,cache=writeback,discard=unmap -device scsi-hd,bus=scsi.0,drive=over,id=sd0"
cluster_wait
d=$cluster_directory
disk_rollback_rounds "$d/0.qmp" "$d/0.log" \
    "cd $d && qemu-img convert -U -f raw -O raw 0.disk0.raw $tmp/now/vblk0 && qemu-img convert -U -f qcow2 -O raw 0.disk1.qcow2 $tmp/now/vblk1 && qemu-img convert -U -f qcow2 -O raw $tmp/over.qcow2 $tmp/now/sd0"
cluster_check --timeout 60 || fail "the guest saw an error"
vm_quit 0
qemu-img check "$d/0.disk1.qcow2" >&2 || fail "the qcow2 image is damaged"
qemu-img check "$tmp/over.qcow2" >&2 || fail "the overlay is damaged"
