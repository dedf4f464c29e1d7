# shellcheck shell=bash
# Part of tests/system/lazy-disks-*.sh; includes tests/lib-faults.sh.
#
#   lazy_begin COMMAND             cluster or domains were started: COMMAND (clusnap_cluster_of_...) defines cluster "c" with a store, its first snapshot is "one"
#   fill_stops, fill_goes_on       the disks of what is restored are left unfilled; are filled
#   backing_of FILE                what its header names as its backing image
#   all_lazy, all_plain            of the files in $lazy_files; nothing is left of a fill
#   disks_are_local                waits until all_plain
#   reference                      the guests stand: keeps what they have written
#   same_as_reference TEXT         it is what is in the files, which are local
#   own_of FILE                    what a qcow2 image holds of its own, in MiB
#   is_thin FILE MIB               that was MIB before, and is not much more
#   domains_are_lost               they end, and no file of theirs goes
#   clusnapd_ends_at POINT [COMMAND...]   it crashes there, COMMAND is run while there is none, another one begins and fills

# shellcheck source=tests/lib-faults.sh
. "${srcdir:-.}/tests/lib-faults.sh"

fill_stops() {
    arm disk-fill:error
}

fill_goes_on() {
    arm ''
}

lazy_begin() {
    fill_goes_on
    daemon_start
    clusnap store init >/dev/null
    "$1" c
    clusnap -q snapshot create c one >/dev/null
}

# Of a disk that is filled aside: of the overlay that the guest works on.
backing_of() {
    local image
    image=$(overlay_of "$1")
    [ -e "$image" ] || return 0
    qemu-img info -U --output=json "$image" 2>/dev/null | jq -r '."backing-filename" // empty'
}

all_lazy() {
    local file
    for file in $lazy_files; do
        case $(backing_of "$file") in
        json:*clusnap-serve-*) ;;
        *) fail "'$file' is not lazy ($1)" ;;
        esac
        if [ -e "$file.clusnap-fill" ] && [ -e "$file" ]; then fail "'$file' is there and not whole ($1)"; fi
    done
}

all_plain() {
    local file
    for file in $lazy_files; do
        case $(backing_of "$file") in *clusnap-serve-*) return 1 ;; esac
        [ -f "$file" ] || return 1
        if compgen -G "$file.clusnap-*" >/dev/null; then return 1; fi
    done
    if compgen -G "$clusnapd_directory/journal/*.fill" >/dev/null; then return 1; fi
    if compgen -G "$clusnapd_directory/serve/*" >/dev/null; then return 1; fi
    if compgen -G "$tmp/store/roots/*" >/dev/null; then return 1; fi
}

disks_are_local() {
    wait_for 120 all_plain ||
        fail "disks are not local ($1): $(for file in $lazy_files; do backing_of "$file"; ls "$file"*; done) $(ls "$clusnapd_directory/journal" "$clusnapd_directory/serve" "$tmp/store/roots")"
}

reference() {
    local file image format n=0
    for file in $lazy_files; do
        image=$(overlay_of "$file") format=qcow2
        [ "$image" != "$file" ] || format=${file##*.}
        qemu-img convert -U -f "$format" -O raw "$image" "$tmp/reference.$n"
        n=$((n + 1))
    done
}

same_as_reference() {
    local file n=0
    disks_are_local "$1"
    for file in $lazy_files; do
        qemu-img compare -q -f raw -F "${file##*.}" "$tmp/reference.$n" "$file" || fail "'$file' is not what the guest left ($1)"
        n=$((n + 1))
    done
}

own_of() {
    qemu-img map -U --output=json "$1" | jq 'map(select(.depth == 0) | .length) | add / 1048576 | floor'
}

is_thin() {
    local own
    own=$(own_of "$1")
    [ "$own" -le $(($2 + 24)) ] || fail "'$1' is not thin any more: $2 MiB of its own before, now $own"
}

domains_are_lost() {
    local domain
    for domain in $(domain_names); do
        [ "$(virsh_system domstate "$domain")" = "shut off" ] || virsh_system destroy "$domain" >/dev/null
    done
}

# The guest may wait for memory until the next one runs.
clusnapd_ends_at() {
    local point=$1
    shift
    arm "$point:crash"
    wait_for 120 clusnapd_has_ended || fail "clusnapd has not come to $point"
    clusnapd_pid=
    "$@"
    fill_goes_on
    daemon_start
}
