#!/bin/bash
# The second demo as a test, under one policy: three guests compute in shared memory, one of them is killed, the three go
# back and end with the checksum of one process; two others that exchange messages are not stopped.
set -eu
CLUSNAP_DEMO_ITERATIONS=300 CLUSNAP_DEMO_POLICIES=group exec bash "${srcdir:-.}/scripts/demo-recover" --built
