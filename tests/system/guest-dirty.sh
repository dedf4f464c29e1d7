#!/bin/bash
# The demo guest is built to the same bytes each time; the program 'dirty' tells how many
# pages it wrote.

# shellcheck source=tests/lib.sh
. "${srcdir:-.}/tests/lib.sh"

guest_build
for copy in one two; do
    "$srcdir/images/guest/build-guest" "$tmp/$copy" "$builddir/guest-agent/probe/dirty"
    sleep 1.1 # so that times of files differ
done
cmp "$tmp/one/initramfs.cpio.gz" "$tmp/two/initramfs.cpio.gz" || fail "two builds differ"
cmp "$tmp/one/vmlinuz" "$tmp/two/vmlinuz" || fail "two kernels differ"

# figure NAME: of $answer.
figure() {
    jq ".$1" <<<"$answer"
}

has_written() {
    answer=$(vm_ask 0 report)
    [ "$(figure written)" -gt "$1" ]
}

cluster_start dirty 1 run=dirty network=none disks= throttle=0 options="dirty=10 set=16 content=half"
cluster_wait

wait_for 60 has_written 1000 || fail "the guest does not dirty its memory"
answer=$(vm_ask 0 stop)
[ "$(figure stopped)" = true ] || fail "the guest does not stop: $answer"
first=$(figure written)
[ "$(figure distinct)" -le "$first" ] || fail "more pages than writes: $answer"
[ "$(figure distinct)" -le "$(figure pages)" ] || fail "more pages than there are: $answer"
# 1000 random pages of 4096 are about 890 different ones.
[ "$(figure distinct)" -gt 500 ] || fail "the pages are not spread: $answer"

answer=$(vm_ask 0 report)
[ "$(figure written)" -eq "$first" ] || fail "it writes though it was stopped: $answer"
vm_ask 0 reset >/dev/null
answer=$(vm_ask 0 report)
[ "$(figure written)" -eq 0 ] || fail "writes are not reset: $answer"
[ "$(figure distinct)" -eq 0 ] || fail "pages are not reset: $answer"
vm_ask 0 go >/dev/null
wait_for 60 has_written 10 || fail "it does not go on"

vm_request 0 poweroff
wait_for 60 vm_is_gone 0 || fail "poweroff does not end the guest"
