# shellcheck shell=bash disable=SC2004,SC2154
# Groups of guests under the cut probe, of which some go back and the others must not notice; after tests/lib-faults.sh:
#
#   recover_start NAME "3 2" [KEY=VALUE...]   nodes in groups of these sizes (keys: cluster_start); a store, clusnapd
#   recover_start_domains NAME "2 1" [KEY=VALUE...]   the same with libvirt domains
#   recover_policy NAME      cluster "c" has that policy from now on
#   recover_progress         every group is consistent, and goes on
#   recover_create [ARG...]  a snapshot of the cluster; its sets of VMs in $sets ("vm0,vm1 vm2", or "all"), report in
#                            $tmp/created.json
#   recover_run [ARG...]     clusnap recover; its report in $tmp/recovered.json; false with its words in $tmp/said
#   recover_groups           "0 1": those that run the probe; $recover_probes, if set, names them
#   recover_mark             from here on: what the groups are and how often they were stopped
#   recover_not_stopped G    group G, of whatever programs, was not stopped since
#   recover_left_alone G [ARG...]   group G of probes was not stopped since, none of its guests' numbered messages is missing, and
#                            no counter of theirs was set back (cut-check with ARGs).  Not by their reports on the serial port: QEMU drops
#                            what a reader is too slow to take.

recover_start() {
    local name=$1 groups=$2 size count=0
    shift 2
    for size in $groups; do
        count=$((count + size))
    done
    cluster_start "$name" "$count" "groups=$groups" memory=128 run=probe 'options=dirty=4 table=16' \
        disks=qcow2:writeback 'extra=-qmp unix:@BASE@.watch,server=on,wait=off' "$@"
    cluster_wait
    daemon_start
    faults_store
}

# libvirt tells their events: it has their QMP sockets.
recover_start_domains() {
    local name=$1 groups=$2 size count=0
    shift 2
    requires virsh
    for size in $groups; do
        count=$((count + size))
    done
    domains_start "$name" "$count" "groups=$groups" memory=128 run=probe 'options=dirty=4 table=16' \
        disks=qcow2:writeback "$@"
    domains_wait
    recover_of_domains=yes
    daemon_start
    clusnap store init >/dev/null
    clusnap_cluster_of_domains c 2>/dev/null
}

recover_policy() {
    clusnap cluster set c "policy=$1"
}

recover_all_groups() {
    local groups
    read -r -a groups <<<"$option_groups"
    seq -s ' ' 0 $((${#groups[@]} - 1))
}

recover_groups() {
    echo "${recover_probes:-$(recover_all_groups)}"
}

recover_progress() {
    local group
    for group in $(recover_groups); do
        cluster_check_group "$group" --wait-progress 5 >"$tmp/checked" ||
            fail "group $group is not consistent: $(cat "$tmp/checked")"
    done
}

recover_create() {
    clusnap -q snapshot create c --quiesce-deadline 60s "$@" -f json >"$tmp/created.json" 2>"$tmp/said" ||
        fail "no snapshot: $(cat "$tmp/said")"
    # shellcheck disable=SC2034
    sets=$(jq -r 'if .snapshots then .snapshots | map(.only | join(",")) | join(" ") else "all" end' \
        "$tmp/created.json")
}

recover_run() {
    if ! clusnap -q recover c "$@" -f json >"$tmp/recovered.json" 2>"$tmp/said"; then
        tail -n 5 "$clusnapd_directory/clusnapd.log" >&2
        cat "$tmp/said" >&2
        return 1
    fi
}

# From now on, of domains; of bare QEMUs watch_start.
recover_watch() {
    local node base
    if [ -z "${recover_of_domains:-}" ]; then
        watch_start
        return
    fi
    for node in $(cluster_nodes); do
        base=$cluster_directory/$node
        if [ -n "${watch_pids[$node]:-}" ]; then
            kill "${watch_pids[$node]}" 2>/dev/null || true
        fi
        : >"$base.events"
        stdbuf -oL virsh -q -c qemu:///system qemu-monitor-event "$cluster_name-$node" --loop >"$base.events" 2>/dev/null &
        watch_pids[$node]=$!
        disown $!
        wait_for 30 recover_is_watched "$node" || fail "domain '$cluster_name-$node' cannot be watched"
    done
}

# virsh does not say when it begins to listen.
recover_is_watched() {
    virsh_system suspend "$cluster_name-$1" >/dev/null
    virsh_system resume "$cluster_name-$1" >/dev/null
    sleep 0.5
    grep -q '^event RESUME ' "$cluster_directory/$1.events"
}

recover_stops_of() {
    if [ -n "${recover_of_domains:-}" ]; then
        grep -c '^event STOP ' "$cluster_directory/$1.events" || true
    else
        moments "$1" STOP | wc -l
    fi
}

recover_stops() {
    local node
    for node in $(cluster_nodes); do
        group_of "$node"
        [ "$group_number" -ne "$1" ] || echo "$node:$(recover_stops_of "$node")"
    done
}

# A group with a dead node has nothing to be compared with later.
recover_mark() {
    local group
    recover_watch
    for group in $(recover_groups); do
        rm -f "$tmp/before-$group.json"
        cluster_check_group "$group" --no-verify --save "$tmp/before-$group.json" >"$tmp/checked" ||
            fail "group $group is not consistent: $(cat "$tmp/checked")"
    done
    for group in $(recover_all_groups); do
        recover_stops "$group" >"$tmp/stops-$group"
    done
}

recover_not_stopped() {
    recover_stops "$1" >"$tmp/stops"
    cmp -s "$tmp/stops" "$tmp/stops-$1" ||
        fail "group $1 was stopped: $(tr '\n' ' ' <"$tmp/stops-$1"), now $(tr '\n' ' ' <"$tmp/stops")"
}

recover_left_alone() {
    local group=$1
    shift
    recover_not_stopped "$group"
    cluster_check_group "$group" --against "$tmp/before-$group.json" --wait-progress 5 "$@" >"$tmp/checked" ||
        fail "group $group: $(cat "$tmp/checked")"
}
