# Virtual environments that are made once. A stamp with their contents' description is written last, so that an
# interrupted installation is taken up again, and a changed description is installed.

is_finished_venv() { # DIR WANTED
    [ "$(cat "$1/.finished" 2>/dev/null)" = "$2" ]
}

# Installs with pip's own configuration (a mirror, local wheels); where that lacks a CPU build of torch, with PyTorch's
# index as well. The first try fails at once when the wheel is not there.
pip_install() { # DIR PIP_ARGUMENTS...
    local python=$1/bin/python log=$1/pip.log
    shift
    "$python" -m pip install --disable-pip-version-check --retries 1 "$@" 2>"$log" ||
        "$python" -m pip install --disable-pip-version-check --retries 1 \
            --extra-index-url https://download.pytorch.org/whl/cpu "$@" 2>"$log" || {
        grep -v '^WARNING' "$log" >&2 || true
        return 1
    }
}

# Each `--` among the arguments starts one more call of pip, for requirements that want other options.
make_venv() { # DIR MINIMUM_PYTHON DESCRIPTION PIP_ARGUMENTS... [-- PIP_ARGUMENTS...]...
    local dir=$1 minimum=$2 description=$3 python
    local -a call
    shift 3
    ! is_finished_venv "$dir" "$description" || return 0
    python=$(find_python "$minimum") ||
        die "$dir needs a Python from 3.$minimum to 3.14 with the venv module on PATH: install one"
    say "Making $dir with $python"
    "$python" -m venv "$dir" || die "$python cannot make the environment $dir"
    while [ $# -gt 0 ]; do
        call=()
        while [ $# -gt 0 ] && [ "$1" != -- ]; do
            call[${#call[@]}]=$1
            shift
        done
        [ $# = 0 ] || shift
        pip_install "$dir" "${call[@]}" ||
            die "pip could not install into $dir (is there a network?): pip install ${call[*]}"
    done
    printf '%s\n' "$description" >"$dir/.finished"
}
