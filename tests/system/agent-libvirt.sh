#!/bin/bash
# clusnap-agent in libvirt domains: quiesce, veto, rollback and restore; a domain without it.
# shellcheck source=tests/lib-faults.sh
. "${srcdir:-.}/tests/lib-faults.sh"
# shellcheck source=tests/lib-agent.sh
. "$srcdir/tests/lib-agent.sh"
requires virsh socat
start_libvirtd_if_needed

agent_lose_all() {
    local name
    for name in $(domain_names); do
        virsh_system destroy "$name"
    done
}

domains_start "clusnap-agent-$$" 2 "${agent_options[@]}"
domains_wait
agent_begin
clusnap_cluster_of_domains c
agent_quiesces "$cluster_name-0"
agent_comes_back "$cluster_name-0"
