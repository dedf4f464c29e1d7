#!/bin/bash
# A few rounds of bench/rollback-rounds: the probe cluster goes back to the same snapshot again and again; every time it must
# be consistent, and nothing may grow.
exec "${srcdir:?}/bench/rollback-rounds" 12
