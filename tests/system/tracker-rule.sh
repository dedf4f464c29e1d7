#!/bin/bash
# The rule of the micro-pause (vmm/tracker.c): a DMA read in flight while a running guest is
# protected is missed; protected while the guest is stopped, which drains its disks, nothing is.
# shellcheck source=tests/lib.sh
. "${srcdir:-.}/tests/lib.sh"
# shellcheck source=tests/lib-pages.sh
. "$srcdir/tests/lib-pages.sh"
requires qemu-storage-daemon mountpoint
[ -w /dev/fuse ] || skip "no /dev/fuse"

# A disk that surely takes its time and whose answer is copied into pinned pages, as a controller's DMA
# is: a file of a FUSE server, which answers each read after 0.6 s with zeros.
rule() {
    touch "$tmp/slow"
    qemu-storage-daemon \
        --blockdev null-co,node-name=slow,size=1048576,latency-ns=600000000,read-zeroes=on \
        --export "fuse,id=slow,node-name=slow,mountpoint=$tmp/slow,writable=on" \
        --pidfile "$tmp/storage.pid" >"$tmp/storage.log" 2>&1 &
    storage=$!
    if ! wait_for 5 mountpoint -q "$tmp/slow"; then
        skip "no FUSE export: $(cat "$tmp/storage.log")"
    fi
    for accel in tcg kvm; do
        [ "$accel" = tcg ] || kvm_works || continue
        rule_with "$accel" running "changed 16 found 0"
        rule_with "$accel" stopped "changed 16 found 16"
    done
}

# rule_with ACCEL MODE EXPECTED -- again when this host was too busy to see the read in flight.
rule_with() {
    local status result
    for _ in 1 2 3 4 5; do
        # shellcheck disable=SC2086
        start_qemu qemu-system-x86_64 -accel "$1" $anonymous \
            -blockdev "driver=raw,node-name=disk,file.driver=file,file.filename=$tmp/slow,file.cache.direct=on,file.aio=threads,file.locking=off,cache.direct=on" \
            -device ide-hd,drive=disk,bus=ide.0
        status=0
        result=$("$tool" "$tmp/run/qmp" "$tmp/run/serial" "$2") || status=$?
        [ "$status" -eq 3 ] || break
    done
    [ "$status" -ne 3 ] || skip "this host is too busy to catch a read in flight"
    note "$1, protected while $2: $result"
    [ "$result" = "$3" ] || fail "$1, $2: expected '$3', got '$result' (status $status)"
}

end_storage() {
    end_qemu
    [ -z "$storage" ] || kill "$storage" 2>/dev/null || :
    [ -z "$storage" ] || wait "$storage" 2>/dev/null || :
    ! mountpoint -q "$tmp/slow" || umount "$tmp/slow"
}
storage=
on_exit end_storage
rule
