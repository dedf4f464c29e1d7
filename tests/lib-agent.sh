# shellcheck shell=bash disable=SC2016,SC2034,SC2154
# clusnap-agent in guests under the program "participant" (tests/guest/participant.c), for tests/system/agent-*.sh; after
# tests/lib-faults.sh.  Node 0 has the agent and a hook, node 1 has none.

agent_options=(memory=128 run=participant disks= 'options=agentless=1 hooks=say')

# lines TEXT: how often node 0 has said so
lines() {
    tr -d '\r' <"$cluster_directory/0.log" | grep -c -- "$1" || true
}

said_more() {
    [ "$(lines "$1")" -gt "$2" ]
}

# says TEXT COMMAND...: node 0 says TEXT after (or in) it
says() {
    local text=$1 before
    before=$(lines "$text")
    shift
    "$@" || fail "'$*' failed: $(cat "$tmp/said" 2>/dev/null)"
    wait_for 60 said_more "$text" "$before" || fail "node 0 does not say '$text': $(tail -n 8 "$cluster_directory/0.log")"
}

# order LINE...: sends it to node 0's program, which obeys
order() {
    says "PARTICIPANT obeys $1" vm_request 0 "$1"
}

# take NAME AGENT [ARG...]: a snapshot; what its report says of node 0's agent begins with AGENT
take() {
    local name=$1 agent=$2 patient=()
    shift 2
    # The guest may be slow.
    [ "$agent" != quiesced ] || patient=(--quiesce-deadline 60s)
    clusnap -q snapshot create c "$name" -f json "${patient[@]}" "$@" >"$tmp/$name.json" 2>"$tmp/said" || fail "no snapshot: $(cat "$tmp/said")"
    jq -e --arg agent "$agent" '(.vms[0].agent | startswith($agent)) and (.vms[0] | has("quiesce")) == ($agent == "quiesced")
        and (.vms[1].agent | . == "none" or . == "off")' "$tmp/$name.json" >/dev/null ||
        fail "the agents are not '$agent' and none: $(jq -c '.vms[]' "$tmp/$name.json")"
    note "$name: $(jq -c '.vms[] | [.name, .agent, .quiesce, .pause]' "$tmp/$name.json" | tr '\n' ' ')"
}

agents_joined() {
    [ "$(lines 'PARTICIPANT joined')" -gt 0 ]
}

agent_begin() {
    wait_for 120 agents_joined || fail "no agent in node 0: $(tail -n 8 "$cluster_directory/0.log")"
    daemon_start
    clusnap store init >/dev/null
}

# With the guests' names for themselves.
agent_quiesces() {
    local vm=$1 text
    note "quiesced, with hook and participant"
    says "PARTICIPANT resume vm=$vm interval=[0-9]* restored=0" take s1 quiesced
    for text in 'PARTICIPANT prepare' "HOOK 10-say quiesce vm=$vm" "HOOK 10-say resume vm=$vm"; do
        [ "$(lines "$text")" -eq 1 ] || fail "not once: '$text': $(tail -n 12 "$cluster_directory/0.log")"
    done

    note "a veto"
    order "veto the database is busy"
    says 'PARTICIPANT resume' must_fail 7 "participant 'test': the database is busy" clusnap -q snapshot create c vetoed --quiesce-deadline 60s
    grep -q 'the guests run on' "$tmp/said" || fail "$(cat "$tmp/said")"
    must_fail 3 vetoed clusnap snapshot show c vetoed
    order accept

    note "nobody is asked"
    take unasked off --no-quiesce
    [ "$(lines 'PARTICIPANT prepare')" -eq 2 ] || fail "asked all the same"
}

agent_is_silent() {
    note "a participant that is late"
    order "late 100000"
    must_fail 7 "participant 'test': not ready in time" clusnap -q snapshot create c late --quiesce-deadline 6s
    order "late 0"
    note "a silent agent"
    order stop
    take silent "" --quiesce-deadline 1s
    jq -e '.vms[0] | (.agent | contains("does not answer in time")) and (has("quiesce") | not)' "$tmp/silent.json" >/dev/null ||
        fail "the agent was not silent: $(cat "$tmp/silent.json")"
    order cont
    note "a daemon that dies in between"
    arm precopy:hang
    says 'clusnap-agent: quiesced' eval 'clusnap -q snapshot create c dies --quiesce-deadline 60s >/dev/null 2>&1 & client=$!'
    says 'clusnap-agent: the host is gone: going on' clusnapd_kill
    wait "$client" && fail "a snapshot whose daemon died"
    disarm
    daemon_start
    take again quiesced
}

# frames_start: what comes to the bridge, to $tmp/frames
frames_start() {
    : >"$tmp/frames"
    cluster_exec socat -u "INTERFACE:$(cluster_bridge)" "OPEN:$tmp/frames,append" 2>/dev/null &
    frames_pid=$!
    disown "$frames_pid"
    on_exit kill "$frames_pid"
}

announced() {
    local mac ip
    mac=$(guest_mac 0)
    ip=$(printf '%02x%02x%02x%02x' 10 99 0 10)
    od -An -v -tx1 "$tmp/frames" | tr -d ' \n' | grep -q "08060001080006040001${mac//:/}${ip}000000000000$ip"
}

# came_back BEFORE: node 0 was put right after the host's time was BEFORE
came_back() {
    local said
    wait_for 60 announced || fail "node 0 has not announced its address"
    says 'PARTICIPANT says' vm_request 0 say
    said=$(tr -d '\r' <"$cluster_directory/0.log" | grep 'PARTICIPANT says' | tail -n 1)
    note "$said, host: $1"
    [[ $said =~ time=([0-9]+)' random='([0-9a-f]+) ]] || fail "'$said'"
    [ "${BASH_REMATCH[1]}" -ge $(($1 - 1)) ] || fail "node 0's clock was not set: '$said', now it is $(date +%s)"
    [[ " $randoms " != *" ${BASH_REMATCH[2]} "* ]] || fail "the same random numbers again: ${BASH_REMATCH[2]}"
    randoms+=" ${BASH_REMATCH[2]}"
    : >"$tmp/frames"
}

restored_as() {
    jq -e '.vms[0] | .agent == "restored"' "$1" >/dev/null || fail "node 0's agent was not told: $(cat "$1")"
    jq -e '.vms[1] | .agent == "none"' "$1" >/dev/null || fail "node 1 has no agent: $(cat "$1")"
}

agent_comes_back() {
    local vm=$1 before round
    randoms=
    frames_start
    sleep 4
    for round in 1 2; do
        note "rollback, round $round"
        before=$(date +%s)
        says "PARTICIPANT resume vm=$vm interval=[0-9]* restored=1" eval 'clusnap -q rollback c s1 -f json >"$tmp/rolled.json" 2>"$tmp/said"'
        restored_as "$tmp/rolled.json"
        came_back "$before"
    done
    note "restore"
    agent_lose_all
    before=$(date +%s)
    says "PARTICIPANT resume vm=$vm interval=[0-9]* restored=1" eval 'clusnap -q restore c s1 -f json >"$tmp/restored.json" 2>"$tmp/said"'
    restored_as "$tmp/restored.json"
    came_back "$before"
    [ "$(lines 'HOOK 10-say after-restore')" -eq 3 ] || fail "the hook was not run three times after the guest was taken back"
    take afterwards quiesced
}
