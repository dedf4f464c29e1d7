#!/bin/sh
# CLUSNAP_FAULT: every stage x {error, crash, hang}, then the same without the fault.
# shellcheck disable=SC2119
# shellcheck source=tests/cli/common.sh
. "${srcdir:?}/tests/cli/common.sh"

expect 0 cluster create demo vm1 vm2

# run COMMAND... with the fault: sets $got
run_faulty() {
    got=0
    CLUSNAP_FAULT=$1:$2
    export CLUSNAP_FAULT
    shift 2
    "$clusnap" -q "$@" >"$work/out" 2>"$work/err" || got=$?
    unset CLUSNAP_FAULT
}

# hang COMMAND...: the process stays until it is killed; the daemon then sees the connection close.
hang() {
    fault=$1:hang
    shift
    CLUSNAP_FAULT=$fault "$clusnap" -q "$@" >"$work/out" 2>"$work/err" &
    pid=$!
    wait_until journal_has "D> $after"
    sleep 0.1
    kill -0 "$pid" 2>/dev/null || fail "$fault: it did not hang"
    if journal_has "D! closed"; then fail "$fault: the connection was closed"; fi
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null || true
    wait_until journal_has "D! closed"
}

stage_faults() {
    stage=$1 after=$2 next=$3
    shift 3
    start_fake
    run_faulty "$stage" error "$@"
    # What is sealed or runs cannot be undone any more: see the job's own tests.
    case $stage in
    seal) [ "$got" -eq 0 ] || fail "seal:error: status $got" ;;
    *) [ "$got" -eq 1 ] || fail "$stage:error: status $got" ;;
    esac
    case $stage in
    seal | restore-release | restore-wait)
        if journal_has "D< job.abort"; then fail "$stage:error: aborted what cannot be undone"; fi
        ;;
    *) journal_has "D< job.abort" || fail "$stage:error: no abort" ;;
    esac
    start_fake
    run_faulty "$stage" crash "$@"
    [ "$got" -eq 137 ] || fail "$stage:crash: status $got"
    journal_has "D> $after" || fail "$stage:crash: died too early"
    wait_until journal_has "D! closed"
    if journal_has "D< job.abort"; then fail "$stage:crash: a dead process aborted"; fi
    if [ -n "$next" ] && journal_has "D< $next"; then fail "$stage:crash: it went on"; fi
    start_fake
    hang "$stage" "$@"
    start_fake
    expect 0 -q "$@"
}

stage_faults check snapshot.check snapshot.quiesce snapshot create demo s1
stage_faults quiesce snapshot.quiesce snapshot.precopy snapshot create demo s1
stage_faults precopy snapshot.precopy snapshot.pause snapshot create demo s1
stage_faults pause snapshot.pause snapshot.release snapshot create demo s1
stage_faults capture snapshot.release snapshot.store snapshot create demo s1
stage_faults resume snapshot.release snapshot.store snapshot create demo s1
stage_faults store snapshot.store snapshot.seal snapshot create demo s1
stage_faults seal snapshot.seal '' snapshot create demo s1
stage_faults restore-load restore.load restore.release restore demo s1
stage_faults restore-release restore.release restore.wait restore demo s1
stage_faults restore-wait restore.wait '' restore demo s1
stage_faults rollback-prepare rollback.prepare rollback.pause rollback demo s1
stage_faults rollback-pause rollback.pause rollback.apply rollback demo s1
stage_faults rollback-apply rollback.apply rollback.release rollback demo s1
stage_faults rollback-release rollback.release '' rollback demo s1
