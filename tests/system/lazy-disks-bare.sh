#!/bin/bash
# Disks that are filled while the guests run: from an NBD server of the store to plain local images, with clusnapd or a
# server killed in between, a snapshot taken in between, and guests that end in between.
# shellcheck source=tests/lib-lazy-disks.sh
. "${srcdir:-.}/tests/lib-lazy-disks.sh"
requires_root
requires jq ip nbdkit

cluster_start lazyd 2 memory=128 run=probe options=dirty=4 'disks=raw:none qcow2:writeback' \
    'extra=-qmp unix:@BASE@.watch,server=on,wait=off'
cluster_wait
lazy_files="$cluster_directory/0.disk1.qcow2 $cluster_directory/1.disk1.qcow2"
lazy_files+=" $cluster_directory/0.disk0.raw $cluster_directory/1.disk0.raw"
lazy_begin clusnap_cluster_of_nodes

lose_all() {
    local node
    for node in $(cluster_nodes); do
        vm_kill "$node"
    done
}

note "restored, and filled"
lose_all
clusnap restore c one
disks_are_local "restored"
cluster_check --wait-progress 20

note "bounded"
stream_has_ended() {
    grep '"BLOCK_JOB_COMPLETED".*"stream"' "$cluster_directory/$1.moments" >"$tmp/stream"
}
fill_stops
lose_all
clusnap -q restore c one --fill-rate 20 --no-wait >/dev/null
watch_start
fill_goes_on
disks_are_local "filled within bounds"
for i in 0 1; do
    wait_for 10 stream_has_ended "$i" || fail "node $i had no job: $(cat "$cluster_directory/$i.moments")"
    grep -q '"speed": 20971520,' "$tmp/stream" || fail "node $i's job was not bounded: $(cat "$tmp/stream")"
done

# The worker starts programs with all descriptors that do not close on exec.
closes_descriptors() {
    local worker flags file name
    worker=$(cat "/proc/$clusnapd_pid/task/$clusnapd_pid/children")
    worker=${worker%% *}
    for file in "/proc/$worker/fdinfo"/*; do
        [ "${file##*/}" -gt 2 ] || continue
        # Some come and go meanwhile, among them libnftables' sockets, which nobody else can mark.
        flags=$(sed -n 's/^flags:[[:space:]]*//p' "$file" 2>/dev/null) || continue
        name=$(readlink "${file/fdinfo/fd}") || continue
        (( flags & 02000000 )) || [ -z "${name##socket:*}" ] ||
            fail "descriptor ${file##*/} of clusnapd is left open on exec: $name"
    done
}

note "clusnapd ends while disks are lazy, and the next one goes on; a snapshot of that"
fill_stops
lose_all
clusnap -q restore c one --no-wait >/dev/null
closes_descriptors
clusnapd_stop
left=$(grep -c "the next clusnapd goes on with filling its disks" "$clusnapd_directory/clusnapd.log" || true)
[ "$left" -eq 2 ] || fail "clusnapd did not leave the disks of 2 VMs: $(tail "$clusnapd_directory/clusnapd.log")"
all_lazy "clusnapd has ended"
for server in $(jq -r .restore.disks.serve.pid "$clusnapd_directory"/journal/*.fill); do
    if process_is_gone "$server"; then fail "a server of the disks has ended with clusnapd"; fi
done
cluster_check --wait-progress 20
daemon_start
all_lazy "clusnapd was started again"
clusnap -q snapshot create c between >/dev/null
fill_goes_on
disks_are_local "left to the next clusnapd"
cluster_check --wait-progress 20
lose_all
clusnap restore c between
disks_are_local "the snapshot of disks that were left"
cluster_check --wait-progress 20

note "the same, killed before it has written down that memory was complete"
arm disk-fill:error,leave:crash
lose_all
clusnap -q restore c between --no-wait >/dev/null
all_lazy "restored"
kill -TERM "$clusnapd_pid"
daemon_dies
fill_stops
daemon_start
all_lazy "clusnapd was killed at its end"
cluster_check --wait-progress 20
fill_goes_on
disks_are_local "clusnapd was killed at its end"
clusnap -q snapshot delete c between

note "clusnapd and a server are killed while disks are lazy; the snapshot is deleted"
fill_stops
lose_all
clusnap -q restore c one --no-wait >/dev/null
all_lazy "restored"
cluster_check --wait-progress 20
clusnap -q snapshot delete c one
clusnap -q store gc
clusnapd_kill
server=$(jq -r .restore.disks.serve.pid "$clusnapd_directory"/journal/*.fill | head -n 1)
# nbdkit by itself would answer the guest with an error before it ends.
kill "$server"
wait_for 30 process_is_gone "$server"
daemon_start
all_lazy "clusnapd was killed"
cluster_check --wait-progress 20

note "a snapshot while disks are lazy"
clusnap -q snapshot create c two >/dev/null
clusnap snapshot show c two -f json >"$tmp/show.json"
if grep -q clusnap-serve "$tmp/show.json"; then
    fail "the snapshot names the server"
fi
fill_goes_on
disks_are_local "clusnapd was killed"
cluster_check --wait-progress 20
lose_all
clusnap restore c two
disks_are_local "the snapshot taken between"
cluster_check --wait-progress 20

note "the next snapshot has little of the disks"
clusnap -q snapshot create c three >/dev/null
clusnap snapshot show c three -f json >"$tmp/show.json"
jq -e '[.. | .incremental? // empty] | length == 2 and all' "$tmp/show.json" >/dev/null ||
    fail "the snapshot after a restore is not incremental"

note "guests that end while their disks are lazy"
fill_stops
lose_all
clusnap -q restore c three --no-wait >/dev/null
all_lazy "to be ended"
fill_goes_on
lose_all
disks_are_local "the guests ended"
for file in "$cluster_directory"/*.qcow2; do
    # A QEMU that is killed may leak clusters (3), which harms nothing.
    qemu-img check -q "$file" || [ $? -eq 3 ] || fail "'$file' is damaged"
done

note "eager"
clusnap restore c three --eager
all_plain || fail "--eager left a disk lazy"
cluster_check --wait-progress 20

note "the stored disks are damaged while disks are lazy: it is said"
fills_tried() {
    [ "$(grep -c "disk-fill" "$clusnapd_directory/clusnapd.log")" -ge $((tried + 2)) ]
}
fill_stops
lose_all
tried=$(grep -c "disk-fill" "$clusnapd_directory/clusnapd.log" || true)
clusnap -q restore c three --no-wait >/dev/null
wait_for 120 fills_tried || fail "the guests' memory is not complete"
all_lazy "to be damaged"
for server in $(jq -r .restore.disks.serve.pid "$clusnapd_directory"/journal/*.fill); do
    kill "$server"
done
find "$tmp/store/segments" -type f -size +1M | while read -r segment; do
    dd if=/dev/zero of="$segment" bs=4096 seek=16 count=$(($(stat -c %s "$segment") / 4096 - 48)) conv=notrunc status=none
done
fill_goes_on
wait_for 120 grep -q "could not be filled to its end" "$clusnapd_directory/clusnapd.log" ||
    fail "nothing is said of damage: $(tail "$clusnapd_directory/clusnapd.log")"
lose_all
