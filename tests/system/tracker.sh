#!/bin/bash
# The memory tracker on real QEMUs, whose guest (tests/guest/pages.S) writes pages on command.
#
# Exactly the pages that were written are found, in every round: TCG and KVM, anonymous and
# shared memory, an unprivileged QEMU in its sandbox.  QEMU itself writes nothing in this guest: it has no
# devices but a serial port and an idle disk, and no firmware but the program.
# shellcheck source=tests/lib.sh
. "${srcdir:-.}/tests/lib.sh"
# shellcheck source=tests/lib-pages.sh
. "$srcdir/tests/lib-pages.sh"
requires setpriv

for memory in "$anonymous" "$shared"; do
    note "TCG, $memory"
    # shellcheck disable=SC2086
    start_qemu qemu-system-x86_64 -accel tcg $memory
    run_tool rounds 20
done

note "10000 injections"
run_tool inject 10000
run_tool rounds 3

note "unprivileged, sandbox"
# shellcheck disable=SC2086
start_qemu setpriv --reuid=65534 --regid=65534 --clear-groups qemu-system-x86_64 -accel tcg \
    -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny $anonymous
descriptors() {
    find "/proc/$qemu/fd" -mindepth 1 | wc -l
}
no_more_descriptors() {
    [ "$(descriptors)" -le "$1" ]
}
before=$(descriptors)
run_tool rounds 10
wait_for 5 no_more_descriptors "$before" || fail "a descriptor is left in QEMU"

if kvm_works; then
    for memory in "$anonymous" "$shared"; do
        note "KVM, $memory"
        # shellcheck disable=SC2086
        start_qemu qemu-system-x86_64 -accel kvm $memory
        run_tool rounds 20
    done
fi
