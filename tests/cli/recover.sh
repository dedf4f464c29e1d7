#!/bin/sh
# Policies, partial snapshots and recover through the CLI.
# shellcheck source=tests/cli/common.sh
. "${srcdir:?}/tests/cli/common.sh"

# value EXPRESSION: of the JSON in $work/out
value() {
    jq -r "$1" "$work/out"
}

is() {
    [ "$(value "$1")" = "$2" ] || fail "$1 is '$(value "$1")', not '$2'"
}

# live VM RUNNING SEQUENCE DEPENDENCIES: an entry of deps.show
live() {
    printf '{"name":"%s","running":%s,"sequence":%s,"line":[{"branch":"b"}],"dependencies":[%s]}' "$@"
}

saw() {
    printf '{"vm":"%s","interval":%s,"sources":["flows"]}' "$@"
}

expect 2 cluster create demo vm1 --policy sometimes
err_has "coordinated, independent, group"
expect 0 cluster create demo vm1 vm2 vm3 --policy group
start_fake
expect 0 cluster show demo -f json
is .policy group

# A partial snapshot.
expect 0 snapshot create demo part --only vm1,vm3 -q -f json
is '.only | join(" ")' "vm1 vm3"
is '.vms | map(.name) | join(" ")' "vm1 vm3"
expect 3 snapshot create demo part --only vm1,vm9
err_has "cluster 'demo' has no VM 'vm9'"
start_fake 'snapshot.list=result:{"snapshots":[
    {"cluster":"demo","snapshot":"old","created":"2026-11-21T02:00:00Z","state":"ok"},
    {"cluster":"demo","snapshot":"part","created":"2026-11-21T03:00:00Z","state":"ok","partial":true,"only":["vm1","vm3"]}]}' \
    'snapshot.show=result:{"manifest":{"partial":true,"vms":[{"name":"vm1"},{"name":"vm3"}]}}'
expect 0 rollback demo -q -f value -c snapshot
[ "$(cat "$work/out")" = old ] || fail "not the latest complete snapshot"
expect 0 restore demo -q -f value -c snapshot
[ "$(cat "$work/out")" = old ] || fail "not the latest complete snapshot is restored"
expect 0 rollback demo part
err_has "a partial one, of 'vm1', 'vm3' only"
expect 0 restore demo part
err_has "the other VMs are not touched"
expect 0 snapshot list demo
out_has "vm1, vm3"
start_fake 'snapshot.list=result:{"snapshots":[
    {"cluster":"demo","snapshot":"part","created":"2026-11-21T03:00:00Z","state":"ok","partial":true}]}'
expect 3 rollback demo
err_has "clusnap recover demo"

# group: who has exchanged something shares a barrier.
answer="deps.show=result:{\"vms\":[$(live vm1 true 1 "$(saw vm3 1)"),$(live vm2 true 1 ""),$(live vm3 true 1 "")]}"
start_fake "$answer"
expect 0 snapshot create demo -q -f json
is '.snapshots | map(.snapshot + ":" + (.only | join(","))) | join(" ")' "s1.1:vm1,vm3 s1.2:vm2"
is '.policy' group
is '.domino | length' 3
expect 0 snapshot create demo
out_has "s2.2"
out_has "If it failed"
expect 0 snapshot create demo mine --stagger 1ms -q -f json
is '.snapshots | map(.snapshot) | join(" ")' "mine.1 mine.2"
expect 2 snapshot create demo mine --stagger soon

# One set that fails does not hide the other.
start_fake "$answer" "snapshot.check=error:refused:VM 'vm1' cannot be captured"
expect 7 snapshot create demo -q -f json
is '.snapshots | map(has("message")) | join(" ")' "true true"
grep -q '2 of 2 snapshots were not taken' "$work/err" || fail "it does not say how many failed"

# A clusnapd that cannot tell who depends on whom: all at one barrier.
start_fake deps.show=error:unsupported:"no such method"
expect 0 snapshot create demo
err_has "is not known: all VMs share one barrier"
expect 8 recover demo

# independent: the first one is of all VMs.
expect 0 cluster create alone vm1 vm2 --policy independent
start_fake
expect 0 snapshot create alone
err_has "no line of snapshots yet"

