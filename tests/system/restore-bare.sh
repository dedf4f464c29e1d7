#!/bin/bash
# A real guest on a bare QEMU: saved, killed, restored lazily and eagerly, with anonymous and shared
# memory; and with the restoring process killed while the memory arrives.  The guest checks its
# own memory and disks all the time (VIOLATION), restore-one compares all of it with the image.
. "${srcdir:-.}/tests/lib.sh"
. "$srcdir/tests/lib-restore.sh"

# A killed process gives its files back last.
has_ended() {
    local tasks=("/proc/$1/task"/*)
    [ ! -e "/proc/$1/status" ] ||
        { grep -q '^State:.*Z' "/proc/$1/status" && [ "${#tasks[@]}" -eq 1 ]; }
}

save_and_kill() {
    local pid
    "$tool" save "$store" '{"name":"vm","qmp":"'"$cluster_directory/0.qmp"'"}' "$tmp/document"
    pid=$(vm_pid 0)
    vm_kill 0
    wait_for 30 has_ended "$pid" || fail "QEMU does not end"
}

for backend in anonymous memfd; do
    cluster_start "restore-$backend" 1 memory=192 backend=$backend network=none run=probe
    cluster_wait
    save_and_kill
    restore_as lazy "$backend lazy"
    refuses_running
    save_and_kill
    restore_as eager "$backend eager"
    save_and_kill
    die_and_adopt "$backend killed"
    cluster_stop
done
