#!/bin/sh
# Rollback through the CLI: its report, which snapshot and VMs, errors, Ctrl-C, the tree of snapshots.
# shellcheck source=tests/cli/common.sh
. "${srcdir:?}/tests/cli/common.sh"

start_fake
expect 0 rollback demo s1
for stage in rollback-prepare rollback-pause rollback-apply rollback-release; do
    err_has "] $stage: "
done
for text in in-place "6.1 ms" "3.2 ms" "64.0 KiB" Fix-up vm2; do
    out_has "$text"
done
expect 0 rollback demo s1 --only vm2 -q -f json
[ "$(jq -r '.vms | map(.name) | join(" ")' "$work/out")" = vm2 ] || fail "--only does not count"
[ "$(jq -r '.vms[0].pages, .pause' "$work/out" | tr '\n' ' ')" = "150 6100 " ] || fail "no raw numbers"
expect 0 rollback demo s1 --only vm2,vm3 --only vm4 -q -f json
[ "$(jq -r '.vms | map(.name) | join(" ")' "$work/out")" = "vm2 vm3 vm4" ] || fail "--only with a list"
expect 2 rollback demo s1 --only vm2,,vm3
expect 2 rollback demo 'no/name'
expect 2 rollback demo s1 --pause-deadline soon
"$clusnap" rollback --help | grep -q 'may then contradict each other' || fail "--help does not say what --only means"

# Without a snapshot: the latest one that can be read.
start_fake 'snapshot.list=result:{"snapshots":[
    {"cluster":"demo","snapshot":"b","created":"2026-11-21T02:00:00Z","state":"ok"},
    {"cluster":"demo","snapshot":"c","created":"2026-11-21T03:00:00Z","state":"ok","parent":"a","current":true},
    {"cluster":"demo","snapshot":"z","state":"damaged"},
    {"cluster":"demo","snapshot":"a","created":"2026-11-21T01:00:00Z","state":"ok"},
    {"cluster":"demo","snapshot":"d","created":"2026-11-21T01:30:00Z","state":"ok","parent":"a"}]}'
expect 0 rollback demo -q -f value -c snapshot
[ "$(cat "$work/out")" = c ] || fail "not the latest snapshot"
expect 0 snapshot list demo -c snapshot
sed 's/ *$//' "$work/out" | grep -qxF '`- c *' || fail "the current snapshot is not below its parent, or not marked"
sed 's/ *$//' "$work/out" | grep -qxF '|- d' || fail "no tree"
expect 0 snapshot list demo -f value -c snapshot -c parent
[ "$(tr '\n' ' ' <"$work/out")" = "b - c a z - a - d a " ] || fail "programs get no plain names"
start_fake
expect 3 rollback demo
err_has "'demo' has no snapshot"
if journal_has "D< rollback.begin"; then fail "it began without a snapshot"; fi

start_fake 'rollback.release=result:{"vms":[{"name":"vm1","way":"in-place","time":"set"},{"name":"vm2","way":"in-place","time":"no agent"}]}'
expect 0 rollback demo s1 --set-time
err_has "VM 'vm2': its clock was not set: no agent"
if grep -q "VM 'vm1': its clock" "$work/err"; then fail "a clock that was set is complained of"; fi

start_fake "rollback.begin=error:not-found:snapshot 's1' has no VM 'vm9'"
expect 3 rollback demo s1 --only vm9
err_has "has no VM 'vm9'"
err_has "nothing was changed"
start_fake "rollback.pause=error:deadline:VM 'vm2' stood for its deadline"
expect 9 rollback demo s1
err_has "failed in stage 'rollback-pause'"
err_has "the guests run on"
journal_has "D< job.abort" || fail "no abort"
start_fake "rollback.release=error:state:VM 'vm2' is lost"
expect 6 rollback demo s1
err_has "clusnapd has finished what was begun"

# A VM that ran had to be started anew: all is printed, and the status says it.
cold='result:{"vms":[{"name":"vm1","way":"in-place"},{"name":"vm2","way":"cold","reason":"the device state does not load"}]}'
start_fake "rollback.apply=$cold" "rollback.release=$cold"
expect 16 rollback demo s1
out_has cold
err_has "VM 'vm2': the device state does not load"
expect 16 rollback demo s1 -q -f json
[ "$(jq -r .error.code "$work/err")" = restarted ] || fail "no error object"
[ "$(jq -r .cold "$work/out")" = 1 ] || fail "the report is missing"

# Ctrl-C (SIGTERM: a background job of a shell without job control ignores SIGINT).
begin() {
    "$clusnap" rollback demo s1 >"$work/out" 2>"$work/err" &
    pid=$!
}
end() {
    got=0
    wait "$pid" || got=$?
    [ "$got" -eq "$1" ] || fail "exit status $got, not $1"
}
for method in rollback.prepare rollback.pause; do
    start_fake "$method=hang"
    begin
    wait_until journal_has "D< $method"
    kill -TERM "$pid"
    end 14
    err_has "nothing was changed"
    journal_has "D< job.abort" || fail "$method: no abort"
done
for method in rollback.apply rollback.release; do
    start_fake "$method=late:1000"
    begin
    wait_until journal_has "D< $method"
    kill -TERM "$pid"
    end 0
    err_has "it is being finished"
    journal_has "D> rollback.release" || fail "$method: it was not finished"
    if journal_has "D< job.abort"; then fail "$method: aborted what cannot be undone"; fi
done
start_fake rollback.apply=deaf
begin
wait_until journal_has "D< rollback.apply"
kill -TERM "$pid"
wait_until grep -q "being finished" "$work/err"
kill -TERM "$pid"
end 130
