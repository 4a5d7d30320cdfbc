#!/usr/bin/env bash
# Compiles every source, without linking it, as close to macOS as Linux allows: libc++ has less of the standard library
# than GCC's, and macOS's 64-bit integers are long long: a std::min of an int64_t and a long is an error.
# (What stands in #ifdef __APPLE__ is left out where it needs Apple's headers.) Takes 10 minutes on 2 cores.
#
# usage: CXX=clang++-16 scripts/check_libcxx.sh [LIBTORCH]
#   needs clang 16 or later and its libc++ (Debian: libc++-16-dev)
#   LIBTORCH: a folder with other headers than the build's, as build-wheel/torch (scripts/check_macos_wheel.sh)

. "$(dirname -- "${BASH_SOURCE[0]}")/lib/common.sh"

clang=${CXX:-clang++}
work=build-libcxx
libtorch=$(cache_entry build LIBTORCH_ROOT)
case ${1:-} in
'' | -*) ;;
*) libtorch=$(cd -- "$caller_dir" && cd -- "$1" && pwd) && shift ;;
esac
flags=(-std=c++20 -stdlib=libc++ -Wall -Wextra -Wpedantic -Wno-missing-field-initializers -Werror
    -isystem "$work/include" -Iinclude -Itests -Isrc/nn -isystem include/third_party -isystem /usr/include/freetype2
    -isystem "$libtorch/include" -isystem "$libtorch/include/torch/csrc/api/include" '-DDIFFAPPLE_VERSION="-"')

# The header that defines the 64-bit integers, and the two of LibTorch that ask which type these are.
write_changed_headers() {
    local types
    types=$(printf '#include <bits/types.h>\n' | "$clang" -x c++ -E - |
        sed -n 's/^# 1 "\(.*types.h\)".*/\1/p' | head -n 1)
    mkdir -p "$work/include/bits" "$work/include/c10/core"
    sed '/__u*int64_t;/s/long int/long long int/' "$types" >"$work/include/bits/types.h"
    sed 's/defined(__APPLE__)/1/; s/defined(__linux__)/0/' "$libtorch/include/c10/core/Scalar.h" \
        >"$work/include/c10/core/Scalar.h"
    sed 's/defined(__APPLE__)/1/' "$libtorch/include/c10/core/SymInt.h" >"$work/include/c10/core/SymInt.h"
}

compile_headers() {
    printf '#include <%s>\n' ATen/ATen.h torch/nn/module.h nlohmann/json.hpp >"$work/common.h"
    "$clang" "${flags[@]}" -x c++-header "$work/common.h" -o "$work/common.pch"
    printf '#include <cstdint>\n#include <type_traits>\nstatic_assert(std::is_same_v<int64_t, long long>);\n' |
        "$clang" "${flags[@]}" -x c++ -fsyntax-only -
}

# Without SentencePiece's only user, which is built apart from LibTorch's headers.
compile_sources() {
    find src tests/unit -name '*.cpp' ! -path '*/sentencepiece/*' ! -name 'standin_*' -print0 |
        xargs -0 -n 4 -P "$(parallel_jobs)" "$clang" "${flags[@]}" -fsyntax-only -include-pch "$work/common.pch"
}

# What stands in #ifdef __APPLE__ and needs LibTorch's headers alone.
compile_apple_source() {
    sed 's/^#ifdef __APPLE__/#if 1/' src/core/host_alias.cpp >"$work/host_alias.cpp"
    "$clang" "${flags[@]}" -fsyntax-only -include-pch "$work/common.pch" "$work/host_alias.cpp"
}

case ${1:-} in
'') ;;
-h | --help) usage && exit ;;
*) die "unknown option $1: see --help" ;;
esac
[ -n "$libtorch" ] || die "there is no build: run scripts/setup.sh first"
printf '#include <version>\n' | "$clang" -stdlib=libc++ -std=c++20 -x c++ -fsyntax-only - 2>/dev/null ||
    die "$clang with libc++ is missing: install both, and name the compiler in CXX"
write_changed_headers
compile_headers
compile_apple_source
compile_sources
say "every source compiles with libc++ and macOS's integers"
