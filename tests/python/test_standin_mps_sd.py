"""Stable Diffusion's pipelines on the stand-in mps device (see test_standin_mps.py)."""

from hashlib import sha256

import pytest
import sd_oracle
from conftest import STANDIN_MPS, Diffapple, needs_standin_mps
from finished import recipe
from original_layout import original_state, write_single_file
from pictures import mask, photo
from safetensors.torch import load_file, save_file
from sd_checkpoints import load_pipeline, make_sd2, make_sd15, make_sdxl
from sd_oracle import CATS, assert_equal
from test_replay import rewrite

pytestmark = needs_standin_mps

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
    "sdxl_weighted": (
        *("sdxl-turbo", make_sdxl),
        ["--guidance", 3, "--prompt-syntax", "weighted", "--prompt-2", "(a cat:0.5) BREAK (fog)"],
    ),
    "sdxl_image": ("sdxl-turbo", make_sdxl, ["--image", "image.png", "--strength", 0.5]),
}


@pytest.fixture
def standin(tmp_path) -> Diffapple:
    photo(64, 64).save(tmp_path / "image.png")
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


@pytest.mark.parametrize("make, command", [(make_sdxl, "sdxl-turbo"), (make_sd2, "sd2-inpaint")])
def test_single_file_is_the_folder(standin, make, command):
    """Also what is cut out of a stored tensor (OpenCLIP's in_proj), turned or reshaped: none is read past its cut."""
    folder = make(standin.folder / "model")
    file = write_single_file(standin.folder / "one.safetensors", original_state(load_pipeline(folder)))
    inputs = ["--image", "image.png", "--mask", "mask.png"] if command == "sd2-inpaint" else []
    options = ["--device", "mps", "--dtype", "fp32", "--steps", 2, "--guidance", 3, *inputs]
    of_folder = sd_oracle.run(standin, command, folder, *options, prompts=CATS)
    of_file = sd_oracle.run(standin, command, file, "--config", folder, *options, prompts=CATS)
    assert_equal(of_file, of_folder)


@pytest.mark.parametrize(
    "command, make, scheduler", [("sd15", make_sd15, "dpmsolver++"), ("sdxl-turbo", make_sdxl, "euler-a")]
)
def test_fp16_is_as_close_to_fp32_as_diffusers(standin, command, make, scheduler):
    checkpoint = make(standin.folder / "model")
    settings = dict(steps=4, guidance=3, scheduler=scheduler)
    sd_oracle.assert_half_precision_parity(
        standin, command, checkpoint, load_pipeline(checkpoint), "fp16", settings, ["--device", "mps"]
    )


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


def test_the_recipe_names_the_vae_that_was_read(standin):
    """An fp16 run computes the VAE in fp32 where fp16 overflows: it reads the file of full precision, also beside one of
    half. Recipes of earlier versions named the latter; their pictures still count as made, and replay."""
    checkpoint = make_sdxl(standin.folder / "model")
    full = checkpoint / "vae" / "diffusion_pytorch_model.safetensors"
    half = full.with_suffix(".fp16.safetensors")
    save_file({name: tensor.half() for name, tensor in load_file(full).items()}, half, metadata={"format": "pt"})
    run = ["sdxl-turbo", "--model", checkpoint, "--device", "mps", "--dtype", "fp16", "--steps", 1, "--prompt", "a"]
    sweep = [*run, "--seed", "0,1"]
    paths = [standin.folder / path for path in standin.ok(*sweep).paths]
    assert recipe(paths[0])["recipe"]["model"]["weights"]["vae"] == sha256(full.read_bytes()).hexdigest()

    def by_an_earlier_version(stored):
        stored["model"]["weights"]["vae"] = sha256(half.read_bytes()).hexdigest()

    rewrite(paths[0], paths[0], by_an_earlier_version)
    assert "2 of 2 batches are made already" in standin.ok(*sweep).err
    standin.ok("replay", paths[0], "--model", checkpoint)
    state = load_file(full)
    save_file({**state, "encoder.conv_in.bias": state["encoder.conv_in.bias"] + 1}, full, metadata={"format": "pt"})
    assert "other weights of the vae" in standin(*sweep).err
