"""The loop on a GPU waits for nothing: a copy between host and device, or a value that the host asks for, lets a real
mps device run dry until the next turn is encoded. The stand-in counts them: a run of more steps must have no more."""

import oracle
import pytest
from checkpoints import TINY, make_checkpoint, save_checkpoint, with_learned_variance
from conftest import STANDIN_MPS, Diffapple, needs_standin_mps
from pictures import mask, photo
from sd_checkpoints import make_sd2, make_sd15, make_sdxl

pytestmark = needs_standin_mps
MASKED = ["--image", "image.png", "--mask", "mask.png"]


@pytest.fixture
def standin(tmp_path) -> Diffapple:
    photo(64, 64).save(tmp_path / "image.png")
    mask("soft", 64, 64).save(tmp_path / "mask.png")
    return Diffapple(tmp_path, STANDIN_MPS, {"DIFFAPPLE_STANDIN_MPS_WAITS": str(tmp_path / "waits")})


def waits(standin, *arguments) -> list[int]:
    """Of a run of few and one of more steps."""
    counts = []
    for steps in (4, 9):
        standin.ok(*arguments, "--device", "mps", "--steps", steps, "--force", "--quiet")
        counts.append(int((standin.folder / "waits").read_text()))
    return counts


@pytest.mark.parametrize("name", oracle.SCHEDULER_CLASSES)
def test_no_sampler_waits(standin, name):
    checkpoint = make_checkpoint(standin.folder / "model", TINY)
    few, more = waits(standin, "ddpm", "--model", checkpoint, "--scheduler", name)
    assert few == more > 0


@pytest.mark.parametrize("variance_type", ["fixed_large", "fixed_small_log", "learned_range"])
def test_no_variance_of_ddpm_waits(standin, variance_type):
    if variance_type.startswith("learned"):
        checkpoint = save_checkpoint(standin.folder / "model", with_learned_variance(TINY), variance_type=variance_type)
    else:
        checkpoint = make_checkpoint(standin.folder / "model", TINY, variance_type=variance_type)
    few, more = waits(standin, "ddpm", "--model", checkpoint)
    assert few == more


PIPELINES = {
    "sd15": ("sd15", make_sd15, ["--guidance", 5, "--guidance-rescale", 0.5]),
    "sd15_eta": ("sd15", make_sd15, ["--scheduler", "ddim", "--eta", 0.5]),
    "sd15_image": ("sd15", make_sd15, ["--image", "image.png", "--strength", 1]),
    "sd15_blending": ("sd15", make_sd15, [*MASKED, "--scheduler", "pndm"]),
    "sd2_inpaint": ("sd2-inpaint", make_sd2, [*MASKED, "--guidance", 3]),
    "sdxl": ("sdxl-turbo", make_sdxl, ["--guidance", 3]),
    "sdxl_int8": ("sdxl-turbo", make_sdxl, ["--weights", "int8"]),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_no_pipeline_waits(standin, name):
    command, make, options = PIPELINES[name]
    few, more = waits(standin, command, "--model", make(standin.folder / "model"), "--prompt", "a cat", *options)
    assert few == more > 0
