#!/bin/bash
# clusnapd is killed or told to end while memory of restored VMs is still arriving, and in the middle of a snapshot: the
# guests run on, and their memory arrives after all.
# shellcheck source=tests/lib-faults.sh
. "${srcdir:-.}/tests/lib-faults.sh"

faults_cluster fill
daemon_start
faults_store
snapshot base full
sleep 1
snapshot next incremental

is_filling() {
    compgen -G "$clusnapd_directory/journal/*.fill" >/dev/null
}

some_node_is() {
    local i
    for i in $(cluster_nodes); do
        [ "$(vm_status "$i")" != "$1" ] || return 0
    done
    return 1
}

lazily() {
    kill_all
    clusnap -q restore c "$1" --no-wait >/dev/null
    is_filling || fail "the fill was not slow enough to test anything"
}

clusnap --store "$tmp/other" store init >/dev/null

note "killed while memory arrives"
arm fill:slow
lazily next
clusnapd_kill
disarm
daemon_start
all_run
nothing_left
cluster_check --wait-progress 10
snapshot refilled incremental
come_back refilled

note "killed in a micro-pause at the end of the fill"
arm end:crash
kill_all
# Small guests: it may be dead before it has answered.
clusnap -q restore c refilled --no-wait >/dev/null || true
daemon_dies
disarm
some_node_is paused || fail "no node was in a micro-pause"
daemon_start
all_run
nothing_left
cluster_check --wait-progress 10
snapshot ended
come_back ended

note "killed in a snapshot while memory arrives: a QEMU that waits for a page is deaf to its monitor"
arm fill:slow,pause:crash
lazily ended
must_fail 13 "clusnapd" clusnap -q snapshot create c lost
daemon_dies
disarm
compgen -G "$clusnapd_directory/journal/*.pause" >/dev/null || fail "no node was paused"
daemon_start
all_run
nothing_left lost
cluster_check --wait-progress 10

note "killed twice, and a snapshot is taken between"
arm fill:slow
lazily refilled
clusnapd_kill
daemon_start
is_filling || fail "the fill does not go on"
snapshot between incremental
is_filling || fail "the fill was not slow enough to test anything"
must_fail 5 "still arriving" clusnap --store "$tmp/other" -q snapshot create c elsewhere
clusnapd_kill
disarm
daemon_start
nothing_left
cluster_check --wait-progress 10
come_back between

note "SIGTERM while memory arrives: it is waited for"
arm fill:slow
lazily between
kill -TERM "$clusnapd_pid"
sleep 0.5
clusnapd_runs || fail "clusnapd left guests without their memory"
disarm
daemon_dies
# Disks are left to the next one.
if is_filling && jq -se 'any(.[]; .restore.lazy)' "$clusnapd_directory"/journal/*.fill >/dev/null; then
    fail "clusnapd ended before all memory was there"
fi
cluster_check --wait-progress 10
daemon_start
cluster_check --wait-progress 10

note "SIGTERM in a snapshot"
for stage in precopy pause store; do
    hangs "$stage:hang" "term-$stage" --pause-deadline 30s
    sleep 1
    kill -TERM "$clusnapd_pid"
    daemon_dies
    end_hung "$hung"
    all_run
    daemon_start
    nothing_left "term-$stage"
done
snapshot last
come_back last
