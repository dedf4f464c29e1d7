#!/bin/sh
# Snapshots through the CLI: create and its report, names, list, show, verify, delete.
# shellcheck source=tests/cli/common.sh
. "${srcdir:?}/tests/cli/common.sh"

expect 0 cluster create demo vm1 vm2
expect 3 snapshot create nowhere
start_fake

expect 0 snapshot create demo
for stage in check quiesce precopy pause capture resume store seal; do
    err_has "] $stage: "
done
if grep -q "$(printf '\033')" "$work/err"; then fail "escape sequences without a terminal"; fi
for text in "Pause (longest VM)" "Pause (cluster)" Skew "9.1 ms" "Pages captured" "Bytes stored" \
    "800.0 KiB" "2.0x" "4.0x" "Time to durable" "vm2"; do
    out_has "$text"
done

expect 0 snapshot create demo --quiet -f json
[ ! -s "$work/err" ] || fail "--quiet was not quiet"
[ "$(jq -r .snapshot "$work/out")" = s2 ] || fail "the second snapshot is not called s2"
[ "$(jq -r '.pause, .vms[0].pause, ."bytes-stored"' "$work/out" | tr '\n' ' ')" = "9100 9100 819200 " ] ||
    fail "the numbers are not raw"
[ "$(jq -r '.vms[0].quiesce, .vms[0].agent' "$work/out" | tr '\n' ' ')" = "1700 quiesced " ] || fail "the agents are not reported"
expect 0 snapshot create demo before-upgrade -f value -c snapshot -c pause
[ "$(cat "$work/out")" = "before-upgrade
9100" ] || fail "--column of a report"
expect 0 snapshot create demo s41 -q
expect 0 snapshot create demo -q -f value -c snapshot
[ "$(cat "$work/out")" = s42 ] || fail "the next name does not follow the highest"

expect 0 snapshot list demo -f value -c snapshot -c vms
[ "$(head -n 1 "$work/out")" = "s1 2" ] || fail "the list"
expect 0 snapshot list
out_has "before-upgrade"
expect 0 snapshot show demo s1
out_has "512.0 MiB"
out_has "vda"
expect 0 snapshot show demo s1 -f json
[ "$(jq -r '.vms[0]["ram-blocks"][0].name' "$work/out")" = pc.ram ] || fail "the manifest lacks members"
expect 0 snapshot verify demo s1
out_has yes
expect 0 snapshot verify
[ "$(grep -c yes "$work/out")" = 5 ] || fail "not all snapshots were verified"
expect 0 snapshot delete demo s1 s2
[ "$(grep -c '< snapshot.delete' "$work/journal")" = 2 ] || fail "not both were deleted"

# Errors of the daemon keep their code and say what became of the guests.
start_fake snapshot.pause=error:deadline:"domain 'vm2' did not stop"
expect 9 snapshot create demo s1
err_has "snapshot 's1' of cluster 'demo' failed in stage 'pause': domain 'vm2' did not stop"
err_has "the guests run on"
journal_has "D< job.abort" || fail "no abort"
expect 9 snapshot create demo s1 -q -f json
[ "$(jq -r .error.code "$work/err")" = deadline ] || fail "no error object"

start_fake "snapshot.begin=error:busy:another snapshot of 'demo' is under way"
expect 5 snapshot create demo
if journal_has "D< job.abort"; then fail "a job that never began was aborted"; fi
start_fake "snapshot.list=error:not-found:there is no store in '/x'"
expect 3 snapshot create demo
expect 3 snapshot list
expect 3 snapshot verify

# A damaged one is named, the status is 11, and the others are still read.
start_fake 'snapshot.list=result:{"snapshots":[{"cluster":"demo","snapshot":"s1","state":"damaged","message":"manifest: no JSON"},{"cluster":"demo","snapshot":"s2","state":"ok"}]}' \
    'snapshot.verify=result:{"vms":[{"name":"vm1","ok":true,"pages":7},{"name":"vm2","ok":false,"pages":5,"message":"segment 00000003 fails its checksum"}]}'
expect 0 snapshot list
out_has damaged
err_has "manifest: no JSON"
expect 11 snapshot verify
err_has "2 of 2 snapshots are damaged"
err_has "segment 00000003"
out_has "no"
start_fake 'snapshot.verify=error:corrupt:manifest of s1 is no JSON'
expect 11 snapshot verify demo s1
err_has "manifest of s1 is no JSON"
err_has "'s1' of cluster 'demo'"
start_fake snapshot.verify=error:not-found:no
expect 3 snapshot verify demo s1

# The report survives a daemon that leaves members out.
start_fake 'snapshot.store=result:{"vms":[]}' 'snapshot.seal=result:{}' \
    'snapshot.release=result:{"vms":[{"name":"vm1"},{"name":"vm2"}]}'
expect 0 snapshot create demo s1

# Stores.
start_fake
expect 0 store init
err_has "u-u-i-d"
expect 0 store stats
out_has "2.5x"
expect 0 store gc --dry-run
out_has "5.0 MiB"
err_has "nothing was removed"
expect 0 store gc -f json
[ "$(jq -r '."bytes-freed"' "$work/out")" = 5242880 ] || fail "gc's numbers"
expect 0 daemon status -f value -c version -c tracking
[ "$(cat "$work/out")" = "0.1.0
true" ] || fail "daemon status"
