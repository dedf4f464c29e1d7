#!/bin/bash
# The same as disks-complete.sh with libvirt domains.
exec bash "${srcdir:-.}/tests/system/disks-complete.sh" libvirt
