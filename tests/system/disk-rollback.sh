#!/bin/bash
# The disks of a bare QEMU rolled back in place, many forms of them, where every byte is known ("the
# guest" is qemu-io inside QEMU: the same block layer and the devices' own permissions): each disk as QEMU
# presents it must equal the image, byte for byte; files, descriptors and nodes do not grow; a killed
# rollback is taken out again.
set -euo pipefail
tool=${builddir:?}/tests/system/disk-rollback-tool
for program in qemu-system-x86_64 qemu-img qemu-io socat jq; do
    command -v $program >/dev/null || { echo "$program is missing"; exit 77; }
done

work=$(mktemp -d "${TMPDIR:-/tmp}/clusnap-disk-XXXXXX")
export TMPDIR=$work
qemu=
finish() {
    local status=$?
    [ -z "$qemu" ] || kill "$qemu" 2>/dev/null || :
    [ -z "$qemu" ] || wait "$qemu" 2>/dev/null || :
    [ "$status" = 0 ] || tail -n 3 "$work/qemu.log" >&2
    rm -rf "$work"
}
trap finish EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }
qmp() { # COMMAND [ARGUMENTS]: prints "return"
    printf '{"execute":"qmp_capabilities"}\n{"execute":"%s","arguments":%s}\n' "$1" "${2:-{\}}" |
        socat -t 2 - "UNIX:$work/qmp" | jq -c 'select(has("return") or has("error"))' | sed -n 2p
}
left() {
    qmp query-named-block-nodes '{"flat":true}' |
        jq -r '.return[] | .["node-name"], (.["dirty-bitmaps"][]?.name)' | grep clusnap || true
    for query in query-block-jobs query-block-exports query-fdsets; do
        qmp $query | jq -c '.return[]'
    done
}
tops() { qmp query-block | jq -c '[.return[] | [.qdev, .inserted["node-name"], .inserted.file]]'; }
fds() { find "/proc/$qemu/fd" -mindepth 1 | wc -l; }
t() { "$tool" qmp store "$@"; }

cd "$work"
qemu-img create -q -f raw raw.img 64M
qemu-img create -q -f qcow2 plain.qcow2 64M
qemu-img create -q -f qcow2 base.qcow2 64M
qemu-io -f qcow2 -c 'write -P 7 0 8M' -c 'write -P 8 40M 1M' base.qcow2 >/dev/null
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2
qemu-img create -q -f raw odd.img 5242368 # no multiple of 4 KiB
qemu-img create -q -f raw scsi.img 64M
qemu-img create -q -f raw keep.img 64M
qemu-system-x86_64 -accel tcg -machine q35 -display none -nodefaults -m 32 \
    -qmp "unix:$work/qmp,server=on,wait=off" -qmp "unix:$work/qmp2,server=on,wait=off" -object iothread,id=io0 \
    -drive if=virtio,file=raw.img,format=raw,cache=none,discard=unmap,aio=native \
    -drive if=none,id=plain,file=plain.qcow2,format=qcow2,cache=writeback,discard=unmap,aio=io_uring \
    -device virtio-blk-pci,id=plain,drive=plain,iothread=io0 \
    -drive if=none,id=top,file=top.qcow2,format=qcow2,cache=unsafe,discard=unmap,iops=5000 \
    -device virtio-blk-pci,id=second,drive=top \
    -device ahci,id=ahci -object throttle-group,id=group -blockdev driver=file,node-name=odd-file,filename=odd.img,discard=unmap \
    -blockdev driver=raw,node-name=odd,file=odd-file,discard=unmap \
    -blockdev driver=throttle,node-name=limit,throttle-group=group,file=odd,discard=unmap \
    -device ide-hd,drive=limit,bus=ahci.0,id=third \
    -device virtio-scsi-pci,id=scsi,iothread=io0 \
    -drive if=none,id=sd,file=scsi.img,format=raw,cache=none,discard=unmap,aio=threads \
    -device scsi-hd,bus=scsi.0,drive=sd,id=fourth \
    -drive if=none,id=keep,file=keep.img,format=raw \
    -device scsi-hd,bus=scsi.0,drive=keep,id=fifth >qemu.log 2>&1 &
qemu=$!
for _ in $(seq 100); do [ -S qmp ] && break; sleep 0.05; done
qmp cont >/dev/null

