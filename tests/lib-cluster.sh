# Part of tests/lib.sh: the guest, and clusters of bare QEMUs.
# shellcheck shell=bash

guest_directory=$builddir/guest
cluster_directory=
cluster_name=
cluster_count=0
cluster_netns=

guest_build() {
    local kernel_cache=${CLUSNAP_KERNEL_CACHE:-/var/cache/clusnap/kernel}
    compgen -G "$kernel_cache/linux-image-*.deb" >/dev/null ||
        skip "no guest kernel in '$kernel_cache' (scripts/install-deps)"
    requires busybox cpio gzip depmod dpkg-deb flock
    (
        unset MAKEFLAGS MFLAGS MAKELEVEL
        flock 9
        make -s -C "$builddir" guest >"$tmp/guest-build.log" 2>&1
    ) 9>"$builddir/guest.lock" || {
        cat "$tmp/guest-build.log" >&2
        fail "the demo guest cannot be built"
    }
}

# The options of cluster_start and domains_start, into option_KEY.
cluster_options() {
    local word
    option_memory=256 option_backend=anonymous option_run=probe option_options=
    option_disks='raw:none qcow2:writeback' option_disk_size=64M option_throttle=200
    option_network=netns option_net=10.99.0 option_accel=tcg option_smp=1 option_extra=
    option_agent=no option_clocksource=hpet option_groups=
    for word; do
        case $word in
        memory=* | backend=* | run=* | options=* | disks=* | disk_size=* | throttle=* | network=* | \
            net=* | accel=* | smp=* | extra=* | agent=* | clocksource=* | groups=*)
            printf -v "option_${word%%=*}" %s "${word#*=}"
            ;;
        *) fail "cluster_start: unknown option '$word'" ;;
        esac
    done
}

cluster_nodes() {
    seq -s ' ' 0 $((cluster_count - 1))
}

# Interface names are short: the test's pid makes them unique.
cluster_bridge() {
    echo "cs$$-br"
}

cluster_exec() {
    if [ -n "$cluster_netns" ]; then
        ip netns exec "$cluster_netns" "$@"
    else
        "$@"
    fi
}

# bridge_make NAME: without an address, so that the host takes no part.
bridge_make() {
    cluster_exec ip link add "$1" type bridge stp_state 0 forward_delay 0 mcast_snooping 0
    on_exit cluster_bridge_remove "$cluster_netns" "$1"
    cluster_exec ip link set "$1" addrgenmode none up
}

cluster_bridge_remove() {
    cluster_netns=$1
    if cluster_exec ip link show "$2" >/dev/null 2>&1; then
        cluster_exec ip link delete "$2"
    fi
}

network_make() {
    local bridge i tap
    cluster_netns=
    [ "$option_network" != none ] || return 0
    if [ "$option_network" = netns ]; then
        cluster_netns=cs$$
        ip netns add "$cluster_netns"
        on_exit ip netns delete "$cluster_netns"
        cluster_exec ip link set lo up
    fi
    bridge=$(cluster_bridge)
    bridge_make "$bridge"
    for i in $(cluster_nodes); do
        tap=cs$$-t$i
        cluster_exec ip tuntap add dev "$tap" mode tap vnet_hdr
        on_exit cluster_bridge_remove "$cluster_netns" "$tap"
        cluster_exec ip link set "$tap" addrgenmode none master "$bridge" up
    done
}

# disk_parse ENTRY: into disk_format, disk_cache, disk_bus and the flags disk_ro, disk_discard, disk_backing.
disk_parse() {
    local words word
    IFS=: read -r -a words <<<"$1"
    disk_format=${words[0]} disk_cache=${words[1]:-} disk_bus=virtio disk_ro='' disk_discard='' disk_backing=''
    for word in "${words[@]:2}"; do
        case $word in
        scsi) disk_bus=scsi ;;
        ro) disk_ro=yes ;;
        discard) disk_discard=yes ;;
        *) fail "unknown option '$word' of disk '$1'" ;;
        esac
    done
    case $disk_format in
    qcow2+backing) disk_format=qcow2 disk_backing=yes ;;
    iso) disk_bus=scsi disk_ro=yes ;;
    raw | qcow2) ;;
    *) fail "unknown format '$disk_format' of disk '$1'" ;;
    esac
    case $disk_cache in
    none | writeback | unsafe) ;;
    *) fail "cluster_start: unknown cache '$disk_cache'" ;;
    esac
}

# content_make PATH: half of it is not zero.
content_make() {
    truncate -s "$option_disk_size" "$1"
    dd if=/dev/urandom of="$1" bs=64k count=$(($(stat -c %s "$1") / 131072)) conv=notrunc status=none
}

