#!/bin/bash
# Two libvirt domains that talk: their taps are libvirt's, in the host's namespace; nothing is left when they end.
# shellcheck disable=SC2119
# shellcheck source=tests/lib.sh
. "${srcdir:?}/tests/lib.sh"
requires nft virsh

chains() {
    nft list table netdev "$(clusnapd_table "$name")" | grep -c 'hook ingress'
}
edges() {
    clusnap deps "$name" -f json | jq -r '.dependencies[] | "\(.from | split("-")[-1]) \(.to | split("-")[-1]) \(.sources | join(","))"'
}
talk() {
    [ "$(edges)" = "0 1 flows" ]
}

name=deps$$
start_libvirtd_if_needed
domains_start "clusnap-dp-$$" 2 memory=96 run=probe 'options=dirty=0 table=4 rate=20' disks=
clusnapd_start
clusnap store init >/dev/null 2>&1
clusnap_cluster_of_domains "$name"
domains_wait
clusnap snapshot create "$name" s1 -q >/dev/null
[ "$(chains)" = 2 ] || fail "$(chains) taps are watched: $(nft list tables)"
wait_for 120 talk || fail "who talks is not seen: $(edges)"
clusnap snapshot create "$name" s2 -q >/dev/null
[ "$(clusnap snapshot show "$name" s2 -f json | jq -c '[.vms[] | .sequence, (.dependencies[0] | .interval, .sources)]')" = \
    '[2,1,["flows","uncounted"],2,1,["flows","uncounted"]]' ] || fail "what s2 says: $(clusnap snapshot show "$name" s2)"
clusnap rollback "$name" s2 -q >/dev/null
wait_for 120 talk || fail "after a rollback who talks is not seen: $(edges)"

domains_stop
none() {
    ! nft list table netdev "$(clusnapd_table "$name")" >/dev/null 2>&1
}
wait_for 30 none || fail "left: $(nft list tables)"
if grep -E 'WARNING|CRITICAL' "$clusnapd_directory/clusnapd.log"; then fail "warnings in the daemon's log"; fi
