#!/bin/bash
# The disks of a bare QEMU, captured while "the guest" writes (qemu-io inside QEMU: the same block
# layer, and every byte is known): what is read must be the disks as they were at the cut, byte for byte;
# increments too; an aborted capture must lose nothing; and nothing may be left behind.
set -euo pipefail
tool=${builddir:?}/tests/system/disk-tool
for program in qemu-system-x86_64 qemu-img qemu-io socat jq; do
    command -v $program >/dev/null || { echo "$program is missing"; exit 77; }
done

work=$(mktemp -d "${TMPDIR:-/tmp}/clusnap-disk-XXXXXX")
export TMPDIR=$work
qemu=
finish() {
    [ -z "$qemu" ] || kill "$qemu" 2>/dev/null || :
    [ -z "$qemu" ] || wait "$qemu" 2>/dev/null || :
    rm -rf "$work"
}
trap finish EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }
qmp() { # COMMAND [ARGUMENTS]: prints "return"
    printf '{"execute":"qmp_capabilities"}\n{"execute":"%s","arguments":%s}\n' "$1" "${2:-{\}}" |
        socat -t 2 - "UNIX:$work/qmp" | jq -c 'select(has("return") or has("error"))' | sed -n 2p
}

cd "$work"
qemu-img create -q -f raw raw.img 96M
qemu-img create -q -f qcow2 base.qcow2 64M
qemu-io -f qcow2 -c 'write -P 7 0 8M' -c 'write -P 8 40M 1M' base.qcow2 >/dev/null
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2
qemu-img create -q -f raw odd.img 5242368 # no multiple of 4 KiB
qemu-img create -q -f raw read-only.img 1M
truncate -s 1M flash.img
qemu-system-x86_64 -accel tcg -machine q35,pflash0=flash -display none -nodefaults -m 32 \
    -qmp "unix:$work/qmp,server=on,wait=off" -qmp "unix:$work/qmp2,server=on,wait=off" \
    -blockdev driver=file,node-name=flash,filename=flash.img \
    -drive if=virtio,file=raw.img,format=raw,cache=none,discard=unmap \
    -drive if=none,id=top,file=top.qcow2,format=qcow2,cache=writeback,discard=unmap \
    -device virtio-blk-pci,id=second,drive=top \
    -device ahci,id=ahci -object throttle-group,id=group -blockdev driver=file,node-name=odd-file,filename=odd.img,discard=unmap \
    -blockdev driver=raw,node-name=odd,file=odd-file,discard=unmap \
    -blockdev driver=throttle,node-name=limit,throttle-group=group,file=odd,discard=unmap \
    -device ide-hd,drive=limit,bus=ahci.0,id=third \
    -drive if=none,id=ro,file=read-only.img,format=raw,readonly=on -device virtio-blk-pci,drive=ro \
    -device ide-cd,bus=ahci.1 >qemu.log 2>&1 &
qemu=$!
for _ in $(seq 100); do [ -S qmp ] && break; sleep 0.05; done

"$tool" qmp query >disks.json
jq -se --arg dir "$work" '
    map(.name) == ["virtio0", "second", "third"]
    and map(.format) == ["raw", "qcow2", "raw"]
    and map(.size) == [100663296, 67108864, 5242368]
    and map(.writeback) == [false, true, true]
    and .[2].node == "odd" # under the throttle filter
    and .[0].filename == $dir + "/raw.img"
    and .[1]["backing-file"] == "base.qcow2" and .[1]["backing-format"] == "qcow2"
    and .[1]["cluster-size"] == 65536' disks.json >/dev/null || fail "query: $(cat disks.json)"

w() { echo "hmp qemu-io $1 \"$2\""; }
# The copy is made from the files while the VM stands.
copy='sh cd '$work' && qemu-img convert -U -f raw -O raw raw.img want.virtio0 &&
    qemu-img convert -U -O raw top.qcow2 want.second && qemu-img convert -U -f raw -O raw odd.img want.third'
compare() { # DIRECTORY
    echo "sh cd $work && cmp want.virtio0 $1/virtio0 && cmp want.second $1/second && cmp want.third $1/third"
}
mkdir got

echo "== all of it, while everything is overwritten, zeroed and discarded"
"$tool" qmp cont \
    "$(w virtio0 'write -P 1 0 20M')" "$(w virtio0 'write -P 2 64M 3M')" \
    "$(w top 'write -P 3 4M 2M')" "$(w "-d third" 'write -P 4 0 5242368')" \
    'begin - clusnap-1' "$(w top 'write -P 5 63M 1M')" preflush stop "$copy" cut cont \
    "$(w virtio0 'write -P 91 0 1M')" "$(w virtio0 'discard 1M 8M')" \
    "$(w virtio0 'write -z 64M 1M')" "$(w virtio0 'write -P 92 80M 64k')" \
    "$(w top 'write -P 93 0 6M')" "$(w top 'write -z -u 40M 1M')" \
    "$(w "-d third" 'write -P 94 5241856 512')" "$(w "-d third" 'discard 1M 1M')" \
    "read $work/got" "$(compare got)" commit free >out1
cat out1
# Holes were not read.
awk '$2 == "virtio0" && $4 > 24 * 1048576 { bad = 1 } END { exit bad }' out1 || fail "holes were read"

