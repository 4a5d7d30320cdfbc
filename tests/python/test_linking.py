"""Which library the program takes its symbols from: LibTorch's export more than LibTorch."""

import os
import shutil
import subprocess
import sys

import pytest
from conftest import PROGRAM

pytestmark = pytest.mark.skipif(
    sys.platform == "darwin", reason="each library of macOS has its own names: no clash can happen"
)


def test_shares_no_symbol_with_libtorch():
    """SentencePiece, its absl and its protobuf must neither be seen by LibTorch nor be replaced by LibTorch's own."""
    nm = shutil.which("nm")
    assert nm, "nm is missing: install binutils"

    def symbols(*options):
        return subprocess.run([nm, *options, PROGRAM], capture_output=True, text=True, check=True).stdout.splitlines()

    own = [line.split()[-1] for line in symbols("--defined-only")]
    assert any("sentencepiece" in name and "Load" in name for name in own), "the test would see nothing"
    assert not [name for name in own if name == "FLAGS_minloglevel" or name.startswith("_ZN6google8protobuf")]
    dynamic = [line.split()[-1] for line in symbols("--dynamic")]
    clashing = ("FLAGS_minloglevel", "sentencepiece", "6google8protobuf")
    assert not [name for name in dynamic if any(part in name for part in clashing)]


def test_takes_the_cxx_library_from_the_system():
    """LibTorch's libraries export parts of an older std::filesystem, in which calls of this program would crash."""
    process = subprocess.run(
        [PROGRAM, "--version"],
        env={**os.environ, "LD_BIND_NOW": "1", "LD_DEBUG": "bindings"},
        capture_output=True,
        text=True,
        check=True,
    )
    bindings = [line.split("binding file ")[1] for line in process.stderr.splitlines() if "binding file " in line]
    own = [binding.split(" to ")[1] for binding in bindings if binding.startswith(f"{PROGRAM} ")]
    standard = [binding for binding in own if any(start in binding for start in ("`_ZNSt", "`_ZNKSt", "`_ZSt"))]
    assert len(standard) > 20, "the test would see nothing"
    assert not [binding for binding in standard if "torch" in binding or "libc10" in binding]
