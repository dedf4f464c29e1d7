#!/bin/bash
# Rule 9 with a bounded fill: a snapshot of VMs whose memory is still arriving, restored in turn while that is
# still arriving, and once more.
# shellcheck source=tests/lib-faults.sh
. "${srcdir:-.}/tests/lib-faults.sh"

faults_cluster filling
daemon_start
faults_store
snapshot s0 full

is_filling() {
    compgen -G "$clusnapd_directory/journal/*.fill" >/dev/null
}

for n in 1 2; do
    note "restore s$((n - 1)) at 1 MiB/s, snapshot s$n while it is filling"
    kill_all
    disarm
    nothing_in_the_journal
    arm fill:hold
    clusnap -q restore c "s$((n - 1))" --fill-rate 1 --no-wait >/dev/null
    cluster_check --no-verify --wait-progress 1
    is_filling || fail "the fill was not held"
    snapshot "s$n" incremental
    is_filling || fail "the fill was not held"
    cluster_check --no-verify --wait-progress 1
done
disarm

note "all of them are whole"
clusnap -q snapshot verify c >/dev/null
come_back s1 --eager
come_back s2 --fill-rate 0
nothing_left
