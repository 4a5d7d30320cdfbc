#!/usr/bin/env bash
# Sets up (see setup.sh) and runs all tests. Ends with "N passed, N failed" and fails if anything did.
#
# usage: scripts/test.sh [--full] [options of setup.sh]
#   --full  also the full-size models, the campaign of faults, kills and long runs, clang-tidy, and the C++ tests and
#           long fuzzing under the address and undefined-behaviour sanitizers (about two hours on 2 cores); the tests of
#           the report's page then need a browser (Debian: chromium chromium-driver), else they are skipped without one

scripts=$(dirname -- "${BASH_SOURCE[0]}")
. "$scripts/lib/common.sh"
. "$scripts/lib/packages.sh"
. "$scripts/lib/venv.sh"

results=build/test-results
full=no
declare -a setup_options=()

read_options() {
    while [ $# -gt 0 ]; do
        case $1 in
        --full) full=yes ;;
        -h | --help) usage && exit ;;
        *) setup_options[${#setup_options[@]}]=$1 ;;
        esac
        shift
    done
}

# Runs one part of the tests; a failure is counted and the next part still runs. A part that reports its single tests
# in JUnit's form does so in $results/NAME.xml.
part() { # NAME COMMAND...
    local name=$1 start=$SECONDS status=passed
    shift
    say "== $name"
    "$@" || status=failed
    say "$status" >"$results/$name.status"
    say "== $name: $status ($((SECONDS - start)) s)"
}

# Two processes at a time with one thread each, or one with several: more threads than cores make each other wait.
pytest_part() { # NAME MARKER_EXPRESSION PROCESSES
    local threads=1
    [ "$3" -gt 0 ] || threads=$(parallel_jobs)
    OMP_NUM_THREADS=$threads part "$1" .venv/test/bin/python -m pytest tests/python -q -m "$2" -n "$3" \
        --junitxml "$results/$1.xml"
}

ctest_part() { # NAME PRESET
    OMP_NUM_THREADS=1 part "$1" ctest --preset "$2" --parallel "$(parallel_jobs)" --output-junit "$project/$results/$1.xml"
}

# Every target of the fuzz programs for so many seconds, from its corpus, two at a time. The seed is new each time: what
# is found is told with it, and its input is kept.
fuzz() { # BUILD_DIR SECONDS
    local layer
    for layer in io text models recipes tools; do
        "$1/tests/fuzz_$layer" --list | xargs -P 2 -I {} \
            "$1/tests/fuzz_$layer" {} tests/fuzz/corpus/{} "$2s" "$RANDOM" || return 1
    done
}

sanitized_parts() {
    part build-asan build_preset asan
    ctest_part unit-asan asan
    part fuzz-asan fuzz build-asan 10
    "$scripts/fuzz.sh" --check || return 0
    part fuzz-coverage scripts/fuzz.sh --minutes 10 --jobs 2
    # What reads a stranger's weights: ten minutes each.
    part fuzz-weights scripts/fuzz.sh --minutes 45 --jobs 2 safetensors gguf torch_bin torch_legacy pickle \
        weights_index single_file hub_listing http_head
}

# Faults, kills and long runs (docs/reliability.md). They put themselves before the C library, as Linux lets them.
campaign() {
    local name
    ! on_macos || return 0
    for name in system_calls allocations kills; do
        part "campaign-${name//_/-}" .venv/test/bin/python "tests/campaign/$name.py" --minutes 6
    done
    part campaign-soak .venv/test/bin/python tests/campaign/soak.py --pictures 3000
}

build_preset() { # PRESET
    cmake --preset "$1" -DLIBTORCH_ROOT="$(cache_entry build LIBTORCH_ROOT)" &&
        cmake --build --preset "$1" --parallel "$(parallel_jobs)"
}

main() {
    read_options "$@"
    "$scripts/setup.sh" ${setup_options[@]+"${setup_options[@]}"}
    make_venv .venv/test 11 "$(cat tests/requirements.txt tests/requirements-data.txt)" \
        -r tests/requirements.txt -- --no-deps -r tests/requirements-data.txt
    rm -rf "$results" && mkdir -p "$results"

    part lint "$scripts/lint.sh"
    part build cmake --build build --parallel "$(parallel_jobs)"
    ctest_part unit release
    part fuzz fuzz build 2
    [ "$full" = no ] || export DIFFAPPLE_BROWSER=required  # tests/python/browser.py
    pytest_part python 'not full' 2
    if [ "$full" = yes ]; then
        pytest_part python-full full 0
        campaign
        part tidy "$scripts/lint.sh" --tidy
        sanitized_parts
    fi
    .venv/test/bin/python scripts/lib/count_results.py "$results"
}

main "$@"
