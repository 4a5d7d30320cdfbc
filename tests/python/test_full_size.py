"""The study's models at their full size (config files in tests/data, random weights): parity with diffusers, from prompt
to PNG, and the bars for peak memory."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import oracle
import pytest
import sd_oracle
import torch
from conftest import PROJECT, Diffapple
from oracle import assert_half_precision, assert_latents_equal, assert_pictures_equal
from PIL import Image
from pictures import mask, photo
from safetensors.torch import load_file
from sd_checkpoints import load_pipeline

sys.path.insert(0, str(PROJECT / "scripts"))
from peers.experiments import EXPERIMENTS  # noqa: E402

pytestmark = pytest.mark.full
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux reports it")

MEMORY_ABOVE_DIFFUSERS = 300e6  # of ddpm: on top of the weights and what diffusers' own forward needs
CAT = sd_oracle.CATS[:1]
PICTURES = ["--image", "image.png", "--mask", "mask.png"]

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

# Prints the peak of a command. By a small process: what a child's peak counts starts with what its parent holds.
MEASURE_COMMAND = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak_resident(diffapple: Diffapple, *arguments) -> int:
    command = [sys.executable, "-c", MEASURE_COMMAND, *diffapple.command(*arguments)]
    measured = subprocess.run(
        command, cwd=diffapple.folder, env=diffapple.variables(), capture_output=True, text=True
    )
    assert measured.returncode == 0, measured.stderr
    return int(measured.stdout)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A function that makes the checkpoint of an experiment, once; they go again, since they take up to 7 GB each."""
    folder = tmp_path_factory.mktemp("full")

    def make(experiment: str) -> Path:
        model = folder / experiment
        if not model.exists():
            EXPERIMENTS[experiment].make_checkpoint(model, EXPERIMENTS[experiment].size)
        return model

    yield make
    shutil.rmtree(folder)


def test_ddpm(diffapple, checkpoint):
    cat = checkpoint("ddpm")
    saved = diffapple.folder / "latents.safetensors"
    result = diffapple.ok("ddpm", "--model", cat, "--steps", 2, "--seed", 0, "--save-latents", saved, timeout=600)
    expected = oracle.sample(*oracle.load(cat), seed=0, steps=2)
    assert_latents_equal(load_file(saved)["latents"], expected.latents)
    pictures = [np.asarray(Image.open(diffapple.folder / path)) for path in result.paths]
    assert_pictures_equal(pictures, expected.pictures)


@linux_only
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_memory_of_ddpm(diffapple, checkpoint, dtype):
    cat = checkpoint("ddpm")
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE_FORWARD, cat, Path(__file__).parent], capture_output=True, text=True, check=True
    )
    weights = (cat / "diffusion_pytorch_model.safetensors").stat().st_size
    allowed = weights + int(measured.stdout) + MEMORY_ABOVE_DIFFUSERS
    peak = peak_resident(diffapple, "ddpm", "--model", cat, "--steps", 1, "--dtype", dtype)
    assert peak <= allowed, f"{peak / 1e6:.0f} MB, allowed {allowed / 1e6:.0f}"


def test_sd15(diffapple, checkpoint):
    model = checkpoint("sd15")
    settings = {"steps": 2, "guidance": 7.5, "negative_prompt": "", "scheduler": "dpmsolver++"}
    sd_oracle.assert_parity(diffapple, "sd15", model, load_pipeline(model), settings, CAT)


def save_pictures(folder: Path) -> dict:
    """The study's kind of input, as the program's PICTURES and as arguments of diffusers' pipelines."""
    arguments = {"image": photo(512, 512), "mask_image": mask("soft", 512, 512)}
    for name in ("image", "mask_image"):
        arguments[name].save(folder / f"{name.removesuffix('_image')}.png")
    return arguments


def test_sd2_inpaint(diffapple, checkpoint):
    model = checkpoint("sd2-inpaint")
    arguments = save_pictures(diffapple.folder)
    settings = {"steps": 2, "guidance": 3}
    sd_oracle.assert_parity(
        diffapple, "sd2-inpaint", model, load_pipeline(model), settings, CAT, options=PICTURES, arguments=arguments
    )


def test_sdxl_turbo_in_bf16(diffapple, checkpoint):
    """One pipeline at a time: in fp32 it takes 14 GB."""
    model = checkpoint("sdxl-turbo")
    options = ["--steps", 1, "--guidance", 0, "--dtype", "bf16"]
    arguments = {"num_inference_steps": 1, "guidance_scale": 0.0}
    ours = sd_oracle.run(diffapple, "sdxl-turbo", model, *options, prompts=CAT).latents
    exact = sd_oracle.make(load_pipeline(model), CAT, **arguments).latents
    theirs = sd_oracle.make(load_pipeline(model, torch.bfloat16), CAT, **arguments).latents
    assert_half_precision([ours - exact], [theirs - exact])


@linux_only
@pytest.mark.parametrize(
    "experiment, bar, options",
    [
        ("sd15", 2.6e9, []),
        ("sd2-inpaint", 2.7e9, PICTURES),
        ("sdxl-turbo", 6.5e9, []),
        ("sdxl-turbo", 4.0e9, ["--weights", "int8"]),
    ],
)
def test_memory_in_bf16(diffapple, checkpoint, experiment, bar, options):
    save_pictures(diffapple.folder)
    settings = ["--model", checkpoint(experiment), "--steps", 1, "--dtype", "bf16", "--prompt", "a", *options]
    peak = peak_resident(diffapple, experiment, *settings)
    assert peak <= bar, f"{peak / 1e6:.0f} MB"
