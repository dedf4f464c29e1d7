#!/bin/bash
# The nbdkit plugin: a stored image's disks over NBD equal what was stored, byte by byte, while its snapshot is deleted
# and garbage collection runs.
. "${srcdir:-.}/tests/lib.sh"
requires nbdkit nbdinfo nbdcopy qemu-img qemu-io jq

tool=$builddir/tests/system/serve-tool
store=$tmp/store
export CLUSNAP_NBDKIT_PLUGIN=$builddir/images/nbdkit-plugin/nbdkit-clusnap-plugin.so

# Data, holes, and a size that is no multiple of a page.
truncate -s 8389120 "$tmp/a.raw"
dd if=/dev/urandom of="$tmp/a.raw" bs=4096 seek=3 count=700 conv=notrunc status=none
dd if=/dev/urandom of="$tmp/a.raw" bs=512 seek=16384 count=1 conv=notrunc status=none
truncate -s 64M "$tmp/b.raw"
dd if=/dev/urandom of="$tmp/b.raw" bs=1M seek=40 count=3 conv=notrunc status=none
# Shares half of its pages with another snapshot's, so that garbage collection rewrites segments.
cat "$tmp/a.raw" >"$tmp/c.raw"
dd if=/dev/urandom of="$tmp/c.raw" bs=4096 seek=300 count=1200 conv=notrunc status=none

"$builddir/tests/system/restore-one" init "$store"
"$tool" image "$store" other disk=c <<<"" 2>/dev/null && fail "stored a file that is not there"
"$tool" image "$store" other "disk=$tmp/c.raw" >/dev/null
image=$("$tool" image "$store" s "disk a=$tmp/a.raw" "b=$tmp/b.raw")

url() {
    echo "nbd+unix:///${1// /%20}?socket=$tmp/sock"
}

stop_server() {
    [ -z "$record" ] || "$tool" stop "$record"
    record=
}

same() {
    nbdcopy "$(url "$1")" "$tmp/copy"
    cmp "$tmp/copy" "$2" || fail "disk '$1' is not what was stored ($3)"
    qemu-img compare -q -f raw -F raw "$(url "$1")" "$2" || fail "qemu-img sees another disk '$1' ($3)"
}

record=$("$tool" serve "$store" "$image" "$tmp/sock")
on_exit stop_server
[ -S "$tmp/sock" ] || fail "no socket"
[ "$(stat -c %a "$tmp/sock")" = 660 ] || fail "the socket's mode is $(stat -c %a "$tmp/sock")"
nbdinfo --list --json "nbd+unix:///?socket=$tmp/sock" >"$tmp/list"
jq -e '[.exports[]."export-name"] == ["disk a", "b"]' "$tmp/list" >/dev/null || fail "exports: $(cat "$tmp/list")"
nbdinfo --json "$(url b)" >"$tmp/info"
jq -e '.exports[0] | .is_read_only and .can_multi_conn and ."export-size" == 67108864' "$tmp/info" >/dev/null ||
    fail "export b: $(cat "$tmp/info")"
same "disk a" "$tmp/a.raw" "at first"
same b "$tmp/b.raw" "at first"

# Holes are told of.
nbdinfo --map --totals "$(url b)" >"$tmp/map"
awk '$3 == 0 { data = $1 } END { exit data != 3145728 }' "$tmp/map" || fail "extents: $(cat "$tmp/map")"

# Unaligned reads.
for range in "1 511" "4095 2" "12287 8195" "8388096 1024" "8388608 512"; do
    read -r at length <<<"$range"
    nbdsh_out=$(qemu-io -r -f raw -c "read -v $at $length" "$(url "disk a")" | sed -n 's/^[0-9a-f]*:  \(.*\)  .*/\1/p' |
        tr -d ' \n' | head -c $((length * 2)))
    file_out=$(dd if="$tmp/a.raw" bs=1 skip="$at" count="$length" status=none | od -An -v -tx1 | tr -d ' \n')
    [ "$nbdsh_out" = "$file_out" ] || fail "bytes $at + $length of disk a"
done

# A root keeps the image; the server does not notice.
"$tool" root "$store" serving "$image"
"$tool" delete "$store" s
"$tool" delete "$store" other
"$tool" gc "$store" &
same "disk a" "$tmp/a.raw" "while garbage is collected"
wait $!
same "disk a" "$tmp/a.raw" "after garbage collection"
same b "$tmp/b.raw" "after garbage collection"
stop_server
[ ! -e "$tmp/sock" ] || fail "the socket is left"
record=$("$tool" serve "$store" "$image" "$tmp/sock")
same "disk a" "$tmp/a.raw" "served anew"

# A store that cannot be read for a moment: who reads waits.
stop_server
record=$("$tool" serve "$store" "$image" "$tmp/sock")
mkdir "$tmp/segments"
mv "$store"/segments/* "$tmp/segments"
for file in "$tmp"/segments/*; do
    ln -s "${file##*/}" "$store/segments/${file##*/}" # cannot be opened: ELOOP
done
nbdcopy "$(url "disk a")" "$tmp/copy" &
reader=$!
wait_for 30 grep -q 'trying again' "$tmp/sock.log" || fail "the server does not wait for the store: $(cat "$tmp/sock.log")"
mv -f "$tmp"/segments/* "$store/segments"
wait "$reader" || fail "the reader got an error meanwhile: $(cat "$tmp/sock.log")"
cmp "$tmp/copy" "$tmp/a.raw" || fail "disk 'disk a' is not what was stored (the store could not be read for a moment)"

# SIGTERM ends the server as a crash does: who reads gets no answer rather than an error.
kill "$(jq -r .pid <<<"$record")"
wait_for 30 process_is_gone "$(jq -r .pid <<<"$record")" || fail "SIGTERM does not end the server"
record=

# What is damaged is named, and does not end the server.
segment=$(find "$store/segments" -type f -size +1M | sort | tail -n 1)
cp "$segment" "$tmp/segment"
dd if=/dev/zero of="$segment" bs=4096 seek=2 count=200 conv=notrunc status=none
stop_server
record=$("$tool" serve "$store" "$image" "$tmp/sock")
nbdcopy "$(url b)" "$tmp/copy" 2>/dev/null && nbdcopy "$(url "disk a")" "$tmp/copy" 2>/dev/null &&
    fail "damage was not noticed"
grep -q "segments/$(basename "$segment")" "$tmp/sock.log" || fail "the log does not name it: $(cat "$tmp/sock.log")"
cp "$tmp/segment" "$segment"
same b "$tmp/b.raw" "after repair"
stop_server

# Without the root it is gone, and said so.
"$tool" unroot "$store" serving
"$tool" gc "$store"
if "$tool" serve "$store" "$image" "$tmp/sock" 2>"$tmp/stderr"; then
    fail "a removed image is served"
fi
grep -q "no image '$image'" "$tmp/stderr" || fail "no reason: $(cat "$tmp/stderr")"
