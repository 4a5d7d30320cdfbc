# What every script here shares. Bash 3.2 is enough, because macOS has no newer one.
set -euo pipefail

caller_dir=$PWD
project=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." >/dev/null && pwd)
cd -- "$project"

say() { printf '%s\n' "$*"; }
die() {
    printf '%s: %s\n' "$(basename -- "$0")" "$*" >&2
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }
# Prints the comment at the top of the running script, its help text.
usage() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }

on_macos() { [ "$(uname -s)" = Darwin ]; }

# One compiler process on LibTorch's headers takes up to 1.5 GB: as many as cores and free memory allow.
parallel_jobs() {
    local cores memory_mb jobs
    if on_macos; then
        cores=$(sysctl -n hw.ncpu)
        memory_mb=$(($(sysctl -n hw.memsize) / 1048576))
    else
        cores=$(nproc)
        memory_mb=$(awk '/^MemAvailable/ { print int($2 / 1024) }' /proc/meminfo)
    fi
    jobs=$((memory_mb / 1500))
    [ "$jobs" -le "$cores" ] || jobs=$cores
    [ "$jobs" -ge 1 ] || jobs=1
    say "$jobs"
}

# The value of a CMake cache entry of a build folder; nothing when there is no such build.
cache_entry() { # BUILD_DIR NAME
    sed -n "s/^$2:[A-Z]*=//p" "$1/CMakeCache.txt" 2>/dev/null || true
}

# Fails with a line that says what needs the space.
need_disk_gb() { # GB FOR_WHAT
    local free_kb
    free_kb=$(df -Pk . | awk 'NR == 2 { print $4 }')
    [ "$free_kb" -ge $(($1 * 1048576)) ] ||
        die "$project has $((free_kb / 1048576)) GB of free disk and $2 takes about $1 GB: free some space"
}
