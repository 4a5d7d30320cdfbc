"""Stable Diffusion's pipelines on the stand-in mps device (see test_standin_mps.py)."""

import sys

import pytest
import sd_oracle
import torch
from conftest import STANDIN_MPS, Diffapple
from oracle import HALF_PRECISION_FACTOR, rms
from safetensors.torch import load_file, save_file
from sd_checkpoints import load_pipeline, make_sd2, make_sd15, make_sdxl
from sd_oracle import assert_equal
from test_parity_inpaint import mask, picture

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="a Mac has mps itself; the stand-in is for Linux")

CATS = ["a cat, fat, with brown fur, with short legs", "a cat, fat, with white fur, with short legs"]
MASKED = ["--image", "image.png", "--mask", "mask.png"]
RUNS = {
    "sd15": ("sd15", make_sd15, ["--guidance", 5, "--negative-prompt", "fog", "--clip-skip", 1]),
    "sd15_odd_size": ("sd15", make_sd15, ["--guidance", 0, "--width", 72, "--height", 104]),
    "sd15_image": ("sd15", make_sd15, ["--image", "image.png", "--strength", 0.6, "--scheduler", "euler-a"]),
    "sd15_blending": ("sd15", make_sd15, [*MASKED, "--scheduler", "pndm"]),
    "sd2_inpaint": ("sd2-inpaint", make_sd2, [*MASKED, "--guidance", 3]),
    "sdxl": ("sdxl-turbo", make_sdxl, ["--guidance", 3, "--guidance-rescale", 0.5]),
    "sd15_tiles": ("sd15", make_sd15, ["--vae-tiling", "on", "--width", 136, "--height", 104]),
    "sdxl_int8": ("sdxl-turbo", make_sdxl, ["--guidance", 3, "--weights", "int8"]),
    "sdxl_image": ("sdxl-turbo", make_sdxl, ["--image", "image.png", "--strength", 0.5]),
}


@pytest.fixture
def standin(tmp_path) -> Diffapple:
    picture(64, 64).save(tmp_path / "image.png")
    mask("soft", 64, 64).save(tmp_path / "mask.png")
    return Diffapple(tmp_path, STANDIN_MPS)


@pytest.mark.parametrize("name", RUNS)
def test_fp32_is_the_cpus(standin, name):
    command, make, options = RUNS[name]
    checkpoint = make(standin.folder / "model")
    options = ["--steps", 4, *options]
    on_mps = sd_oracle.run(standin, command, checkpoint, "--device", "mps", "--dtype", "fp32", *options, prompts=CATS)
    on_cpu = sd_oracle.run(standin, command, checkpoint, "--device", "cpu", *options, prompts=CATS)
    assert_equal(on_mps, on_cpu)


@pytest.mark.parametrize("command, make", [("sd15", make_sd15), ("sdxl-turbo", make_sdxl)])
def test_fp16_is_as_close_to_fp32_as_diffusers_in_bf16(standin, command, make):
    """The CPU of the oracle computes in bf16, which is coarser than fp16: that is the most that fp16 may be off."""
    checkpoint = make(standin.folder / "model")
    exact_pipeline, twin = load_pipeline(checkpoint), load_pipeline(checkpoint).to(torch.bfloat16)
    scheduler = "dpmsolver++" if command == "sd15" else None
    settings = dict(num_inference_steps=4, guidance_scale=3.0, scheduler=scheduler)
    exact = sd_oracle.make(exact_pipeline, CATS, **settings).latents
    theirs = sd_oracle.make(twin, CATS, **settings).latents - exact
    ours = sd_oracle.run(
        standin, command, checkpoint, "--device", "mps", "--steps", 4, "--guidance", 3, prompts=CATS
    ).latents - exact
    assert rms(theirs) / 1000 < rms(ours) <= rms(theirs) * HALF_PRECISION_FACTOR


def test_vae_that_overflows_fp16(standin):
    """Without force_upcast: an error that names the stage and a way out; with it, a picture."""
    for upcast in (False, True):
        checkpoint = make_sdxl(standin.folder / f"model{upcast}", vae=dict(force_upcast=upcast))
        vae_file = checkpoint / "vae" / "diffusion_pytorch_model.safetensors"
        state = load_file(vae_file)
        state["decoder.conv_in.weight"] *= 1e6
        save_file(state, vae_file, metadata={"format": "pt"})
        options = ["--device", "mps", "--dtype", "fp16", "--steps", 1, "--prompt", "a"]
        result = standin("sdxl-turbo", "--model", checkpoint, *options, "--quiet")
        assert result.code == (0 if upcast else 1), result.err
        if not upcast:
            assert "VAE" in result.err and "--dtype" in result.err and len(result.err.splitlines()) == 1