disk_make() {
    local path
    path=$(disk_path "$1" "$2" "$disk_format")
    if [ -n "$disk_backing" ]; then
        content_make "${path%.qcow2}.backing"
        qemu-img create -q -f qcow2 -b "${path%.qcow2}.backing" -F raw "$path"
    elif [ -n "$disk_ro" ]; then
        content_make "$path.content"
        qemu-img convert -q -O "${disk_format/iso/raw}" "$path.content" "$path"
        rm "$path.content"
    else
        qemu-img create -q -f "$disk_format" "$path" "$option_disk_size"
    fi
}

disks_make() {
    local i index entry
    for i in $(cluster_nodes); do
        index=0
        for entry in $option_disks; do
            disk_parse "$entry"
            disk_make "$i" "$index"
            index=$((index + 1))
        done
    done
}

# disk_path I INDEX FORMAT
disk_path() {
    echo "$cluster_directory/$1.disk$2.$3"
}

# group_of I: into group_number, group_first (its first node) and group_size.
group_of() {
    local size
    group_number=0 group_first=0 group_size=$cluster_count
    [ -n "$option_groups" ] || return 0
    for size in $option_groups; do
        group_size=$size
        [ "$1" -ge $((group_first + size)) ] || return 0
        group_first=$((group_first + size)) group_number=$((group_number + 1))
    done
    fail "cluster_start: node $1 is in none of the groups '$option_groups'"
}

# run_of I: into node_run
run_of() {
    local runs
    read -r -a runs <<<"$option_run"
    node_run=${runs[$1]:-${runs[-1]}}
}

# The guest's kernel command line.  The first lines save time in an emulated CPU.  The TSC is not
# its clock: on a busy host the guest calibrates it wrongly, and its time runs several times too fast.
guest_append() {
    local word sources
    read -r -a sources <<<"$option_clocksource"
    group_of "$1"
    run_of "$1"
    printf '%s' 'console=ttyS0 quiet loglevel=1 panic=-1 mitigations=off cryptomgr.notests' \
        ' nokaslr no_timer_check random.trust_cpu=on rcupdate.rcu_expedited=1' \
        " clocksource=${sources[$1]:-${sources[-1]}}" \
        " clusnap.run=$node_run clusnap.node=$(($1 - group_first)) clusnap.nodes=$group_size"
    [ "$option_network" = none ] || printf ' clusnap.net=%s' "${option_net%.*}.$((${option_net##*.} + group_number))"
    for word in $option_options; do
        printf ' clusnap.%s' "$word"
    done
}

guest_mac() {
    printf '52:54:00:c5:%02x:%02x' $(($$ % 256)) "$1"
}

# disk_arguments I: fills the array argv.
disk_arguments() {
    local index=0 entry options path node
    [[ "$option_disks" != *scsi* && "$option_disks" != *iso* ]] || argv+=(-device virtio-scsi-pci,id=vscsi)
    for entry in $option_disks; do
        disk_parse "$entry"
        path=$(disk_path "$1" "$index" "$disk_format")
        options=cache.direct=off
        [ "$disk_cache" != none ] || options=cache.direct=on
        [ "$disk_cache" != unsafe ] || options+=,cache.no-flush=on
        [ -z "$disk_ro" ] || options+=,read-only=on
        [ -z "$disk_discard" ] || options+=,discard=unmap
        node=file
        [ "$disk_cache" != none ] || node=file,aio=native
        argv+=(-blockdev "driver=$node,node-name=file$index,filename=$path,$options"
            -blockdev "driver=${disk_format/iso/raw},node-name=disk$index,file=file$index,$options")
        case $disk_format$disk_bus in
        iso*) argv+=(-device "scsi-cd,bus=vscsi.0,id=vblk$index,drive=disk$index") ;;
        *scsi) argv+=(-device "scsi-hd,bus=vscsi.0,id=vblk$index,drive=disk$index,write-cache=on") ;;
        *) argv+=(-device "virtio-blk-pci,id=vblk$index,drive=disk$index,write-cache=on") ;;
        esac
        index=$((index + 1))
    done
}

# The initramfs, with what option_agent asks for behind it.  Made once: QEMU maps the file, and the guest's firmware reads it
# when it boots; written again for the next node it would change under the one before.
guest_initramfs() {
    local initramfs=$guest_directory/initramfs.cpio.gz both
    [ "$option_agent" != no ] || {
        echo "$initramfs"
        return
    }
    [ -s "$guest_directory/$option_agent.cpio.gz" ] || skip "the demo guest has no '$option_agent' (scripts/install-deps)"
    both=$cluster_directory/with-$option_agent.cpio.gz
    [ -e "$both" ] || cat "$initramfs" "$guest_directory/$option_agent.cpio.gz" >"$both"
    echo "$both"
}

