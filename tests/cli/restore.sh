#!/bin/sh
# Restore through the CLI.  The cluster's file may be lost: the store is enough.
# shellcheck source=tests/cli/common.sh
. "${srcdir:?}/tests/cli/common.sh"

start_fake
expect 0 restore demo s1
for stage in restore-load restore-release restore-wait; do
    err_has "] $stage: "
done
for text in lazy "Time to running" "81.0 ms" "Time to resident" "912.0 ms" vm2; do
    out_has "$text"
done
expect 0 restore demo s1 --eager --vm vm2 -f json
[ "$(jq -r .mode "$work/out")" = eager ] || fail "not eager"
[ "$(jq -r '.vms | map(.name) | join(" ")' "$work/out")" = vm2 ] || fail "--vm does not count"
[ "$(jq -r .running "$work/out")" = 81000 ] || fail "no raw number"

expect 0 restore demo s1 --fill-rate 20
expect 2 restore demo s1 --fill-rate fast
err_has "'--fill-rate fast' is not a number of MiB/s"
expect 2 restore demo s1 --fill-rate 20 --eager
err_has "'--eager' leaves nothing to fill"

start_fake
expect 0 restore demo s1 --no-wait
if journal_has "D< restore.wait"; then fail "--no-wait waits"; fi
if journal_has "D< job.abort"; then fail "a restore that ended well was aborted"; fi

start_fake 'restore.release=result:{"vms":[{"name":"vm1","running":81000,"time":"set"},{"name":"vm2","running":81000,"time":"no agent"}]}'
expect 0 restore demo s1 --set-time
err_has "VM 'vm2': its clock was not set: no agent"
if grep -q "VM 'vm1': its clock" "$work/err"; then fail "a clock that was set is complained of"; fi

start_fake "restore.load=error:state:domain 'vm1' is running: shut it off first"
expect 6 restore demo s1
err_has "domain 'vm1' is running"
err_has "are ended again"
journal_has "D< job.abort" || fail "no abort"
start_fake restore.begin=error:not-found:"there is no snapshot 's9'"
expect 3 restore demo s9
