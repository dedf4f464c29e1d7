#!/bin/sh
# Ctrl-C: the first one aborts in order (status 14), the second one ends at once (130).
# A background job of a shell without job control ignores SIGINT, so SIGTERM stands for it.
# shellcheck source=tests/cli/common.sh
. "${srcdir:?}/tests/cli/common.sh"

expect 0 cluster create demo vm1 vm2

begin() {
    "$clusnap" -q "$@" >"$work/out" 2>"$work/err" &
    pid=$!
}

end() {
    got=0
    wait "$pid" || got=$?
    [ "$got" -eq "$1" ] || fail "exit status $got, not $1"
}

for method in snapshot.check snapshot.precopy snapshot.pause snapshot.release snapshot.store \
    snapshot.seal; do
    start_fake "$method=hang"
    begin snapshot create demo s1
    wait_until journal_has "D< $method"
    kill -TERM "$pid"
    end 14
    err_has "was cancelled"
    err_has "the guests run on"
    journal_has "D< job.abort" || fail "$method: no abort"
done

# The daemon does not even answer the abort: the second signal ends the program.
start_fake snapshot.pause=hang job.abort=deaf
begin snapshot create demo s1
wait_until journal_has "D< snapshot.pause"
kill -TERM "$pid"
wait_until journal_has "D< job.abort"
kill -TERM "$pid"
end 130
wait_until journal_has "D! closed"

# Running VMs are not taken down again.
start_fake restore.wait=hang
begin restore demo s1
wait_until journal_has "D< restore.wait"
kill -TERM "$pid"
end 14
err_has "the VMs run"
if journal_has "D< job.abort"; then fail "running VMs were aborted"; fi

# Outside of jobs too.
start_fake store.gc=hang
begin store gc
wait_until journal_has "D< store.gc"
kill -TERM "$pid"
end 14
