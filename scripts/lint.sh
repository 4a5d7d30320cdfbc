#!/usr/bin/env bash
# Checks the form of the sources: layers, clang-format, shell syntax.
#
# usage: scripts/lint.sh [--tidy | --fix]
#   --tidy  run clang-tidy on every C++ source instead (10 minutes or more; test.sh --full does)
#   --fix   format the sources instead

. "$(dirname -- "${BASH_SOURCE[0]}")/lib/common.sh"

# A program that tests/requirements.txt pins, since each version judges a little differently.
pinned() { # NAME
    [ -x ".venv/test/bin/$1" ] || die "$1 is not in .venv/test: scripts/test.sh installs it"
    say ".venv/test/bin/$1"
}

check_format() { # CLANG_FORMAT_OPTIONS...
    find src include/diffapple tests \( -name '*.h' -o -name '*.cpp' \) -exec "$(pinned clang-format)" "$@" {} +
}

check_shell() {
    find .ci/run scripts -type f ! -name '*.py' ! -name '*.pyc' -exec "$(pinned shellcheck)" --shell=bash {} +
}

# In a build folder of its own: clang cannot read GCC's precompiled headers, and without them a source that forgot an
# include is found.
run_tidy() {
    have clang-tidy || die "clang-tidy is missing: install the package clang-tidy (Homebrew: llvm, and put it on PATH)"
    cmake --preset tidy -DLIBTORCH_ROOT="$(cache_entry build LIBTORCH_ROOT)" >/dev/null
    find src tests -name '*.cpp' -print0 | xargs -0 -n 1 -P "$(parallel_jobs)" clang-tidy -p build-tidy --quiet
}

main() {
    case ${1:-} in
    --fix) check_format -i ;;
    '')
        "$(pinned python)" scripts/check_layers.py
        check_format --dry-run --Werror
        check_shell
        say "lint: fine"
        ;;
    --tidy) run_tidy ;;
    -h | --help) usage ;;
    *) die "unknown option $1: see --help" ;;
    esac
}

main "$@"
