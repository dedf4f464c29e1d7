#!/bin/bash
# A few rounds of bench/cut-rounds: snapshot, kill and restore of the probe cluster, also on top of a
# restored one; every cut must be consistent.
exec "${srcdir:?}/bench/cut-rounds" 4
