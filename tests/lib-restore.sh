# Part of tests/system/restore-*.sh: one VM, node 0, saved and restored by restore-one.
# shellcheck shell=bash disable=SC2154

tool=$builddir/tests/system/restore-one
store=$tmp/store

sequence() {
    sed -n 's/^STATE .*"seq":\([0-9]*\),.*/\1/p' "$cluster_directory/0.log" | tail -n 1
}

sequence_passed() {
    [ "$(sequence)" -gt "$1" ]
}

# guest_goes_on WHEN: its counter moves and it has found nothing wrong.
guest_goes_on() {
    local before
    before=$(sequence)
    wait_for 60 sequence_passed $((before + 1)) || fail "the guest does not go on ($1)"
    if grep -q VIOLATION "$cluster_directory/0.log"; then
        grep VIOLATION "$cluster_directory/0.log" >&2
        fail "the guest found wrong memory or disks ($1)"
    fi
}

# restore_as MODE WHEN
restore_as() {
    note "$2"
    "$tool" restore "$store" "$tmp/document" "$1" "$tmp" >"$tmp/stdout" ||
        fail "cannot restore ($2): $(cat "$tmp/vm.log" 2>/dev/null)"
    cat "$tmp/stdout" >&2
    guest_goes_on "$2"
}

# A VM that is running must be refused.
refuses_running() {
    if "$tool" restore "$store" "$tmp/document" lazy "$tmp" 2>"$tmp/stderr"; then
        fail "restored over a running VM"
    fi
    grep -q 'running' "$tmp/stderr" || fail "no reason: $(cat "$tmp/stderr")"
}

# die_and_adopt WHEN: the restoring process is killed while memory arrives, another goes on.
die_and_adopt() {
    note "$1"
    if "$tool" die "$store" "$tmp/document" "$tmp/record" "$tmp" >"$tmp/stdout"; then
        fail "the restoring process did not die"
    fi
    [ -s "$tmp/record" ] || fail "no record: $(cat "$tmp/vm.log" 2>/dev/null)"
    "$tool" adopt "$store" "$tmp/record" >"$tmp/stdout" || fail "cannot adopt ($1)"
    cat "$tmp/stdout" >&2
    guest_goes_on "$1"
}

"$tool" init "$store"
