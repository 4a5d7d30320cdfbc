#!/usr/bin/env bash
# The study's third experiment, first part: SDXL Turbo in 4 steps at guidance 0, 2, 4 and 8. In one command:
#
#     build/diffapple sdxl-turbo --steps 4 --guidance 0,2,4,8
#
# Settings: DEVICE DTYPE SEED MODEL OUT (see common.sh).
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

for guidance in 0 2 4 8; do
    "$diffapple" sdxl-turbo "${settings[@]}" --out "$out" --steps 4 --guidance "$guidance" "$@"
done
