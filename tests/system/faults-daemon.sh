#!/bin/bash
# clusnapd is killed in each stage of a snapshot.  When it starts again all guests run, nothing of the snapshot is
# left, and the next snapshot works and can be restored.  CLUSNAP_TEST_STAGES chooses stages.
# shellcheck source=tests/lib-faults.sh
. "${srcdir:-.}/tests/lib-faults.sh"

faults_cluster faults
daemon_start
faults_store
snapshot base full

for stage in ${CLUSNAP_TEST_STAGES:-check quiesce precopy pause capture resume store seal}; do
    note "killed in $stage"
    arm "$stage:crash"
    must_fail 13 "clusnapd" clusnap -q snapshot create c "lost-$stage"
    daemon_dies
    disarm
    daemon_start
    case $stage in
    check | quiesce) nothing_left "lost-$stage" ;; # the bitmap of the snapshot before: the next one takes it away
    *) nothing_at_all "lost-$stage" ;;
    esac
    # What the killed daemon's scans consumed is not known: a complete one.
    snapshot "after-$stage" full
    nothing_left "lost-$stage"
    case $stage in
    pause | store) come_back "after-$stage" ;;
    esac
done
snapshot last incremental
come_back last
nothing_left
clusnap -q snapshot verify c >/dev/null
