#!/bin/bash
# shellcheck disable=SC2119  # clusnapd_start: the arguments are not the script's
# A DSM of two guests is snapshotted, rolled back and rolled back again while it computes: its connections and pages
# go on, and it comes to the checksum that one node comes to.
# shellcheck source=tests/lib.sh
. "${srcdir:-.}/tests/lib.sh"

options='grid=128 iterations=500 progress=20'
cluster_start dsm 2 memory=128 run=jacobi "options=$options" disks=raw:writeback

# The latest iteration that node 0 printed.
iteration() {
    grep -ao '^PROGRESS jacobi [0-9]*' "$cluster_directory/0.log" | tail -n 1 | awk '{ print $3 }' || true
}

has_reached() {
    [ "$(iteration)" -ge "$1" ] 2>/dev/null
}

has_ended() {
    grep -aq '^EXIT ' "$cluster_directory/0.log" && grep -aq '^EXIT ' "$cluster_directory/1.log"
}

lines() {
    wc -l <"$cluster_directory/0.log"
}

lines_passed() {
    [ "$(lines)" -gt "$1" ]
}

checksum() {
    sed -n 's/^CHECKSUM \([0-9a-f]*\).*/\1/p'
}

clusnapd_start
clusnap store init >/dev/null
clusnap_cluster_of_nodes c
wait_for 300 has_reached 100 || {
    tail "$cluster_directory"/?.log >&2
    fail "the guests do not compute"
}
clusnap -q snapshot create c s1 >/dev/null
taken=$(iteration)
for round in 1 2; do
    note "rollback $round"
    wait_for 300 has_reached $((taken + 100)) || fail "the DSM does not go on (round $round)"
    clusnap -q rollback c s1 >/dev/null
    before=$(lines)
    wait_for 300 lines_passed $((before + 1)) || fail "the DSM does not go on after rollback $round"
    [ "$(iteration)" -lt $((taken + 100)) ] || fail "the computation did not go back"
done
wait_for 300 has_ended || fail "the computation does not end"
# shellcheck disable=SC2086
expected=$("$builddir/guest-agent/dsm/examples/jacobi" $options | checksum)
for i in 0 1; do
    [ "$(checksum <"$cluster_directory/$i.log")" = "$expected" ] || {
        tail "$cluster_directory/$i.log" >&2
        fail "node $i came to another checksum than '$expected'"
    }
done
