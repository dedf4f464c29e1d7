#!/bin/bash
# Disks that could not be captured, or captured but never restored, are refused before anything is
# paused, by name and with the reason; what is no disk is left out.
set -euo pipefail
tool=${builddir:?}/tests/system/disk-tool
for program in qemu-system-x86_64 qemu-img qemu-nbd socat; do
    command -v $program >/dev/null || { echo "$program is missing"; exit 77; }
done
work=$(mktemp -d "${TMPDIR:-/tmp}/clusnap-disk-XXXXXX")
qemu=""
nbd=""
finish() {
    for pid in $qemu $nbd; do kill -9 "$pid" 2>/dev/null || :; done
    rm -rf "$work"
}
trap finish EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }
cd "$work"

start() { # ARGUMENT...
    rm -f qmp
    qemu-system-x86_64 -accel tcg -machine q35 -display none -nodefaults -m 32 -S \
        -qmp "unix:$work/qmp,server=on,wait=off" "$@" >qemu.log 2>&1 &
    qemu=$!
    for _ in $(seq 100); do
        [ -S qmp ] && return
        kill -0 $qemu || fail "QEMU did not start: $(cat qemu.log)"
        sleep 0.05
    done
}
stop() {
    kill "$qemu"
    wait "$qemu" || :
    qemu=
}
refused() { # TEXT ARGUMENT...
    local text=$1
    shift
    start "$@"
    "$tool" qmp 'fail refused query' >out || fail "not refused: $*"
    grep -q "disk 'd'.*$text" out || fail "'$text' is missing: $(cat out)"
    stop
}
device=(-device "virtio-blk-pci,id=d,drive=b")

qemu-img create -q -f raw raw.img 1M
qemu-img create -q -f vmdk image.vmdk 1M
qemu-img create -q -f qcow2 -o data_file=raw.img,data_file_raw=on external.qcow2 1M
qemu-img create -q -f qcow2 --object secret,id=s,data=abc -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10 \
    secret.qcow2 1M
refused 'not raw or qcow2' -drive if=none,id=b,file=image.vmdk,format=vmdk "${device[@]}"
refused 'external data file' -drive if=none,id=b,file=external.qcow2,format=qcow2 "${device[@]}"
refused 'encrypted' -object secret,id=s,data=abc \
    -drive if=none,id=b,file=secret.qcow2,format=qcow2,encrypt.key-secret=s "${device[@]}"
refused 'was deleted' -drive if=none,id=b,file=raw.img,format=raw,snapshot=on "${device[@]}"
refused 'a part .* of a larger image' -drive if=none,id=b,file=raw.img,format=raw,size=65536 "${device[@]}"
exec 9<>raw.img
refused 'passed as a descriptor' -add-fd fd=9,set=1 \
    -blockdev driver=file,filename=/dev/fdset/1,node-name=f -blockdev driver=raw,file=f,node-name=b \
    "${device[@]}"
exec 9>&-
qemu-nbd -f raw -k "$work/nbd" -t raw.img &
nbd=$!
for _ in $(seq 100); do [ -S nbd ] && break; sleep 0.05; done
refused "it lies on 'nbd'" -drive "if=none,id=b,file=nbd:unix:$work/nbd,format=raw" "${device[@]}"
kill $nbd
wait $nbd || :
nbd=

# A job of libvirt's kind, which nobody dismisses: QEMU 10.0 would crash in query-named-block-nodes.
qemu-img create -q -f qcow2 -b raw.img -F raw above.qcow2
start -qmp "unix:$work/other,server=on,wait=off" -drive if=none,id=b,file=above.qcow2,format=qcow2 "${device[@]}"
on_other() { # COMMAND: executes it on the other monitor
    printf '%s\n' '{"execute":"qmp_capabilities"}' "$1" | socat -t 1 - "UNIX-CONNECT:$work/other"
}
on_other '{"execute":"block-stream","arguments":{"job-id":"pull-vda","device":"b","auto-dismiss":false}}' >/dev/null
for _ in $(seq 60); do
    on_other '{"execute":"query-jobs"}' >jobs.json
    ! grep -q '"status": "concluded"' jobs.json || break
done
"$tool" qmp 'fail busy query' >out || fail "not refused: a job that is not dismissed"
grep -q "'pull-vda' has ended and was not dismissed.*job-dismiss" out || fail "it says: $(cat out)"
kill -0 "$qemu" || fail "QEMU has ended: $(cat qemu.log)"
stop

truncate -s 1M flash.img
start -machine pflash0=flash -blockdev driver=file,node-name=flash,filename=flash.img \
    -drive if=none,id=ro,file=raw.img,format=raw,readonly=on -device virtio-blk-pci,drive=ro \
    -device ahci,id=ahci -device ide-cd,bus=ahci.0 -device virtio-scsi-pci -device scsi-cd
"$tool" qmp query 'begin - clusnap-1' stop cut cont measure commit free >out
[ ! -s out ] || fail "no disks, but: $(cat out)"
stop
echo ok
