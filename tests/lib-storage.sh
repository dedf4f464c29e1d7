# shellcheck shell=bash
# What the tests of the kinds of disks share, for bare QEMUs and libvirt domains; after tests/lib.sh:
#
#   . "${srcdir:-.}/tests/lib-storage.sh"
#
#   storage_kind bare|libvirt           of the cluster that runs
#   snapshot_with_reference NAME        takes snapshot NAME; while all stand at the cut, every disk's content is
#                                       read by other means (qemu-img on the file), to $tmp/NAME.I.K
#   restore_with_comparison NAME        restores it and compares every disk with that before any VM runs
#   chains                              what every image file is: format, cluster size, backing link, read-only ones'
#                                       content; to be compared before and after

# shellcheck source=tests/lib-faults.sh
. "${srcdir:-.}/tests/lib-faults.sh"

storage_kind() {
    storage=$1
}

storage_refs() {
    local i vms=
    for i in $(cluster_nodes); do
        case $storage in
        bare) vms+=${vms:+,}"{\"name\":\"vm$i\",\"qmp\":\"$cluster_directory/$i.qmp\"}" ;;
        libvirt) vms+=${vms:+,}"{\"name\":\"$cluster_name-$i\",\"uri\":\"qemu:///system\",\"domain\":\"$cluster_name-$i\"}" ;;
        esac
    done
    echo "[$vms]"
}

# each_disk COMMAND...: COMMAND... I K PATH, with disk_format and so on set.
each_disk() {
    local i k entry
    for i in $(cluster_nodes); do
        k=0
        for entry in $option_disks; do
            disk_parse "$entry"
            "$@" "$i" "$k" "$(disk_path "$i" "$k" "$disk_format")"
            k=$((k + 1))
        done
    done
}

disk_content() {
    local format=${disk_format/iso/raw} image
    image=$(overlay_of "$4")
    [ "$image" = "$4" ] || format=qcow2
    qemu-img convert -U -f "$format" -O raw "$image" "$tmp/$1.$2.$3"
}

compare_content() {
    disk_content restored "$2" "$3" "$4"
    cmp "$tmp/$1.$2.$3" "$tmp/restored.$2.$3" || fail "disk $3 of node $2 is not what it was at snapshot '$1'"
    rm "$tmp/restored.$2.$3"
}

rpc_must() {
    rpc "$@" >"$tmp/rpc" || fail "$1: $(cat "$tmp/rpc")"
}

snapshot_with_reference() {
    local stage
    rpc_open
    rpc_must snapshot.begin "{\"store\":\"$tmp/store\",\"cluster\":\"c\",\"snapshot\":\"$1\",\"vms\":$(storage_refs),\"pause-deadline\":60000000}"
    for stage in check quiesce precopy pause; do
        rpc_must snapshot.$stage '{"job":"snapshot"}'
    done
    each_disk disk_content "$1"
    for stage in release store; do
        rpc_must snapshot.$stage '{"job":"snapshot"}'
    done
    rpc_must snapshot.seal '{"job":"snapshot","manifest":{}}'
    rpc_close
}

restore_with_comparison() {
    rpc_open
    rpc_must restore.begin "{\"store\":\"$tmp/store\",\"cluster\":\"c\",\"snapshot\":\"$1\",\"mode\":\"lazy\"}"
    rpc_must restore.load '{"job":"restore"}'
    each_disk compare_content "$1"
    rpc_must restore.release '{"job":"restore"}'
    rpc_must restore.wait '{"job":"restore"}'
    rpc_close
}

chain_of() {
    qemu-img info -U -f "${disk_format/iso/raw}" --output json "$3" | jq -c '[.filename, .format, ."virtual-size",
        ."cluster-size", ."backing-filename", ."backing-filename-format"]'
    if [ -n "$disk_ro" ]; then
        sha256sum "$3"
        stat -c '%i %Y %s' "$3"
    fi
    if [ -n "$disk_backing" ]; then
        sha256sum "${3%.qcow2}.backing"
    fi
}

chains() {
    each_disk chain_of
}

# disk_column NAME I K COLUMN: of 'snapshot show'.
disk_column() {
    clusnap snapshot show c "$1" -f json >"$tmp/show.json"
    jq -e --arg vm "$2" --arg disk "$3" --arg column "$4" \
        '.disks[] | select(.vm == $vm and .name == $disk) | .[$column]' "$tmp/show.json" ||
        fail "snapshot '$1' has no $4 of disk $3 of VM $2: $(cat "$tmp/show.json")"
}
