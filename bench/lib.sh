# shellcheck shell=bash
# What the scripts of bench/ share; on top of tests/lib.sh.  To be sourced:
#
#     . "$(dirname "$0")/lib.sh"
#
# Run a bench by `make bench`, or by hand from the build directory (srcdir defaults to the script's
# tree, builddir to the current directory): ../bench/pause [--json].
#
#   bench_begin NAME "WHAT" ARG...  takes --json, --rounds N (option_rounds), prints the heading
#   rounds_of N ARG...              sets $rounds: the first of ARGs if it is a number, else N; the rest is $more
#   random_sleep LOW HIGH           seconds
#   round_check                     checks the cut: $result, and counts $violations
#   section TEXT
#   figure KEY "TEXT" VALUE UNIT [LIMIT]     a line of the table; with LIMIT "within" or "EXCEEDED"
#   ratio KEY "TEXT" A B [LIMIT]             A / B
#   machine                         cores, kernel, QEMU
#   watch_start                     records STOP and RESUME of all nodes of the cluster
#   watch_mark                      forgets what came until now
#   watch_pauses last|all|micro     prints the pauses (us) since the mark: of every VM its last one, all
#                                   of them, or all but the last
#   watch_stop
#   statistics                      stdin: numbers; prints "COUNT MEDIAN MAX" ("0 0 0" of none)
#   guests_wait                     until every guest runs its programs
#   guest_report I VERB             sends VERB (report, reset, stop, go) to dirty in guest I, prints
#                                   its JSON answer
#   quietly COMMAND...              shows the command's output only when it fails
#   snapshot_create CLUSTER NAME    leaves the report in $tmp/report.json
#   field NAME                      a number of the last report
# Figures never fail a bench: it ends with an error only when it could not measure.

srcdir=${srcdir:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}
# shellcheck source=tests/lib.sh
. "$srcdir/tests/lib.sh"

bench_name=
bench_json=no
option_rounds=

bench_begin() {
    local what=$2
    bench_name=$1
    shift 2
    while [ $# -gt 0 ]; do
        case $1 in
        --json) bench_json=yes ;;
        --rounds)
            [ $# -ge 2 ] || fail "$bench_name: --rounds needs a number"
            shift
            option_rounds=$1
            ;;
        *)
            echo "usage: bench/$bench_name [--json] [--rounds N]" >&2
            exit 2
            ;;
        esac
        shift
    done
    case $option_rounds in
    *[!0-9]*) fail "$bench_name: '$option_rounds' is no number" ;;
    esac
    journal_in_memory
    printf '== %s: %s\n' "$bench_name" "$what"
    machine
}

# As on a host that was booted: clusnapd's journal lies below /run there.
journal_in_memory() {
    local journal=$clusnapd_directory/journal
    mkdir -p "$journal"
    mount -t tmpfs -o mode=0700 clusnap-bench "$journal"
    on_exit umount "$journal"
}

random_sleep() {
    sleep "$(awk -v low="$1" -v high="$2" -v seed="$RANDOM$RANDOM" \
        'BEGIN { srand(seed); print low + rand() * (high - low) }')"
}

rounds_of() {
    rounds=$1
    shift
    case ${1:-} in
    '' | --*) ;;
    *[!0-9]*) fail "'$1' is no number" ;;
    *)
        rounds=$1
        shift
        ;;
    esac
    # shellcheck disable=SC2034
    more=("$@")
}

violations=0
round_check() {
    # shellcheck disable=SC2034
    result=consistent
    if ! cluster_check --wait-progress 20 >"$tmp/check.out" 2>&1; then
        result=VIOLATION
        violations=$((violations + 1))
        cat "$tmp/check.out" >&2
    fi
}

machine() {
    local load
    read -r load _ </proc/loadavg
    printf '   machine: %s cores, Linux %s, %s, accel %s, load %s at the start\n' "$(nproc)" \
        "$(uname -r)" "$(qemu-system-x86_64 --version | head -n 1 | sed 's/ (.*//')" \
        "${BENCH_ACCEL:-tcg}" "$load"
}

section() {
    printf '\n   %s\n' "$*"
}

# verdict VALUE LIMIT
verdict() {
    awk -v value="$1" -v limit="$2" 'BEGIN { print value <= limit ? "within" : "EXCEEDED" }'
}

figure() {
    local key=$1 text=$2 value=$3 unit=$4 limit=${5:-} mark=
    if [ -n "$limit" ]; then
        mark=$(printf '   limit %s: %s' "$limit" "$(verdict "$value" "$limit")")
    fi
    printf '   %-58s %12s %-5s%s\n' "$text" "$value" "$unit" "$mark"
    if [ "$bench_json" = yes ]; then
        jq -cn --arg bench "$bench_name" --arg key "$key" --arg unit "$unit" --arg limit "$limit" \
            --argjson value "$value" '{bench: $bench, figure: $key, value: $value, unit: $unit}
                + if $limit == "" then {} else {limit: ($limit | tonumber),
                    within: ($value <= ($limit | tonumber))} end'
    fi
}

