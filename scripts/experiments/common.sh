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

# names WORD OPTION...: whether a word of the command line is one of these options: --steps, --steps=4, -s, -s4, and
# with underscores for hyphens.
names() {
    local word=$1 option
    shift
    case $word in --*) option=${word%%=*} && option=${option//_/-} ;; *) option=${word:0:2} ;; esac
    case " $* " in *" $option "*) return 0 ;; esac
    return 1
}

# given OPTION...: whether the script's arguments have one of these options.
given() {
    local word
    for word in ${arguments[@]+"${arguments[@]}"}; do
        names "$word" "$@" && return 0
    done
    return 1
}

# setting OPTION VALUE [ALIAS...]: what the script sets, unless its arguments say something else.
setting() {
    local option=$1 value=$2
    shift 2
    given "$option" "$@" || settings+=("$option" "$value")
}

# take OPTION...: the value of an option into `taken`, and both out of the arguments; fails where they have it not.
take() {
    local kept=() word wanted=
    given "$@" || return 1
    for word in "${arguments[@]}"; do
        if [ -n "$wanted" ]; then
            taken=$word wanted=
        elif ! names "$word" "$@"; then
            kept+=("$word")
        else
            case $word in
                --*=*) taken=${word#*=} ;;
                -[!-]?*) taken=${word:2} ;;
                *) wanted=yes ;;
            esac
        fi
    done
    arguments=(${kept[@]+"${kept[@]}"})
}

setting --device "${DEVICE:-auto}"
setting --dtype "${DTYPE:-auto}"
setting --seed "${SEED:-42}" -s
[ -z "${MODEL:-}" ] || setting --model "$MODEL" -m
