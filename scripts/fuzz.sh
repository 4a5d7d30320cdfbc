#!/usr/bin/env bash
# Fuzzes what reads strangers' bytes (tests/fuzz) by libFuzzer, with the sanitizers, from the corpora in tests/fuzz/corpus.
# Prints a line for each target, and all executions. Findings stay in build-fuzz/findings.
#
# usage: scripts/fuzz.sh [--minutes N] [--jobs N] [--keep] [TARGET...]
#   --minutes N  of all targets together (10)
#   --jobs N     so many targets at a time (1)
#   --check      does nothing; whether there is a clang that can do it
#   --keep       puts the smallest inputs that reach what was found into tests/fuzz/corpus

. "$(dirname -- "${BASH_SOURCE[0]}")/lib/common.sh"

layers="io text models recipes tools"
minutes=10 jobs=1 keep=no
declare -a wanted=()

read_options() {
    while [ $# -gt 0 ]; do
        case $1 in
        --minutes) minutes=$2 && shift ;;
        --jobs) jobs=$2 && shift ;;
        --check) find_clang >/dev/null && exit || exit 1 ;;
        --keep) keep=yes ;;
        -h | --help) usage && exit ;;
        -*) die "unknown option $1: see --help" ;;
        *) wanted[${#wanted[@]}]=$1 ;;
        esac
        shift
    done
}

# A clang that has libFuzzer; fails where there is none.
find_clang() {
    local name
    for name in clang++ clang++-{20,19,18,17,16,15}; do
        if have "$name" && echo 'extern "C" int LLVMFuzzerTestOneInput(const char*, unsigned long) { return 0; }' |
            "$name" -x c++ -fsanitize=fuzzer,address - -o /dev/null 2>/dev/null; then
            say "$name"
            return
        fi
    done
    return 1
}

build_programs() { # COMPILER
    local -a programs=()
    local layer
    for layer in $layers; do programs[${#programs[@]}]=fuzz_$layer; done
    CC=${1/++/} CXX=$1 cmake --preset fuzz -DLIBTORCH_ROOT="$(cache_entry build LIBTORCH_ROOT)" >/dev/null &&
        cmake --build build-fuzz --target "${programs[@]}" --parallel "$(parallel_jobs)" >/dev/null
}

# Lines "PROGRAM TARGET" of all targets, or of those that are wanted.
list_targets() {
    local layer program target
    for layer in $layers; do
        program=build-fuzz/tests/fuzz_$layer
        for target in $("$program" --list); do
            [ ${#wanted[@]} -eq 0 ] || [[ " ${wanted[*]-} " == *" $target "* ]] || continue
            say "$program $target"
        done
    done
}

# Makes the corpus of a target from its file in tests, its seeds and what earlier runs found.
fuzz_target() { # PROGRAM TARGET
    local found=build-fuzz/corpus/$2 kept=tests/fuzz/corpus/$2 log=build-fuzz/$2.log
    local -a options=(-timeout=10 -rss_limit_mb=2048 -max_len=4096 -print_final_stats=1
        -artifact_prefix="build-fuzz/findings/$2-")
    mkdir -p "$found" build-fuzz/findings
    "$1" --target="$2" --seeds="$found" --corpus="$kept"
    if ! "$1" --target="$2" "${options[@]}" -max_total_time="$seconds" "$found" >"$log" 2>&1; then
        say "fuzz: $2: FAILED: see $log"
        return 1
    fi
    say "fuzz: $2: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") executions," \
        "$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1) edges reached"
}

keep_smallest() { # PROGRAM TARGET
    local smallest=build-fuzz/smallest/$2
    rm -rf "$smallest" && mkdir -p "$smallest"
    "$1" --target="$2" -set_cover_merge=1 -use_counters=0 -max_len=1024 "$smallest" "build-fuzz/corpus/$2" >/dev/null 2>&1
    "$1" --target="$2" --pack="$smallest" --corpus="tests/fuzz/corpus/$2"
}

main() {
    local compiler targets seconds total
    read_options "$@"
    compiler=$(find_clang) || die "no clang with libFuzzer: install clang and its libclang-rt (Homebrew: llvm)"
    build_programs "$compiler" || die "cannot build the fuzz programs"
    targets=$(list_targets)
    seconds=$((minutes * 60 * jobs / $(wc -l <<<"$targets")))
    export seconds
    export -f fuzz_target say
    xargs -P "$jobs" -L 1 bash -c "fuzz_target \"\$0\" \"\$1\"" <<<"$targets" | tee build-fuzz/summary
    total=$(awk '/ executions/ { sum += $3 } END { print sum + 0 }' build-fuzz/summary)
    say "fuzz: $total executions of $(wc -l <<<"$targets") targets"
    if [ "$keep" = yes ]; then
        while read -r program target; do keep_smallest "$program" "$target"; done <<<"$targets"
    fi
    ! grep -q FAILED build-fuzz/summary
}

main "$@"
