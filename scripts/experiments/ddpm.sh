#!/usr/bin/env bash
# The study's first experiment: unconditional cats in 100 steps, in batches of 1, 2 and 4.
# Settings: DEVICE DTYPE SEED MODEL OUT (see common.sh).
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

# A picture depends on the batch that its noise was drawn for, so each batch size has a folder of its own.
folders=()
for batch_size in 1 2 4; do
    "$diffapple" ddpm "${settings[@]}" --out "$out/batch_$batch_size" --batch-size "$batch_size" --sheet off "$@"
    folders+=("$out/batch_$batch_size")
done
"$diffapple" grid "${folders[@]}" >&2
