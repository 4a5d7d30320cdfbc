"""The memory plan: computed before anything is loaded; refuses what cannot fit, and lets the VAE work in tiles."""

import re

import pytest
import sd_oracle
from sd_checkpoints import load_pipeline, make_sd15, make_sdxl

CAT = ["a cat"]
BASE = 190_000_000  # of the program itself


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return make_sd15(tmp_path_factory.mktemp("sd15") / "model")


def run(diffapple, checkpoint, *options, free=None):
    diffapple.environment = {} if free is None else {"DIFFAPPLE_FREE_MEMORY": str(free)}
    return diffapple("sd15", "--model", checkpoint, "--steps", 1, "--prompt", "a cat", "--verbose", *options)


def planned(result) -> int:
    """Bytes at most, as the plan says."""
    return 1_000_000 * int(re.search(r"in all at most (\d+) MB", result.err)[1])


def test_is_printed(diffapple, checkpoint):
    result = run(diffapple, checkpoint)
    assert result.code == 0, result.err
    lines = result.err.splitlines()
    plan = next(i for i, line in enumerate(lines) if line.startswith("memory plan: text encoding"))
    assert plan < next(i for i, line in enumerate(lines) if line.startswith("loaded "))


def test_what_cannot_fit_ends_at_once(diffapple, checkpoint):
    result = run(diffapple, checkpoint, free=100_000_000)
    assert result.code == 1 and not result.out
    assert "does not fit into memory" in result.err and "of 100 MB that are free" in result.err
    assert "loaded" not in [line.split(" ")[0] for line in result.err.splitlines()]


def test_names_the_option_that_would_fit(diffapple, checkpoint):
    large = ["--width", 1024, "--height", 1024, "--vae-tiling", "off"]
    assert "this would fit: --" in run(diffapple, checkpoint, *large, free=BASE + 60_000_000).err


def test_falls_back_to_one_component_at_a_time(diffapple):
    wide = dict(unet=dict(block_out_channels=(128, 256)), vae=dict(block_out_channels=(64, 128, 128, 128)))
    checkpoint = make_sd15(diffapple.folder / "model", **wide)
    sweep = ["--seed", "0,1", "--force", "--guidance", 1]
    rich = run(diffapple, checkpoint, *sweep)
    assert "UNet and VAE stay loaded" in rich.err and rich.err.count("loaded unet") == 1
    poor = run(diffapple, checkpoint, *sweep, free=planned(rich) - 1_000_000)
    assert poor.code == 0, poor.err
    assert "one component at a time is loaded" in poor.err and poor.err.count("loaded unet") == 2


def test_of_a_model_without_prompts(diffapple):
    """The demo; 8 pictures of it took 251 MB."""
    def sample(free):
        diffapple.environment = {"DIFFAPPLE_FREE_MEMORY": str(free)}
        return diffapple("ddpm", "--steps", 1, "--batch-size", 8, "--dtype", "fp32", "--verbose")

    fits = sample(free=BASE + 100_000_000)
    assert fits.code == 0 and "memory plan: denoising" in fits.err and "VAE" not in fits.err, fits.err
    poor = sample(free=planned(fits) - 1_000_000)
    assert poor.code == 1 and "this would fit: --dtype bf16 (" in poor.err
    poorer = sample(free=BASE + 35_000_000)
    assert poorer.code == 1 and "this would fit: --batch-size 1 (" in poorer.err and "--prompt" not in poorer.err


@pytest.mark.parametrize("value", ["much", "-1", "1e9"])
def test_free_memory_must_be_a_number(diffapple, checkpoint, value):
    result = run(diffapple, checkpoint, free=value)
    assert result.code == 1 and "DIFFAPPLE_FREE_MEMORY" in result.err


@pytest.mark.parametrize(
    "command, make", [("sd15", make_sd15), ("sdxl-turbo", make_sdxl)], ids=["sd15", "sdxl"]
)
def test_tiles_are_those_of_diffusers(diffapple, command, make):
    checkpoint = make(diffapple.folder / "model")
    pipeline = load_pipeline(checkpoint)
    pipeline.vae.enable_tiling()
    options = ["--steps", 2, "--guidance", 1, "--width", 136, "--height", 104, "--vae-tiling"]
    expected = sd_oracle.make(
        pipeline,
        CAT,
        scheduler="dpmsolver++" if command == "sd15" else None,
        num_inference_steps=2,
        guidance_scale=1.0,
        width=136,
        height=104,
    )
    sd_oracle.assert_equal(sd_oracle.run(diffapple, command, checkpoint, *options, "on", prompts=CAT), expected)
    whole = sd_oracle.run(diffapple, command, checkpoint, *options, "off", prompts=CAT)
    assert (whole.pictures[0] != expected.pictures[0]).any()


def test_tiles_are_in_recipe_and_name(diffapple, checkpoint):
    (tiled,) = run(diffapple, checkpoint, "--vae-tiling", "on", "--width", 128).paths
    assert tiled.stem.endswith("_vae-tiling-on")
    assert "the same picture" in diffapple.ok("replay", tiled, "--model", checkpoint).out
    (small,) = run(diffapple, checkpoint, "--vae-tiling", "on").paths  # one tile: the same picture as without
    assert "tiling" not in small.stem


def test_a_resumed_sweep_keeps_its_tiles(diffapple, checkpoint):
    """Whatever memory is free by now: else its second half would have other names, and its first be made again."""
    sweep = ["--width", 768, "--height", 768, "--seed", "0,1", "--sheet", "off"]
    first = run(diffapple, checkpoint, "--width", 768, "--height", 768, "--seed", 9)
    whole = planned(first)
    tiled = run(diffapple, checkpoint, *sweep, free=whole - 20_000_000)
    assert tiled.code == 0 and all(path.stem.endswith("_vae-tiling-on") for path in tiled.paths), tiled.err
    missing = diffapple.folder / tiled.paths[1]
    missing.unlink()
    resumed = run(diffapple, checkpoint, *sweep)
    assert resumed.code == 0 and resumed.paths == tiled.paths and missing.exists(), resumed.err
    assert "1 of 2 batches is made already" in resumed.err and "the VAE works in tiles" in resumed.err


@pytest.mark.full
def test_a_sweep_without_tiles_says_where_memory_is_too_short_to_go_on(diffapple, checkpoint):
    sweep = ["--width", 768, "--height", 768, "--seed", "0,1", "--sheet", "off"]
    whole = run(diffapple, checkpoint, *sweep)
    (diffapple.folder / whole.paths[1]).unlink()
    short = run(diffapple, checkpoint, *sweep, free=planned(whole) - 20_000_000)
    assert short.code == 0 and "began without tiles" in short.err, short.err
    assert all(path.stem.endswith("_vae-tiling-on") for path in short.paths)


def test_tiles_only_where_memory_is_short(diffapple, checkpoint):
    size = ["--width", 768, "--height", 768]
    whole = run(diffapple, checkpoint, *size)
    assert "the VAE works in tiles" not in whole.err
    tiled = run(diffapple, checkpoint, *size, free=planned(whole) - 20_000_000)
    assert tiled.code == 0 and "the VAE works in tiles" in tiled.err and tiled.paths[0].stem.endswith("_vae-tiling-on")
