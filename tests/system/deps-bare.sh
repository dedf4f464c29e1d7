#!/bin/bash
# Three guests of which two talk, one in silence: what snapshots and `clusnap deps` say of it; a daemon that is killed in
# between; a snapshot of one VM only; rollback; and that nothing of ours is left when the cluster is deleted.
# shellcheck source=tests/lib.sh
. "${srcdir:?}/tests/lib.sh"
requires nft

tables() {
    cluster_exec nft list tables | grep -c clusnap || true
}
# edges: "FROM TO DIRECTION SOURCES" per line
edges() {
    clusnap deps demo -f json | jq -r '.dependencies[] | "\(.from) \(.to) \(.direction) \(.sources | join(","))"'
}
# manifest SNAPSHOT FILTER
manifest() {
    clusnap snapshot show demo "$1" -f json | jq -r "$2"
}
talk() {
    edges | grep -qx 'vm0 vm1 both flows'
}

cluster_start c 3 memory=96 disks= options='group=2 dirty=0 table=4 rate=20'
clusnapd_start
clusnap store init >/dev/null 2>&1
clusnap_cluster_of_nodes demo
cluster_wait

note "before the first snapshot nobody has counted"
clusnap deps demo >"$tmp/table"
[ "$(tables)" = 0 ] || fail "deps began to count"
clusnap snapshot create demo s1 -q >/dev/null
[ "$(manifest s1 '[.vms[] | .sequence] | join(" ")')" = "1 1 1" ] || fail "the numbers of s1"
[ "$(manifest s1 '[.dependencies[] | .sources | index("uncounted") != null] | unique | join(" ")')" = true ] || fail "the sources of s1"

note "since then: two talk, the third is alone"
wait_for 120 talk || fail "who talks is not seen: $(edges)"
[ "$(edges)" = "vm0 vm1 both flows" ] || fail "the graph is: $(edges)"
if command -v dot >/dev/null; then
    clusnap deps demo -f dot | dot -Tplain | grep -q '^edge vm0 vm1 ' || fail "Graphviz does not take it"
fi

note "clusnapd is killed: the counters go on, and so do the numbers"
clusnapd_kill
clusnapd_start
[ "$(edges)" = "vm0 vm1 both flows" ] || fail "after a kill the graph is: $(edges)"
clusnap snapshot create demo s2 -q >/dev/null
[ "$(manifest s2 '[.vms[] | .sequence] | join(" ")')" = "2 2 2" ] || fail "the numbers of s2"
[ "$(manifest s2 '.dependencies[] | select(.name == "vm0" and .vm == "vm1") | "\(.interval) \(.sources | join(" "))"')" = "1 flows uncounted" ] ||
    fail "what vm0 depends on in s2: $(manifest s2 .dependencies)"
[ "$(manifest s2 '.dependencies[] | select(.name == "vm2") | .interval')" = $'0\n0' ] ||
    fail "what vm2 depends on in s2: $(manifest s2 .dependencies)"
note "the reading took $(manifest s2 '.vms[0].stats.flows') us of a pause of $(manifest s2 .pause) us"

note "a snapshot that fails loses nothing"
clusnapd_stop
clusnapd_start CLUSNAP_FAULT=store:error
wait_for 120 talk || fail "no flows after s2"
if clusnap snapshot create demo s3 -q >/dev/null 2>"$tmp/err"; then fail "the fault did not come"; fi
clusnapd_stop
clusnapd_start
clusnap snapshot create demo s4 -q >/dev/null
[ "$(manifest s4 '[.vms[] | .sequence] | join(" ")')" = "4 4 4" ] || fail "the numbers of s4"
[ "$(manifest s4 '.dependencies[] | select(.name == "vm1" and .vm == "vm0") | .interval >= 2')" = true ] ||
    fail "what vm1 depends on in s4: $(manifest s4 .dependencies)"

note "a rollback goes on in a branch of its own"
wait_for 120 talk || fail "no flows after s4"
clusnap rollback demo s2 -q >/dev/null
clusnap snapshot create demo s5 -q >/dev/null
[ "$(manifest s5 '[.vms[] | .sequence] | join(" ")')" = "6 6 6" ] || fail "the numbers of s5"
[ "$(manifest s5 '.vms[0].line | "\(length) \(.[0].until)"')" = "2 2" ] ||
    fail "the line of s5: $(clusnap snapshot show demo s5 -f json | jq -c '.vms[0].line')"
[ "$(manifest s5 '.dependencies[] | select(.name == "vm2") | .interval')" = $'0\n0' ] ||
    fail "what vm2 depends on in s5: $(manifest s5 .dependencies)"

note "a VM that ends loses its counters, one that is restored has new ones"
before=$(cluster_exec nft list ruleset | grep -c 'hook ingress')
[ "$before" = 3 ] || fail "$before chains for three taps"
for i in 0 1 2; do vm_quit "$i"; done
none() {
    [ "$(tables)" = 0 ]
}
wait_for 30 none || fail "the counters of VMs that have ended are still there"
clusnap restore demo s5 -q >/dev/null
[ "$(cluster_exec nft list ruleset | grep -c 'hook ingress')" = 3 ] || fail "restored VMs are not counted"
wait_for 120 talk || fail "after a restore who talks is not seen: $(edges)"
[ "$(edges)" = "vm0 vm1 both flows" ] || fail "after a restore the graph is: $(edges)"

note "a cluster that is deleted leaves nothing"
clusnap cluster delete demo
[ "$(tables)" = 0 ] || fail "left: $(cluster_exec nft list ruleset)"
[ ! -e "$clusnapd_directory/state/dependencies/demo.json" ] || fail "its state is left"
if grep -E 'WARNING|CRITICAL' "$clusnapd_directory/clusnapd.log"; then fail "warnings in the daemon's log"; fi
