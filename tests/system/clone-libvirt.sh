#!/bin/bash
# Clones of two libvirt domains beside the running ones: transient domains of their own; both clusters go on
# consistently; a snapshot of a clone and its restore; purge leaves nothing, nor does a killed clusnapd.
# shellcheck disable=SC2119
. "${srcdir:-.}/tests/lib.sh"
. "$srcdir/tests/lib-clone.sh"
requires_root
requires jq ip nbdkit xmllint

domains_start "clone-$$" 2 memory=128 run=probe 'disks=raw:none qcow2:writeback'
on_exit clones_end # while libvirtd is there
domains_wait
clusnapd_start
clusnap store init >/dev/null
clusnap_cluster_of_domains clone
clusnap snapshot create clone s1 >/dev/null
for name in $(domain_names); do
    virsh_system dumpxml "$name" >"$tmp/$name.before"
done
host_state "$tmp/state-before"

note "one clone"
clusnap restore clone s1 --clone lab
cluster_check --wait-progress 30
clone_check lab --wait-progress 30
for name in $(domain_names); do
    virsh_system dumpxml "$name" >"$tmp/$name.after"
    cmp -s "$tmp/$name.before" "$tmp/$name.after" || fail "the original's XML has changed"
    virsh_system dumpxml "lab-$name" >"$tmp/clone.xml"
    [ "$(virsh_system domstate "lab-$name")" = running ] || fail "libvirt does not see the clone running"
    [ "$(xmllint --xpath 'string(//interface/mac/@address)' "$tmp/clone.xml")" = \
        "$(xmllint --xpath 'string(//interface/mac/@address)' "$tmp/$name.before")" ] || fail "another MAC address"
    xmllint --xpath 'string(//interface/source/@bridge)' "$tmp/clone.xml" | grep -q '^csc-' || fail "not on a bridge of its own"
    if grep -F "$cluster_directory/" "$tmp/clone.xml" | grep -v -e vmlinuz -e initramfs; then
        fail "the clone names files of the original's"
    fi
done

note "a snapshot of the clone, and back to it"
clusnap snapshot create lab c1 >/dev/null
for name in $(domain_names); do
    virsh_system destroy "lab-$name" >/dev/null
done
clusnap restore lab c1
clone_check lab --wait-progress 30

note "two at once, and away with all of them"
clusnap restore clone s1 --clone many --count 2
clone_check many-1 --wait-progress 30
clone_check many-2 --wait-progress 30
clusnap snapshot delete lab c1
clusnap cluster delete many-1 many-2 lab --purge
nothing_left "$tmp/state-before" "after purge"

note "a clusnapd that is killed"
clusnapd_stop
clusnapd_start CLUSNAP_FAULT="load:crash"
if clusnap restore clone s1 --clone lab 2>/dev/null; then fail "no crash"; fi
wait_for 20 clusnapd_has_ended || fail "clusnapd lives on"
clusnapd_pid=
clusnapd_start
clusnap cluster delete lab --purge 2>/dev/null || true
nothing_left "$tmp/state-before" "after a crash"
cluster_check --wait-progress 20
