#!/usr/bin/env bash
# The study's table of it/s and memory, measured here beside the study's own figures. Without the models, the same
# full-size ones are built with random weights, which are as fast.
# Settings: DEVICE DTYPE (see common.sh).
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

options=(--preset study)
[ -z "${DEVICE:-}" ] || [ "$DEVICE" = auto ] || options+=(--devices "$DEVICE")
[ -z "${DTYPE:-}" ] || [ "$DTYPE" = auto ] || options+=(--dtypes "$DTYPE")
exec "$diffapple" bench "${options[@]}" "$@"
