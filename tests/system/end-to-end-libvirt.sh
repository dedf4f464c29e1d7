#!/bin/bash
# The same with libvirt domains; libvirt's own view stays true throughout.
. "${srcdir:-.}/tests/lib.sh"
requires_root
requires jq virsh ip
start_libvirtd_if_needed

domains_start "clusnap-e2e-$$" 2 memory=192 run=probe options=dirty=4 'disks=raw:none qcow2:writeback'
domains_wait
clusnapd_start
clusnap store init >/dev/null
clusnap_cluster_of_domains e2e

for name in full first second; do
    clusnap snapshot create e2e $name
    for domain in $(domain_names); do
        [ "$(virsh_system domstate "$domain")" = running ] || fail "libvirt says '$domain' does not run"
    done
    sleep 1
done

lose_all() {
    local domain
    for domain in $(domain_names); do
        virsh_system destroy "$domain"
    done
}

for domain in $(domain_names); do
    virsh_system dumpxml --inactive "$domain" >"$tmp/$domain.before"
done
lose_all
clusnap restore e2e first
domains_check --wait-progress 30
for domain in $(domain_names); do
    virsh_system dumpxml --inactive "$domain" >"$tmp/$domain.after"
    cmp "$tmp/$domain.before" "$tmp/$domain.after" || fail "the persistent definition of '$domain' has changed"
    virsh_system domblkinfo "$domain" vda >/dev/null
done

clusnap snapshot create e2e third
clusnap snapshot show e2e third -f json >"$tmp/show.json"
jq -e '[.. | .incremental? // empty] | length == 2 and all' "$tmp/show.json" >/dev/null ||
    fail "the snapshot after a restore is not incremental"
lose_all
clusnap restore e2e third --eager
domains_check --wait-progress 30
