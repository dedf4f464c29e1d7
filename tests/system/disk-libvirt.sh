#!/bin/bash
# The disks of a libvirt domain whose guest writes numbered blocks all the time: what is read equals the
# disks at the cut, byte for byte; the guest sees no error; and libvirt's own view of the
# disks is as if nothing had been: its own disk operations work afterwards.
# shellcheck source=tests/lib.sh
. "${srcdir:-.}/tests/lib.sh"
tool=$builddir/tests/system/disk-tool
export TMPDIR=$tmp

domains_start "disk$$" 1 disks="raw:none qcow2:writeback" disk_size=64M throttle=0 memory=192 \
    options="iops=200"
domain=disk$$-0
monitor() { virsh_system qemu-monitor-command "$domain" "{\"execute\":\"$1\"${2:+,\"arguments\":$2}}"; }
xml_of_disks() { virsh_system dumpxml "$domain" | sed -n '/<disk /,/<\/disk>/p'; }
domains_wait
before=$(xml_of_disks)

# While the domain stands QEMU has flushed everything: the files are the disks.
copy="sh cd $cluster_directory && qemu-img convert -U -f raw -O raw 0.disk0.raw want.virtio-disk0 &&
    qemu-img convert -U -f qcow2 -O raw 0.disk1.qcow2 want.virtio-disk1"
compare="sh cd $cluster_directory && cmp want.virtio-disk0 got/virtio-disk0 &&
    cmp want.virtio-disk1 got/virtio-disk1"
mkdir "$cluster_directory/got"
round() { # PREVIOUS NEXT END...
    local previous=$1 next=$2
    shift 2
    "$tool" "libvirt:$domain" "begin $previous $next" preflush stop "$copy" cut cont \
        "read $cluster_directory/got" "$compare" "$@" >>"$tmp/out" || fail "round $next"
}
left() {
    monitor query-named-block-nodes '{"flat":true}' |
        jq -r '.return[] | .["node-name"], (.["dirty-bitmaps"][]?.name)' | grep clusnap || true
    monitor query-block-jobs | jq -c '.return[]'
    monitor query-block-exports | jq -c '.return[]'
    monitor query-fdsets | jq -c '.return[] | select(.fds[].opaque == "clusnap-scratch")'
}

note "captures, one of them aborted"
round - clusnap-1 commit
round clusnap-1 clusnap-2 free
round clusnap-1 clusnap-3 commit
[ "$(left | sort -u)" = clusnap-3 ] || fail "left in QEMU: $(left)"
grep -q 'read virtio-disk1 data [1-9]' "$tmp/out" || fail "the guest wrote nothing: $(cat "$tmp/out")"

note "a killed capture"
# shellcheck disable=SC2016
"$tool" "libvirt:$domain" 'begin clusnap-3 clusnap-4' stop cut cont 'sh kill -9 $PPID' 2>/dev/null || true
[[ $(left) == *clusnap-fl0* ]] || fail "the killed tool left no node: nothing is tested"
"$tool" "libvirt:$domain" 'cleanup clusnap-3'
[ -z "$(left)" ] || fail "left after a killed capture: $(left)"

note "somebody else's job is named"
touch "$cluster_directory/mirror.raw"
virsh_system blockcopy "$domain" vda "$cluster_directory/mirror.raw" --transient-job --wait --format raw >/dev/null
"$tool" "libvirt:$domain" 'fail refused query' >"$tmp/refused" || fail "a disk under a copy job was not refused"
grep -q copy-vda "$tmp/refused" || fail "the job is not named: $(cat "$tmp/refused")"
virsh_system blockjob "$domain" vda --abort

note "libvirt's view"
[ "$(xml_of_disks)" = "$before" ] || fail "the domain's XML has changed"
virsh_system domblkinfo "$domain" vda >/dev/null
virsh_system domblkinfo "$domain" vdb >/dev/null
virsh_system snapshot-create-as "$domain" --disk-only --print-xml s >/dev/null
virsh_system snapshot-create-as "$domain" --disk-only --no-metadata s >/dev/null
# The overlay on top is captured as well.
"$tool" "libvirt:$domain" query >"$tmp/disks"
grep -q '"filename":"[^"]*\.s"' "$tmp/disks" || fail "the overlay is not seen: $(cat "$tmp/disks")"
"$tool" "libvirt:$domain" 'begin - clusnap-5' stop cut cont measure commit >/dev/null
for disk in vda vdb; do
    virsh_system blockcommit "$domain" $disk --active --pivot >/dev/null || fail "blockcommit of $disk"
done
rm -f "$cluster_directory/mirror.raw"
virsh_system blockcopy "$domain" vdb "$cluster_directory/mirror.raw" --transient-job --wait --format raw >/dev/null
virsh_system blockjob "$domain" vdb --abort
"$tool" "libvirt:$domain" 'cleanup -'
[ -z "$(left)" ] || fail "left at the end: $(left)"

note "the guest"
domains_check --timeout 60 || fail "the guest saw an error"