# Writes I.argv.
vm_prepare() {
    local base=$cluster_directory/$1 machine=q35
    argv=(qemu-system-x86_64 -name "$cluster_name-$1" -nodefaults -no-user-config -display none)
    if [ "$option_backend" = memfd ]; then
        argv+=(-object "memory-backend-memfd,id=memory,size=${option_memory}M,share=on")
        machine+=,memory-backend=memory
    fi
    # shellcheck disable=SC2054
    argv+=(-machine "$machine" -accel "$option_accel" -cpu max -m "$option_memory"
        -smp "$option_smp" -pidfile "$base.pid"
        -kernel "$guest_directory/vmlinuz" -initrd "$(guest_initramfs)"
        -append "$(guest_append "$1")"
        -qmp "unix:$base.qmp,server=on,wait=off" -qmp "unix:$base.events,server=on,wait=off"
        -chardev "socket,id=serial,path=$base.serial,server=on,wait=off,logfile=$base.log,logappend=on"
        -serial chardev:serial
        -device virtio-serial-pci,id=vserial
        -chardev "socket,id=agent,path=$base.agent,server=on,wait=off"
        -device virtserialport,bus=vserial.0,chardev=agent,name=org.clusnap.agent.0
        -device virtio-balloon-pci,id=balloon
        -object rng-random,id=entropy,filename=/dev/urandom
        -device virtio-rng-pci,rng=entropy,id=rng)
    if [ "$option_network" != none ]; then
        argv+=(-netdev "tap,id=net,ifname=cs$$-t$1,script=no,downscript=no,vhost=off"
            -device "virtio-net-pci,netdev=net,id=vnet,mac=$(guest_mac "$1")")
    fi
    if [ "$option_agent" = qga ]; then
        argv+=(-chardev "socket,id=qga,path=$base.qga,server=on,wait=off"
            -device virtserialport,bus=vserial.0,chardev=qga,name=org.qemu.guest_agent.0)
    fi
    disk_arguments "$1"
    # shellcheck disable=SC2206
    argv+=(${option_extra//@BASE@/$base})
    printf '%s\0' "${argv[@]}" >"$base.argv"
}

# A session of its own: a signal to the test's process group is not for the guests.
vm_start() {
    local base=$cluster_directory/$1 command
    mapfile -d '' command <"$base.argv"
    shift
    rm -f "$base.qmp" "$base.events" "$base.serial" "$base.agent" "$base.qga" "$base.pid"
    cluster_exec setsid "${command[@]}" "$@" >>"$base.stderr" 2>&1 </dev/null &
    if ! wait_for 30 vm_answers "$base" $!; then
        cat "$base.stderr" >&2
        fail "QEMU of node '$base' did not start"
    fi
    vm_throttle "$(basename "$base")"
}

# vm_answers BASE PID; a QEMU that ended will never answer.
vm_answers() {
    if ! kill -0 "$2" 2>/dev/null; then
        cat "$1.stderr" >&2
        fail "QEMU of node '$1' ended at once"
    fi
    [ -s "$1.pid" ] && [ -S "$1.qmp" ] && [ -S "$1.events" ]
}

vm_throttle() {
    local index=0 entry id
    [ "$option_throttle" != 0 ] || return 0
    for entry in $option_disks; do
        disk_parse "$entry"
        id=/machine/peripheral/vblk$index/virtio-backend
        [ "$disk_bus" != scsi ] || id=vblk$index
        [ -n "$disk_ro" ] || vm_qmp "$1" "{\"execute\":\"block_set_io_throttle\",\"arguments\":{\"id\":\"$id\",
            \"bps\":0,\"bps_rd\":0,\"bps_wr\":0,\"iops\":$option_throttle,\"iops_rd\":0,\"iops_wr\":0}}" >/dev/null
        index=$((index + 1))
    done
}

# The pid file may be old: the process must be ours.
vm_pid() {
    local pid
    [ -s "$cluster_directory/$1.pid" ] || return 1
    read -r pid <"$cluster_directory/$1.pid" || [ -n "$pid" ] || return 1
    grep -qF "$cluster_directory/$1.pid" "/proc/$pid/cmdline" 2>/dev/null || return 1
    echo "$pid"
}

vm_is_gone() {
    ! vm_pid "$1" >/dev/null
}

vm_qmp() {
    local line request
    request=$(jq -c . <<<"$2")
    coproc socat - "UNIX-CONNECT:$cluster_directory/$1.events" 2>/dev/null
    # shellcheck disable=SC2153
    local in=${COPROC[0]} out=${COPROC[1]} pid=$COPROC_PID answers=0
    printf '%s\n' '{"execute":"qmp_capabilities"}' "$request" >&"$out"
    while read -r -t 60 line <&"$in"; do
        case $line in
        *'"QMP"'* | '{"timestamp"'*) continue ;;
        esac
        answers=$((answers + 1))
        [ "$answers" -lt 2 ] || break
        line=
    done
    exec {out}>&-
    wait "$pid" 2>/dev/null || true
    if [ "$(jq 'has("return")' <<<"$line" 2>/dev/null)" != true ]; then
        echo "vm_qmp $1 $request: ${line:-no answer}" >&2
        return 1
    fi
    jq -c .return <<<"$line"
}

vm_status() {
    vm_qmp "$1" '{"execute":"query-status"}' | jq -r .status
}

vm_quit() {
    vm_qmp "$1" '{"execute":"quit"}' >/dev/null || true
    wait_for 30 vm_is_gone "$1" || fail "node $1 does not quit"
}

vm_kill() {
    local pid
    pid=$(vm_pid "$1") || return 0
    kill -9 "$pid"
    wait_for 30 vm_is_gone "$1" || fail "node $1 cannot be killed"
    wait_for 30 vm_process_has_ended "$pid" || fail "node $1 does not end"
}

# A process that is ending has no arguments any more, and is there for others yet.
vm_process_has_ended() {
    ! grep -q '^State:[[:space:]]*[^ZX]' "/proc/$1/status" 2>/dev/null
}

# QEMU drops what it has not taken yet when the connection ends: so that lingers.
vm_request() {
    {
        printf '\n%s\n' "$2"
        sleep 1
    } | socat -u - "UNIX-CONNECT:$cluster_directory/$1.serial"
}

vm_ask() {
    local line='' id=q$RANDOM$RANDOM end=$((SECONDS + 60))
    coproc socat - "UNIX-CONNECT:$cluster_directory/$1.serial" 2>/dev/null
    local in=${COPROC[0]} out=${COPROC[1]} pid=$COPROC_PID
    printf '\n%s %s\n' "$2" "$id" >&"$out"
    while [ "$SECONDS" -lt "$end" ] && read -r -t 60 line <&"$in"; do
        case $line in
        *"\"reply\":\"$id\"} #"*) break ;;
        esac
        line=
    done
    exec {out}>&-
    wait "$pid" 2>/dev/null || true
    [ -n "$line" ] || {
        echo "vm_ask $1 $2: no answer" >&2
        return 1
    }
    line=${line#* }
    echo "${line% #*}"
}

cluster_start() {
    local i
    cluster_name=$1 cluster_count=$2
    shift 2
    cluster_options "$@"
    requires_root
    requires qemu-system-x86_64 qemu-img socat jq ip setsid
    guest_build
    cluster_directory=$tmp/$cluster_name
    mkdir "$cluster_directory"
    network_make
    on_exit cluster_stop
    disks_make
    for i in $(cluster_nodes); do
        vm_prepare "$i"
        vm_start "$i"
    done
}

guest_is_ready() {
    run_of "$1"
    case $node_run in
    *probe) grep -q '^STATE .*"seq":[23],' "$cluster_directory/$1.log" ;;
    *clock) grep -q '^CLOCK ' "$cluster_directory/$1.log" ;;
    *dirty) grep -q '^DIRTY ' "$cluster_directory/$1.log" ;;
    *) grep -q '^READY ' "$cluster_directory/$1.log" ;;
    esac
}

cluster_wait() {
    local i
    for i in $(cluster_nodes); do
        if ! wait_for 300 guest_is_ready "$i"; then
            tail -n 20 "$cluster_directory/$i.log" >&2
            fail "guest $i did not come up"
        fi
    done
}

cluster_stop() {
    local i
    for i in $(cluster_nodes); do
        vm_kill "$i"
    done
}

cluster_sockets() {
    local i
    for i in $(cluster_nodes); do
        printf '%s=%s ' "$i" "$cluster_directory/$i.serial"
    done
}

cluster_check_group() {
    local i sockets=()
    for i in $(cluster_nodes); do
        group_of "$i"
        [ "$group_number" -ne "$1" ] || sockets+=("$((i - group_first))=$cluster_directory/$i.serial")
    done
    shift
    "$builddir/tests/probe/cut-check" "$@" "${sockets[@]}"
}

cluster_check() {
    # shellcheck disable=SC2046
    "$builddir/tests/probe/cut-check" "$@" $(cluster_sockets)
}
