#!/bin/bash
# What cannot be done is refused before anything is paused, and says why: unknown names, VMs that do not run, that
# cannot be captured, that are busy; a restore over running VMs.
# shellcheck source=tests/lib-faults.sh
. "${srcdir:-.}/tests/lib-faults.sh"

faults_cluster input
daemon_start
faults_store
watch_start

# refused STATUS TEXT COMMAND...: and no guest was stopped for it.
refused() {
    local stops
    stops=$(moments 0 STOP | wc -l)
    must_fail "$@"
    [ "$(moments 0 STOP | wc -l)" -eq "$stops" ] || fail "a guest was paused before '$*' was refused"
}

# cluster_of NAME SOCKET: vm0 and one more VM.
cluster_of() {
    clusnap cluster create "$1" --qmp "vm0=$cluster_directory/0.qmp" --qmp "odd=$2" >/dev/null
}

note "names"
refused 3 "'nobody'" clusnap -q snapshot create nobody s1
refused 3 "'nobody'" clusnap -q cluster show nobody
refused 2 "../up" clusnap -q snapshot create c ../up
refused 3 "'none'" clusnap -q restore c none
refused 3 "'none'" clusnap -q snapshot show c none
refused 3 "'none'" clusnap -q snapshot delete c none
snapshot here full
refused 4 "'c/here' exists" clusnap -q snapshot create c here
refused 6 "running" clusnap -q restore c here
refused 3 "'vm9'" clusnap -q restore c here --vm vm9

note "not running"
cluster_of absent "$tmp/no.qmp"
refused 3 "'odd'" clusnap -q snapshot create absent s1
vm_qmp 1 '{"execute":"stop"}' >/dev/null
refused 6 "is paused" clusnap -q snapshot create c s1
vm_qmp 1 '{"execute":"cont"}' >/dev/null

# another NAME STATUS TEXT ARG...: a QEMU that cannot be captured, beside vm0.
another() {
    local name=$1 status=$2 text=$3 pid
    shift 3
    note "$name"
    qemu-system-x86_64 -nodefaults -no-user-config -display none -accel tcg -machine q35 -m 32 \
        -qmp "unix:$tmp/$name.qmp,server=on,wait=off" "$@" >"$tmp/$name.log" 2>&1 &
    pid=$!
    on_exit end_hung "$pid"
    wait_for 20 test -S "$tmp/$name.qmp" || fail "QEMU did not start: $(cat "$tmp/$name.log")"
    cluster_of "$name" "$tmp/$name.qmp"
    refused "$status" "$text" clusnap -q snapshot create "$name" s1
    grep -q "'odd'" "$tmp/said" || fail "the VM is not named"
    end_hung "$pid"
}

another never-run 6 "never resumed" -S
another ivshmem 7 "ivshmem" -object memory-backend-memfd,id=shared,size=1M,share=on \
    -device ivshmem-plain,memdev=shared
# Migration blockers of QEMU's own.
truncate -s 1M "$tmp/nvme.raw"
another blocker 7 "cannot save" -blockdev "driver=raw,node-name=n,file.driver=file,file.filename=$tmp/nvme.raw" \
    -device nvme,serial=1,drive=n
if command -v qemu-storage-daemon >/dev/null; then
    qemu-storage-daemon --blockdev "driver=file,node-name=d,filename=$tmp/nvme.raw" \
        --export "vhost-user-blk,id=e,node-name=d,addr.type=unix,addr.path=$tmp/vhost.sock" &
    on_exit end_hung $!
    wait_for 20 test -S "$tmp/vhost.sock" || fail "qemu-storage-daemon does not listen"
    another vhost-user 7 "vhost-user" -object memory-backend-memfd,id=memory,size=32M,share=on \
        -machine memory-backend=memory -chardev "socket,id=c,path=$tmp/vhost.sock" -device vhost-user-blk-pci,chardev=c
fi

note "busy"
hangs precopy:hang first
must_fail 5 "is busy with snapshot 'c/first'" clusnap -q snapshot create c second
must_fail 5 "is busy with snapshot 'c/first'" clusnap -q restore c here
end_hung "$hung"
nothing_in_the_journal

note "what is no request"
rpc_open
printf '%s\n' '{"id":1,"method":"snapshot.begin","params":{"vms":7}}' >&"$rpc_out"
if rpc_answer >"$tmp/said"; then
    fail "nonsense was accepted"
fi
printf '\0garbage\n' >&"$rpc_out"
rpc_answer >"$tmp/said" || true
rpc_close
snapshot last
nothing_left
