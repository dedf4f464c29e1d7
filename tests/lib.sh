# shellcheck shell=bash
# The shell library of the system tests, the bench and the demo.  Bash; to be sourced:
#
#     . "${srcdir:-.}/tests/lib.sh"
#
# With CLUSNAP_TESTS=unit whatever sources it is skipped.  It sets -eu and pipefail, and the traps that run the cleanup stack.  $srcdir and $builddir are
# the tree's (make check sets them; by hand: from the build directory, builddir=$PWD).
#
# Results and requirements
#   fail TEXT                  ends the test as failed
#   skip TEXT                  ends it as skipped (77), saying why
#   note TEXT                  a line on stderr
#   test_parts "A B" "C D"     the parts of a long test that are to run: all, or A and B where $CLUSNAP_TEST_QUICK is
#                              set, or those that $CLUSNAP_TEST_PARTS names
#   requires COMMAND...        skips unless all of them are there
#   requires_root              skips unless root
#   on_exit COMMAND ARG...     pushes onto the cleanup stack; runs last in, first out, also on signals
#   wait_for SECONDS COMMAND   polls COMMAND until it succeeds; false after SECONDS
#   overlay_of FILE            the file that the guest works on while its disk FILE is filled aside (vmm/lazy-aside.h), else
#                              FILE
#   $tmp                       a fresh directory /tmp/clusnap-test-*, removed at the end; others may
#                              pass through it (libvirt-qemu must reach its disks)
#
# The demo guest
#   guest_build                builds $builddir/guest (once; safe in parallel) or skips
#   $guest_directory           vmlinuz and initramfs.cpio.gz
#
# A cluster of bare QEMUs.  One per test; node I of N, from 0.
#   cluster_start NAME N [KEY=VALUE...]   makes the network and starts all nodes; keys:
#       memory=256             MiB
#       backend=anonymous      or memfd (shared memory)
#       run=probe              what the guest runs (images/guest/init); several words: one per node, the last one for all
#                              further ones
#       agent=no               qga: QEMU's guest agent can run in the guest (run=qga,...), with its port
#       clocksource=hpet       of the guest; several words: one per node, the last one for all further ones
#       options=               more clusnap.* options of the guest, blank-separated, e.g. "dirty=20"
#       disks="raw:none qcow2:writeback"      of each disk FORMAT:CACHE[:OPTION...]; empty: none.  FORMAT: raw,
#                              qcow2, qcow2+backing (above a raw image with content), or iso (a CD-ROM on virtio-scsi);
#                              CACHE: none, writeback or unsafe; OPTION: scsi (virtio-scsi, else virtio-blk), ro
#                              (read-only, with content), discard (the guest's discards reach the file)
#       disk_size=64M
#       throttle=200           iops of each disk, so that requests are in flight all the time; set by
#                              QMP (so not in a QEMU that others started); 0: none
#       network=netns          or host (bridge and taps in the host's namespace), or none
#       net=10.99.0            the guests' addresses are net.(10+I)
#       groups=                sizes, as "3 2": the first three nodes talk with each other only, the next two likewise,
#                              each group as nodes 0, 1, ... of a net of its own (10.99.0, 10.99.1), on one bridge
#       accel=tcg, smp=1
#       extra=                 more arguments of QEMU, blank-separated; @BASE@ is $cluster_directory/I
#   cluster_wait               until every guest runs its programs
#   cluster_stop               ends all nodes (also those that somebody restarted); keeps the files
#   cluster_exec COMMAND...    runs it in the cluster's network namespace (a daemon that restarts
#                              nodes must run there, their taps are there)
#   cluster_nodes              "0 1 2"
#   cluster_check ARG...       cut-check with NODE=SOCKET of all nodes
#   cluster_check_group G ARG...   the same of the nodes of group G (0, 1, ...), numbered within it
#   $cluster_directory         and in it, for each node I: I.qmp, I.events (two QMP sockets; the
#                              library uses I.events, for moments), I.serial (socket), I.log (all
#                              that came out of it), I.agent (org.clusnap.agent.0), I.pid, I.argv (NUL-
#                              separated), I.disk0.raw, I.disk1.qcow2 ...
#   vm_start I [ARG...]        starts node I, with ARGs added to its I.argv
#   vm_pid I                   prints the pid; false when it does not run
#   vm_qmp I JSON              executes a QMP command, prints its return value; false on an error
#   vm_status I                running, paused, ...
#   vm_quit I                  ends it by QMP and waits
#   vm_kill I                  kill -9 and waits
#   vm_request I LINE          writes a line to its serial port
#   vm_ask I VERB              asks its program (state, verify; dirty's report, reset, stop, go) and
#                              prints the answer's JSON object
#
# A cluster of libvirt domains (qemu:///system), named NAME-I
#   start_libvirtd_if_needed   virtlogd and libvirtd; those that it started end with the test
#   domains_start NAME N [KEY=VALUE...]   the same keys but network, extra and accel; its own bridge in the host's
#                              namespace; persistent domains.  throttle becomes part of the XML
#   domains_wait               until every guest runs its programs
#   domains_stop               destroys and undefines them; keeps the files
#   domain_names               "NAME-0 NAME-1 ..."
#   domains_check ARG...       like cluster_check
#   $cluster_directory         I.serial, I.log, I.disk0.raw ... as above, I.xml
#
# A clusnapd of the test's own
#   clusnapd_start [VAR=VALUE...]   in the cluster's namespace; socket, journal and logs in $clusnapd_directory;
#                              its output in clusnapd.log there
#   clusnapd_stop, clusnapd_kill    SIGTERM (it must end) or kill -9; $clusnapd_pid
#   clusnap ARG...             the CLI with that socket, state directory and store ($clusnap_store,
#                              default $tmp/store)
#   clusnap_cluster_of_nodes NAME   defines the bare QEMUs as a cluster: VMs vm0, vm1 ...
#   clusnap_cluster_of_domains NAME   the libvirt domains
# Everything that these functions make is removed at the end, by name or pid.

