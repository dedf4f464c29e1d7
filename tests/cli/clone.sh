#!/bin/sh
# Clones through the CLI: their clusters are defined before they run, forgotten when they do not; purge.
# shellcheck source=tests/cli/common.sh
. "${srcdir:?}/tests/cli/common.sh"

start_fake
expect 0 cluster create demo vm1 vm2
expect 0 restore demo s1 --clone lab
out_has "384.0 KiB"
out_has "12.0 MiB"
expect 0 cluster list -f value -c name
[ "$(cat "$work/out")" = "demo
lab" ] || fail "the clone is no cluster"
expect 0 cluster show lab -f json
[ "$(jq -r '."clone-of"' "$work/out")" = demo/s1 ] || fail "it does not know where it comes from"
[ "$(jq -r '.vms[1].source' "$work/out")" = "qemu:///system lab-vm2" ] || fail "the VMs are not the clone's"
[ "$(jq -r '.memory' "$work/out")" = 12582912 ] || fail "its memory is not told"
expect 4 restore demo s1 --clone lab
err_has "exists already"

# Several: a connection for each.
start_fake
expect 0 restore demo s1 --clone many --count 3 --no-wait
[ "$(grep -cx 'D< restore.begin' "$work/journal")" = 3 ] || fail "not three clones"
expect 0 cluster list -f value -c name
[ "$(grep -c '^many-[123]$' "$work/out")" = 3 ] || fail "not three clusters"
for bad in 0 257 x; do
    expect 2 restore demo s1 --clone bad --count $bad
    err_has "'--count'"
done
expect 2 restore demo s1 --count 2
err_has "needs '--clone'"
expect 2 restore demo s1 --directory /x
expect 2 restore demo s1 --clone 'a/b'

# A clone that fails is no cluster.
start_fake "restore.load=error:no-space:disk full"
expect 10 restore demo s1 --clone failed
[ ! -e "$work/state/clusters/failed.yaml" ] || fail "the failed clone is a cluster"
start_fake "restore.begin=error:refused:VM 'vm1' cannot be cloned: its <hostdev>"
expect 7 restore demo s1 --clone failed
err_has "hostdev"
# One that runs is, even if its memory does not come.
start_fake "restore.wait=error:corrupt:page 7"
expect 11 restore demo s1 --clone sick
[ -e "$work/state/clusters/sick.yaml" ] || fail "the running clone is forgotten"
# A daemon that knows no clones would restore the originals.
start_fake 'restore.begin=result:{"job":"j","vms":["vm1"]}'
expect 8 restore demo s1 --clone old
[ ! -e "$work/state/clusters/old.yaml" ] || fail "a clone of an old daemon is a cluster"
journal_has "D< job.abort" || fail "the old daemon was not stopped"

start_fake
expect 7 cluster delete lab
err_has "--purge"
expect 0 cluster delete lab --purge
journal_has "D< clone.remove" || fail "clusnapd was not asked"
[ ! -e "$work/state/clusters/lab.yaml" ] || fail "the cluster stays"
expect 7 cluster delete demo --purge
err_has "is no clone"
start_fake "clone.show=error:not-found:there is no clone"
expect 0 cluster delete many-1
# Interrupted before: whatever is still there goes.
start_fake 'clone.remove=result:{"removed":false}'
expect 0 cluster delete many-2 --purge
expect 3 cluster delete many-2 --purge
start_fake
expect 0 cluster delete many-2 --purge
start_fake "clone.remove=error:busy:somebody"
expect 5 cluster delete many-3 --purge
[ -e "$work/state/clusters/many-3.yaml" ] || fail "forgotten although it could not be removed"
stop_fake
expect 13 cluster delete many-3
