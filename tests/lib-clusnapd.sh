# shellcheck shell=bash
# A clusnapd of the test's own, and the CLI that talks to it; part of tests/lib.sh.

clusnapd_directory=$tmp/clusnapd
clusnapd_pid=

clusnapd_answers() {
    clusnap daemon status >/dev/null 2>&1
}

# In the cluster's namespace, where the taps of the guests are that it starts again.  Each command here replaces
# the one before it, so that $! is clusnapd itself.
clusnapd_start() {
    local in_namespace=()
    [ -z "${cluster_netns:-}" ] || in_namespace=(ip netns exec "$cluster_netns")
    mkdir -p "$clusnapd_directory"
    (exec "${in_namespace[@]}" env "$@" CLUSNAP_NBDKIT_PLUGIN="$builddir/images/nbdkit-plugin/nbdkit-clusnap-plugin.so" \
        "$builddir/clusnapd" --run-dir "$clusnapd_directory" \
        --socket "$clusnapd_directory/sock" --log-dir "$clusnapd_directory/log" \
        --state-dir "$clusnapd_directory/state" \
        --scratch-dir "$clusnapd_directory/scratch" \
        </dev/null >>"$clusnapd_directory/clusnapd.log" 2>&1) &
    clusnapd_pid=$!
    disown "$clusnapd_pid"
    on_exit clusnapd_remove_tables
    on_exit clusnapd_end_servers
    on_exit clusnapd_stop
    if ! wait_for 20 clusnapd_answers; then
        cat "$clusnapd_directory/clusnapd.log" >&2
        fail "clusnapd does not answer"
    fi
}

# clusnapd_table CLUSTER: the table in which its frames are counted (vmm/flows.c).
clusnapd_table() {
    local digest
    digest=$(printf '%s\n%s' "$clusnapd_directory/state" "$1" | sha256sum)
    echo "clusnap-${digest:0:16}"
}

# Counters of VMs that end after their clusnapd (vmm/flows.h): in the host's namespace they would stay.
clusnapd_remove_tables() {
    local file
    for file in "$clusnapd_directory"/state/dependencies/*.json; do
        [ -e "$file" ] || continue
        cluster_exec nft delete table netdev "$(clusnapd_table "$(basename "$file" .json)")" 2>/dev/null || true
    done
}

# Servers of disks that were still being filled.
clusnapd_end_servers() {
    local file
    for file in /proc/[0-9]*/cmdline; do
        if { tr '\0' ' ' <"$file"; } 2>/dev/null | grep -qF -- "--unix $clusnapd_directory/serve/"; then
            file=${file#/proc/}
            kill "${file%/cmdline}" 2>/dev/null || true
        fi
    done
}

clusnapd_runs() {
    [ -n "$clusnapd_pid" ] && kill -0 "$clusnapd_pid" 2>/dev/null
}

clusnapd_has_ended() {
    ! clusnapd_runs
}

clusnapd_stop() {
    if clusnapd_runs; then
        kill -TERM "$clusnapd_pid"
        wait_for 60 clusnapd_has_ended || kill -9 "$clusnapd_pid"
    fi
    clusnapd_pid=
}

clusnapd_kill() {
    if clusnapd_runs; then
        kill -9 "$clusnapd_pid"
        wait_for 20 clusnapd_has_ended
    fi
    clusnapd_pid=
}

clusnap() {
    "$builddir/clusnap" --socket "$clusnapd_directory/sock" \
        --state-dir "$clusnapd_directory/state" --store "${clusnap_store:-$tmp/store}" "$@"
}

# The cluster of bare QEMUs that cluster_start made, as a cluster of clusnap.
clusnap_cluster_of_nodes() {
    local name=$1 node arguments=()
    for node in $(cluster_nodes); do
        arguments+=(--qmp "vm$node=$cluster_directory/$node.qmp")
    done
    clusnap cluster create "$name" "${arguments[@]}" >/dev/null
}

# The same for the domains that domains_start made.
clusnap_cluster_of_domains() {
    # shellcheck disable=SC2046
    clusnap cluster create "$1" --uri qemu:///system $(domain_names) >/dev/null
}
