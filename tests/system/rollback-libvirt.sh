#!/bin/bash
# A real guest as a libvirt domain, rolled back in place.  libvirt's view stays true: state, disks, and
# what its tools do with the domain afterwards; its definition stays as it was.
. "${srcdir:-.}/tests/lib.sh"
. "$srcdir/tests/lib-rollback.sh"

state_is() {
    [ "$(virsh_system domstate "$domain")" = "$1" ] || fail "libvirt says: $(virsh_system domstate "$domain")"
}

domains_start "rollback-$$" 1 memory=192 run=probe throttle=0
domain=$(domain_names)
domain=${domain% }
domains_wait
virsh_system dumpxml --inactive "$domain" >"$tmp/before.xml"
virsh_system dumpxml "$domain" >"$tmp/live-before.xml"
reference='{"name":"vm","uri":"qemu:///system","domain":"'"$domain"'"}'
roll "latest, older" snapshot a run 500 rollback a run 300 snapshot b run 300 rollback a run 200 \
    rollback b cancel b clean
state_is running
guest_goes_on libvirt
rm -rf "$store"
roll "nothing known, again and again" snapshot c run 200 forget rollback c repeat 10 100 c clean
state_is running
virsh_system domblkinfo "$domain" vda >/dev/null || fail "domblkinfo"
virsh_system suspend "$domain" >/dev/null
state_is paused
virsh_system resume "$domain" >/dev/null
state_is running
guest_goes_on "libvirt, suspended and resumed"
virsh_system dumpxml --inactive "$domain" >"$tmp/after.xml"
cmp -s "$tmp/before.xml" "$tmp/after.xml" || fail "the domain's definition has changed"
# QEMU tells at most once a second that the guest has opened its channel (VSERPORT_CHANGE), which a rollback closes and opens.
live_as_before() {
    virsh_system dumpxml "$domain" >"$tmp/live-after.xml"
    cmp -s "$tmp/live-before.xml" "$tmp/live-after.xml"
}
wait_for 5 live_as_before || {
    diff "$tmp/live-before.xml" "$tmp/live-after.xml" >&2 || true
    fail "the running domain has changed"
}
