# What disk-rollback-guests.sh and disk-rollback-libvirt.sh share.  To be sourced after lib.sh.
# shellcheck shell=bash

# The rollback of one guest's disks and back again: memory stays as it is, so the guest must get
# back exactly what it had at the stop before it runs on; it checks all of its blocks (VIOLATION).
#
# disk_rollback_rounds MONITOR LOG COPY, where COPY is a command that copies the disks of the
# stopped VM to $tmp/now/DISK.
disk_rollback_rounds() {
    local monitor=$1 log=$2 copy=$3 tool=$builddir/tests/system/disk-rollback-tool n steps=()
    mkdir -p "$tmp/now"
    "$tool" "$monitor" "$tmp/store" 'capture - clusnap-1 one -' || fail "capture"
    disk_rollback_guest_writes "$log"
    "$tool" "$monitor" "$tmp/store" 'capture clusnap-1 clusnap-10 two one' || fail "second capture"
    for n in 10 20 30; do
        disk_rollback_guest_writes "$log"
        steps=("begin two two clusnap-$n clusnap-$((n + 1)) 64")
        # The second round: to the older one; the third: nothing is known.
        [ $n != 20 ] || steps=("begin one now10 clusnap-$n clusnap-$((n + 1)) 4")
        [ $n != 30 ] || steps=("begin one - - clusnap-$((n + 1)) 4")
        image=$(cut -d' ' -f2 <<<"${steps[0]}")
        "$tool" "$monitor" "$tmp/store" "${steps[@]}" preflush stop "sh $copy" apply free \
            "compare $image" "put now$n one $tmp/now" \
            "begin now$n $image clusnap-$((n + 1)) clusnap-$((n + 10)) 64" apply free \
            "compare now$n" cont >"$tmp/out" || fail "round $n: $(cat "$tmp/out")"
        cat "$tmp/out" >&2
        grep -q '^applied [1-9]' "$tmp/out" || fail "the guest had written nothing"
        disk_rollback_guest_writes "$log"
    done
    "$tool" "$monitor" "$tmp/store" 'cleanup -' || fail "cleanup"
}

# Until the guest has gone on for a while, without having found a wrong block or an I/O error.
disk_rollback_guest_writes() {
    local before
    before=$(disk_rollback_sequence "$1")
    wait_for 90 disk_rollback_passed "$1" $((before + 2)) || fail "the guest does not go on"
    if grep -E 'VIOLATION|I/O error' "$1" >&2; then fail "the guest saw an error"; fi
}

disk_rollback_sequence() {
    grep -o '^STATE .*"seq":[0-9]*' "$1" | tail -n 1 | grep -o '[0-9]*$' || echo 0
}

disk_rollback_passed() {
    [ "$(disk_rollback_sequence "$1")" -ge "$2" ]
}
