#!/bin/bash
# The guest's clocks over snapshot, loss and restore (docs/guest-time.md): CLOCK_MONOTONIC goes on from the snapshot's
# value, the wall clock stands at the snapshot's time, and --set-time sets it where a guest agent runs.  Bare QEMUs with
# two clock sources, or libvirt domains with the argument "libvirt".
# shellcheck disable=SC2016
. "${srcdir:-.}/tests/lib-faults.sh"
requires_root
requires jq ip socat
options=(memory=192 "run=qga,clock" agent=qga 'options=agentless=1 agent=no' disks= clocksource='hpet acpi_pm')
if [ "${1:-bare}" = libvirt ]; then
    start_libvirtd_if_needed
    domains_start "clusnap-clock-$$" 2 "${options[@]}"
else
    cluster_start clock 2 "${options[@]}"
fi
cluster_wait
clusnapd_start
clusnap store init >/dev/null
if [ "${1:-bare}" = libvirt ]; then
    clusnap_cluster_of_domains c
else
    clusnap_cluster_of_nodes c
fi

# clocks NAME: what both guests say now, and the host's time before and after asking, to $tmp/NAME.I
clocks() {
    local i before
    for i in $(cluster_nodes); do
        before=$(date +%s%N)
        vm_ask "$i" report >"$tmp/answer"
        jq --argjson before "$before" --argjson after "$(date +%s%N)" \
            '. + {before: $before, after: $after, lag: ($before - .realtime)}' "$tmp/answer" >"$tmp/$1.$i"
    done
}

# wanted NAME I CONDITION TEXT: CONDITION on $now and, as $old, what the guest said at "old"
wanted() {
    jq -e -n --argjson lost "$lost" --argjson off "${off:-0}" --slurpfile old "$tmp/old.$2" --slurpfile now "$tmp/$1.$2" \
        '$old[0] as $old | $now[0] as $now | $now | '"$3" >/dev/null ||
        fail "$1, node $2: $4: $(jq -c . "$tmp/$1.$2"), before: $(jq -c . "$tmp/old.$2")"
}

lose_all() {
    local domain
    if [ "$storage" = libvirt ]; then
        for domain in $(domain_names); do
            virsh_system destroy "$domain"
        done
    else
        kill_all
    fi
}
storage=${1:-bare}

# The virtual clock stands while there is no VM, so the guest cannot have seen more time than the host outside of
# $off; and nothing of its own past may lie in its future.
check_continues() {
    wanted "$1" "$2" '.back == 0 and ."seq" > $old.seq and .monotonic > $old.monotonic' "CLOCK_MONOTONIC went back"
    wanted "$1" "$2" '.monotonic - $old.monotonic <= .after - $old.before - $off + 2e9' "CLOCK_MONOTONIC jumped ahead"
}

lost=10000000000
agents_are_there() {
    grep -q '"frontend-open": *true' <<<"$(vm_qmp 0 '{"execute":"query-chardev"}' | jq '.[] | select(.label == "qga")')"
}
[ "$storage" = libvirt ] || wait_for 60 agents_are_there || fail "qemu-ga does not start: $(tail -n 5 "$cluster_directory/0.log")"
[ "$storage" = bare ] || wait_for 60 virsh_system domtime "$cluster_name-0" >/dev/null 2>&1 || fail "qemu-ga does not start"
clocks old
for i in $(cluster_nodes); do
    wanted old "$i" '.back == 0 and .steps == 0' "the guest's clock is not fit for this test"
done
[ "$storage" = libvirt ] || [ "$(jq -s -r 'map(.source) | join(" ")' "$tmp"/old.[01])" = "hpet acpi_pm" ] || fail "not the clock sources wanted"
clusnap -q snapshot create c now >/dev/null
lose_all
off=$(date +%s%N)
sleep 10

clusnap -q restore c now >/dev/null
off=$(($(date +%s%N) - off - 10000000000))
[ "$off" -ge 0 ] || fail "the host's clock went back"
off=10000000000
clocks restored
for i in $(cluster_nodes); do
    check_continues restored "$i"
    wanted restored "$i" '.rtc * 1e9 > .before - 3e9 and .rtc * 1e9 <= .after' "the RTC does not show the host's time"
    wanted restored "$i" '."tsc-back" == 0' "the TSC went back"
    wanted restored "$i" '.steps == 0 and .lag - $old.lag > $lost - 1e9' "the wall clock does not stand at the snapshot's time"
done
note "restored: RTC against the host's time: $(jq -c '[.source, .rtc - .before / 1e9, .realtime / 1e9 - .before / 1e9, ."tsc-back"]' "$tmp"/restored.[01] | tr '\n' ' ')"

lose_all
before=$(date +%s%N)
clusnap -q restore c now --set-time -f json >"$tmp/restored.json"
took=$(($(date +%s%N) - before))
jq -e '.vms[0].time == "set" and (.vms[1].time | contains("no guest agent runs in the guest"))' "$tmp/restored.json" >/dev/null ||
    fail "the clock is not set where an agent runs, or that there is none is not said: $(cat "$tmp/restored.json")"
clocks set
note "set: $(jq -c '[.source, .rtc - .before / 1e9, .realtime / 1e9 - .before / 1e9, .steps, ."last-step"]' "$tmp"/set.[01] | tr '\n' ' ')"
for i in $(cluster_nodes); do
    check_continues set "$i"
done
# Set between $before and the command's end; it counts by itself since.
jq -e --argjson took "$took" '.steps == 1 and .lag <= $took and .realtime <= .after + 1e8' "$tmp/set.0" >/dev/null ||
    fail "node 0's wall clock is not the host's, after one step: $(cat "$tmp/set.0"), took $took"
wanted set 1 '.steps == 0 and .lag - $old.lag > $lost - 1e9' "the wall clock was set without an agent"

# Rollback in place, where this clusnap has it.
if "$builddir/clusnap" rollback --help >/dev/null 2>&1; then
    clusnap -q rollback c now --set-time -f json >"$tmp/rolled.json"
    jq -e '.vms[0].time == "set" and (.vms[1].time | contains("no guest agent runs in the guest"))' "$tmp/rolled.json" >/dev/null ||
        fail "rollback: the clock is not set where an agent runs, or that there is none is not said: $(cat "$tmp/rolled.json")"
    clocks rolled
    jq -e '.steps == 1 and .realtime <= .after + 1e8' "$tmp/rolled.0" >/dev/null || fail "rollback: node 0's wall clock is not the host's: $(cat "$tmp/rolled.0")"
    for i in $(cluster_nodes); do
        wanted rolled "$i" '.back == 0 and .monotonic > $old.monotonic' "CLOCK_MONOTONIC went back against the guest's own past"
    done
    note "rolled back: $(jq -c '[.source, .rtc - .before / 1e9, .realtime / 1e9 - .before / 1e9, ."tsc-back"]' "$tmp"/rolled.[01] | tr '\n' ' ')"
fi
