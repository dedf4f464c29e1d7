#!/bin/bash
# clusnapd itself hangs while guests stand, so that nobody in it keeps the deadline: its supervisor does, by itself.
# shellcheck source=tests/lib-faults.sh
. "${srcdir:-.}/tests/lib-faults.sh"

faults_cluster hang
daemon_start
faults_store
snapshot base full

worker() {
    pgrep -P "$clusnapd_pid"
}

stands() {
    [ "$(vm_status 0)" = paused ]
}

replaced() {
    local now
    now=$(worker) && [ "$now" != "$before" ]
}

for stage in pause capture; do
    note "hangs in $stage"
    before=$(worker)
    arm "$stage:hang"
    # The connection ends, or the CLI gives up before.
    must_fail - "clusnapd" clusnap -q snapshot create c hung --pause-deadline 500ms
    disarm
    wait_for 30 replaced || fail "nobody replaced the clusnapd that hung"
    wait_for 30 clusnapd_answers || fail "the new clusnapd does not answer"
    all_run
    nothing_at_all hung
    snapshot "after-$stage" full
done

note "stopped as a whole"
before=$(worker)
arm pause:hang
hangs none:error hung --pause-deadline 500ms
wait_for 60 stands || fail "node 0 was not paused"
if chrt -r 1 true 2>/dev/null; then
    [ "$(raised 0)" -ge 1 ] || fail "node 0 stands, and its threads wait for others"
fi
# Perhaps it is replaced already.
kill -STOP "$before" || true
disarm
wait_for 60 replaced || fail "nobody replaced the clusnapd that was stopped"
end_hung "$hung"
wait_for 30 clusnapd_answers || fail "the new clusnapd does not answer"
all_run
nothing_at_all hung
snapshot last full
come_back last
nothing_left
clusnapd_stop
if pgrep -f "$clusnapd_directory/sock"; then
    fail "the above is left of clusnapd"
fi
