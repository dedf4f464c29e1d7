#!/bin/bash
# After a restore clusnap-agent announces its addresses of both families: a neighbour that has a wrong address of the link
# layer, which the kernel keeps, has the right one then.  The agent runs in a network namespace of its own.
# shellcheck source=tests/lib.sh
. "${srcdir:-.}/tests/lib.sh"
requires_root
requires ip socat jq
agent=$builddir/clusnap-agent
[ -x "$agent" ] || skip "clusnap-agent is not built"

inside=cs$$-in outside=cs$$-out
for name in "$inside" "$outside"; do
    ip netns add "$name"
    on_exit ip netns delete "$name"
done
ip -n "$inside" link add eth type veth peer name eth netns "$outside"
for name in "$inside" "$outside"; do
    ip -n "$name" link set lo up
    ip -n "$name" link set eth up
done
ip -n "$inside" address add 10.77.0.1/24 dev eth
ip -n "$outside" address add 10.77.0.2/24 dev eth
ip -n "$inside" -6 address add fd00:77::1/64 dev eth nodad
ip -n "$outside" -6 address add fd00:77::2/64 dev eth nodad
# One that is another node's is not announced.
ip -n "$outside" -6 address add fd00:77::9/64 dev eth nodad
ip -n "$inside" -6 address add fd00:77::9/64 dev eth
mac=$(ip -n "$inside" -j link show eth | jq -r '.[0].address')

settled() {
    ip -n "$inside" -6 address show dadfailed | grep -q fd00:77::9 && ip -n "$inside" -6 address show scope link -tentative | grep -q inet6
}
wait_for 30 settled || fail "the addresses do not settle: $(ip -n "$inside" -6 address)"
for address in 10.77.0.1 fd00:77::1; do
    ip -n "$outside" neighbour replace "$address" lladdr 02:00:00:00:00:99 dev eth nud stale
done

# The agent takes a listening socket for its port; "clock" is left alone, no time is said.
requests() {
    sleep 1
    printf '\n{"execute":"hello","id":1,"version":1}\n'
    sleep 1
    printf '{"execute":"after-restore","id":2,"deadline":10000}\n'
    sleep 3
}
mkdir "$tmp/hooks"
requests | socat - "UNIX-LISTEN:$tmp/port" >"$tmp/answers" &
host=$!
wait_for 10 test -S "$tmp/port"
ip netns exec "$inside" "$agent" --keep-clock --port "$tmp/port" --socket "$tmp/participants" --hooks "$tmp/hooks" &
on_exit kill $!
wait "$host" || true
cat "$tmp/answers" >&2
# The link-local address as well.
[ "$(jq -s '.[] | select(.id == 2) | .return.announced' "$tmp/answers")" = 3 ] || fail "not three addresses were announced"
for address in 10.77.0.1 fd00:77::1; do
    ip -n "$outside" neighbour show "$address" | grep -q "lladdr $mac" ||
        fail "the neighbour was not told of $address: $(ip -n "$outside" neighbour)"
done
