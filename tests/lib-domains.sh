# Part of tests/lib.sh: clusters of libvirt domains.
# shellcheck shell=bash

virsh_system() {
    virsh -q -c qemu:///system "$@"
}

# daemon_if_needed NAME: a daemon that runs already is left alone.
daemon_if_needed() {
    local pid
    if pgrep -x "$1" >/dev/null; then
        return
    fi
    "$1" -d
    wait_for 30 pgrep -x "$1" >/dev/null || fail "$1 did not start"
    pid=$(pgrep -x -o "$1")
    on_exit daemon_end "$pid" "$1"
}

daemon_end() {
    if [ "$(cat "/proc/$1/comm" 2>/dev/null)" = "$2" ]; then
        kill "$1"
        wait_for 30 process_is_gone "$1"
    fi
}

process_is_gone() {
    ! kill -0 "$1" 2>/dev/null
}

start_libvirtd_if_needed() {
    requires_root
    requires libvirtd virtlogd virsh
    daemon_if_needed virtlogd
    daemon_if_needed libvirtd
    wait_for 30 virsh_system version >/dev/null 2>&1 || fail "libvirtd does not answer"
}

domain_names() {
    local i
    for i in $(cluster_nodes); do
        printf '%s-%s ' "$cluster_name" "$i"
    done
}

disk_xml() {
    local index=0 entry letters=abcdefgh io iotune device target
    for entry in $option_disks; do
        disk_parse "$entry"
        io=threads iotune='' device=disk target=vd${letters:index:1}
        [ "$disk_cache" != none ] || io=native
        [ "$disk_bus" != scsi ] || target=sd${letters:index:1}
        [ "$disk_format" != iso ] || device=cdrom
        if [ "$option_throttle" != 0 ] && [ -z "$disk_ro" ]; then
            iotune="<iotune><total_iops_sec>$option_throttle</total_iops_sec></iotune>"
        fi
        cat <<END
    <disk type='file' device='$device'>
      <driver name='qemu' type='${disk_format/iso/raw}' cache='$disk_cache' io='$io'${disk_discard:+ discard='unmap'}/>
      <source file='$(disk_path "$1" "$index" "$disk_format")'/>
      <target dev='$target' bus='$disk_bus'/>
      ${disk_ro:+<readonly/>}
      $iotune
    </disk>
END
        index=$((index + 1))
    done
    [[ "$option_disks" != *scsi* && "$option_disks" != *iso* ]] || echo "<controller type='scsi' model='virtio-scsi'/>"
}

agent_xml() {
    [ "$option_agent" = qga ] || return 0
    echo "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
}

memory_xml() {
    [ "$option_backend" = memfd ] || return 0
    echo "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>"
}

domain_xml() {
    cat <<END
<domain type='qemu'>
  <name>$cluster_name-$1</name>
  <memory unit='MiB'>$option_memory</memory>
  <vcpu>$option_smp</vcpu>
  $(memory_xml)
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>$cluster_directory/vmlinuz</kernel>
    <initrd>$cluster_directory/initramfs.cpio.gz</initrd>
    <cmdline>$(guest_append "$1")</cmdline>
  </os>
  <features><acpi/></features>
  <cpu mode='maximum' migratable='off'/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>destroy</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
$(disk_xml "$1")
    <interface type='bridge'>
      <mac address='$(guest_mac "$1")'/>
      <source bridge='$(cluster_bridge)'/>
      <model type='virtio'/>
    </interface>
    <serial type='unix'>
      <source mode='bind' path='$cluster_directory/$1.serial'/>
      <log file='$cluster_directory/$1.log' append='on'/>
      <target port='0'/>
    </serial>
    <channel type='unix'>
      <target type='virtio' name='org.clusnap.agent.0'/>
    </channel>
    $(agent_xml)
    <controller type='usb' model='none'/>
    <memballoon model='virtio'/>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    <video><model type='none'/></video>
  </devices>
</domain>
END
}

domains_start() {
    local i
    cluster_name=$1 cluster_count=$2
    shift 2
    cluster_options network=host "$@"
    start_libvirtd_if_needed
    requires qemu-img jq ip xmllint
    guest_build
    # QEMU under libvirt is another user: it makes the sockets here and reads the kernel.
    cluster_directory=$tmp/$cluster_name
    mkdir -m 0777 "$cluster_directory"
    cp "$guest_directory/vmlinuz" "$cluster_directory/"
    cp "$(guest_initramfs)" "$cluster_directory/initramfs.cpio.gz"
    cluster_netns=
    bridge_make "$(cluster_bridge)"
    disks_make
    for i in $(cluster_nodes); do
        domain_xml "$i" >"$cluster_directory/$i.xml"
        if virsh_system domstate "$cluster_name-$i" >/dev/null 2>&1; then
            fail "a domain '$cluster_name-$i' is already there"
        fi
    done
    on_exit domains_stop
    for i in $(cluster_nodes); do
        virsh_system define "$cluster_directory/$i.xml" >/dev/null
        virsh_system start "$cluster_name-$i" >/dev/null
    done
}

domains_wait() {
    cluster_wait
}

domains_stop() {
    local name
    for name in $(domain_names); do
        virsh_system destroy "$name" >/dev/null 2>&1 || true
        virsh_system undefine "$name" >/dev/null 2>&1 || true
    done
}

domains_check() {
    cluster_check "$@"
}
