# Part of tests/system/clone-*.sh and bench/clone: clones of the cluster that cluster_start or domains_start made.
# shellcheck shell=bash disable=SC2154

clones=$clusnapd_directory/state/clones

# clone_check CLONE ARG...: cut-check of its guests, by its own serial sockets.
clone_check() {
    local clone=$1 node sockets=()
    shift
    for node in $(cluster_nodes); do
        sockets+=("$node=$clones/$clone/vm$node/$node.serial")
    done
    "$builddir/tests/probe/cut-check" "$@" "${sockets[@]}"
}

# clone_qmp CLONE NODE JSON, of a bare QEMU.
clone_qmp() {
    # shellcheck disable=SC2034
    local cluster_directory=$clones/$1/vm$2
    vm_qmp "$2" "$3"
}

clone_is_gone() {
    ! pgrep -f "^[^ ]*qemu-system.*$clones/$1/" >/dev/null
}

# host_state FILE: all that a clone might leave behind: interfaces, processes, domains, files, roots.
host_state() {
    {
        cluster_exec ip -o link | sed 's/^[0-9]*: \([^:@]*\).*/link \1/' | grep csc- || true
        pgrep -a -f "^[^ ]*(nbdkit|qemu-system).*$clones/" || true
        if command -v virsh >/dev/null && pgrep -x libvirtd >/dev/null; then
            virsh_system list --all --name | grep -F "${cluster_name}" || true
        fi
        find "$clusnapd_directory/state" "$clusnapd_directory/journal" /dev/shm -name 'csc-*' 2>/dev/null || true
        find "$clones" "$clusnapd_directory/state/clusters" "$clusnapd_directory/journal" -mindepth 1 2>/dev/null || true
        clusnap store stats -f json | jq -r '"roots \(.roots)"'
    } | sort >"$1"
}

# nothing_left BEFORE WHEN
nothing_left() {
    host_state "$tmp/state-after"
    cmp -s "$1" "$tmp/state-after" || fail "something is left $2: $(diff "$1" "$tmp/state-after")"
}

# Whatever a test that failed left of its clones: by their records.
clones_end() {
    local record name pid
    for record in "$clones"/*.json; do
        [ -e "$record" ] || continue
        for name in $(jq -r '.vms[].source.domain // empty' "$record"); do
            virsh_system destroy "$name" >/dev/null 2>&1
        done
        for pid in $(pgrep -f "$clones/$(jq -r .name "$record")/"); do
            kill -9 "$pid" 2>/dev/null # a QEMU without its disks' server waits for it
        done
        for name in $(jq -r '(.bridges + .taps)[].name' "$record"); do
            ip link delete "$name" 2>/dev/null
        done
    done
}
on_exit clones_end
