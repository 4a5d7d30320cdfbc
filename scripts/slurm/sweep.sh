#!/usr/bin/env bash
# A sweep as a Slurm job array: its batches spread over PARTS jobs by --shard, then one job that makes what is missing
# and the contact sheet.
#
#   scripts/slurm/sweep.sh PARTS [SBATCH OPTIONS] -- COMMAND [OPTIONS]
#   scripts/slurm/sweep.sh 8 --gpus=1 --time=2:00:00 -- sd15 --guidance 0,2,4,8 --seed 0..99
#
# The jobs share the folder of results (--out), so it must be one that all nodes see. A job that is killed is put back
# into the queue, up to 5 times; it skips what is made. DIFFAPPLE names the program where it is not build/diffapple.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export DIFFAPPLE=${DIFFAPPLE:-$here/../../build/diffapple}

usage() {
    sed -n '2,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
}

[[ ${1:-} =~ ^[1-9][0-9]*$ ]] || usage
parts=$1
shift
options=()
while [[ $# -gt 0 && $1 != -- ]]; do
    options+=("$1")
    shift
done
[[ $# -gt 1 ]] || usage
shift

# A wrong call is found here, not in every job's log.
"$DIFFAPPLE" "$1" --help >/dev/null
array=$(sbatch --parsable --requeue --array="1-$parts" --signal=B:TERM@60 ${options[@]+"${options[@]}"} \
    "$here/part.sh" "$parts" "$@")
sheet=$(sbatch --parsable --dependency="afterok:$array" ${options[@]+"${options[@]}"} "$here/part.sh" 1 "$@")
echo "array $array (1-$parts), then $sheet: the whole sweep, which makes the sheet"
