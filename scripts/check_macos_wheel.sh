#!/usr/bin/env bash
# Whether this program, as it is built here, would link against LibTorch's macOS wheel, and what it relies on is in it:
# - every function of LibTorch's that our objects call is exported by the wheel's libraries (names are compared without
#   what differs between the two C++ libraries and in the name of 64-bit integers);
# - so are those that stand in #ifdef __APPLE__;
# - the Metal kernels are there that the code counts on.
# After it, `CXX=clang++-16 scripts/check_libcxx.sh build-wheel/torch` compiles every source against the wheel's headers.
#
# usage: scripts/check_macos_wheel.sh [WHEEL]     a torch wheel for macosx arm64; without one, pip downloads it
# Needs a build and llvm-nm (Debian: llvm). The unpacked wheel stays in build-wheel/torch.

. "$(dirname -- "${BASH_SOURCE[0]}")/lib/common.sh"
. "$project/scripts/lib/packages.sh"
. "$project/scripts/lib/venv.sh"
. "$project/scripts/lib/libtorch.sh"

work=build-wheel

fetch_wheel() {
    local python
    python=$(find_python 10) || die "there is no Python 3.10 or later to download the wheel with"
    "$python" -m pip download "torch==$torch_wheel_macos" --no-deps --only-binary=:all: --python-version 3.12 \
        --platform macosx_14_0_arm64 --dest "$work" --quiet || die "pip could not download torch $torch_wheel_macos"
    find "$work" -maxdepth 1 -name 'torch-*macosx*arm64.whl' | sort | tail -n 1
}

# The same name for one function in both worlds, one a line.
normalised() {
    sed -e 's/^thread-local wrapper routine for //; s/__cxx11:://g; s/__1:://g; s/\[abi:[a-z0-9]*\]//g; s/unsigned long long/unsigned long/g' \
        -e 's/long long/long/g; s/> >/>>/g; s/> >/>>/g' \
        -e 's/std::basic_ostream<char, std::char_traits<char>>/std::ostream/g' | sort -u
}

# Of LibTorch's namespaces; templates of its own that a compiler instantiates anywhere are not undefined.
called_symbols() {
    find build -maxdepth 1 -name 'libdiffapple_*.a' -print0 | xargs -0 nm --undefined-only --demangle 2>/dev/null |
        sed -n 's/^ *U //p' | grep -E '(^|[ *&])(at|c10|torch|caffe2)::' | grep -v diffapple:: | normalised >"$work/called"
    find build -maxdepth 1 -name 'libdiffapple_*.a' -print0 | xargs -0 nm --defined-only --demangle 2>/dev/null |
        sed -n 's/^[0-9a-f]* [A-Za-z] //p' | normalised >"$work/own"
}

exported_symbols() {
    "$llvm_nm" --extern-only --defined-only --demangle "$work"/torch/lib/lib{torch_cpu,c10,torch}.dylib 2>/dev/null |
        sed -n 's/^[0-9a-f]* [A-Z] //p' | normalised >"$work/exported"
}

compare_symbols() {
    comm -23 "$work/called" "$work/own" | comm -23 - "$work/exported" >"$work/missing"
    local missing
    missing=$(wc -l <"$work/missing")
    [ "$missing" -eq 0 ] || die "$missing symbols are not in the wheel, all in $work/missing: $(head -n 3 "$work/missing")"
    say "$(wc -l <"$work/called") called symbols are exported by the wheel"
}

# What the objects of Linux do not call.
check_apple_symbols() {
    local symbol
    for symbol in 'at::mps::getIMPSAllocator()' 'at::detail::getMPSHooks()'; do
        grep -qxF "$symbol" "$work/exported" || die "$symbol is not exported by the wheel"
    done
}

check_kernels() {
    local size dtype name missing=''
    strings -n 8 "$work/torch/lib/libtorch_cpu.dylib" | grep -oE '(prefill_attention|mul_(dense|strided)_cast)_[a-z0-9_]+' |
        sort -u >"$work/kernels"
    for dtype in float16 float32 bfloat16; do
        for size in 32 64 72 80 96 128 256; do
            grep -qE "^prefill_attention_${dtype}_.*_bd${size}_.*hm0_dc0" "$work/kernels" ||
                missing="$missing prefill_attention($dtype, $size)"
        done
    done
    for name in half bfloat float; do
        grep -qE "^mul_(dense|strided)_cast_$name" "$work/kernels" || missing="$missing mul_cast($name)"
    done
    [ -z "$missing" ] || die "the wheel has no Metal kernel$missing"
    say "fused attention for heads of 32 to 256 in three types, and products of mixed types, are in the wheel"
}

case ${1:-} in
-h | --help) usage && exit ;;
-*) die "unknown option $1: see --help" ;;
esac
for llvm_nm in llvm-nm llvm-nm-{20,19,18,17,16,15,14}; do ! have "$llvm_nm" || break; done
have "$llvm_nm" || die "llvm-nm is missing (Debian: apt install llvm)"
[ -e build/libdiffapple_core.a ] || die "there is no build: run scripts/setup.sh first"
wheel=''
[ -z "${1:-}" ] || wheel=$(cd -- "$caller_dir" && realpath -- "$1")
mkdir -p "$work"
[ -n "$wheel" ] || wheel=$(fetch_wheel)
[ -e "$wheel" ] || die "$wheel: no such file"
rm -rf "$work/torch"
python3 -m zipfile -e "$wheel" "$work/unpacked"
mv "$work/unpacked/torch" "$work/torch"
rm -rf "$work/unpacked"
say "LibTorch $(libtorch_version "$work/torch")"
called_symbols
exported_symbols
compare_symbols
check_apple_symbols
check_kernels
