# shellcheck shell=bash
# What the tests of faults share; after tests/lib.sh:
#
#   . "${srcdir:-.}/tests/lib-faults.sh"
#
#   faults_cluster NAME [KEY=VALUE...]   a small cluster of 2 bare QEMUs under the probe (keys: cluster_start), as
#                           cluster "c" in a store.  Starts no clusnapd.  Node I's QMP socket I.watch is free for
#   watch_start             which records every event of every node in I.moments (QMP's JSON lines), from now on;
#                           again after a QEMU was started again
#   moments I EVENT         the times (us) of node I's events of that name, in order
#   must_fail STATUS TEXT COMMAND...   runs it; fails unless its status is STATUS (- for any but 0) and TEXT is in its
#                           standard error, which stays in $tmp/said
#   daemon_start            clusnapd_start, so that arm POINT:KIND and disarm work
#   daemon_dies             waits until clusnapd has ended by itself
#   all_run                 every node runs: now, or when what stands in a micro-pause has been resumed
#   nothing_left [SNAPSHOT] every node runs; nothing of clusnap's is in any QEMU but at most one bitmap per disk; the
#                           journal is empty; no snapshot is damaged, and none is called SNAPSHOT
#   nothing_at_all          the same, and no bitmap either
#   snapshot NAME [kind]    a snapshot that must succeed; kind: incremental or full, checked for all VMs
#   hangs FAULT NAME [ARG...]   clusnap with that fault takes snapshot NAME in the background: $hung; returns when the
#                           daemon is at it.  end_hung PID ends it
#   come_back SNAPSHOT [ARG...]   kills all nodes, restores with ARGs, and checks the cut
#   rpc_open, rpc METHOD [PARAMS], rpc_close   speaks to clusnapd by hand: prints the result, or the error's code and
#                           message, and is false then; rpc_send and rpc_answer are its two halves

# shellcheck source=tests/lib.sh
. "${srcdir:-.}/tests/lib.sh"

faults_cluster() {
    local name=$1
    shift
    requires_root
    requires jq ip socat
    cluster_start "$name" 2 memory=128 run=probe 'options=dirty=4 table=16' disks=qcow2:writeback \
        'extra=-qmp unix:@BASE@.watch,server=on,wait=off' "$@"
    cluster_wait
}

faults_store() {
    clusnap store init >/dev/null
    clusnap_cluster_of_nodes c
}

declare -A watch_pids=()

# watch_answered BASE: how often a watch has begun there.
watch_answered() {
    grep -c '"return"' "$1.moments" || true
}

watch_has_begun() {
    [ "$(watch_answered "$1")" -gt "$2" ]
}

# A fifo that stays open for writing: socat sees no end of its input.
watch_start() {
    local i base before
    for i in $(cluster_nodes); do
        base=$cluster_directory/$i
        if [ -n "${watch_pids[$i]:-}" ]; then
            kill "${watch_pids[$i]}" 2>/dev/null || true
        fi
        [ -p "$base.fifo" ] || mkfifo "$base.fifo"
        exec {watch_fd}<>"$base.fifo"
        touch "$base.moments"
        before=$(watch_answered "$base")
        printf '%s\n' '{"execute":"qmp_capabilities"}' >&"$watch_fd"
        socat - "UNIX-CONNECT:$base.watch" <&"$watch_fd" >>"$base.moments" 2>/dev/null &
        watch_pids[$i]=$!
        disown $!
        exec {watch_fd}>&-
        wait_for 10 watch_has_begun "$base" "$before" || fail "node $i cannot be watched"
    done
}

watch_stop() {
    local pid
    for pid in "${watch_pids[@]}"; do
        kill "$pid" 2>/dev/null || true
    done
}
on_exit watch_stop

moments() {
    jq -r "select(.event == \"$2\") | .timestamp | .seconds * 1000000 + .microseconds" \
        "$cluster_directory/$1.moments"
}

