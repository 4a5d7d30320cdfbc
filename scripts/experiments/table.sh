#!/usr/bin/env bash
# The study's table of it/s and memory, measured here beside the study's own figures. Without the models, the same
# full-size ones are built with random weights, which are as fast. A line says how long it takes before it begins.
# Settings: DEVICE DTYPE (see common.sh).
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

settings=()
setting --preset study
[ "${DEVICE:-auto}" = auto ] || setting --devices "$DEVICE"
[ "${DTYPE:-auto}" = auto ] || setting --dtypes "$DTYPE"
exec "$diffapple" bench "${settings[@]}" "$@"
