#!/usr/bin/env bash
# The study's third experiment, second part: SDXL Turbo in 1, 2, 4, 8 and 16 steps without guidance (the default). In
# one command:
#
#     build/diffapple sdxl-turbo --steps 1,2,4,8,16
#
# Settings: DEVICE DTYPE SEED MODEL OUT (see common.sh).
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

for steps in 1 2 4 8 16; do
    "$diffapple" sdxl-turbo "${settings[@]}" --out "$out" --steps "$steps" "$@"
done
