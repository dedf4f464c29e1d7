#!/bin/bash
# Each stage fails in clusnapd.  The guests run on, no snapshot is listed, nothing is left.  What scans had consumed is
# carried over: the next snapshot is incremental all the same, and right when it is restored (rule 3).
# shellcheck source=tests/lib-faults.sh
. "${srcdir:-.}/tests/lib-faults.sh"

faults_cluster errors
daemon_start
faults_store
snapshot base full

# One daemon for all: what the failed snapshots consumed adds up in it.
for stage in check quiesce precopy pause capture resume store seal; do
    note "error in $stage"
    arm "$stage:error"
    must_fail 1 "injected fault at '$stage'" clusnap -q snapshot create c "failed-$stage"
    disarm
    nothing_left "failed-$stage"
done
snapshot good incremental
come_back good
nothing_left
