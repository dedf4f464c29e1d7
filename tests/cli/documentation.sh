#!/bin/bash
# --help, the manual pages, the completion and the daemon's --help say the same.
# shellcheck disable=SC2119
# shellcheck source=tests/cli/common.sh
. "${srcdir:?}/tests/cli/common.sh"
# shellcheck disable=SC2154

mkdir "$work/help" "$work/man"

commands() {
    "$clusnap" --help | sed -n '/^Commands:/,/^$/p' | sed -n 's/^  \([a-z]* \{0,1\}[a-z]*\)  .*/\1/p' | sed 's/ *$//'
}

# One line per fact: command, summary, option with its text, columns.
facts_of_help() {
    awk '
        /^Usage: / { sub(/^Usage: clusnap /, ""); sub(/ \[OPTION...\]/, ""); print "command " $0; next }
        /^Options:/ { section = "option"; next }
        /^Global options:/ { section = "global"; next }
        /^Columns:/ { section = "columns"; next }
        section == "columns" { sub(/^ */, ""); print "columns " $0; next }
        /^  +-/ { sub(/^ */, ""); option = $0; next }
        option != "" { sub(/^ */, ""); print section " " option ": " $0; option = ""; next }
        section == "" && NF { print "summary " $0 }'
}

facts_of_man() {
    awk '
        function flush() {
            if (what != "") print what (what ~ /:$/ ? " " : " ") text
            what = text = ""
        }
        /^\.Sh / { flush(); part = ($2 == "COMMANDS") ? "option" : ($2 == "GLOBAL") ? "global" : ""; next }
        part == "" { next }
        /^\.Ss / { flush(); sub(/^\.Ss /, ""); sub(/\\&$/, ""); print "command " $0; what = "summary"; next }
        /^\.It Fl / {
            flush()
            sub(/^\.It Fl /, ""); sub(/ Ar /, " ")
            if (sub(/ , -/, ", --")) sub(/^/, "-"); else sub(/^/, "-")
            what = part " " $0 ":"
            next
        }
        /^\./ { flush(); next }
        /^Columns:/ { flush(); what = "columns"; sub(/^Columns: /, "") }
        # Only the first sentence is the summary.
        what == "summary" && text != "" { flush(); next }
        what != "" { text = text (text != "" ? " " : "") $0 }
        END { flush() }' "$srcdir/man/clusnap.1"
}

facts_of_man >"$work/man/all"
sed -n '/^global /p' "$work/man/all" | sort >"$work/man/global"
grep -v '^global ' "$work/man/all" >"$work/man/commands"

commands >"$work/commands"
[ "$(wc -l <"$work/commands")" -ge 14 ] || fail "--help lists too few commands"
while read -r noun verb; do
    "$clusnap" "$noun" ${verb:+"$verb"} --help </dev/null | facts_of_help >"$work/help/one"
    grep -v '^global ' "$work/help/one" >>"$work/help/commands"
    sed -n '/^global /p' "$work/help/one" | sort >"$work/help/global"
    cmp -s "$work/help/global" "$work/man/global" ||
        fail "global options: $(diff "$work/help/global" "$work/man/global")"
    # The completion's options of this command.
    got=$(bash -c '. "$1"; _clusnap_operands=("$2" ${3:+"$3"}); _clusnap_options | head -n -1' sh \
        "$srcdir/completions/clusnap" "$noun" "${verb:-}" | tr ' ' '\n' | sed '/^$/d' | sort | tr '\n' ' ')
    options=$(sed -n 's/^option \(--[a-z-]*\).*/\1/p' "$work/help/one" | sort | tr '\n' ' ')
    [ "$got" = "$options" ] || fail "completion of '$noun ${verb:-}': '$got', not '$options'"
done <"$work/commands"
cmp -s "$work/help/commands" "$work/man/commands" ||
    fail "clusnap.1 and --help differ: $(diff "$work/help/commands" "$work/man/commands")"

# The completion knows all commands, all global options, and which of them take an argument.
completion() {
    bash -c '. "$1"; eval "echo \"\$$2\""' sh "$srcdir/completions/clusnap" "$1" | tr ' ' '\n' | sed '/^$/d'
}
[ "$(bash -c '. "$1"; echo "$_clusnap_commands"' sh "$srcdir/completions/clusnap" |
    awk 'NF { print $2 == "-" ? $1 : $1 " " $2 }')" = "$(cat "$work/commands")" ] ||
    fail "the completion's commands differ"
