#!/bin/sh
# `clusnap deps`: the graph as a table, as JSON and for Graphviz; what other commands say of dependencies.
# shellcheck source=tests/cli/common.sh
. "${srcdir:?}/tests/cli/common.sh"

expect 3 deps nowhere
expect 0 cluster create demo vm1 vm2 vm3
expect 2 deps
# Two that depend on each other, and one without counters that depends on the first; the rest lies before a snapshot.
start_fake 'deps.show=result:{"vms":[
    {"name":"vm1","running":true,"counted":true,"sequence":3,"line":[],
     "dependencies":[{"vm":"vm2","interval":3,"sources":["flows"],"recent":["flows"],"frames":12}]},
    {"name":"vm2","running":true,"counted":true,"sequence":3,"line":[],
     "dependencies":[{"vm":"vm1","interval":3,"sources":["agent","flows"],"recent":["agent","flows"],"frames":10}]},
    {"name":"vm3","running":false,"counted":false,"problem":"it has no tap","sequence":3,"line":[],
     "dependencies":[{"vm":"vm1","interval":3,"sources":["agent"],"recent":["agent"]},
                     {"vm":"vm2","interval":1,"sources":["flows"]}]}]}'

expect 0 deps demo
for text in both forward flows agent "it has no tap" 12 10; do
    out_has "$text"
done

expect 0 deps demo -f json
[ "$(jq -c '[.dependencies[] | [.from, .to, .direction, .sources, .frames]]' "$work/out")" = \
    '[["vm1","vm2","both",["agent","flows"],10],["vm1","vm3","forward",["agent"],0]]' ] ||
    fail "the edges: $(cat "$work/out")"
# What lies before the last snapshot is no edge.
if jq -e '.dependencies[] | select(.from == "vm2" and .to == "vm3")' "$work/out" >/dev/null; then
    fail "an old dependency is drawn"
fi

expect 0 deps demo -f dot
out_has '"vm1" -> "vm2" [dir=both, label="agent, flows\n22 frames"];'
out_has '"vm1" -> "vm3" [dir=forward, label="agent"];'
out_has '"vm3" [style=dashed];'
if command -v dot >/dev/null; then
    dot -Tplain "$work/out" >"$work/plain" || fail "Graphviz does not take the graph"
    [ "$(grep -c ^edge "$work/plain")" = 2 ] || fail "Graphviz sees other edges"
fi
expect 2 snapshot list -f dot
err_has "only 'clusnap deps' and 'clusnap recover --dry-run' print a graph"
expect 2 deps demo -f graph

start_fake 'deps.show=result:{"vms":[{"name":"a\"b\\","dependencies":[]},{}]}'
expect 0 deps demo -f dot
out_has '"a\"b\\"'
start_fake 'deps.show=result:{}'
expect 0 deps demo
start_fake deps.show=error:failed:no
expect 1 deps demo

# Snapshots.
start_fake
expect 0 snapshot show demo s1
out_has "Depends on"
out_has "flows, agent"

# A cluster that is deleted is not counted any more, and can be deleted without a daemon.
expect 0 cluster delete demo
journal_has "D< deps.forget" || fail "the daemon was not told"
stop_fake
expect 0 cluster create demo vm1
expect 0 cluster delete demo
