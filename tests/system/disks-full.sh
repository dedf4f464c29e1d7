#!/bin/bash
# The file system that keeps what guests overwrite during a capture is full: the snapshot fails with that reason, before
# the pause or while the disks are read, and the guests run on without an I/O error.
. "${srcdir:-.}/tests/lib-faults.sh"
requires mount umount
faults_cluster full 'disks=raw:none qcow2:writeback' 'options=dirty=2 table=16 iops=100'
mkdir -p "$clusnapd_directory/scratch"
mount -t tmpfs -o size=300M scratch "$clusnapd_directory/scratch" || skip "cannot mount a tmpfs"
on_exit umount "$clusnapd_directory/scratch"
daemon_start
faults_store
snapshot good full

no_io_error() {
    local i
    cluster_check --wait-progress 5
    all_run
    for i in $(cluster_nodes); do
        vm_qmp "$i" '{"execute":"query-block"}' >"$tmp/block"
        jq -e '[.[]["io-status"] // "ok"] | all(. == "ok")' "$tmp/block" >/dev/null || fail "node $i has an I/O error: $(cat "$tmp/block")"
    done
}

# Full before it begins.
dd if=/dev/zero of="$clusnapd_directory/scratch/filler" bs=1M count=250 status=none
must_fail 10 "where what guests overwrite during a capture is kept" clusnap -q snapshot create c early
nothing_left early
no_io_error

# Full while the disks are read: the VMs run, the copies go to the scratch files, somebody else takes the space.
rm "$clusnapd_directory/scratch/filler"
rpc_open
rpc_begin late
for stage in check quiesce precopy pause release; do
    rpc snapshot.$stage '{"job":"snapshot"}' >"$tmp/rpc" || fail "$stage: $(cat "$tmp/rpc")"
done
dd if=/dev/zero of="$clusnapd_directory/scratch/filler" bs=1M count=245 status=none
if rpc snapshot.store '{"job":"snapshot"}' >"$tmp/rpc"; then
    fail "a snapshot without room succeeded"
fi
grep -q "^no-space: .*where what guests overwrite during a capture is kept" "$tmp/rpc" || fail "not the reason: $(cat "$tmp/rpc")"
rpc_close
nothing_left late
no_io_error

rm "$clusnapd_directory/scratch/filler"
snapshot after incremental
come_back after
