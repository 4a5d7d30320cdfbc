#!/usr/bin/env bash
# The study's third experiment, first part: SDXL Turbo in 4 steps at guidance 0, 2, 4 and 8. In other words:
#
#     build/diffapple sdxl-turbo --steps 4 --guidance 0,2,4,8
#
# Settings: DEVICE DTYPE SEED MODEL OUT (see common.sh).
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

setting --out "$out" -o --output
setting --steps 4 --num-inference-steps
setting --guidance 0,2,4,8 --guidance-scale --cfg-scale
"$diffapple" sdxl-turbo "${settings[@]}" "$@"