must_fail() {
    local wanted=$1 text=$2 status=0
    shift 2
    "$@" >"$tmp/out" 2>"$tmp/said" || status=$?
    cat "$tmp/said" >&2
    case $wanted in
    -) [ "$status" -ne 0 ] || fail "'$*' succeeded" ;;
    *) [ "$status" -eq "$wanted" ] || fail "'$*' ended with $status, not $wanted" ;;
    esac
    [ -z "$text" ] || grep -qF -- "$text" "$tmp/said" || fail "'$*' did not say '$text'"
}

# Read by the clusnapd of daemon_start whenever it reaches a fault point.
fault_file=$tmp/fault

daemon_start() {
    clusnapd_start "CLUSNAP_FAULT=@$fault_file"
}

arm() {
    printf '%s' "$1" >"$fault_file.new"
    mv "$fault_file.new" "$fault_file"
}

disarm() {
    rm -f "$fault_file"
}

daemon_dies() {
    wait_for 30 clusnapd_has_ended || fail "clusnapd has not died"
    clusnapd_pid=
}

# facts I: in one conversation, "status running" and what clusnap has in that QEMU, one per line; bitmaps as
# "bitmap DISK".
# shellcheck disable=SC2016
facts_filter='
    if .id == "status" then "status \(.return.status)"
    elif .id == "exports" then .return[].id | select(startswith("clusnap"))
    elif .id == "jobs" then .return[].device | select(startswith("clusnap"))
    elif .id == "fdsets" then .return[] | "fdset \(.["fdset-id"])"
    elif .id == "nodes" then .return[]
        | (.["node-name"] | select(startswith("clusnap"))),
          (.["node-name"] as $node | .["dirty-bitmaps"] // [] | .[]
           | select(.name // "" | startswith("clusnap")) | "bitmap \($node)")
    else empty end'

facts() {
    local line in out pid
    coproc socat - "UNIX-CONNECT:$cluster_directory/$1.events" 2>/dev/null
    in=${COPROC[0]} out=${COPROC[1]} pid=$COPROC_PID
    {
        printf '{"execute":"qmp_capabilities"}\n'
        printf '{"execute":"%s","id":"%s"}\n' query-status status query-block-exports exports query-block-jobs jobs \
            query-fdsets fdsets
        printf '{"execute":"query-named-block-nodes","arguments":{"flat":true},"id":"nodes"}\n'
    } >&"$out"
    while read -r -t 60 line <&"$in"; do
        printf '%s\n' "$line"
        case $line in
        *'"id": "nodes"'*) break ;;
        esac
    done >"$tmp/facts"
    exec {out}>&-
    wait "$pid" 2>/dev/null || true
    jq -r "$facts_filter" "$tmp/facts"
}

runs() {
    [ "$(vm_status "$1")" = running ]
}

# The end of a fill stands for a moment, again and again.
all_run() {
    local i
    for i in $(cluster_nodes); do
        wait_for 10 runs "$i" || fail "node $i does not run but is '$(vm_status "$i")'"
    done
}

# raised I: how many threads of node I go before others (vmm/pause-priority.h).
raised() {
    local pid
    pid=$(vm_pid "$1")
    # The 41st field is the policy, the 2nd a name in parentheses; SCHED_RR with SCHED_RESET_ON_FORK is told as SCHED_RR.
    sed 's/.*) //' /proc/"$pid"/task/*/stat 2>/dev/null | awk '$39 == 2 { n++ } END { print n + 0 }'
}

nothing_in_qemus() {
    local i things
    for i in $(cluster_nodes); do
        things=$(facts "$i")
        grep -qx 'status running' <<<"$things" || fail "node $i does not run: $things"
        if grep -v '^bitmap ' <<<"$things" | grep -vx 'status running'; then
            fail "the above is left in node $i"
        fi
        [ -z "$(sort <<<"$things" | uniq -d)" ] || fail "more than one bitmap is left in node $i: $things"
        if [ "$1" = none ] && grep '^bitmap ' <<<"$things"; then
            fail "a bitmap is left in node $i"
        fi
        [ "$(raised "$i")" -eq 0 ] || fail "threads of node $i are raised still"
    done
}

nothing_in_the_store() {
    clusnap snapshot list -f json >"$tmp/list"
    if [ -n "$1" ] && jq -e --arg name "$1" '.. | objects | select(.snapshot == $name)' "$tmp/list" >/dev/null; then
        fail "snapshot '$1' is listed: $(cat "$tmp/list")"
    fi
    if grep -q damaged "$tmp/list"; then
        fail "a snapshot is damaged: $(cat "$tmp/list")"
    fi
}

nothing_in_the_journal() {
    local i
    for ((i = 0; i < 600; i++)); do
        compgen -G "$clusnapd_directory/journal/*" >/dev/null || return 0
        sleep 0.1
    done
    fail "the journal is not empty: $(ls "$clusnapd_directory/journal"); $(tail -n 5 "$clusnapd_directory/clusnapd.log")"
}

# The journal first: while memory is arriving a look may meet a micro-pause.  Without an entry nobody of ours may have
# stopped anything.
nothing_left() {
    nothing_in_the_journal
    nothing_in_qemus "${2:-one}"
    nothing_in_the_store "${1:-}"
}

nothing_at_all() {
    nothing_left "${1:-}" none
}

snapshot() {
    local incremental
    clusnap -q snapshot create c "$1" -f json >"$tmp/created.json"
    [ -n "${2:-}" ] || return 0
    incremental=false
    [ "$2" = full ] || incremental=true
    jq -e --argjson wanted "$incremental" '[.vms[].incremental] | length > 0 and all(. == $wanted)' \
        "$tmp/created.json" >/dev/null || fail "snapshot '$1' is not $2: $(cat "$tmp/created.json")"
}

hangs() {
    local fault=$1
    shift
    (exec env "CLUSNAP_FAULT=$fault" "$builddir/clusnap" -q --socket "$clusnapd_directory/sock" \
        --state-dir "$clusnapd_directory/state" --store "${clusnap_store:-$tmp/store}" snapshot create c "$@" \
        >/dev/null 2>"$tmp/said") &
    hung=$!
    on_exit end_hung "$hung"
    wait_for 30 compgen -G "$clusnapd_directory/journal/*" >/dev/null || fail "the snapshot does not begin"
}

end_hung() {
    kill -9 "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

kill_all() {
    local i
    for i in $(cluster_nodes); do
        vm_kill "$i"
    done
}

come_back() {
    local name=$1
    shift
    kill_all
    clusnap -q restore c "$name" "$@" -f json >"$tmp/restored.json"
    cluster_check --wait-progress 10
}

rpc_id=0

rpc_open() {
    coproc RPC { exec socat -t 100 - "UNIX-CONNECT:$clusnapd_directory/sock"; }
    # shellcheck disable=SC2153
    rpc_pid=$RPC_PID rpc_in=${RPC[0]} rpc_out=${RPC[1]}
}

rpc_close() {
    kill "$rpc_pid" 2>/dev/null || true
    wait "$rpc_pid" 2>/dev/null || true
}

rpc_send() {
    rpc_id=$((rpc_id + 1))
    printf '{"id":%d,"method":"%s","params":%s}\n' "$rpc_id" "$1" "${2:-{\}}" >&"$rpc_out"
}

rpc_answer() {
    local line
    while read -r -t 60 line <&"$rpc_in"; do
        case $line in
        *'"event"'*) continue ;;
        esac
        if [ "$(jq 'has("result")' <<<"$line")" = true ]; then
            jq -c .result <<<"$line"
            return 0
        fi
        jq -r '"\(.error.code): \(.error.message)"' <<<"$line"
        return 1
    done
    fail "clusnapd does not answer"
}

rpc() {
    rpc_send "$@"
    rpc_answer
}

# The parameters of snapshot.begin for all nodes; more members may follow.
rpc_begin() {
    local i vms=
    for i in $(cluster_nodes); do
        vms+=${vms:+,}"{\"name\":\"vm$i\",\"qmp\":\"$cluster_directory/$i.qmp\"}"
    done
    rpc snapshot.begin "{\"store\":\"$tmp/store\",\"cluster\":\"c\",\"snapshot\":\"$1\",\"vms\":[$vms]${2:+,$2}}" >/dev/null
}
