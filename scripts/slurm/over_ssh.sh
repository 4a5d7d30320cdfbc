#!/usr/bin/env bash
# A sweep over several machines by GNU parallel and ssh: its batches spread over PARTS jobs by --shard, one at a time on
# each machine, then one run here that makes what is missing and the contact sheet.
#
#   scripts/slurm/over_ssh.sh PARTS HOSTS COMMAND [OPTIONS]
#   scripts/slurm/over_ssh.sh 8 gpu1,gpu2,: sd15 --guidance 0,2,4,8 --seed 0..99       # : is this machine
#
# All machines must see this folder under the same path. A job that fails is tried again twice, and skips what is made.
# DIFFAPPLE names the program where it is not build/diffapple.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
DIFFAPPLE=${DIFFAPPLE:-$here/../../build/diffapple}

if [[ ! ${1:-} =~ ^[1-9][0-9]*$ || $# -lt 3 ]]; then
    sed -n '2,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
fi
parts=$1 hosts=$2
shift 2
command=$(printf '%q ' "$DIFFAPPLE" "$@")
parallel --will-cite --sshlogin "$hosts" --workdir "$PWD" --jobs 1 --retries 3 --line-buffer \
    "$command --shard {}/$parts" ::: $(seq "$parts")
exec "$DIFFAPPLE" "$@"
