#!/usr/bin/env bash
# The study's second experiment: two prompts by Stable Diffusion v1.5 with DPM-Solver++ in 25 steps (the defaults), at
# guidance 0, 2, 4 and 8. In other words:
#
#     build/diffapple sd15 --guidance 0,2,4,8
#
# Settings: DEVICE DTYPE SEED MODEL OUT (see common.sh).
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

setting --out "$out" -o --output
setting --guidance 0,2,4,8 --guidance-scale --cfg-scale
"$diffapple" sd15 "${settings[@]}" "$@"
