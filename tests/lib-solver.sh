# shellcheck shell=bash disable=SC2154
# Guests that compute together in distributed shared memory (guest-agent/dsm/examples/jacobi), nodes 0, 1 and 2, whose result one
# process on the host computes too; after tests/lib.sh.  The last one and what follows needs tests/lib-recover.sh.
#
#   solver_problem KEY=VALUE...   what they compute: grid, iterations, progress, runs; one process comes to $reference
#   solver_options           the same for the guests' command line
#   solver_goes_on           returns when there are some more lines of progress
#   solver_count             $compared: lines with a checksum so far, $wrong: those that are not the reference; false when
#                            there is a wrong one, or when a guest's program has ended with an error
#   solver_finished          every guest's last line is the right checksum
#   solver_said              the last lines of each guest, to show
#   solver_and_probes NAME   five guests: vm0 vm1 vm2 compute (group 0), vm3 and vm4 exchange the probe's messages (group 1)
#
# A guest that goes back may do so in the middle of a line: its log then has a line that begins as one and ends as another.  Only lines
# that are wholly a checksum count.

solver_nodes='0 1 2'

solver_problem() {
    problem=("$@")
    reference=$("$builddir/guest-agent/dsm/examples/jacobi" "${problem[@]}" nodes=1 runs=1 | sed -n 's/^CHECKSUM //p')
    [ -n "$reference" ] || fail "one process comes to no checksum"
}

solver_options() {
    # A peer that is slow, because the machine is, shall not be lost.
    echo "${problem[*]} silence=600000"
}

solver_logs() {
    local node
    for node in $solver_nodes; do
        tr -d '\r' <"$cluster_directory/$node.log"
    done
}

solver_lines() {
    solver_logs | grep -ac '^PROGRESS\|^CHECKSUM' || true
}

solver_has_more() {
    [ "$(solver_lines)" -ge "$1" ] || solver_has_ended
}

# solver_last_lines REGEX: of each guest the last one of these.
solver_last_lines() {
    local node
    for node in $solver_nodes; do
        tr -d '\r' <"$cluster_directory/$node.log" | grep -a "$1" | tail -n 1
    done
}

solver_has_ended() {
    [ "$(solver_last_lines '^CHECKSUM\|^PROGRESS\|^EXIT' | cut -c 1-4 | sort -u)" = EXIT ]
}

solver_finished() {
    [ "$(solver_last_lines '^CHECKSUM\|^PROGRESS' | sort -u)" = "CHECKSUM $reference" ]
}

solver_said() {
    local node
    for node in $solver_nodes; do
        tail -n 2 "$cluster_directory/$node.log"
    done
}

solver_goes_on() {
    wait_for 300 solver_has_more $(($(solver_lines) + 3)) || fail "the computation does not go on: $(solver_said)"
}

solver_count() {
    solver_logs | grep -aE '^CHECKSUM [0-9a-f]{16}$' >"$tmp/checksums" || true
    # shellcheck disable=SC2034
    compared=$(wc -l <"$tmp/checksums")
    wrong=$(grep -cvx "CHECKSUM $reference" "$tmp/checksums" || true)
    [ "$wrong" -eq 0 ] && ! solver_logs | grep -a '^EXIT .*status=[1-9]' >&2
}

solver_and_probes() {
    # shellcheck disable=SC2034
    recover_probes=1
    recover_start "$1" "3 2" 'run=jacobi jacobi jacobi probe' "options=dirty=4 table=16 $(solver_options)"
}
