#!/bin/sh
# What is wrong on the command line is refused with status 2 and a hint, before anything is done.
# shellcheck source=tests/cli/common.sh
. "${srcdir:?}/tests/cli/common.sh"

refused() {
    hint=$1
    shift
    expect 2 "$@"
    err_has "clusnap: "
    err_has "$hint"
    [ ! -s "$work/out" ] || fail "something was printed for: $*"
}

refused "clusnap --help"
refused "'frobnicate'" frobnicate
refused "there are create, list, show, set, delete" cluster
refused "'destroy'" cluster destroy demo
refused "'--bogus'" cluster list --bogus
refused "'-x'" -x cluster list
refused "'--format' needs an argument" cluster list --format
refused "table, json or value" cluster list -f xml
refused "unknown column 'colour': there are name" cluster list -c colour
refused "unknown column 'name': there is none here" cluster create -c name demo vm1
refused "no option '--eager'" snapshot list --eager
refused "an operand is missing" cluster show
refused "too many operands" cluster list demo
refused "takes none" store gc demo
refused "CLUSTER [SNAPSHOT]" restore
refused "is no name for a cluster" cluster show ../demo
refused "is no name for a cluster" restore .demo s1
refused "is no name for a snapshot" restore demo a/b
refused "is no name for a snapshot" snapshot delete demo s1 ''
refused "is no name for a VM" restore demo s1 --vm 'a b'
refused "would have no VM" cluster create demo
refused "'--uri' needs DOMAINs" cluster create demo --uri qemu:///system --qmp a=/b
refused "is not VM=PATH" cluster create demo --qmp /run/vm.qmp
refused "is not VM=PATH" cluster create demo --qmp vm1=
refused "excludes" cluster create demo vm1 --file /dev/null
refused "no time" snapshot create demo --quiesce-deadline soon
refused "nobody is asked" snapshot create demo --no-quiesce --quiesce-deadline 1s
refused "no time" cluster create demo vm1 --pause-deadline 2
refused "another VM is called 'vm1'" cluster create demo vm1 vm1
[ ! -e "$work/state" ] || fail "a refused command left something"

for memory in -1 much 9999999999999; do
    status=0
    "$builddir/clusnapd" --run-dir "$work/run" --rollback-memory "$memory" 2>"$work/err" || status=$?
    [ "$status" -eq 2 ] || fail "clusnapd --rollback-memory $memory: status $status"
    err_has "rollback-memory"
done
[ ! -e "$work/run" ] || fail "a refused clusnapd left something"

expect 0 --version
out_has "clusnap 0."
expect 0 --help
out_has "snapshot create"
expect 0 snapshot --help
out_has "snapshot create"
if grep -q "cluster create" "$work/out"; then fail "'snapshot --help' tells of clusters"; fi
expect 0 snapshot create --help
out_has "Usage: clusnap snapshot create [OPTION...] CLUSTER [NAME]"
expect 2 bogus --help

# A full disk behind the standard output is no success.
if [ -c /dev/full ]; then
    for arguments in "--help" "cluster list"; do
        # shellcheck disable=SC2086
        if "$clusnap" $arguments >/dev/full 2>/dev/null; then fail "clusnap $arguments >/dev/full"; fi
    done
fi

# No daemon: status 13 and what to do.
expect 13 daemon status
err_has "cannot reach clusnapd at '$work/socket'"
err_has "start it with"
expect 13 --socket /nonexistent/sock store stats -f json
[ "$(jq -r .error.code "$work/err")" = gone ] || fail "no error object"
expect 2 --socket "$(printf '%0200d' 0)" daemon status
: >"$work/socket"
expect 13 daemon status
rm "$work/socket"

# A daemon of another version.
start_fake 'hello=result:{"protocol":2}'
expect 8 store stats
err_has "speaks protocol 2"
