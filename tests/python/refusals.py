"""How the program refuses bad input: whatever is wrong with files, settings or the machine, it says so in one line that
names it, with the design's exit code, leaves no partial file, and never shows LibTorch's insides."""

import sys
from pathlib import Path

import pytest
from checkpoints import WEIGHTS
from conftest import leftovers

INSIDES = "Exception raised from|frame #|terminate called|c10|what():|at::|std::|nlohmann|Aborted".split("|")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="limits and permissions as on Linux")


def assert_refused(diffapple, result, code: int, *named: str) -> None:
    assert result.code == code, (result.code, result.err)
    assert result.out == ""
    lines = result.err.splitlines()
    assert len(lines) == 1, result.err
    assert len(lines[0]) < 20_000
    for part in named:
        assert part in lines[0]
    for part in INSIDES:
        assert part not in lines[0]
    assert [path for path in diffapple.folder.rglob("*.png")] == []
    assert leftovers(diffapple.folder) == []


def weights_of(model: Path) -> Path:
    return model / "unet" / f"{WEIGHTS}.safetensors"
