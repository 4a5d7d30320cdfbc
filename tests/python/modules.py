"""Single models through the test program run_module (tests/tools), for comparison with their originals."""

import json
import os
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from conftest import PROGRAM, needs_standin_mps
from oracle import HALF_TYPES, assert_half_precision, assert_latents_equal
from safetensors.torch import load_file, save_file
from sd_checkpoints import save_component

RUN_MODULE = PROGRAM.with_name("run_module")
RUN_MODULE_STANDIN_MPS = PROGRAM.with_name("run_module_standin_mps")
# Device and dtype.
HALF_PRECISION = [("cpu", "bf16"), *(pytest.param("mps", dtype, marks=needs_standin_mps) for dtype in HALF_TYPES)]


def run_module(kind: str, folder: Path, inputs: dict, device: str = "cpu", dtype: str = "fp32", **options) -> dict:
    """The model's outputs in fp32. `folder` is the component's; `options` are those of the kind."""
    given, made = folder.parent / "inputs.safetensors", folder.parent / "outputs.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in inputs.items()}, given)
    made.unlink(missing_ok=True)
    program = RUN_MODULE_STANDIN_MPS if device == "mps" else RUN_MODULE
    settings = ["--device", device, "--dtype", dtype, "--options", json.dumps(options)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [program, kind, folder, given, made, *settings], capture_output=True, text=True, env=environment
    )
    assert result.returncode == 0, result.stderr
    return load_file(made)


def assert_outputs_equal(ours: dict, expected: dict) -> None:
    """Each output within the bar of latents, and none that is nearly constant: that would hide what made it."""
    assert ours.keys() == expected.keys()
    for name in expected:
        assert expected[name].std() > 1e-2, f"the oracle's {name} is nearly constant: this test shows nothing"
        assert_latents_equal(ours[name], expected[name])


def check_half_precision(
    kind: str, folder: Path, cases: Iterable[tuple], expected: Callable, device: str, dtype: str, **options
) -> None:
    """Each output in half precision is as close to fp32 as the original's own, over all `cases`: pairs of a model and
    its inputs. `expected(model, inputs)` are the original's outputs; the models are left in `dtype`."""
    ours, theirs = {}, {}
    for number, (model, inputs) in enumerate(cases):
        component = folder / str(number) / kind
        save_component(component, model)
        made = run_module(kind, component, inputs, device, dtype, **options)
        exact = expected(model, inputs)
        half = expected(model.to(HALF_TYPES[dtype]), inputs)
        for name in exact:
            ours.setdefault(name, []).append(made[name] - exact[name])
            theirs.setdefault(name, []).append(half[name] - exact[name])
    for name in ours:
        assert_half_precision(ours[name], theirs[name])
