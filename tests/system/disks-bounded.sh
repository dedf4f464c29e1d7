#!/bin/bash
# Snapshots leave nothing behind that grows: after ten of them under load QEMU has as many block nodes and bitmaps as
# after the first, the chains are as deep, and the image files hold what the guest has written and no more.
. "${srcdir:-.}/tests/lib-faults.sh"
faults_cluster bounded 'disks=raw:none qcow2:writeback qcow2+backing:writeback' 'options=dirty=2 table=16 iops=60'
daemon_start
faults_store

# What every disk of a node is made of, in QEMU: nodes, their bitmaps (by number: names change), depth.
# shellcheck disable=SC2016
census_filter='[.[] | {node: (.["node-name"] | if startswith("#block") then "anonymous" else . end), file,
    depth: .backing_file_depth, bitmaps: (.["dirty-bitmaps"] // [] | length)}] | sort_by(.node, .file)'
census() {
    local i
    for i in $(cluster_nodes); do
        vm_qmp "$i" '{"execute":"query-named-block-nodes","arguments":{"flat":true}}' | jq -c "$census_filter"
    done
}

allocated() {
    local i k
    for i in $(cluster_nodes); do
        for k in 1 2; do
            qemu-img check -U -f qcow2 --output json "$(disk_path "$i" "$k" qcow2)" | jq '[."allocated-clusters", .leaks // 0]'
        done
    done | jq -s -c .
}

# The probe writes on the first 16 MiB of each disk: once it has been everywhere a qcow2 file cannot grow any more.
full_clusters=$((16 * 1048576 / 65536))
snapshot s0 full
census >"$tmp/census.first"
for n in 1 2 3 4 5 6 7 8 9 10; do
    snapshot "s$n" incremental
    nothing_left
done
census >"$tmp/census.last"
cmp "$tmp/census.first" "$tmp/census.last" || fail "something grows in QEMU: $(diff "$tmp/census.first" "$tmp/census.last")"
rpc_open
rpc vm.info "{\"vm\":{\"name\":\"vm0\",\"qmp\":\"$cluster_directory/0.qmp\"}}" >"$tmp/info" || fail "vm.info: $(cat "$tmp/info")"
rpc_close
jq -e '[.disks[]."bytes-changed"] | length == 3 and all(. != null and . < 67108864)' "$tmp/info" >/dev/null ||
    fail "vm.info does not say what changed on each disk: $(cat "$tmp/info")"
kill_all
allocated >"$tmp/allocated"
jq -e --argjson full "$full_clusters" 'all(.[0] <= $full and .[1] == 0)' "$tmp/allocated" >/dev/null ||
    fail "the files hold more than the guest has written: $(cat "$tmp/allocated")"
clusnap -q restore c s10 >/dev/null
cluster_check --wait-progress 10
