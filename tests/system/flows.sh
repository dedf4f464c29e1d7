#!/bin/bash
# Frames between interfaces of a bridge: what binds and what does not, forged addresses, a flood of them, and that
# nothing is left.  The interfaces are veths, whose other ends stand in namespaces of their own for the guests.
# shellcheck source=tests/lib.sh
. "${srcdir:?}/tests/lib.sh"
requires_root
requires ip nft jq socat busybox

hub=cs$$-hub
tool() {
    local verb=$1
    shift
    ip netns exec "$hub" "$builddir/tests/system/flows-tool" "$verb" test "$@"
}

mac() {
    echo "52:54:00:00:00:0$1"
}

# guest I COMMAND...
guest() {
    local i=$1
    shift
    ip netns exec "cs$$-g$i" "$@"
}

ip netns add "$hub"
on_exit ip netns delete "$hub"
ip -n "$hub" link add name bridge type bridge mcast_snooping 0
ip -n "$hub" link set dev bridge addrgenmode none up
for i in 0 1 2 3; do
    ip netns add "cs$$-g$i"
    on_exit ip netns delete "cs$$-g$i"
    ip -n "$hub" link add "t$i" type veth peer name eth0 netns "cs$$-g$i"
    guest "$i" ip link set eth0 address "$(mac "$i")"
    ip -n "$hub" link set "t$i" addrgenmode none master bridge up
    guest "$i" ip link set eth0 up
    guest "$i" ip address add "10.9.8.$i/24" dev eth0
done
tool watch t0 t1 t2 t3

vms=()
for i in 0 1 2 3; do vms+=("t$i=$(mac "$i")"); done
bound() {
    tool deps "${vms[@]}" | cut -d ' ' -f 1,2 | tr '\n' ';'
}
# begin: nothing counted
begin() {
    tool watch t0 t1 t2 t3
    guest_neighbours
}
# Who is where need not be asked for.
guest_neighbours() {
    local a b
    for a in 0 1 2 3; do
        for b in 0 1 2 3; do
            [ "$a" = "$b" ] || guest "$a" ip neigh replace "10.9.8.$b" lladdr "$(mac "$b")" dev eth0 nud permanent
        done
    done
}
# send FROM ADDRESS
send() {
    echo payload | guest "$1" socat -u - "UDP4-SENDTO:$2:4000"
}

note "neighbour discovery of both families, and groups of it, bind nobody"
for i in 1 2 3; do
    guest 0 busybox arping -c 1 -w 2 -I eth0 "10.9.8.$i" >/dev/null || true
    guest "$i" busybox arping -U -c 1 -w 1 -I eth0 "10.9.8.$i" >/dev/null || true
    guest "$i" ip -6 address add "fd00::$i/64" dev eth0
done
sleep 1
[ -z "$(bound)" ] || fail "without payload there is: $(bound)"

note "payload binds both ends, and only them"
begin
send 0 10.9.8.1
send 0 10.9.8.1
[ "$(tool deps "${vms[@]}" | head -n 1);$(bound)" = "t0 t1 2;t0 t1;t1 t0;" ] || fail "two frames: $(tool deps "${vms[@]}")"

read -r median longest < <(tool time 50)
note "a reading takes $median us (longest $longest)"

note "what leaves the cluster binds nobody; a broadcast binds all"
begin
guest 2 ip neigh replace 10.9.8.99 lladdr 52:54:00:00:00:99 dev eth0 nud permanent
send 2 10.9.8.99
[ -z "$(bound)" ] || fail "a stranger: $(bound)"
echo payload | guest 2 socat -u - UDP4-DATAGRAM:10.9.8.255:4000,broadcast
[ "$(bound)" = "t0 t2;t1 t2;t2 t0;t2 t1;t2 t3;t3 t2;" ] || fail "a broadcast: $(bound)"

note "a forged source address makes nobody else the sender"
begin
guest 3 ip link set eth0 address "$(mac 0)"
guest_neighbours
send 3 10.9.8.1
[ "$(bound)" = "t1 t3;t3 t1;" ] || fail "VM 3 with VM 0's address: $(bound)"
guest 3 ip link set eth0 address "$(mac 3)"

note "an address of a guest's own choice is found by what it sends"
begin
guest 3 ip link set eth0 address 52:54:00:00:00:77
guest 3 ip neigh replace 10.9.8.99 lladdr 52:54:00:00:00:99 dev eth0 nud permanent
guest 0 ip neigh replace 10.9.8.3 lladdr 52:54:00:00:00:77 dev eth0 nud permanent
send 3 10.9.8.99
send 0 10.9.8.3
[ "$(bound)" = "t0 t3;t3 t0;" ] || fail "an address of its own: $(bound)"

note "a guest that fills its set is bound to all"
begin
for ((i = 0; i < 200; i++)); do
    printf 'neigh replace 10.9.%d.%d lladdr 52:54:01:00:%02x:%02x dev eth0 nud permanent\n' \
        $((i / 250)) $((i % 250 + 1)) $((i / 250)) $((i % 250 + 1))
done >"$tmp/neighbours"
guest 1 ip address add 10.9.9.250/16 dev eth0
guest 1 ip -batch "$tmp/neighbours"
# shellcheck disable=SC2016
guest 1 bash -c 'for ((i = 0; i < 200; i++)); do
    echo x >"/dev/udp/10.9.$((i / 250)).$((i % 250 + 1))/4000"; done' 2>/dev/null || true
[ "$(tool deps "${vms[@]}" | grep -c 'uncounted$')" = 6 ] || fail "a full set: $(tool deps "${vms[@]}" | head)"
read -r median longest < <(tool time 50)
note "reading it with a full set takes $median us (longest $longest)"

note "a tap that goes takes its chain along, what it counted stays until somebody looks"
begin
send 0 10.9.8.1
index=$(ip netns exec "$hub" cat /sys/class/net/t0/ifindex)
ip -n "$hub" link delete t0
ip netns exec "$hub" nft -j list ruleset |
    jq -e --arg set "tap$index" '.nftables[] | select(.set.name == $set and .set.elem)' >/dev/null ||
    fail "the counts went with the tap"

tool remove
[ -z "$(ip netns exec "$hub" nft list ruleset)" ] || fail "left: $(ip netns exec "$hub" nft list ruleset)"
