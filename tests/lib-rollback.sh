# Part of tests/system/rollback-*.sh: one VM, node 0, rolled back by rollback-one.
# shellcheck shell=bash disable=SC2154

tool=$builddir/tests/system/rollback-one
store=$tmp/store

# roll WHAT STEP...: $reference names the VM.
roll() {
    note "$1"
    shift
    cluster_exec "$tool" "$store" "$reference" "$@" >"$tmp/stdout" || {
        cat "$tmp/stdout" >&2
        fail "rollback-one $*"
    }
    cat "$tmp/stdout" >&2
}

state_lines() {
    grep -c '^STATE ' "$cluster_directory/0.log" || true
}

state_lines_passed() {
    [ "$(state_lines)" -gt "$1" ]
}

# guest_goes_on WHEN: it reports, and has found nothing wrong.  Its numbers went back with it.
guest_goes_on() {
    local before
    before=$(state_lines)
    wait_for 60 state_lines_passed $((before + 2)) || fail "the guest does not go on ($1)"
    if grep -q VIOLATION "$cluster_directory/0.log"; then
        grep VIOLATION "$cluster_directory/0.log" >&2
        cat "$cluster_directory/0.stderr" >&2
        fail "the guest found wrong memory or disks ($1)"
    fi
}