# What "the guest" does, from here and from the tool's steps.
cat >guest <<'END'
#!/bin/bash
set -eu
hmp() { # DISK COMMAND
    local text
    text=$(printf '{"execute":"qmp_capabilities"}\n{"execute":"human-monitor-command","arguments":%s}\n' \
        '{"command-line":"qemu-io '"$1"' \"'"$2"'\""}' | socat -t 2 - "UNIX:$TMPDIR/qmp2" | grep return | sed -n 2p)
    if [ -z "$text" ] || grep -qE 'rror|failed' <<<"$text"; then echo "$1: $2: $text" >&2; exit 1; fi
}
# Other data, zeros and discards in every disk; the number makes rounds differ.
scribble() {
    local disk
    for disk in virtio0 plain top sd keep; do
        hmp $disk "write -P $1 $((1 + $1 % 8))M 300k"
        hmp $disk "write -P $1 $((20 + $1 % 8))M 4k"
        hmp $disk "write -z 40M 1M"
        hmp $disk "discard 2M 1M"
    done
    hmp "-d third" "write -P $1 0 1M"
    hmp "-d third" "write -P $1 5241856 512"
}
"$@"
END
chmod +x guest
before_tops=$(tops)

echo "== two captures"
./guest scribble 1
./guest hmp virtio0 'write -P 77 48M 8M'
./guest hmp top 'write -P 78 40M 2M'
t 'capture - clusnap-1 one -'
./guest scribble 2
t 'capture clusnap-1 clusnap-2 two one'

echo "== to the newest; what comes after begin; nothing read ahead; no change at all"
./guest scribble 3
t 'begin two two clusnap-2 clusnap-3 64' 'sh ./guest scribble 5' preflush stop apply free \
    'compare two' cont 'compare two' | tee out
awk '/^applied/ && ($2 < 1048576 || $2 > 25 * 1048576) { exit 1 }' out || fail "not what was changed"
[ "$(tops)" = "$before_tops" ] || fail "the devices have other nodes: $(tops)"
[ "$(left | sort -u)" = clusnap-3 ] || fail "left in QEMU: $(left)"
./guest scribble 4
t 'begin two two clusnap-3 clusnap-4 0' stop apply free 'compare two' cont
t 'begin two two clusnap-4 clusnap-5 64' stop apply free 'compare two' cont | tee out
grep -q '^applied 0 bytes$' out || fail "the rollback's own writes count as changes"

echo "== given up before and after stop: nothing has happened"
t 'begin one two clusnap-5 clusnap-6 64' free 'begin one two clusnap-5 clusnap-6 64' \
    'sh ./guest scribble 6' stop free 'put now - files' 2>/dev/null && fail "no files were there"
[ "$(left | sort -u)" = clusnap-5 ] || fail "left after a rollback that was given up: $(left)"
[ "$(tops)" = "$before_tops" ] || fail "the devices have other nodes: $(tops)"
qmp cont >/dev/null

echo "== to an older one, and back; the base unknown; the bitmap unknown"
t 'begin one two clusnap-5 clusnap-6 1' 'sh ./guest scribble 7' stop apply free 'compare one' cont \
    'begin two one clusnap-6 clusnap-7 64' stop apply free 'compare two' cont
./guest scribble 8
t 'begin one - clusnap-7 clusnap-8 64' 'sh ./guest scribble 9' stop apply free 'compare one' cont
[ "$(left | sort -u)" = clusnap-8 ] || fail "left in QEMU: $(left)"
qmp block-dirty-bitmap-disable '{"node":"odd","name":"clusnap-8"}' >/dev/null
t 'begin two one clusnap-8 clusnap-9 1' 'sh ./guest scribble 9' stop apply free 'compare two' cont
t 'begin one two - clusnap-10 0' stop apply free 'compare one' cont 'cleanup clusnap-10'
[ "$(left | sort -u)" = clusnap-10 ] || fail "left in QEMU: $(left)"

echo "== a capture after a rollback, and a rollback to it"
./guest scribble 11
t 'capture clusnap-10 clusnap-11 three one'
./guest scribble 12
t 'begin three three clusnap-11 clusnap-12 64' stop apply free 'compare three' cont

