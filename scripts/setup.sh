#!/usr/bin/env bash
# Makes build/diffapple from an empty machine (Debian, Ubuntu, macOS): installs what is missing, finds LibTorch, builds.
# It does nothing twice, and needs no network once everything is there.
#
# usage: scripts/setup.sh [--torch DIR | --cpu | --cuda] [--sentencepiece DIR] [--fetch NAME] [--yes]
#   --torch DIR  use this LibTorch (2.11 to 2.14; on macOS 2.13 or 2.14): an unpacked libtorch archive or a Python's
#                site-packages/torch
#   --cpu        use a CPU build of LibTorch (what is installed when nothing is asked and nothing is found;
#                on macOS it includes mps)
#   --cuda       use a CUDA build (several GB when it has to be downloaded)
#   --sentencepiece DIR  take sentencepiece-0.2.0.tar.gz from this folder instead of PyPI
#   --fetch NAME download a model when all is built: ddpm-cat, sd15, sdxl-turbo, sd2-inpaint or a Hub id; repeatable
#   --yes        install system packages with sudo without asking
# Without --torch, --cpu and --cuda: what the last build used, else the torch of a Python on PATH, else a private one
# in .venv/.

scripts=$(dirname -- "${BASH_SOURCE[0]}")
. "$scripts/lib/common.sh"
. "$scripts/lib/packages.sh"
. "$scripts/lib/venv.sh"
. "$scripts/lib/libtorch.sh"
. "$scripts/lib/sentencepiece.sh"

given_torch='' given_sentencepiece='' flavour='' assume_yes=no models=''
build=build

read_options() {
    while [ $# -gt 0 ]; do
        case $1 in
        --torch)
            [ $# -ge 2 ] || die "--torch needs a folder: see --help"
            given_torch=$(cd -- "$caller_dir" && cd -- "$2" 2>/dev/null && pwd) || die "--torch $2: no such folder"
            shift
            ;;
        --sentencepiece)
            [ $# -ge 2 ] || die "--sentencepiece needs a folder: see --help"
            given_sentencepiece=$(cd -- "$caller_dir" && cd -- "$2" 2>/dev/null && pwd) ||
                die "--sentencepiece $2: no such folder"
            shift
            ;;
        --fetch)
            [ $# -ge 2 ] || die "--fetch needs the name of a model: see --help"
            models="$models $2"
            shift
            ;;
        --cpu | --cuda) flavour=${1#--} ;;
        --yes) assume_yes=yes ;;
        -h | --help) usage && exit ;;
        *) die "unknown option $1: see --help" ;;
        esac
        shift
    done
    [ "$flavour" != cuda ] || ! on_macos || die "--cuda: there is no CUDA on macOS; leave it out to use mps"
    venv=.venv/torch
    [ "$flavour" != cuda ] || venv=.venv/torch-cuda
}

# Finds out what there is, and fails here rather than half way through.
look_around() {
    local needs_python=no
    check_compiler
    libtorch=$(find_libtorch "$given_torch" "$flavour" "$venv")
    [ -n "$libtorch" ] || needs_python=yes
    [ -e "$sentencepiece_archive" ] || [ -n "$given_sentencepiece" ] || needs_python=yes
    # Word splitting is meant: a list of names.
    packages=$(missing_packages "$needs_python" | tr '\n' ' ')
    if [ -z "$libtorch" ]; then
        need_disk_gb "$([ "$flavour" = cuda ] && say 14 || say 5)" "LibTorch with a build"
    elif [ ! -x "$build/diffapple" ]; then
        need_disk_gb 3 "a build"
    fi
}

describe_libtorch() { # DIR
    say "$(libtorch_version "$1"), $(is_cuda_libtorch "$1" && say CUDA || say CPU) build, $1"
}

print_plan() {
    local size='200 MB to download, 1 minute'
    [ "$flavour" != cuda ] || size='several GB to download, 5 to 20 minutes'
    say "System packages: ${packages:-complete}${packages:+(to be installed, 1 minute)}"
    if [ -n "$libtorch" ]; then
        say "LibTorch: $(describe_libtorch "$libtorch")"
    else
        say "LibTorch: $(wheel_for "$flavour"), to be installed in $venv ($size)"
    fi
    [ -e "$sentencepiece_archive" ] ||
        say "SentencePiece: source archive, ${given_sentencepiece:-3 MB to download}"
    [ -x "$build/diffapple" ] || say "Build: $build/diffapple, $(parallel_jobs) at a time (about 3 minutes on 2 cores)"
    if [ -z "$flavour$given_torch" ] && have nvidia-smi && ! is_cuda_libtorch "${libtorch:-.}"; then
        say "An NVIDIA GPU is here; to use it: scripts/setup.sh --cuda"
    fi
}

# An address that answers with an error is reached as well. Only a warning: pip may have all it needs in a local folder.
warn_without_network() {
    local python
    python=$(find_python 10) || return 0
    "$python" - <<'PYTHON' || say "Warning: pypi.org cannot be reached; going on, since pip may have another source."
import sys, urllib.error, urllib.request
try:
    urllib.request.urlopen("https://pypi.org/simple/pip/", timeout=5).close()
except urllib.error.HTTPError:
    pass
except urllib.error.URLError as error:
    sys.exit(not isinstance(error.reason, __import__("ssl").SSLError))
PYTHON
}

build_program() {
    local cmake_version
    cmake_version=$(cmake --version | awk 'NR == 1 { print $3 }')
    case $cmake_version in
    [012].* | 3.[0-9].* | 3.1[0-9].* | 3.2[01].*) die "cmake $cmake_version is too old: 3.22 or later is needed" ;;
    esac
    if [ ! -e "$build/build.ninja" ] || [ "$(cache_entry "$build" LIBTORCH_ROOT)" != "$libtorch" ]; then
        cmake --preset release -DLIBTORCH_ROOT="$libtorch" || die "CMake could not configure $build (see above)"
    fi
    cmake --build "$build" --target diffapple --parallel "$(parallel_jobs)" || die "the build failed (see above)"
}

main() {
    read_options "$@"
    look_around
    print_plan
    # shellcheck disable=SC2086 # a list of names
    [ -z "$packages" ] || install_packages "$assume_yes" $packages
    if [ -z "$libtorch" ]; then
        warn_without_network
        install_libtorch "$flavour" "$venv"
        libtorch=$(venv_torch "$project/$venv")
        [ -n "$libtorch" ] || die "$venv holds no LibTorch after the installation: remove that folder and try again"
    fi
    [ -e "$sentencepiece_archive" ] || fetch_sentencepiece "$given_sentencepiece" "$venv"
    build_program
    local model
    for model in $models; do
        "$build/diffapple" fetch "$model" || die "$model was not downloaded; what was received is kept: try again"
    done
    say "Ready after $SECONDS s. Next: build/diffapple ddpm --steps 100 --seed 0"
}

main "$@"
