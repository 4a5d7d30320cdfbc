"""The study's models at their full size (config files in tests/data, random weights). google/ddpm-cat-256: parity, and
the memory bar, which is the weights, what diffusers' own forward needs, and 300 MB. SD v1.5: parity from text to PNG,
and at most 2.6 GB in bf16."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import oracle
import pytest
import sd_oracle
from checkpoints import random_unet
from conftest import PROJECT, Diffapple
from oracle import assert_latents_equal, assert_pictures_equal
from PIL import Image
from safetensors.torch import load_file
from sd_checkpoints import load_pipeline

sys.path.insert(0, str(PROJECT / "scripts"))
from peers.experiments import EXPERIMENTS  # noqa: E402

pytestmark = pytest.mark.full
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux reports it")

CONFIGS = PROJECT / "tests" / "data" / "ddpm-cat-256"
MEMORY_ABOVE_DIFFUSERS = 300e6
MEMORY_OF_SD15_IN_BF16 = 2.6e9
CAT = "a cat, fat, with brown fur, with short legs"

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


@linux_only
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_memory(diffapple, cat, dtype):
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE_FORWARD, cat, Path(__file__).parent], capture_output=True, text=True, check=True
    )
    weights = (cat / "diffusion_pytorch_model.safetensors").stat().st_size
    allowed = weights + int(measured.stdout) + MEMORY_ABOVE_DIFFUSERS
    peak = peak_resident(diffapple, "ddpm", "--model", cat, "--steps", 1, "--dtype", dtype)
    assert peak <= allowed, f"{peak / 1e6:.0f} MB, allowed {allowed / 1e6:.0f}"


@pytest.fixture(scope="module")
def sd15(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("full") / "sd-v1-5"
    EXPERIMENTS["sd15"].make_checkpoint(folder, 512)
    return folder


def test_sd15_parity(diffapple, sd15):
    saved = diffapple.folder / "latents.safetensors"
    options = ["--prompt", CAT, "--steps", 2, "--seed", 0, "--save-latents", saved]
    result = diffapple.ok("sd15", "--model", sd15, *options, timeout=1200)
    expected = sd_oracle.make(
        load_pipeline(sd15), [CAT], "dpmsolver++", num_inference_steps=2, guidance_scale=7.5, negative_prompt=""
    )
    pictures = [np.asarray(Image.open(diffapple.folder / path)) for path in result.paths]
    sd_oracle.assert_equal(sd_oracle.Made(load_file(saved)["latents"], pictures), expected)


@linux_only
def test_sd15_memory(diffapple, sd15):
    peak = peak_resident(diffapple, "sd15", "--model", sd15, "--steps", 1, "--dtype", "bf16", "--prompt", "a")
    assert peak <= MEMORY_OF_SD15_IN_BF16, f"{peak / 1e6:.0f} MB"
