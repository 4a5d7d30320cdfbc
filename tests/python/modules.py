"""Single models through the test program run_module (tests/tools), for comparison with their originals."""

import json
import os
import subprocess
from pathlib import Path

import torch
from conftest import PROGRAM
from safetensors.torch import load_file, save_file

RUN_MODULE = PROGRAM.with_name("run_module")
RUN_MODULE_STANDIN_MPS = PROGRAM.with_name("run_module_standin_mps")
HALF_TYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}


def run_module(kind: str, folder: Path, inputs: dict, device: str = "cpu", dtype: str = "fp32", **options) -> dict:
    """The model's outputs in fp32. `folder` is the component's; `options` are those of the kind."""
    given, made = folder.parent / "inputs.safetensors", folder.parent / "outputs.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in inputs.items()}, given)
    made.unlink(missing_ok=True)
    program = RUN_MODULE_STANDIN_MPS if device == "mps" else RUN_MODULE
    command = [program, kind, folder, given, made, "--device", device, "--dtype", dtype, "--options", json.dumps(options)]
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert result.returncode == 0, result.stderr
    return load_file(made)