echo "== refused"
t 'fail exists begin three three clusnap-12 clusnap-12 64'
qmp nbd-server-start '{"addr":{"type":"unix","data":{"path":"'"$work"'/other"}}}' >/dev/null
t 'fail busy begin three three clusnap-12 clusnap-13 64'
[ "$(qmp nbd-server-stop)" = '{"return":{}}' ] || fail "somebody else's NBD server was stopped"
qmp block_resize '{"node-name":"limit","size":6291456}' >/dev/null
t 'fail refused begin three three clusnap-12 clusnap-13 64'
qmp block_resize '{"node-name":"limit","size":5242368}' >/dev/null
[ "$(left | sort -u)" = clusnap-12 ] || fail "left after a refusal: $(left)"
[ "$(tops)" = "$before_tops" ] || fail "the devices have other nodes: $(tops)"

echo "== failed after the first write: what is written next makes it whole"
./guest scribble 13
CLUSNAP_FAULT=rollback-disks:error "$tool" qmp store 'begin one three clusnap-12 clusnap-13 64' stop \
    'fail failed apply' free >out
grep -q touched out || fail "not reported as touched: $(cat out)"
[ "$(left | sort -u)" = clusnap-12 ] || fail "left after a failure: $(left)"
t 'begin three three clusnap-12 clusnap-14 64' apply free 'compare three' cont

echo "== killed while it writes, and before: cleanup gives the devices their disks back"
./guest scribble 14
CLUSNAP_FAULT=rollback-disks:crash "$tool" qmp store 'begin three three clusnap-14 clusnap-15 64' stop \
    apply >/dev/null 2>&1 && fail "it was not killed"
tops | grep -q clusnap-front || fail "the killed one left nothing: nothing is tested"
t 'cleanup clusnap-14'
[ "$(left | sort -u)" = clusnap-14 ] || fail "left after a crash: $(left)"
[ "$(tops)" = "$before_tops" ] || fail "the devices have other nodes: $(tops)"
t 'begin three three clusnap-14 clusnap-15 64' apply free 'compare three' cont
# shellcheck disable=SC2016
t 'begin one three clusnap-15 clusnap-16 64' 'sh kill -9 $PPID' >/dev/null 2>&1 || :
./guest scribble 15
t 'cleanup clusnap-15' 'begin three three clusnap-15 clusnap-16 64' stop apply free 'compare three' cont
[ "$(tops)" = "$before_tops" ] || fail "the devices have other nodes: $(tops)"

echo "== 30 times: nothing grows"
t 'begin one three clusnap-16 clusnap-100 64' stop apply free cont
sizes() { du -k --apparent-size ./*.img ./*.qcow2 | awk '{ n += $1 } END { print n }'; }
used() { du -k ./*.img ./*.qcow2 | awk '{ n += $1 } END { print n }'; }
steps=()
for i in $(seq 101 130); do
    target=one base=three
    [ $((i % 2)) = 0 ] || target=three base=one
    steps+=("begin $target $base clusnap-$((i - 1)) clusnap-$i 64" "sh ./guest scribble $i" stop apply free cont)
    [ "$i" != 104 ] || steps+=("sh find /proc/$qemu/fd -mindepth 1 | wc -l >fds; du -k --apparent-size -c *.img *.qcow2 | tail -n 1 >sizes; du -kc *.img *.qcow2 | tail -n 1 >used")
done
t "${steps[@]}" 'compare one' >/dev/null
[ "$(fds)" -le "$(($(cat fds) + 2))" ] || fail "descriptors: $(cat fds), then $(fds)"
[ "$(sizes)" -le $(($(cut -f1 sizes) + 2048)) ] || fail "file sizes: $(cat sizes), then $(sizes)"
[ "$(used)" -le $(($(cut -f1 used) + 4096)) ] || fail "space: $(cat used), then $(used)"
[ "$(left | sort -u)" = clusnap-130 ] || fail "left in QEMU: $(left)"
[ "$(tops)" = "$before_tops" ] || fail "the devices have other nodes: $(tops)"

echo "== nothing is left; the images are sound"
t 'cleanup -'
[ -z "$(left)" ] || fail "left at the end: $(left)"
[ "$(find . -name 'nbd-*' -o -name 'scratch*')" = "" ] || fail "left in the scratch directory"
if grep -E 'failed|error' qemu.log; then fail "qemu-io inside QEMU failed"; fi
# A disk of zeros that was never written is still sparse.
t 'track clusnap-200' 'begin one - - clusnap-201 64' stop apply free 'compare one' cont 'cleanup -'
qmp quit >/dev/null
wait "$qemu" || :
qemu=
for image in plain top; do
    qemu-img check $image.qcow2 | tee check
    grep -q 'No errors' check || fail "$image.qcow2: $(cat check)"
done
echo "ok"
