#!/bin/bash
# The cut probe can tell: guests that were saved at one cut, with their disks, come back without a
# violation; guests that were saved one after the other do not.  Nothing of clusnap's own
# takes part, only QEMU's migration to a file.

# shellcheck source=tests/lib.sh
. "${srcdir:-.}/tests/lib.sh"

# save I: memory and devices to a file; the disks are copied while the guest stands.
save() {
    local disk
    vm_qmp "$1" "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"file:$cluster_directory/$1.state\"}}" \
        >/dev/null
    wait_for 60 is_saved "$1" || fail "node $1 cannot be saved"
    for disk in "$cluster_directory/$1".disk*; do
        cp --sparse=always "$disk" "$disk.saved"
    done
}

is_saved() {
    case $(vm_qmp "$1" '{"execute":"query-migrate"}' | jq -r .status) in
    completed) return 0 ;;
    failed) fail "node $1 cannot be saved" ;;
    *) return 1 ;;
    esac
}

# restore_all: every guest from its file, all let go together.
restore_all() {
    local i disk
    for i in $(cluster_nodes); do
        vm_kill "$i"
        for disk in "$cluster_directory/$i".disk*.saved; do
            cp --sparse=always "$disk" "${disk%.saved}"
        done
    done
    for i in $(cluster_nodes); do
        vm_start "$i" -S -incoming "file:$cluster_directory/$i.state"
    done
    for i in $(cluster_nodes); do
        wait_for 60 is_loaded "$i" || fail "node $i was not loaded"
    done
    all cont
}

is_loaded() {
    [ "$(vm_status "$1")" != inmigrate ]
}

all() {
    local i
    for i in $(cluster_nodes); do
        vm_qmp "$i" "{\"execute\":\"$1\"}" >/dev/null
    done
}

cluster_start catches 3 memory=160 disk_size=24M options="table=16"
cluster_wait
cluster_check --no-verify --wait-progress 20 --save "$tmp/before"

# One cut: all stand before the first is saved.
all stop
for node in $(cluster_nodes); do
    save "$node"
done
all cont
cluster_check --no-verify --against "$tmp/before" --wait-progress 20
restore_all
cluster_check --against "$tmp/before" --wait-progress 50 --save "$tmp/restored"

# No cut: each is saved on its own while the others go on.
for node in $(cluster_nodes); do
    vm_qmp "$node" '{"execute":"stop"}' >/dev/null
    save "$node"
    vm_qmp "$node" '{"execute":"cont"}' >/dev/null
    sleep 0.5
done
restore_all
status=0
cluster_check --no-verify --wait-progress 200 --timeout 20 >"$tmp/said" || status=$?
cat "$tmp/said" >&2
[ "$status" -eq 1 ] || fail "guests saved one after the other were taken for one cut ($status)"
grep -q '^INCONSISTENT .*orphan' "$tmp/said" || fail "no orphan was found"
