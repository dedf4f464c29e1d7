#!/bin/bash
# Rollbacks that fail at each of their fault points: before the point of no return the guest runs on
# untouched, and what changed is not forgotten; after it the VM stands, and the next rollback, which
# then writes all of its memory, mends it.
. "${srcdir:-.}/tests/lib.sh"
. "$srcdir/tests/lib-rollback.sh"

# after POINT KIND-OF-STEP
after() {
    roll "$1" snapshot a run 300 sh "echo $1:error >$tmp/fault" "$2" a sh "rm $tmp/fault" clean \
        rollback a run 200 snapshot b run 200 rollback a rollback b clean
    guest_goes_on "$1"
    rm -rf "$store"
}

cluster_start rollback-faults 1 memory=192 network=none run=probe throttle=0
cluster_wait
reference='{"name":"vm","qmp":"'"$cluster_directory/0.qmp"'"}'
export CLUSNAP_FAULT=@$tmp/fault
after rollback-stop fails
for point in rollback-apply rollback-devices rollback-resume; do
    after "$point" breaks
done
