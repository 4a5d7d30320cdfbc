#!/usr/bin/env bash
# One job of scripts/slurm/sweep.sh: part.sh PARTS COMMAND [OPTIONS]. Outside an array it is the whole sweep.
#SBATCH --job-name=diffapple
#SBATCH --open-mode=append
set -uo pipefail
parts=$1
shift
most_restarts=5

shard=()
if [[ -n ${SLURM_ARRAY_TASK_ID:-} ]]; then shard=(--shard "$SLURM_ARRAY_TASK_ID/$parts"); fi

# Bash itself waits, so that the signal that ends the job reaches the program, which keeps what is finished.
"$DIFFAPPLE" "$@" ${shard[@]+"${shard[@]}"} &
program=$!
trap 'kill -TERM "$program" 2>/dev/null' TERM
wait "$program"
code=$?
if kill -0 "$program" 2>/dev/null; then # the trap ended the wait
    wait "$program"
    code=$?
fi

# A wrong call stays wrong. What was interrupted or killed is made again, from where it was.
if ((code > 2 && ${SLURM_RESTART_COUNT:-0} < most_restarts)); then
    echo "diffapple ended with $code; back into the queue (restart ${SLURM_RESTART_COUNT:-0})" >&2
    scontrol requeue "$SLURM_JOB_ID"
    sleep 60 # until Slurm ends this one
fi
exit "$code"
