"""scripts/check_layers.py passes on the project and catches what it is there for."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PROJECT

CHECK = PROJECT / "scripts" / "check_layers.py"


def run_check(project: Path) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, CHECK, project], capture_output=True, text=True)


def test_project_keeps_the_rule():
    result = run_check(PROJECT)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("file", "line", "expected"),
    [
        ("src/io/a.cpp", '#include "diffapple/nn/ops.h"', "src/io/a.cpp:1: layer 'io' includes"),
        ("include/diffapple/core/a.h", "#  include <diffapple/cli/options.h>", "layer 'core' includes"),
        ("src/nn/a.cpp", '#include "../models/private.h"', "layer 'nn' includes"),
        ("include/diffapple/nn/a.h", "#include <torch/torch.h>", "a public header includes <torch/torch.h>"),
        ("src/nn/a.cpp", '#include "diffapple/neural/ops.h"', "there is no layer 'neural'"),
        ("src/neural/a.cpp", "", "there is no layer 'neural'"),
        ("src/tools/bench/a.cpp", '#include "diffapple/experiments/a.h"', "which stands beside it"),
    ],
)
def test_violation_is_caught(tmp_path, file, line, expected):
    write(tmp_path / "src/models/private.h", "")
    write(tmp_path / file, line + "\n")
    result = run_check(tmp_path)
    assert result.returncode == 1
    assert expected in result.stderr


def test_own_and_lower_layers_are_fine(tmp_path):
    write(tmp_path / "src/models/private.h", "")
    write(
        tmp_path / "src/models/a.cpp",
        '#include "private.h"\n#include "diffapple/models/unet_2d.h"\n#include "diffapple/core/error.h"\n'
        "#include <torch/torch.h>\n#include <vector>\n",
    )
    assert run_check(tmp_path).returncode == 0


def test_an_empty_project_fails(tmp_path):
    assert run_check(tmp_path).returncode == 1


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
