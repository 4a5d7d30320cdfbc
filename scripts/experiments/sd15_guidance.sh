#!/usr/bin/env bash
# The study's second experiment: two prompts by Stable Diffusion v1.5 with DPM-Solver++ in 25 steps, at guidance 0, 2, 4
# and 8. In one command, with one load of the model:
#
#     build/diffapple sd15 --steps 25 --guidance 0,2,4,8
#
# Settings: DEVICE DTYPE SEED MODEL OUT (see common.sh).
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

for guidance in 0 2 4 8; do
    "$diffapple" sd15 "${settings[@]}" --out "$out" --steps 25 --guidance "$guidance" \
        --prompt 'a cat, fat, with brown fur, with short legs' \
        --prompt 'a cat, fat, with white fur, with short legs' \
        --negative-prompt 'low quality, bad quality' "$@"
done
