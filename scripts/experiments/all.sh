#!/usr/bin/env bash
# All four experiments side by side: a row of seeds of each, the contact sheet of all of them (OUT/all.png) and the page
# of `report` (OUT/report.html). Where the study's models are absent, the demos that come with the program take a minute
# on two cores.
# Settings: DEVICE DTYPE SEED OUT (see common.sh; here SEED is 0..5 and OUT out/all where they are not set).
unset MODEL # each experiment has its own
SEED=${SEED:-0..5}
OUT=${OUT:-out/all}
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

if take --out -o --output; then out=$taken; fi
setting --sheet off
prompted=()
given --guidance --guidance-scale --cfg-scale || prompted=(--guidance 4)
common=("${settings[@]}" --out "$out" ${arguments[@]+"${arguments[@]}"})

"$diffapple" ddpm "${common[@]}"
"$diffapple" sd15 ${prompted[@]+"${prompted[@]}"} "${common[@]}"
"$diffapple" sdxl-turbo "${common[@]}"
given --steps --num-inference-steps || prompted+=(--steps 50)
OUT=$out "$here/sd2_inpaint.sh" ${prompted[@]+"${prompted[@]}"} "${common[@]}"
"$diffapple" grid "$out" --rows experiment --columns seed --cell 96 --force --out "$out/all.png" >&2
"$diffapple" report "$out" --html "$out/report.html" >&2
