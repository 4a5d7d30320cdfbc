#!/usr/bin/env bash
# Checks the form of the sources: layers, clang-format, shell syntax.
#
# usage: scripts/lint.sh [--tidy | --fix]
#   --tidy  clang-tidy on every C++ source instead (several minutes; --full tests run it)
#   --fix   format the sources first

. "$(dirname -- "${BASH_SOURCE[0]}")/lib/common.sh"

sources() { git ls-files --cached --others --exclude-standard -- "$@"; }

# The pinned version, since each formats a little differently; for the same result without the test environment, the
# system's has to be of the same one.
clang_format() {
    local program=.venv/test/bin/clang-format wanted
    wanted=$(sed -n 's/^clang-format==//p' tests/requirements.txt)
    [ -x "$program" ] || program=clang-format
    have "$program" || die "clang-format is missing: scripts/test.sh installs it in .venv/test"
    "$program" --version | grep -qF " $wanted" || die "$program is not the pinned version $wanted: run scripts/test.sh"
    sources 'src/*.h' 'src/*.cpp' 'include/diffapple/*.h' 'tests/*.h' 'tests/*.cpp' | xargs "$program" "$@"
}

check_shell() {
    local file
    for file in .ci/run $(sources 'scripts/*.sh'); do
        bash -n "$file" || return 1
    done
    # Runs where it is installed, as on GitHub's machines.
    ! have shellcheck || shellcheck -x -e SC1091 .ci/run $(sources 'scripts/*.sh')
}

# In a build folder of its own: clang cannot read GCC's precompiled headers, and without them a source that forgot an
# include is found.
run_tidy() {
    have clang-tidy || die "clang-tidy is missing: install the package clang-tidy (Homebrew: llvm, and put it on PATH)"
    cmake --preset tidy -DLIBTORCH_ROOT="$(cache_entry build LIBTORCH_ROOT)" >/dev/null
    sources 'src/*.cpp' 'tests/*.cpp' | xargs -n 1 -P "$(parallel_jobs)" clang-tidy -p build-tidy --quiet
}

main() {
    case ${1:-} in
    '' | --fix)
        [ -z "${1:-}" ] || clang_format -i
        python3 scripts/check_layers.py
        clang_format --dry-run --Werror
        check_shell
        say "lint: fine"
        ;;
    --tidy) run_tidy ;;
    -h | --help) usage ;;
    *) die "unknown option $1: see --help" ;;
    esac
}

main "$@"