# recover.
manifest() {
    printf '{"name":"%s","sequence":1,"line":[{"branch":"b"}],"dependencies":[]}' "$1"
}
list='snapshot.list=result:{"snapshots":[{"cluster":"demo","snapshot":"s1","created":"2026-11-21T02:00:00Z","state":"ok"},
    {"cluster":"demo","snapshot":"bad","state":"damaged","message":"manifest: no JSON"}]}'
show="snapshot.show=result:{\"manifest\":{\"snapshot\":\"s1\",\"created\":\"2026-11-21T02:00:00Z\",
    \"vms\":[$(manifest vm1),$(manifest vm2),$(manifest vm3)]}}"
dead="deps.show=result:{\"vms\":[$(live vm1 false 1 "$(saw vm2 1)"),$(live vm2 true 1 "$(saw vm1 1)"),$(live vm3 true 1 "")]}"
start_fake "$list" "$show" "$dead"
expect 0 recover demo --dry-run
out_has "depends on interval 1 of 'vm1' (flows), which is undone"
err_has "'bad' is left out: manifest: no JSON"
if journal_has "D< rollback.begin"; then fail "--dry-run began"; fi
expect 0 recover demo --dry-run -q -f json
is '.vms | map(.action) | join(",")' "start,roll back,keep"
is '.vms | map(.snapshot // "-") | join(",")' "s1,s1,-"
is '.failed | join(" ")' vm1
expect 0 recover demo --dry-run --failed vm3 -q -f json
is '.vms | map(.action) | join(",")' "keep,keep,roll back"
expect 3 recover demo --failed vm9
# The same as a graph: what becomes of each, and an arrow for what sends it back.
expect 2 recover demo -f dot
err_has "use it with --dry-run"
expect 0 recover demo --dry-run -f dot
out_has '"vm1" [label="vm1\nstart from s1\n'
out_has 'it does not run", style="dashed,filled"];'
out_has '"vm2" [label="vm2\nroll back to s1\n'
out_has '"vm3" [label="vm3\nkeep", style=solid];'
out_has '"vm1" -> "vm2" [label="interval 1\nflows"];'
[ "$(grep -c -- '->' "$work/out")" = 1 ] || fail "more than one is sent back by another"
if command -v dot >/dev/null; then
    dot -Tplain "$work/out" >"$work/plain" || fail "Graphviz does not take the graph"
    [ "$(grep -c ^node "$work/plain")" = 3 ] || fail "Graphviz sees other VMs"
fi
start_fake "$list" "$show" "$dead"
expect 0 recover demo -q -f json
is '.vms | map(.way // "-") | join(",")' "in-place,in-place,-"
is '.back, .kept, .attempts' "2
1
1"
[ "$(grep -c 'D< deps.show' "$work/journal")" = 2 ] || fail "the line was not looked at while the VMs stood"
# It stands between the pause and the point of no return.
grep -A 1 'D> rollback.pause' "$work/journal" | grep -q 'D< deps.show' || fail "not while they stood"
expect 0 recover demo
out_has "Work lost"
out_has "in-place"

# While the VMs are being stopped vm3 gets something that is undone: once more, with vm3.
more="{\"vms\":[$(live vm1 false 1 "$(saw vm2 1)"),$(live vm2 true 1 "$(saw vm1 1)"),$(live vm3 true 1 "$(saw vm2 1)")]}"
start_fake "$list" "$show" "deps.show=results:${dead#*result:};;$more"
expect 0 recover demo
err_has "it is tried again with the new one"
[ "$(grep -c 'D< job.abort' "$work/journal")" = 1 ] || fail "the first attempt was not undone"
[ "$(grep -c 'D< rollback.apply' "$work/journal")" = 1 ] || fail "the first attempt went on"
start_fake "$list" "$show" "deps.show=results:${dead#*result:};;$more"
expect 0 recover demo -q -f json
is '.vms | map(.way) | join(",")' "in-place,in-place,in-place"
is .attempts 2

# All run; nobody is old enough.
start_fake "$list" "$show"
expect 6 recover demo
err_has "name those that failed with --failed"
start_fake "$list" "$dead"
expect 7 recover demo
err_has "no snapshot of it is old enough"
err_has "clusnap rollback demo SNAPSHOT"
expect 7 recover demo --allow-lost
err_has "has a snapshot to go back to"
start_fake "$list" "$show" "$dead" "rollback.pause=error:deadline:VM 'vm2' stood for its deadline"
expect 9 recover demo
err_has "to its recovery line failed in stage 'rollback-pause'"
expect 3 recover nowhere
