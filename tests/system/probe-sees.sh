#!/bin/bash
# The cut probe sees a wrong page in memory and a wrong sector on its disk, in each of the two ways
# of writing.  It needs no guest for that: it runs here, with a file as its disk.

# shellcheck source=tests/lib.sh
. "${srcdir:-.}/tests/lib.sh"
requires_root
requires dd

work=$(mktemp -d "$builddir/probe-sees-XXXXXX") # O_DIRECT: no tmpfs
on_exit rm -rf "$work"
pid=

# begin: a fresh probe that has written and read for a while.
begin() {
    rm -f "$work/disk" "$work/in" "$work/out"
    truncate -s 16M "$work/disk"
    mkfifo "$work/in"
    "$builddir/guest-agent/probe/cut-probe" disks="$work/disk" table=9 iops=1000 \
        <"$work/in" >"$work/out" 2>"$work/err" &
    pid=$!
    on_exit end "$pid"
    exec 8>"$work/in"
    wait_for 60 has_worked || fail "the probe does not work: $(tail -n 1 "$work/out" "$work/err")"
}

end() {
    kill "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

has_worked() {
    grep -q '"direct":[0-9]\{3\}.*"durable":[0-9]\{4\}' "$work/out"
}

# verify: lets it check everything; prints what it saw.
verify() {
    local id=v$RANDOM$RANDOM
    echo "verify $id" >&8
    wait_for 60 grep -q "\"reply\":\"$id\"" "$work/out" || fail "the probe does not answer"
    grep '^VIOLATION' "$work/out" || true
}

# expect PATTERN: the probe saw that, and nothing but that.
expect() {
    local seen
    seen=$(verify)
    end "$pid"
    grep -q "$1" <<<"$seen" || fail "'$1' was not seen, but: ${seen:-nothing}"
    if grep -v "$1" <<<"$seen"; then
        fail "more was seen than '$1'"
    fi
}

# poke FILE OFFSET...: eight other bytes in each place, while the probe stands.
poke() {
    local file=$1 offset
    shift
    kill -STOP "$pid"
    sleep 0.2 # requests in flight end
    for offset; do
        printf 'clusnap!' | dd of="$file" oflag=seek_bytes seek="$offset" conv=notrunc status=none
    done
    kill -CONT "$pid"
}

# The table is the one mapping of 9 MiB.
table_address() {
    local from to
    while IFS=' -' read -r from to _; do
        if ((0x$to - 0x$from == 9 << 20)); then
            echo $((0x$from))
        fi
    done <"/proc/$pid/maps"
}

begin
seen=$(verify)
[ -z "$seen" ] || fail "a violation was seen where none is: $seen"
poke "/proc/$pid/mem" $(($(table_address) + 1000 * 4096 + 2048))
expect 'memory: page 1000 of the table has a wrong sum'

# The probe goes on writing and may repair a block before it looks: so some of them are changed.
begin
mapfile -t offsets < <(seq $((100 * 512 + 256)) 65536 $((32 * 65536)))
poke "$work/disk" "${offsets[@]}"
expect 'disk disk direct: sector [0-9]* with number [0-9]* is damaged'

begin
mapfile -t offsets < <(seq $((8388608 + 5 * 512 + 16)) 4096 $((8388608 + 256 * 4096)))
poke "$work/disk" "${offsets[@]}"
expect 'disk disk buffered: sector [0-9]* holds number [0-9]*, memory says [0-9]*'
