#!/bin/bash
# The CLI is killed in each stage of a snapshot, or hangs while all guests stand: the daemon resumes them by itself and
# undoes everything; the next snapshot is incremental and right.
# shellcheck source=tests/lib-faults.sh
. "${srcdir:-.}/tests/lib-faults.sh"

faults_cluster cli
daemon_start
faults_store
snapshot base full

for stage in check quiesce precopy pause capture resume store; do
    note "clusnap killed after $stage"
    status=0
    CLUSNAP_FAULT=$stage:crash clusnap -q snapshot create c "lost-$stage" 2>"$tmp/said" || status=$?
    [ "$status" -eq 137 ] || fail "clusnap ended with $status: $(cat "$tmp/said")"
    nothing_in_the_journal
    nothing_left "lost-$stage"
done
status=0
CLUSNAP_FAULT=seal:crash clusnap -q snapshot create c sealed || status=$?
[ "$status" -eq 137 ] || fail "clusnap ended with $status"
nothing_left
clusnap snapshot show c sealed >/dev/null || fail "what was sealed is not there"

note "clusnap hangs while all stand"
hangs pause:hang hangs --pause-deadline 500ms
# Nobody tells the daemon anything: the deadline alone resumes the guests and frees them for others.
wait_for 30 clusnap -q snapshot create c after-hang 2>/dev/null >"$tmp/out" ||
    fail "no snapshot is possible while a clusnap hangs"
kill -0 "$hung" 2>/dev/null || fail "clusnap did not hang"
nothing_left hangs
end_hung "$hung"

note "clusnap hangs before anything is paused: the VMs are busy, and its name is told"
hangs precopy:hang hangs
must_fail 5 "is busy with snapshot 'c/hangs'" clusnap -q snapshot create c second
end_hung "$hung"
nothing_in_the_journal
snapshot last incremental
nothing_left hangs
come_back last
nothing_left
