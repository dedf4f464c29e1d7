#!/bin/bash
# A real guest as a libvirt domain: saved, destroyed, restored lazily and eagerly, once with the
# restoring process killed.  The persistent definition must stay as it was.
. "${srcdir:-.}/tests/lib.sh"
. "$srcdir/tests/lib-restore.sh"

save_and_destroy() {
    "$tool" save "$store" '{"name":"vm","uri":"qemu:///system","domain":"'"$domain"'"}' \
        "$tmp/document"
    virsh_system destroy "$domain" >/dev/null
}

definition_is_clean() {
    virsh_system dumpxml --inactive "$domain" >"$tmp/after.xml"
    cmp -s "$tmp/before.xml" "$tmp/after.xml" || fail "the domain's definition has changed"
    [ "$(virsh_system domstate "$domain")" = running ] || fail "libvirt does not see it running"
}

domains_start "restore-$$" 1 memory=192 run=probe
domain=$(domain_names)
domain=${domain% }
domains_wait
virsh_system dumpxml --inactive "$domain" >"$tmp/before.xml"
save_and_destroy
restore_as lazy "libvirt lazy"
definition_is_clean
refuses_running
save_and_destroy
restore_as eager "libvirt eager"
definition_is_clean
save_and_destroy
die_and_adopt "libvirt killed"
definition_is_clean
