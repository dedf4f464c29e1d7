#!/bin/bash
# clusnap-agent in bare QEMUs: quiesce, veto, silence, a daemon that dies, rollback and restore; a guest without it.
# shellcheck source=tests/lib-faults.sh
. "${srcdir:-.}/tests/lib-faults.sh"
# shellcheck source=tests/lib-agent.sh
. "$srcdir/tests/lib-agent.sh"
requires_root
requires jq ip socat

agent_lose_all() {
    kill_all
}

cluster_start agent 2 "${agent_options[@]}"
cluster_wait
agent_begin
clusnap_cluster_of_nodes c
agent_quiesces vm0
agent_is_silent

note "an agent is required"
sed 's/^name: c$/name: strict/; $a agent: required' "$clusnapd_directory/state/clusters/c.yaml" >"$tmp/strict.yaml"
clusnap cluster create strict --file "$tmp/strict.yaml" >/dev/null
must_fail 7 "the cluster requires one" clusnap -q snapshot create strict s1
[ "$(vm_status 0)$(vm_status 1)" = runningrunning ] || fail "the guests do not run"

agent_comes_back vm0
