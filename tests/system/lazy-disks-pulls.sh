#!/bin/bash
# A libvirt domain with many small disks that are filled while it runs.  libvirt 11.3 and QEMU 10.0 crash where two
# pulls (virsh blockpull) of a domain end together: vmm/lazy-disks-fill.c.
# shellcheck source=tests/lib-lazy-disks.sh
. "${srcdir:-.}/tests/lib-lazy-disks.sh"
requires_root
requires jq virsh ip nbdkit
start_libvirtd_if_needed

domains_start "clusnap-pulls-$$" 1 memory=192 run=probe options=dirty=2 disk_size=32M \
    'disks=qcow2:writeback qcow2:writeback qcow2:none qcow2:writeback qcow2:writeback qcow2:none'
domains_wait
domain=$(domain_names)
domain=${domain%% *}
for n in 0 1 2 3 4 5; do
    lazy_files+=" $cluster_directory/0.disk$n.qcow2"
done
lazy_begin clusnap_cluster_of_domains

for round in $(test_parts 1 "2 3"); do
    note "round $round"
    virsh_system destroy "$domain" >/dev/null
    clusnap -q restore c one >/dev/null
    disks_are_local "round $round"
    [ "$(virsh_system domstate "$domain")" = running ] || fail "the domain has ended: $(virsh_system domstate --reason "$domain")"
    domains_check --wait-progress 20
done
