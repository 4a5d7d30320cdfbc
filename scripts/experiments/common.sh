# What the study's scripts share. Settings come from the environment:
#   DEVICE  auto, mps, cuda, cuda:N or cpu [auto]        SEED   seed, or a list or range of seeds [42]
#   DTYPE   auto, fp32, fp16 or bf16 [auto]              OUT    folder of the results [out]
#   MODEL   folder, name or Hub id [the experiment's own]
# DIFFAPPLE names another program than build/diffapple; all arguments of a script are passed on to it, and replace what
# the script says of the same option: `--steps 4`, `--prompt 'a dog'`, `--image mine.jpg --mask mask.png`. The study's
# prompts and most of its settings are the defaults of the commands. Each script ends with the contact sheet of what it
# made.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" >/dev/null && pwd)
diffapple=${DIFFAPPLE:-$here/../../build/diffapple}
[ -x "$diffapple" ] || {
    printf '%s: %s is missing: run scripts/setup.sh first, or name the program in DIFFAPPLE\n' "$0" "$diffapple" >&2
    exit 1
}

out=${OUT:-out}
arguments=("$@")
settings=()

# setting OPTION VALUE [ALIAS...]: what the script sets, unless its arguments say something else.
setting() {
    local option=$1 value=$2 word name
    shift 2
    for word in ${arguments[@]+"${arguments[@]}"}; do
        for name in "$option" "$@"; do
            case $word in "$name" | "$name="*) return 0 ;; esac
        done
    done
    settings+=("$option" "$value")
}

setting --device "${DEVICE:-auto}"
setting --dtype "${DTYPE:-auto}"
setting --seed "${SEED:-42}" -s
[ -z "${MODEL:-}" ] || setting --model "$MODEL" -m