# Two libraries may ask for it.
[ -z "${clusnap_lib_read:-}" ] || return 0
clusnap_lib_read=yes

set -euo pipefail
srcdir=$(cd "${srcdir:-.}" && pwd)
builddir=$(cd "${builddir:-.}" && pwd)

fail() {
    echo "FAIL: $*" >&2
    exit 1
}

test_parts() {
    local parts="$1 $2"
    [ -z "${CLUSNAP_TEST_QUICK:-}" ] || parts=$1
    echo "${CLUSNAP_TEST_PARTS:-$parts}"
}

skip() {
    echo "SKIP: $*" >&2
    exit 77
}

note() {
    echo "# [$SECONDS] $*" >&2
}

[ "${CLUSNAP_TESTS:-all}" != unit ] || skip "CLUSNAP_TESTS=unit"

requires() {
    local command
    for command; do
        command -v "$command" >/dev/null || skip "'$command' is missing (scripts/install-deps)"
    done
}

requires_root() {
    [ "$(id -u)" -eq 0 ] || skip "must run as root"
}

cleanup_stack=()
on_exit() {
    local line
    printf -v line '%q ' "$@"
    cleanup_stack+=("$line")
}

# Every entry runs, whatever the others did.
run_cleanup() {
    local status=$? i
    trap - EXIT
    trap '' HUP INT TERM
    set +e
    for ((i = ${#cleanup_stack[@]} - 1; i >= 0; i--)); do
        eval "${cleanup_stack[i]}"
    done
    exit "$status"
}
trap run_cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

overlay_of() {
    local overlay
    for overlay in "$1.clusnap-lazy" "$1.clusnap-lazy-qcow2"; do
        if [ -e "$overlay" ]; then
            echo "$overlay"
            return
        fi
    done
    echo "$1"
}

# wait_for SECONDS COMMAND...: until COMMAND is true; false when that takes many times the SECONDS that it may on a quiet host.
wait_for() {
    local end=$((SECONDS + 5 * $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.05
    done
}

tmp=$(mktemp -d /tmp/clusnap-test-XXXXXX)
chmod 0711 "$tmp"
on_exit rm -rf "$tmp"

# shellcheck source=tests/lib-cluster.sh
. "$srcdir/tests/lib-cluster.sh"
# shellcheck source=tests/lib-domains.sh
. "$srcdir/tests/lib-domains.sh"
# shellcheck source=tests/lib-clusnapd.sh
. "$srcdir/tests/lib-clusnapd.sh"
