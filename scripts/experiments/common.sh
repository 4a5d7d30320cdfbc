# What the study's scripts share. Settings come from the environment:
#   DEVICE  auto, mps, cuda, cuda:N or cpu [auto]        SEED   seed, or a list or range of seeds [42]
#   DTYPE   auto, fp32, fp16 or bf16 [auto]              OUT    folder of the results [out]
#   MODEL   folder, name or Hub id [the experiment's own]
# DIFFAPPLE names another program than build/diffapple; all arguments of a script are passed on to it. The study's
# prompts and most of its settings are the defaults of the commands: a script names only what it varies or sets
# otherwise, so that an argument such as --prompt replaces the study's.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" >/dev/null && pwd)
diffapple=${DIFFAPPLE:-$here/../../build/diffapple}
[ -x "$diffapple" ] || {
    printf '%s: %s is missing: run scripts/setup.sh first, or name the program in DIFFAPPLE\n' "$0" "$diffapple" >&2
    exit 1
}

out=${OUT:-out}
# No contact sheet for each command of a loop: the one command that a script names, run afterwards with the same
# settings, finds all pictures made and makes the sheet of them.
settings=(--device "${DEVICE:-auto}" --dtype "${DTYPE:-auto}" --seed "${SEED:-42}" --sheet off)
[ -z "${MODEL:-}" ] || settings+=(--model "$MODEL")
