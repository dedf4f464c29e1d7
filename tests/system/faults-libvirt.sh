#!/bin/bash
# The same faults with libvirt domains: clusnapd is killed while they stand and while it stores; a stage fails; the
# CLI hangs.  libvirt's own view is true afterwards.
# shellcheck source=tests/lib-faults.sh
. "${srcdir:-.}/tests/lib-faults.sh"

requires virsh
start_libvirtd_if_needed
domains_start "clusnap-f-$$" 2 memory=128 run=probe 'options=dirty=4 table=16' disks=qcow2:writeback
domains_wait
daemon_start
clusnap store init >/dev/null
clusnap_cluster_of_domains c

# Overrides those of lib-faults.sh: through libvirt.
facts() {
    local domain=$cluster_name-$1
    [ "$(virsh_system domstate "$domain")" = running ] || fail "libvirt says '$domain' does not run"
    {
        tell "$domain" status '{"execute":"query-status"}'
        tell "$domain" exports '{"execute":"query-block-exports"}'
        tell "$domain" jobs '{"execute":"query-block-jobs"}'
        tell "$domain" nodes '{"execute":"query-named-block-nodes","arguments":{"flat":true}}'
        # libvirt has fd sets of its own.
        tell "$domain" fdsets '{"execute":"query-fdsets"}' |
            jq -c '.return |= map(select(any(.fds[]; .opaque // "" | startswith("clusnap"))))'
    } | jq -r "$facts_filter"
}

# libvirt numbers the commands itself.
tell() {
    virsh_system qemu-monitor-command "$1" "$3" | jq -c --arg id "$2" '.id = $id'
}

kill_all() {
    local domain
    for domain in $(domain_names); do
        # A restore that was undone left it shut off.
        virsh_system destroy "$domain" >/dev/null 2>&1 || true
    done
}

snapshot base full
for stage in precopy pause store; do
    note "killed in $stage"
    arm "$stage:crash"
    must_fail 13 "clusnapd" clusnap -q snapshot create c "lost-$stage"
    daemon_dies
    disarm
    daemon_start
    nothing_at_all "lost-$stage"
    snapshot "after-$stage" full
done

for stage in precopy capture store; do
    note "error in $stage"
    arm "$stage:error"
    must_fail 1 "injected fault at '$stage'" clusnap -q snapshot create c "failed-$stage"
    disarm
    nothing_left "failed-$stage"
done
snapshot good incremental

note "clusnap hangs while all stand"
hangs pause:hang hangs --pause-deadline 1s
wait_for 30 clusnap -q snapshot create c after-hang 2>/dev/null >"$tmp/out" ||
    fail "no snapshot is possible while a clusnap hangs"
end_hung "$hung"
nothing_left hangs
come_back good

for point in launch load release; do
    note "killed at $point of a restore"
    arm "$point:crash"
    kill_all
    must_fail 13 clusnapd clusnap -q restore c good
    daemon_dies
    disarm
    daemon_start
    if [ "$point" = release ]; then
        nothing_left
        cluster_check --wait-progress 10
        continue
    fi
    nothing_in_the_journal
    for domain in $(domain_names); do
        [ "$(virsh_system domstate "$domain")" = "shut off" ] || fail "domain '$domain' is left"
    done
    if compgen -G "$cluster_directory/*.clusnap-*"; then
        fail "the above is left beside the disks"
    fi
done
come_back good

note "killed in a micro-pause at the end of the fill"
arm end:crash
kill_all
# Small guests: it may be dead before it has answered.
clusnap -q restore c good --no-wait >/dev/null || true
daemon_dies
disarm
daemon_start
nothing_left
cluster_check --wait-progress 10

note "killed while memory arrives"
arm fill:slow
kill_all
clusnap -q restore c good --no-wait >/dev/null
clusnapd_kill
disarm
daemon_start
nothing_left
cluster_check --wait-progress 10
