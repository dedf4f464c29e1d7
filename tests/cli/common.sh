# shellcheck shell=sh
# What the tests of the CLI share: a directory of their own, a scripted daemon, checks.
# To be read with `.`; needs $builddir and $srcdir (make check sets them).
set -eu

: "${builddir:?}" "${srcdir:?}"
clusnap=$builddir/clusnap
fake_pid=

fail() {
    echo "FAIL: $*" >&2
    exit 1
}

skip() {
    echo "SKIP: $*" >&2
    exit 77
}

command -v jq >/dev/null || skip "jq is missing (scripts/install-deps)"

work=$(mktemp -d "${TMPDIR:-/tmp}/clusnap-cli-XXXXXX")
export CLUSNAP_STATE_DIR="$work/state" CLUSNAP_SOCKET="$work/socket" CLUSNAP_STORE="$work/store"
unset CLUSNAP_FAULT

stop_fake() {
    [ -n "$fake_pid" ] || return 0
    kill "$fake_pid" 2>/dev/null || true
    wait "$fake_pid" 2>/dev/null || true
    fake_pid=
}

clean_up() {
    status=$?
    stop_fake
    if [ "$status" -ne 0 ]; then
        for file in "$work/out" "$work/err" "$work/journal"; do
            [ ! -s "$file" ] || { echo "--- ${file##*/}:" && cat "$file"; } >&2
        done
    fi
    rm -rf "$work"
}
trap clean_up EXIT

# start_fake [METHOD=ACTION...]: tests/unit/fake-daemon.h
start_fake() {
    stop_fake
    : >"$work/journal"
    "$builddir/tests/unit/fake-clusnapd" "$work/socket" "$work/journal" "$@" &
    fake_pid=$!
    wait_until test -S "$work/socket"
}

# wait_until COMMAND...: at most ten seconds
wait_until() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ "$tries" -lt 200 ] || fail "this did not come true: $*"
        sleep 0.05
    done
}

journal_has() {
    grep -qx -- "$1" "$work/journal"
}

# expect STATUS ARGUMENT...: runs clusnap; output in $work/out and $work/err
expect() {
    wanted=$1
    shift
    got=0
    "$clusnap" "$@" >"$work/out" 2>"$work/err" || got=$?
    [ "$got" -eq "$wanted" ] || fail "clusnap $*: exit status $got, not $wanted"
}

err_has() {
    grep -qF -- "$1" "$work/err" || fail "the standard error lacks '$1'"
}

out_has() {
    grep -qF -- "$1" "$work/out" || fail "the output lacks '$1'"
}
