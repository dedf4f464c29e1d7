#!/bin/sh
# Clusters: create from arguments and from a file, list, show, set, delete.
# shellcheck source=tests/cli/common.sh
. "${srcdir:?}/tests/cli/common.sh"

expect 0 cluster list
expect 0 cluster create demo dom1 dom2 --qmp vm3=run/vm3.qmp --store here --pause-deadline 500ms
err_has "cluster 'demo' has 3 VMs"
expect 4 cluster create demo dom1
err_has "exists already"

cat >"$work/other.yaml" <<'END'
# A comment
name: other
store: /srv/other
vms:
  - name: vm1
    uri: qemu+ssh://root@host/system
    domain: "a domain"
END
expect 2 cluster create another --file "$work/other.yaml"
err_has "'$work/other.yaml'"
err_has "'name'"
expect 0 cluster create other --file "$work/other.yaml"
expect 3 cluster create third --file "$work/absent.yaml"
printf 'name: third\nbogus: 1\nvms:\n- {name: a, qmp: /a}\n' >"$work/bad.yaml"
expect 2 cluster create third --file "$work/bad.yaml"
err_has "bogus"
printf 'name: third\nvms:\n- {name: a, qmp: /a}\n' | { "$clusnap" cluster create third --file /dev/stdin 2>"$work/err" &&
    fail "a pipe was taken for a file"; true; }

expect 0 cluster list -f value -c name
[ "$(cat "$work/out")" = "demo
other" ] || fail "the list is wrong"
expect 0 cluster list -f json
# The environment's store comes before the file's.
[ "$(jq -r '.[0].vms[2].qmp' "$work/out")" = "$PWD/run/vm3.qmp" ] || fail "the socket is not absolute"
[ "$(jq -r '.[0].store' "$work/out")" = "$work/store" ] || fail "CLUSNAP_STORE does not count"
CLUSNAP_STORE='' expect 0 cluster list -f value -c store
[ "$(cat "$work/out")" = "$PWD/here
/srv/other" ] || fail "the clusters' stores are wrong"
expect 0 cluster list -f value -c store --store /elsewhere
[ "$(sort -u "$work/out")" = /elsewhere ] || fail "--store does not count"

# Without a daemon what is known is shown.
expect 0 cluster show demo
err_has "cannot reach clusnapd"
out_has "unknown"
start_fake
expect 0 cluster show demo
out_has "running"
out_has "512.0 MiB"
out_has "/d.qcow2"
out_has "500.0 ms"
expect 0 cluster show demo -f json
[ "$(jq -r '.vms | length' "$work/out")" = 3 ] || fail "not three VMs"
[ "$(jq -r '.vms[0].memory' "$work/out")" = 536870912 ] || fail "the memory is no raw number"
[ "$(jq -r '."pause-deadline"' "$work/out")" = 500000 ] || fail "the deadline is no raw number"
start_fake 'vm.info=result:{"name":"x","running":false,"problems":["vhost-user"]}'
expect 0 cluster show demo
out_has "absent"
out_has "vhost-user"
start_fake vm.info=error:permission:no
expect 0 cluster show demo
out_has "unknown"

# A file that was damaged by hand is named and does not hide the others.
echo "vms: 7" >"$work/state/clusters/broken.yaml"
expect 0 cluster list
out_has "broken.yaml"
out_has "other"
expect 2 cluster show broken
err_has "broken.yaml"

# What a cluster is stays, how it is snapshotted can be changed: all of it or nothing.
expect 0 cluster set demo policy=independent domino-limit=5 agent=required pause-deadline=3s
expect 0 cluster show demo -f json
[ "$(jq -r '[.policy, ."domino-limit", .agent, ."pause-deadline", .store, (.vms | length)] | join(" ")' "$work/out")" = \
    "independent 5 required 3000000 $work/store 3" ] || fail "not all was changed, or too much"
expect 2 cluster set demo policy=group domino-limit=0
err_has "nothing of cluster 'demo' was changed: key 'domino-limit'"
for word in policy=sometimes agent=perhaps pause-deadline=soon domino-limit=1001 bogus=1 policy =group; do
    expect 2 cluster set demo "$word"
done
for word in name=other store=/elsewhere vms= clone-of=a/b; do
    expect 7 cluster set demo policy=group "$word"
    err_has "make a new cluster"
done
expect 0 cluster set demo domino-limit= pause-deadline= agent=
expect 0 cluster show demo -f json
[ "$(jq -r '[.policy, ."domino-limit", .agent, ."pause-deadline"] | map(. // "-") | join(" ")' "$work/out")" = \
    "independent - - -" ] || fail "no defaults, or a change that was refused: $(cat "$work/out")"
CLUSNAP_STORE='' expect 0 cluster list -f value -c store
grep -qx "$PWD/here" "$work/out" || fail "the store was changed"
expect 3 cluster set nowhere policy=group

expect 3 cluster show nowhere
err_has "there are: broken, demo, other"
expect 0 cluster delete demo broken
expect 3 cluster delete demo
expect 0 cluster list -f value -c name
[ "$(cat "$work/out")" = other ] || fail "delete removed the wrong ones"
