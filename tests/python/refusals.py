"""How the program refuses bad input: whatever is wrong with files, settings or the machine, it says so in one line that
names it, with the design's exit code, leaves no partial file, and never shows LibTorch's insides."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from checkpoints import WEIGHTS
from conftest import PROGRAM, leftovers

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


def run_as_nobody(diffapple, *arguments):
    """As root no folder is unwritable: the program then runs as another user."""
    if os.geteuid() != 0:
        return diffapple(*arguments)
    can_run = subprocess.run(
        [PROGRAM, "--version"], user=65534, group=65534, extra_groups=[], capture_output=True, cwd="/"
    )
    if can_run.returncode != 0:
        pytest.skip("another user cannot run the program here")
    for folder in [diffapple.folder, *diffapple.folder.parents]:
        if folder.stat().st_mode & 0o001 == 0:
            folder.chmod(folder.stat().st_mode | 0o011)
    return diffapple(*arguments, user=65534, group=65534, extra_groups=[])
