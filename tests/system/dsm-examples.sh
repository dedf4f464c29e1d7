#!/bin/bash
# The DSM's example programs: the same checksum, to the bit, with 1, 2 and 4 nodes.
# shellcheck source=tests/lib.sh
. "$srcdir/tests/lib.sh"

examples=$builddir/guest-agent/dsm/examples
# Addresses of this test's own.
address=127.$((1 + $$ / 65536 % 250)).$(($$ / 256 % 256)).$(($$ % 256))
CLUSDSM_PEERS=$address:7401,$address:7402,$address:7403,$address:7404
export CLUSDSM_PEERS

# run NODES PROGRAM ARG...: prints the checksums of all nodes.
run() {
    local nodes=$1 program=$2 i
    local -a pids=()
    shift 2
    for ((i = 0; i < nodes; i++)); do
        "$examples/$program" "nodes=$nodes" "node=$i" "$@" >"$tmp/$i.out" 2>"$tmp/$i.err" &
        pids+=($!)
    done
    for ((i = 0; i < nodes; i++)); do
        wait "${pids[i]}" || {
            cat "$tmp/$i.err" >&2
            fail "$program: node $i of $nodes failed"
        }
    done
    for ((i = 0; i < nodes; i++)); do
        sed -n 's/^CHECKSUM //p' "$tmp/$i.out"
    done
}

# same PROGRAM ARG...
same() {
    local nodes one
    one=$(run 1 "$@")
    [ -n "$one" ] || fail "$1 prints no checksum"
    for nodes in 2 4; do
        [ "$(run "$nodes" "$@" | sort | uniq -c | awk '{ print $1, $2 }')" = "$nodes $one" ] ||
            fail "$1: another checksum with $nodes nodes than with one ($one)"
    done
}

same jacobi grid=96 iterations=60
same jacobi grid=301 iterations=15
same queens queens=8 rounds=2
if "$examples/jacobi" grid=nothing 2>/dev/null; then
    fail "jacobi took a bad option"
fi
