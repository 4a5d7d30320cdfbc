#!/usr/bin/env bash
# The study's third experiment, second part: SDXL Turbo in 1, 2, 4, 8 and 16 steps without guidance (the default). In
# other words:
#
#     build/diffapple sdxl-turbo --steps 1,2,4,8,16
#
# Settings: DEVICE DTYPE SEED MODEL OUT (see common.sh).
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

setting --out "$out" -o --output
setting --steps 1,2,4,8,16 --num-inference-steps
"$diffapple" sdxl-turbo "${settings[@]}" "$@"