[ "$(completion _clusnap_global)" = \
    "$("$clusnap" --help | sed -n '/^Global/,$s/^  .*\(--[a-z-]*\).*/\1/p')" ] ||
    fail "the completion's global options differ"
{ "$clusnap" --help && while read -r noun verb; do
    "$clusnap" "$noun" ${verb:+"$verb"} --help </dev/null
done <"$work/commands"; } | sed -n 's/^  *\(-.\), \(--[a-z-]*\) .*/\1 \2/p; s/^  *\(--[a-z-]*\) .*/\1/p' |
    tr ' ' '\n' | sort -u >"$work/arguments"
[ "$(completion _clusnap_with_argument | sort)" = "$(cat "$work/arguments")" ] ||
    fail "the completion's options with an argument differ"

# complete WORD...: what bash would offer for the last word
complete_words() {
    # shellcheck disable=SC2016
    PATH="$builddir:$PATH" bash -c '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _clusnap
        echo "${COMPREPLY[*]}"' sh "$srcdir/completions/clusnap" "$@"
}
offers() {
    wanted=$1
    shift
    got=$(complete_words "$@")
    [ "$got" = "$wanted" ] || fail "completion of '$*' offers '$got', not '$wanted'"
}
start_fake
expect 0 cluster create demo vm1
expect 0 cluster create other vm1
expect 0 snapshot create demo -q
expect 0 snapshot create demo -q
offers "cluster snapshot restore rollback recover deps store daemon" clusnap ""
offers "snapshot" clusnap -f json sn
offers "create list show set delete" clusnap cluster ""
offers "demo other" clusnap cluster show ""
offers "demo other" clusnap cluster set ""
offers "policy=" clusnap cluster set demo po
offers "demo other" clusnap restore ""
offers "other" clusnap snapshot list o
offers "s1 s2" clusnap restore demo ""
offers "demo other" clusnap rollback ""
offers "s1 s2" clusnap rollback demo ""
offers "--only" clusnap rollback --o
offers "demo other" clusnap recover ""
offers "--failed" clusnap recover --fa
offers "coordinated independent group" clusnap cluster create --policy ""
offers "demo other" clusnap deps ""
offers "s1 s2" clusnap snapshot --store "$work/store" show demo ""
offers "table json value" clusnap cluster list -f ""
offers "table json value dot" clusnap deps demo -f ""
offers "table json value dot" clusnap recover demo --dry-run -f ""
offers "--eager" clusnap restore --e
offers "--dry-run" clusnap store gc --d
offers "cluster cluster-pause" clusnap snapshot create -c cl

# The daemons' options, where they are built.
for daemon in clusnapd clusnap-agent; do
    [ -x "$builddir/$daemon" ] || continue
    "$builddir/$daemon" --help | sed -n 's/^  .*\(--[a-z-]*\).*/\1/p' | sort >"$work/help/daemon"
    sed -n 's/^\.It Fl \(. , \)\{0,1\}-\([a-z-]*\).*/--\2/p' "$srcdir/man/$daemon.8" | sort >"$work/man/daemon"
    cmp -s "$work/help/daemon" "$work/man/daemon" ||
        fail "$daemon.8 and --help differ: $(diff "$work/help/daemon" "$work/man/daemon")"
done

# The cluster file of the manual is a good one, and all keys are told of.
sed -n '/^\.Bd -literal/,/^\.Ed/p' "$srcdir/man/clusnap-cluster.5" | sed '/^\./d' >"$work/example.yaml"
sed -i 's/^name: demo$/name: example/' "$work/example.yaml"
expect 0 cluster create example --file "$work/example.yaml"

# Exit statuses are those of the errors.
sed -n 's/^  X ([A-Z_]*, "\([a-z-]*\)", \([0-9]*\)).*/\2 \1/p' "$srcdir/common/error.h" | tail -n +2 >"$work/help/errors"
sed -n '/^\.Sh EXIT STATUS/,/^\.El/p' "$srcdir/man/clusnap.1" |
    awk '/^\.It/ { n = $2; next } n > 1 && n < 128 && /:/ { sub(/:.*/, ""); print n " " $0 }' >"$work/man/errors"
cmp -s "$work/help/errors" "$work/man/errors" || fail "exit statuses: $(diff "$work/help/errors" "$work/man/errors")"

if command -v mandoc >/dev/null; then
    mandoc -Tlint -W warning "$srcdir"/man/clusnap.1 "$srcdir"/man/clusnapd.8 "$srcdir"/man/clusnap-cluster.5 \
        "$srcdir"/man/clusnap-agent.8 \
        "$srcdir"/man/clusnap-nbdkit-plugin.1 >"$work/out" ||
        fail "mandoc complains"
fi
