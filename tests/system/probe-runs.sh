#!/bin/bash
# A cluster of three guests runs the cut probe: it sees no violation, every pair exchanges messages,
# every disk is written and read; a guest that is paused for a while does not disturb it.

# shellcheck source=tests/lib.sh
. "${srcdir:-.}/tests/lib.sh"

cluster_start runs 3
cluster_wait
cluster_check --save "$tmp/first" --wait-progress 100

vm_qmp 1 '{"execute":"stop"}' >/dev/null
sleep 2
vm_qmp 1 '{"execute":"cont"}' >/dev/null
cluster_check --against "$tmp/first" --wait-progress 200 --save "$tmp/second"

# Each guest did what it is there for.
jq -e 'length == 3 and all(.[];
    .violations == 0 and (.peers | length) == 2 and (.disks | length) == 2
    and all(.peers[]; .resets == 0 and .tcp[1] > 200 and .udp[1] > 100)
    and all(.disks[]; .direct > 0 and .durable > 0 and .reads > 0)
    and .table.updates > 0)' "$tmp/second" >/dev/null ||
    fail "a guest did not do its work: $(cat "$tmp/second")"

for node in $(cluster_nodes); do
    if grep -a '^VIOLATION' "$cluster_directory/$node.log"; then
        fail "guest $node saw a violation"
    fi
done
