# The source archive of SentencePiece, from PyPI: cmake/SentencePiece.cmake builds it, and says why the system's
# library cannot be used beside LibTorch. It is kept in .venv/archives, so a second run needs no network.

sentencepiece_archive=.venv/archives/sentencepiece-0.2.0.tar.gz
sentencepiece_sha256=a52c19171daaf2e697dc6cbe67684e0fa341b1248966f6aebb541de654d15843

# Puts a checked copy where the build looks for it; a damaged one never gets there.
keep_sentencepiece() { # ARCHIVE
    local found
    found=$(cmake -E sha256sum "$1" | cut -d' ' -f1)
    [ "$found" = "$sentencepiece_sha256" ] ||
        die "$1 has the SHA-256 $found, not $sentencepiece_sha256: it is damaged or another file"
    cp "$1" "$sentencepiece_archive.part" && mv "$sentencepiece_archive.part" "$sentencepiece_archive"
}

# A pip: that of LibTorch's environment, where there is one.
pip_python() { # VENV
    if [ ! -x "$1/bin/python" ]; then
        make_venv .venv/pip 10 pip >&2
        say .venv/pip/bin/python
    else
        say "$1/bin/python"
    fi
}

fetch_sentencepiece() { # GIVEN_FOLDER VENV
    local name=${sentencepiece_archive##*/} python folder
    mkdir -p "${sentencepiece_archive%/*}"
    if [ -n "$1" ]; then
        [ -e "$1/$name" ] || die "--sentencepiece $1: no $name there"
        keep_sentencepiece "$1/$name"
        return
    fi
    python=$(pip_python "$2")
    folder=$(mktemp -d)
    say "Downloading $name"
    "$python" -m pip download --quiet --disable-pip-version-check --retries 1 --no-deps --no-binary :all: \
        --dest "$folder" sentencepiece==0.2.0 ||
        die "pip could not download $name (is there a network?); or give its folder: --sentencepiece DIR"
    keep_sentencepiece "$folder/$name"
    rm -rf "$folder"
}
