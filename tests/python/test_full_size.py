"""google/ddpm-cat-256 at its full size (config files in tests/data, random weights): parity, and the memory bar, which
is the weights, what diffusers' own forward needs, and 300 MB."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import oracle
import pytest
from checkpoints import random_unet
from conftest import PROJECT, Diffapple
from oracle import assert_latents_equal, assert_pictures_equal
from PIL import Image
from safetensors.torch import load_file

pytestmark = pytest.mark.full

CONFIGS = PROJECT / "tests" / "data" / "ddpm-cat-256"
MEMORY_ABOVE_DIFFUSERS = 300e6

# Peak resident memory of one forward of diffusers, above what the process holds with its model loaded.
MEASURE_FORWARD = """
import resource, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
import oracle, torch
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
unet, _ = oracle.load(Path(sys.argv[1]))
sample = torch.randn(1, 3, 256, 256)
Path("/proc/self/clear_refs").write_text("5")  # starts VmHWM, the peak, anew
before = resident()
with torch.inference_mode():
    unet(sample, torch.tensor(500))
status = Path("/proc/self/status").read_text()
peak = 1024 * int(next(l for l in status.splitlines() if l.startswith("VmHWM")).split()[1])
print(peak - before)
"""


@pytest.fixture(scope="module")
def cat(tmp_path_factory) -> Path:
    """The root layout of the Hub's repository."""
    folder = tmp_path_factory.mktemp("full") / "ddpm-cat-256"
    shutil.copytree(CONFIGS, folder)
    config = json.loads((folder / "config.json").read_text())
    shape = {key: value for key, value in config.items() if not key.startswith("_")}
    random_unet(shape).save_pretrained(folder)
    shutil.copy(CONFIGS / "config.json", folder / "config.json")
    return folder


def test_parity(diffapple, cat):
    saved = diffapple.folder / "latents.safetensors"
    result = diffapple.ok("ddpm", "--model", cat, "--steps", 2, "--seed", 0, "--save-latents", saved, timeout=600)
    expected = oracle.sample(*oracle.load(cat), seed=0, steps=2)
    assert_latents_equal(load_file(saved)["latents"], expected.latents)
    pictures = [np.asarray(Image.open(diffapple.folder / path)) for path in result.paths]
    assert_pictures_equal(pictures, expected.pictures)


def peak_resident(diffapple: Diffapple, *arguments) -> int:
    process = diffapple.start(*arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="measures through /proc")
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_memory(diffapple, cat, dtype):
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE_FORWARD, cat, Path(__file__).parent], capture_output=True, text=True, check=True
    )
    weights = (cat / "diffusion_pytorch_model.safetensors").stat().st_size
    allowed = weights + int(measured.stdout) + MEMORY_ABOVE_DIFFUSERS
    peak = peak_resident(diffapple, "ddpm", "--model", cat, "--steps", 1, "--dtype", dtype)
    assert peak <= allowed, f"{peak / 1e6:.0f} MB, allowed {allowed / 1e6:.0f}"
