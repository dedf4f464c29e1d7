#!/bin/bash
# Rules of DESIGN.md that only whole clusters show, with clusnapd driven by hand: protecting (1), one cut (2), what a failed
# snapshot consumed (3), the pause's deadline (5), a snapshot while memory is still arriving (9).
# docs/testing.md lists where each rule is tested.
# shellcheck source=tests/lib-faults.sh
. "${srcdir:-.}/tests/lib-faults.sh"

faults_cluster rules
daemon_start
faults_store
watch_start
snapshot base full

last() {
    moments "$1" "$2" | tail -n 1
}

# one_cut: the last STOP of every node comes before the last RESUME of any.
one_cut() {
    local i stop=0 resume=
    for i in $(cluster_nodes); do
        [ "$(last "$i" STOP)" -le "$stop" ] || stop=$(last "$i" STOP)
        [ -n "$resume" ] && [ "$(last "$i" RESUME)" -ge "$resume" ] || resume=$(last "$i" RESUME)
    done
    [ "$stop" -le "$resume" ] || fail "a node ran again before all stood (by $((stop - resume)) us)"
}

to_precopy() {
    rpc_begin "$@"
    rpc snapshot.check >/dev/null
    rpc snapshot.quiesce >/dev/null
    rpc snapshot.precopy >/dev/null
}

count() {
    moments "$1" "$2" | wc -l
}

stands() {
    [ "$(count "$1" STOP)" -gt "$(count "$1" RESUME)" ]
}

all_ran_again() {
    local i
    for i in $(cluster_nodes); do
        ! stands "$i" || return 1
    done
    [ "$(count 0 RESUME)" -gt "$before" ]
}

note "rule 1: memory is protected only while the VM stands: no round of the precopy without a stop"
rpc_open
rpc_begin standing
rpc snapshot.check >/dev/null
rpc snapshot.quiesce >/dev/null
before=$(count 0 STOP)
rpc snapshot.precopy >"$tmp/precopy.json"
rounds=$(jq '.vms[] | select(.name == "vm0") | .rounds' "$tmp/precopy.json")
[ "$rounds" -gt 0 ] || fail "no round of the precopy: $(cat "$tmp/precopy.json")"
[ $(($(count 0 STOP) - before)) -ge "$rounds" ] || fail "$rounds rounds, but only $(($(count 0 STOP) - before)) stops"
rpc_close
nothing_left standing

note "rule 2: ordinary snapshots"
for name in a b c; do
    snapshot "$name" incremental
    one_cut
done

note "rule 2: a QEMU that is slow to stop"
rpc_open
to_precopy slow '"pause-deadline":30000000'
kill -STOP "$(vm_pid 1)"
rpc_send snapshot.pause
wait_for 30 stands 0 || fail "node 0 was not paused"
sleep 0.5
stands 0 || fail "node 0 ran again though node 1 does not stand yet"
kill -CONT "$(vm_pid 1)"
rpc_answer >/dev/null
stands 0 || fail "node 0 ran again before the release"
stands 1 || fail "node 1 ran again before the release"
if rpc snapshot.store >"$tmp/said"; then
    fail "snapshot.store came before snapshot.release"
fi
grep -q 'in the order of its stages' "$tmp/said" || fail "$(cat "$tmp/said")"
rpc snapshot.release >/dev/null
one_cut
rpc snapshot.store >/dev/null
rpc snapshot.seal '{"manifest":{}}' >/dev/null
rpc_close
nothing_left

note "rule 5: nobody releases"
rpc_open
to_precopy stuck '"pause-deadline":2000000'
before=$(count 0 RESUME)
rpc snapshot.pause >/dev/null
wait_for 30 all_ran_again || fail "the deadline did not resume the guests"
if rpc snapshot.release >"$tmp/said"; then
    fail "a release after the deadline succeeded"
fi
grep -q 'deadline: .*was not allowed to resume' "$tmp/said" || fail "$(cat "$tmp/said")"
nothing_left stuck
rpc_close

note "rule 3: what that snapshot and a cancelled one consumed is in the next"
rpc_open
to_precopy cancelled
rpc snapshot.pause >/dev/null
rpc snapshot.release >/dev/null
rpc_close
nothing_in_the_journal
snapshot carried incremental
come_back carried

note "rule 9: a snapshot while memory is still arriving"
# The background fill of vm0 and vm1 gets slow; what they touch still comes at once.
arm fill:slow
kill_all
clusnap -q restore c carried --no-wait >/dev/null
clusnap -q snapshot create c early -f json >"$tmp/created.json"
jq -e '[.vms[].incremental] | all' "$tmp/created.json" >/dev/null || fail "a VM that was filling was read as a whole"
compgen -G "$clusnapd_directory/journal/*.fill" >/dev/null || fail "the fill was not slow enough to test anything"
cluster_check --no-verify --wait-progress 5
disarm
come_back early
nothing_left

note "rule 3: a failed snapshot to another store consumes pages of this one's next"
snapshot before incremental
clusnap --store "$tmp/other" store init >/dev/null
arm store:error
must_fail 1 "injected fault at 'store'" clusnap --store "$tmp/other" -q snapshot create c elsewhere
disarm
snapshot after incremental
come_back after
