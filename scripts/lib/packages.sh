# What a build needs from the system, looked for by what it is rather than by its package's name, so that a compiler
# or a library from elsewhere counts.

# command or header    Debian, Ubuntu       Homebrew
system_needs='
cmake                  cmake                cmake
ninja                  ninja-build          ninja
CLI/CLI.hpp            libcli11-dev         cli11
nlohmann/json.hpp      nlohmann-json3-dev   nlohmann-json
openssl/evp.h          libssl-dev           openssl@3
zlib.h                 zlib1g-dev           -
curl/curl.h            libcurl4-openssl-dev -
utf8proc.h             libutf8proc-dev      utf8proc
freetype2/ft2build.h   libfreetype-dev      freetype
jpeglib.h              libjpeg-dev          jpeg-turbo
png.h                  libpng-dev           libpng
webp/demux.h           libwebp-dev          webp
histedit.h             libedit-dev          -
hwy/highway.h          libhwy-dev           highway
gtest/gtest.h          libgtest-dev         googletest
'

# The compiler that CMake will choose.
find_compiler() {
    local name
    for name in "${CXX:-}" c++ g++ clang++; do
        if [ -n "$name" ] && have "$name"; then
            command -v "$name"
            return
        fi
    done
    return 1
}

speaks_cxx20() { # COMPILER
    printf '#if __cplusplus < 202002L\n#error\n#endif\n' | "$1" -std=c++20 -x c++ -E - >/dev/null 2>&1
}

# Homebrew's folders are not on Apple clang's own search path.
has_header() { # COMPILER HEADER
    local brew_root=${HOMEBREW_PREFIX:-/opt/homebrew}
    printf '#if !__has_include(<%s>)\n#error\n#endif\n' "$2" |
        "$1" -x c++ -I "$brew_root/include" -I "$brew_root/opt/openssl@3/include" -E - >/dev/null 2>&1
}

# A Python that the pinned wheels exist for, from 3.MINIMUM on, and that can make a virtual environment (ensurepip,
# which Debian splits off).
find_python() { # MINIMUM
    local name
    for name in python3 python3.13 python3.12 python3.11 python3.10 python3.14; do
        if have "$name" && "$name" -c "import sys, venv, ensurepip
sys.exit(not (3, $1) <= sys.version_info[:2] <= (3, 14))" 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    return 1
}

is_apt_system() { have apt-get && have dpkg; }

missing_packages() { # NEEDS_PYTHON (yes or no)
    local compiler what apt brew
    compiler=$(find_compiler) || compiler=
    if ! on_macos && [ -z "$compiler" ]; then say g++; fi
    while read -r what apt brew; do
        case $what in
        '') continue ;;
        *.h | *.hpp) [ -z "$compiler" ] || ! has_header "$compiler" "$what" || continue ;;
        *) ! have "$what" || continue ;;
        esac
        if ! on_macos; then say "$apt"; elif [ "$brew" != - ]; then say "$brew"; fi
    done <<<"$system_needs"
    if [ "$1" = yes ] && ! find_python 10 >/dev/null; then
        if on_macos; then say python@3.13; else say python3-venv; fi
    fi
}

check_compiler() {
    local compiler
    if on_macos && ! xcode-select -p >/dev/null 2>&1; then
        die "the Xcode command line tools are missing: run xcode-select --install, then this script again"
    fi
    if compiler=$(find_compiler) && ! speaks_cxx20 "$compiler"; then
        die "$compiler does not know C++20: install g++ 11, clang 14 or later, or name one in CXX"
    fi
}

# The command that installs packages here, as words; fails where there is no known way.
install_command() { # PACKAGES...
    if on_macos; then
        have brew || die "Homebrew is missing and would install $*: see https://brew.sh, then run this script again"
        say "brew install $*"
    elif is_apt_system; then
        say "apt-get install -y --no-install-recommends $*"
    else
        die "cannot install packages on this system: install what Debian calls $*, then run this script again"
    fi
}

# Runs it. Becoming root is never silent: the command is shown, and run only after a yes.
install_packages() { # ASSUME_YES PACKAGES...
    local assume_yes=$1 command answer
    shift
    command=$(install_command "$@")
    if ! on_macos; then
        command="apt-get update && $command"
        if [ "$(id -u)" != 0 ]; then
            command="sudo sh -c '$command'"
            if [ "$assume_yes" = no ]; then
                [ -t 0 ] || die "system packages are missing: run  $command  and then this script again"
                printf 'Run  %s  ? [y/N] ' "$command"
                read -r answer
                case $answer in [yY]*) ;; *) die "not installed: run that command yourself, then this script again" ;; esac
            fi
            have sudo || die "sudo is missing: as root, run  ${command#sudo }"
        fi
    fi
    say "Running: $command"
    DEBIAN_FRONTEND=noninteractive sh -c "$command" || die "failed: $command (is there a network?)"
}
