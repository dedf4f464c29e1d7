#!/bin/bash
# The same as guest-clock.sh with libvirt domains.
exec bash "${srcdir:-.}/tests/system/guest-clock.sh" libvirt
