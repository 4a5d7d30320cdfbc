#!/usr/bin/env bash
# The study's first experiment: unconditional cats in 100 steps, in batches of 1, 2 and 4 (or of the one --batch-size).
# Settings: DEVICE DTYPE SEED MODEL OUT (see common.sh).
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

batch_sizes=(1 2 4)
if take --batch-size -b --num-images-per-prompt; then batch_sizes=("$taken"); fi
if take --out -o --output; then out=$taken; fi
setting --sheet off
# A picture depends on the batch that its noise was drawn for, so each batch size has a folder of its own.
folders=()
for batch_size in "${batch_sizes[@]}"; do
    folders+=("$out/batch_$batch_size")
    "$diffapple" ddpm "${settings[@]}" --out "$out/batch_$batch_size" --batch-size "$batch_size" \
        ${arguments[@]+"${arguments[@]}"}
done
"$diffapple" grid "${folders[@]}" >&2
