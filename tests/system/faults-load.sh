#!/bin/bash
# clusnapd is killed while it loads the VMs of a restore.  When it starts again either all of them run or everything is
# as before the restore: no QEMU, the disks that were there, nothing beside them.  Then the same restore works.
# shellcheck source=tests/lib-faults.sh
. "${srcdir:-.}/tests/lib-faults.sh"

faults_cluster load
daemon_start
faults_store
snapshot base full

qemus() {
    pgrep -f -- "$cluster_directory/[0-9]*\.qmp" || true
}

# What the disks were, by inode and content.
disks() {
    local path
    for path in "$cluster_directory"/*.disk*; do
        stat -c '%n %i %s' "$path"
        cksum <"$path"
    done
}

undone() {
    nothing_in_the_journal
    [ -z "$(qemus)" ] || fail "QEMUs are left: $(qemus)"
    disks >"$tmp/disks.now"
    diff "$tmp/disks.before" "$tmp/disks.now" >&2 || fail "the disks are not as before"
}

dies_at() {
    note "killed at $1"
    arm "$1:crash"
    kill_all
    disks >"$tmp/disks.before"
    must_fail 13 clusnapd clusnap -q restore c base ${2:+"$2"}
    daemon_dies
    disarm
}

for point in disks switch launch load; do
    dies_at "$point"
    daemon_start
    undone
    case $point in
    disks | launch) ;;
    *) come_back base ;;
    esac
done

note "killed when one of two may run: both do"
for mode in '' --eager; do
    dies_at release "$mode"
    daemon_start
    all_run
    nothing_left
    if compgen -G "$cluster_directory/*.clusnap-*"; then
        fail "the above is left beside the disks"
    fi
    cluster_check --wait-progress 10
done

note "an error when one of two may run: none does"
arm release:error
kill_all
disks >"$tmp/disks.before"
must_fail 1 "injected fault at 'release'" clusnap -q restore c base
disarm
undone
come_back base
snapshot last incremental
nothing_left