ratio() {
    local value
    value=$(awk -v a="$3" -v b="$4" 'BEGIN { printf "%.2f", (b > 0 ? a / b : 0) }')
    figure "$1" "$2" "$value" x "${5:-}"
}

# ms US: microseconds as milliseconds
ms() {
    awk -v us="$1" 'BEGIN { printf "%.2f", us / 1000 }'
}

mib() {
    awk -v bytes="$1" 'BEGIN { printf "%.2f", bytes / 1048576 }'
}

statistics() {
    sort -n | awk '{ v[NR] = $1 }
        END { if (NR == 0) print "0 0 0"; else printf "%d %d %d\n", NR, v[int((NR + 1) / 2)], v[NR] }'
}

# pause_figures KEY TEXT: of the numbers on stdin; leaves them in $median and $max.
pause_figures() {
    local count
    read -r count median max < <(statistics)
    figure "$1-median" "$2, median of $count" "$(ms "$median")" ms
    figure "$1-max" "$2, max" "$(ms "$max")" ms
}

# ---- events: the times are QEMU's own ----

watch_start() {
    local i
    watch_pids=()
    for i in $(cluster_nodes); do
        : >"$tmp/$i.events"
        socat -,ignoreeof "UNIX-CONNECT:$cluster_directory/$i.events" \
            <<<'{"execute":"qmp_capabilities"}' >"$tmp/$i.events" 2>/dev/null &
        watch_pids+=($!)
        on_exit watch_end $!
    done
    for i in $(cluster_nodes); do
        wait_for 10 grep -q return "$tmp/$i.events" || fail "node $i does not report its events"
    done
    watch_mark
}

watch_end() {
    if [ "$(cat "/proc/$1/comm" 2>/dev/null)" = socat ]; then
        kill "$1"
        wait "$1" 2>/dev/null || true
    fi
}

watch_stop() {
    local pid
    for pid in "${watch_pids[@]}"; do
        watch_end "$pid"
    done
}

watch_mark() {
    local i
    sleep 0.05
    for i in $(cluster_nodes); do
        wc -l <"$tmp/$i.events" >"$tmp/$i.mark"
    done
}

# What one VM was paused since the mark, in order.
watch_of() {
    tail -n "+$(($(cat "$tmp/$1.mark") + 1))" "$tmp/$1.events" | jq -r '
        select(.event == "STOP" or .event == "RESUME")
        | "\(.event) \(.timestamp.seconds * 1000000 + .timestamp.microseconds)"' |
        awk '$1 == "STOP" { at = $2 } $1 == "RESUME" && at { print $2 - at; at = 0 }'
}

watch_pauses() {
    local i
    sleep 0.1
    for i in $(cluster_nodes); do
        case $1 in
        last) watch_of "$i" | tail -n 1 ;;
        micro) watch_of "$i" | head -n -1 ;;
        all) watch_of "$i" ;;
        esac
    done
}

# ---- guests ----

# Like cluster_wait, with patience: a busy machine spoils figures, but should not end a bench.
guests_wait() {
    local i
    for i in $(cluster_nodes); do
        wait_for 300 guest_is_ready "$i" || fail "guest $i did not come up"
    done
}

# A request that got lost on the serial port is repeated.
guest_answers() {
    local i
    vm_request "$1" "$2 $3"
    for i in 1 2 3 4 5 6 7 8 9 10; do
        ! grep -aq "\"reply\":\"$3\"" "$cluster_directory/$1.log" || return 0
        sleep 0.3
    done
    return 1
}

guest_report() {
    local id=$RANDOM$RANDOM
    wait_for 60 guest_answers "$1" "$2" "$id" || fail "guest $1 does not answer '$2'"
    grep -a "\"reply\":\"$id\"" "$cluster_directory/$1.log" | head -n 1 |
        sed 's/^DIRTY //; s/ #[0-9a-f]*\r*$//'
}

# ---- clusnap ----

# quietly COMMAND...: its output is shown only when it fails.
quietly() {
    "$@" >"$tmp/quietly" 2>&1 || {
        cat "$tmp/quietly" >&2
        fail "'$*' failed"
    }
}

# snapshot_create CLUSTER NAME: leaves the report in report.json.
snapshot_create() {
    clusnap snapshot create "$1" "$2" -f json >"$tmp/report.json" 2>"$tmp/report.err" || {
        cat "$tmp/report.err" >&2
        tail -n 20 "$clusnapd_directory/clusnapd.log" >&2
        fail "snapshot '$2' of cluster '$1' failed"
    }
}

# field NAME: of the last report, a number.
field() {
    jq -r --arg name "$1" '.[$name] // 0' "$tmp/report.json"
}
