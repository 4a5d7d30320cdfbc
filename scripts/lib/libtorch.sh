# Finds LibTorch: a folder with include/ and lib/, which is an unpacked libtorch archive or any Python's
# site-packages/torch. Only its headers and libraries are used; no Python runs it.

torch_wheel=2.13.0
torch_wheel_macos=2.14.1

libtorch_version() { # DIR
    cat "$1/include/torch/headeronly/version.h" "$1/include/torch/csrc/api/include/torch/version.h" 2>/dev/null |
        awk '/define TORCH_VERSION_(MAJOR|MINOR|PATCH) / { v = v (n++ ? "." : "") $3 } n == 3 { print v; exit }'
}

is_cuda_libtorch() { [ -e "$1/lib/libtorch_cuda.so" ]; }

is_libtorch() { # DIR
    [ -e "$1/include/ATen/ATen.h" ] && { [ -e "$1/lib/libtorch_cpu.so" ] || [ -e "$1/lib/libtorch_cpu.dylib" ]; }
}

# On macOS, 2.11 and 2.12 are too old: no fused attention for more than 8 rows, so that all products lie in memory (1 GB
# for SD v1.5), wrong pictures of SDXL on macOS 27 (pytorch#187280), no statistics of the allocator.
supported_range() { if on_macos; then say "2.13 to 2.14"; else say "2.11 to 2.14"; fi; }

is_supported_libtorch() { # DIR
    is_libtorch "$1" && case $(libtorch_version "$1") in
    2.11.* | 2.12.*) ! on_macos ;;
    2.13.* | 2.14.*) ;;
    *) false ;;
    esac
}

# Whether a LibTorch is what --cpu or --cuda asked for; with neither, both kinds are.
fits_flavour() { # DIR FLAVOUR
    case $2 in
    cpu) ! is_cuda_libtorch "$1" ;;
    cuda) is_cuda_libtorch "$1" ;;
    esac
}

# The torch folder of a Python, found without importing it, which would take seconds.
torch_of_python() { # PYTHON
    "$1" -c 'from importlib.util import find_spec
spec = find_spec("torch")
print(next(iter(spec.submodule_search_locations)) if spec else "")' 2>/dev/null || true
}

venv_torch() { # VENV
    local dir
    for dir in "$1"/lib/python3*/site-packages/torch; do
        ! is_libtorch "$dir" || say "$dir"
    done
}

# Prints the LibTorch to use, or nothing when a wheel has to be installed. In order: the folder given, what the last
# build used (so that a later call without options keeps its choice), a Python on PATH, the private environment.
find_libtorch() { # GIVEN_DIR FLAVOUR VENV
    local dir python
    if [ -n "$1" ]; then
        is_libtorch "$1" || die "--torch $1: no LibTorch there (needs include/ATen/ATen.h and lib/libtorch_cpu)"
        is_supported_libtorch "$1" || die "--torch $1: LibTorch $(libtorch_version "$1") is not one of $(supported_range)"
        say "$1"
        return
    fi
    if [ -z "$2" ]; then
        dir=$(cache_entry build LIBTORCH_ROOT)
        if [ -n "$dir" ] && is_supported_libtorch "$dir"; then
            say "$dir"
            return
        fi
    fi
    for python in "${VIRTUAL_ENV:-/nowhere}/bin/python3" python3; do
        dir=$(torch_of_python "$python")
        [ -n "$dir" ] && is_libtorch "$dir" || continue
        if ! is_supported_libtorch "$dir"; then
            say "Passed over: LibTorch $(libtorch_version "$dir") in $dir is not one of $(supported_range)" >&2
        elif fits_flavour "$dir" "$2"; then
            say "$dir"
            return
        fi
    done
    if is_finished_venv "$3" "$(wheel_for "$2")"; then venv_torch "$project/$3"; fi
}

# PyPI's Linux wheel is the CUDA build of several GB; the CPU build has its own version.
wheel_for() { # FLAVOUR
    if on_macos; then
        say "torch==$torch_wheel_macos"
    elif [ "$1" = cuda ]; then
        say "torch==$torch_wheel"
    else
        say "torch==$torch_wheel+cpu"
    fi
}

install_libtorch() { # FLAVOUR VENV
    # The CPU libraries are complete in the wheel; the CUDA ones are in packages that it depends on.
    local wheel
    wheel=$(wheel_for "$1")
    if [ "$1" = cuda ]; then
        make_venv "$2" 10 "$wheel" "$wheel"
    else
        make_venv "$2" 10 "$wheel" --no-deps "$wheel"
    fi
}