echo "== only what changed, then aborted: nothing may be lost"
cp -r --sparse=always got before
"$tool" qmp "$(w virtio0 'write -P 11 30M 4k')" 'begin clusnap-1 clusnap-2' \
    "$(w "-d third" 'write -P 12 512 1k')" stop "$copy" cut cont \
    "$(w virtio0 'write -P 13 50M 4k')" "$(w top 'write -P 14 10M 4k')" \
    "read $work/got" "$(compare got)" free >out2
cat out2
awk '{ n += $4 } END { exit !(n > 0 && n < 14 * 1048576) }' out2 || fail "not an increment"

echo "== the aborted one's changes and those after its cut come with the next"
"$tool" qmp "$(w virtio0 'write -P 15 31M 4k')" 'begin clusnap-1 clusnap-3' stop "$copy" cut cont \
    "read $work/before" "$(compare before)" commit free >out3
cat out3
rm -rf got && mv before got

echo "== an aborted capture whose scratch was never cut changes nothing"
"$tool" qmp 'begin clusnap-3 clusnap-4' free 'begin clusnap-3 clusnap-4' stop "$copy" cut cont \
    "read $work/got" "$(compare got)" commit free >/dev/null

echo "== a disk that grew"
qmp block_resize '{"node-name":"limit","size":6291456}' >/dev/null
"$tool" qmp 'begin clusnap-4 clusnap-5' stop "$copy" cut cont \
    "$(w "-d third" 'write -P 16 5M 64k')" "read $work/got" "$(compare got)" free >/dev/null

echo "== a second capture; somebody else's server and job"
"$tool" qmp 'begin clusnap-4 clusnap-5' "sh $tool qmp2 'fail busy begin clusnap-4 clusnap-6'" free
qmp nbd-server-start '{"addr":{"type":"unix","data":{"path":"'"$work"'/other"}}}' >/dev/null
"$tool" qmp 'fail busy begin clusnap-4 clusnap-5'
"$tool" qmp 'cleanup clusnap-4'
[ "$(qmp nbd-server-stop)" = '{"return":{}}' ] || fail "somebody else's NBD server was stopped"
# One on a socket where ours would be, without an export: of a clusnapd that was killed too early.
socket=${TMPDIR:-/tmp}/nbd-$qemu
qmp nbd-server-start '{"addr":{"type":"unix","data":{"path":"'"$socket"'"}}}' >/dev/null
[ -S "$socket" ] || fail "QEMU does not listen at '$socket'"
"$tool" qmp 'begin clusnap-4 clusnap-6' free || fail "a server that a clusnapd left is in the way"
[ ! -e "$socket" ] || fail "'$socket' is left"
node=$(jq -rs '.[0].node' disks.json)
qmp blockdev-add '{"driver":"null-co","node-name":"other","size":100663296}' >/dev/null
qmp blockdev-backup '{"job-id":"others-job","device":"'"$node"'","target":"other","sync":"none"}' >/dev/null
"$tool" qmp 'fail refused query' | tee refused
grep -q "others-job" refused || fail "the job is not named"
qmp block-job-cancel '{"device":"others-job"}' >/dev/null
for _ in $(seq 50); do [ "$(qmp query-block-jobs)" = '{"return":[]}' ] && break; sleep 0.1; done
qmp blockdev-del '{"node-name":"other"}' >/dev/null

echo "== killed in the middle: cleanup takes everything out and trusts no disabled bitmap"
# shellcheck disable=SC2016
"$tool" qmp 'begin clusnap-4 clusnap-5' stop cut cont 'sh kill -9 $PPID' >/dev/null 2>&1 || :
[ -n "$(qmp query-block-jobs | jq '.return[]')" ] || fail "the killed tool left no job: nothing is tested"
"$tool" qmp 'cleanup clusnap-4'
left=$(qmp query-named-block-nodes '{"flat":true}' | jq -r '.return[] | .["node-name"], (.["dirty-bitmaps"][]?.name)')
if grep -q clusnap <<<"$left"; then fail "left in QEMU: $left"; fi
"$tool" qmp 'track clusnap-9' 'cleanup clusnap-9' >/dev/null

echo "== tracked from the start: the first capture is an increment"
"$tool" qmp "$(w top 'write -P 21 20M 4k')" 'begin clusnap-9 clusnap-10' stop "$copy" cut cont \
    "read $work/got" free >out4
awk '$2 == "second" && $4 == 65536 { ok = 1 } END { exit !ok }' out4 || fail "tracking: $(cat out4)"

if grep -E 'failed|error' qemu.log; then fail "qemu-io inside QEMU failed"; fi

echo "== nothing is left"
"$tool" qmp 'cleanup -'
left=$(qmp query-named-block-nodes '{"flat":true}' | jq -r '.return[] | .["node-name"], (.["dirty-bitmaps"][]?.name)')
if grep -q clusnap <<<"$left"; then fail "left in QEMU: $left"; fi
for query in query-block-jobs query-block-exports query-fdsets; do
    [ "$(qmp $query)" = '{"return":[]}' ] || fail "$query: $(qmp $query)"
done
[ "$(find . -name 'nbd-*' -o -name 'scratch*')" = "" ] || fail "left in the scratch directory"

echo "== a QEMU that dies"
"$tool" qmp 'begin - clusnap-11' stop cut cont "sh kill -9 $qemu && sleep 0.2" \
    "fail gone read $work/got" free
[ "$(find . -name 'nbd-*' -o -name 'scratch*')" = "" ] || fail "left after QEMU's death"
echo "ok"
