"""`diffapple ddpm` against diffusers, run live on random checkpoints, at the bar of the design: latents within 1e-4 of
their largest value and pictures equal but for rounding (fp32); in bf16, at most 1.2 times diffusers' own distance to
fp32."""

import hashlib
import math

import numpy as np
import oracle
import pytest
import torch
from checkpoints import (
    FOURIER_SCHEDULER,
    GOOGLE,
    SHAPES,
    SMALL,
    STORAGES,
    TINY,
    edit_json,
    make_checkpoint,
    random_fourier_unet,
    random_unet,
    save_checkpoint,
    with_learned_variance,
    write_json,
)
from diffusers import DDPMPipeline
from finished import chunks, recipe
from oracle import assert_half_precision, assert_latents_equal, assert_pictures_equal
from PIL import Image
from safetensors.torch import load_file, save_file


def read_pictures(paths) -> list[np.ndarray]:
    return [np.asarray(Image.open(path)) for path in paths]


def assert_parity(diffapple, checkpoint, unet=None, seed=0, steps=7, batch=2, size=None, options=()):
    """One batch of the program against the oracle; `unet` replaces what diffusers would load."""
    loaded, scheduler = oracle.load(checkpoint) if unet is None else (unet, oracle.load_scheduler(checkpoint))
    saved = diffapple.folder / "latents.safetensors"
    settings = ["--seed", seed, "--steps", steps, "--batch-size", batch, "--device", "cpu", *options]
    if size:
        settings += ["--height", size[0], "--width", size[1]]
    result = diffapple.ok("ddpm", "--model", checkpoint, "--save-latents", saved, *settings)
    expected = oracle.sample(loaded, scheduler, seed, steps, batch, size)
    assert_latents_equal(load_file(saved)["latents"], expected.latents)
    assert_pictures_equal(read_pictures(diffapple.folder / path for path in result.paths), expected.pictures)


def test_the_oracle_is_the_pipeline(tmp_path):
    checkpoint = make_checkpoint(tmp_path / "model", GOOGLE)
    unet, scheduler = oracle.load(checkpoint)
    pipeline = DDPMPipeline.from_pretrained(checkpoint)
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(3)
    images = pipeline(batch_size=2, generator=generator, num_inference_steps=13).images
    ours = oracle.sample(unet, scheduler, seed=3, steps=13, batch=2)
    for image, picture in zip(images, ours.pictures, strict=True):
        assert np.array_equal(np.asarray(image), picture)


def test_the_bar_sees_a_small_change_of_the_weights(diffapple):
    """What the tests below would say if the program left out one bias."""
    unet = random_unet(SMALL)
    checkpoint = save_checkpoint(diffapple.folder / "model", unet)
    unet.mid_block.resnets[1].norm2.bias.zero_()
    with pytest.raises(AssertionError, match="latents are"):
        assert_parity(diffapple, checkpoint, unet)


@pytest.mark.parametrize("shape", SHAPES)
def test_shape(diffapple, shape):
    checkpoint = make_checkpoint(diffapple.folder / "model", SHAPES[shape])
    assert_parity(diffapple, checkpoint, batch=4 if shape == "grey" else 2)


@pytest.mark.parametrize("seed", [2**32 + 5, 2**63 - 1, 2**63, 2**63 + 12345, 2**64 - 1])
def test_large_seed(diffapple, small, seed):
    """In the picture's texts, too, and again by replay."""
    assert_parity(diffapple, small, seed=seed, steps=2)
    picture = next((diffapple.folder / "out").rglob(f"seed{seed}_i0*.png"))
    assert recipe(picture)["recipe"]["settings"]["seed"] == seed
    assert f"Seed: {seed}, " in chunks(picture)["parameters"]
    diffapple.ok("replay", picture, "--model", small)


def test_torch_reads_32_bits_of_a_seed(diffapple, small):
    """docs/fidelity.md says so."""
    assert_parity(diffapple, small, seed=2**63 + 7, steps=2)
    low, high = (torch.randn(8, generator=torch.Generator().manual_seed(s)) for s in (7, 2**63 + 7))
    assert torch.equal(low, high)


@pytest.mark.parametrize("steps", [7, 20])
def test_fourier_embedding(diffapple, steps):
    checkpoint = save_checkpoint(diffapple.folder / "model", random_fourier_unet(), **FOURIER_SCHEDULER)
    assert_parity(diffapple, checkpoint, steps=steps)


@pytest.mark.parametrize("key", ["attention_head_dim", "attn_norm_num_groups", "down_block_types", "norm_eps"])
def test_key_absent_from_the_config(diffapple, key):
    """diffusers' defaults: a missing attention_head_dim is 8 (null is one head), as here for all keys."""
    shape = dict(
        block_out_channels=(16,) * 4,
        sample_size=16,
        norm_num_groups=4,
        layers_per_block=1,
        up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
    )
    checkpoint = make_checkpoint(diffapple.folder / "model", shape)
    edit_json(checkpoint / "unet" / "config.json", **{key: ...})
    assert_parity(diffapple, checkpoint)


def test_config_with_nothing_but_what_differs_from_the_defaults(diffapple):
    shape = dict(
        sample_size=16,
        block_out_channels=(4, 8),
        norm_num_groups=2,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )
    checkpoint = make_checkpoint(diffapple.folder / "model", shape)
    write_json(checkpoint / "unet" / "config.json", {"_class_name": "UNet2DModel", **shape})
    assert_parity(diffapple, checkpoint)


@pytest.mark.parametrize("storage", STORAGES)
def test_storage(diffapple, storage):
    unet = random_unet(SMALL)
    checkpoint = save_checkpoint(diffapple.folder / "model", unet, storage)
    diffusers_cannot_read = {"old_convolution_keys", "bin_views"}
    assert_parity(diffapple, checkpoint, unet if storage in diffusers_cannot_read else None)


def test_google_layout_and_old_keys_together(diffapple):
    """As google/ddpm-cat-256 is on the Hub: root layout, .bin, old attention keys."""
    unet = random_unet(GOOGLE)
    checkpoint = save_checkpoint(diffapple.folder / "model", unet, "old_keys_bin")
    STORAGES["root"](checkpoint / "unet", unet)
    assert_parity(diffapple, checkpoint)


@pytest.mark.parametrize("batch", [1, 2, 3, 5])
def test_batch_size(diffapple, batch):
    checkpoint = make_checkpoint(diffapple.folder / "model", dict(GOOGLE, sample_size=32))
    assert_parity(diffapple, checkpoint, seed=5, steps=5, batch=batch)


@pytest.mark.parametrize("seed", [0, 1, 42, 2**31 - 1, 2**32, 2**53 + 1, 2**63 - 1])
def test_seed(diffapple, seed):
    checkpoint = make_checkpoint(diffapple.folder / "model", TINY)
    assert_parity(diffapple, checkpoint, seed=seed)


@pytest.mark.parametrize("steps", [1, 3, 13, 37, 100])
def test_steps(diffapple, steps):
    checkpoint = make_checkpoint(diffapple.folder / "model", GOOGLE)
    assert_parity(diffapple, checkpoint, steps=steps)


@pytest.mark.parametrize("steps", [999, 1000])
def test_a_thousand_steps(diffapple, steps):
    checkpoint = make_checkpoint(diffapple.folder / "model", TINY)
    assert_parity(diffapple, checkpoint, steps=steps)


SCHEDULERS = {
    "linear": dict(beta_schedule="linear", beta_start=0.001, beta_end=0.03),
    "scaled_linear": dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012),
    "squaredcos_cap_v2": dict(beta_schedule="squaredcos_cap_v2"),
    "sigmoid": dict(beta_schedule="sigmoid"),
    "laplace": dict(beta_schedule="laplace"),
    "trained_betas": dict(trained_betas=[0.0001 + 0.0004 * math.sqrt(i) for i in range(1000)]),
    "short_training": dict(num_train_timesteps=50),
    "fixed_small_log": dict(variance_type="fixed_small_log"),
    "fixed_large": dict(variance_type="fixed_large"),
    "predicts_sample": dict(prediction_type="sample"),
    "predicts_v": dict(prediction_type="v_prediction"),
    "linspace": dict(timestep_spacing="linspace"),
    "trailing": dict(timestep_spacing="trailing"),
    "steps_offset": dict(steps_offset=1),
    "trailing_ignores_the_offset": dict(timestep_spacing="trailing", steps_offset=1),
    "unclipped": dict(clip_sample=False, prediction_type="v_prediction"),
    "clip_range": dict(clip_sample_range=0.4),
    "thresholding": dict(thresholding=True, sample_max_value=1.5),
    "thresholding_ratio": dict(thresholding=True, dynamic_thresholding_ratio=0.7, sample_max_value=3.0),
    "thresholding_default_maximum": dict(thresholding=True),
    "zero_snr": dict(rescale_betas_zero_snr=True, prediction_type="v_prediction", timestep_spacing="trailing"),
    "zero_snr_leading": dict(rescale_betas_zero_snr=True, beta_schedule="scaled_linear"),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_scheduler_option(diffapple, name):
    checkpoint = make_checkpoint(diffapple.folder / "model", SMALL, **SCHEDULERS[name])
    assert_parity(diffapple, checkpoint, steps=13)


@pytest.mark.parametrize("variance_type", ["learned", "learned_range"])
def test_learned_variance(diffapple, variance_type):
    checkpoint = save_checkpoint(diffapple.folder / "model", with_learned_variance(SMALL), variance_type=variance_type)
    assert_parity(diffapple, checkpoint, steps=13)


def test_fixed_large_log_is_fixed_large(diffapple):
    """diffusers takes the square root of a logarithm here, which is NaN; the paper's sigma_t^2 is beta_t."""
    unet = random_unet(SMALL)
    checkpoint = save_checkpoint(diffapple.folder / "model", unet, variance_type="fixed_large_log")
    scheduler = oracle.load_scheduler(checkpoint)
    scheduler = scheduler.from_config(scheduler.config, variance_type="fixed_large")
    saved = diffapple.folder / "latents.safetensors"
    diffapple.ok("ddpm", "--model", checkpoint, "--steps", 13, "--seed", 0, "--save-latents", saved)
    assert_latents_equal(load_file(saved)["latents"], oracle.sample(unet, scheduler, 0, 13).latents)


def test_scheduler_config_with_missing_keys(diffapple):
    """google/ddpm-cat-256 writes a few keys only; a null counts as absent."""
    checkpoint = make_checkpoint(diffapple.folder / "model", SMALL)
    config = {"_class_name": "DDPMScheduler", "beta_end": 0.03, "variance_type": "fixed_large", "trained_betas": None}
    write_json(checkpoint / "scheduler" / "scheduler_config.json", config)
    assert_parity(diffapple, checkpoint)


def test_named_scheduler_keeps_the_checkpoints_keys(diffapple):
    checkpoint = make_checkpoint(diffapple.folder / "model", SMALL, beta_schedule="scaled_linear")
    assert_parity(diffapple, checkpoint, options=["--scheduler", "ddpm"])


@pytest.mark.parametrize("size", [(24, 8), (16, 40), (64, 64)])
def test_size(diffapple, size):
    checkpoint = make_checkpoint(diffapple.folder / "model", SHAPES["google"])
    assert_parity(diffapple, checkpoint, size=size)


def test_size_of_a_config_without_sample_size(diffapple):
    checkpoint = make_checkpoint(diffapple.folder / "model", dict(GOOGLE, sample_size=None))
    assert_parity(diffapple, checkpoint, size=(16, 24))


def test_given_latents(diffapple):
    checkpoint = make_checkpoint(diffapple.folder / "model", SMALL)
    noise = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(77))
    start, final = diffapple.folder / "start.safetensors", diffapple.folder / "final.safetensors"
    save_file({"latents": noise}, start)
    settings = ["--latents", start, "--save-latents", final, "--batch-size", 3, "--seed", 4, "--steps", 9]
    result = diffapple.ok("ddpm", "--model", checkpoint, *settings)
    # No start noise is drawn: the seed's generator gives the first step's noise first.
    expected = oracle.sample(*oracle.load(checkpoint), seed=4, steps=9, batch=3, latents=noise)
    assert_latents_equal(load_file(final)["latents"], expected.latents)
    assert_pictures_equal(read_pictures(diffapple.folder / path for path in result.paths), expected.pictures)


def test_saved_latents_are_what_the_design_says(diffapple):
    checkpoint = make_checkpoint(diffapple.folder / "model", SMALL)
    saved = diffapple.folder / "latents.safetensors"
    diffapple.ok("ddpm", "--model", checkpoint, "--steps", 2, "--batch-size", 2, "--save-latents", saved)
    tensors = load_file(saved)
    assert list(tensors) == ["latents"]
    assert tensors["latents"].dtype == torch.float32
    assert tensors["latents"].shape == (2, 3, 16, 16)


def test_lists_of_seeds_and_steps(diffapple):
    """One process, one load: each batch has its own generator and scheduler."""
    checkpoint = make_checkpoint(diffapple.folder / "model", SMALL)
    unet, scheduler = oracle.load(checkpoint)
    lists = ["--seed", "0..2,9", "--steps", "3,8", "--batch-size", 2]
    result = diffapple.ok("ddpm", "--model", checkpoint, "--json", *lists)
    expected = {
        (seed, steps): oracle.sample(unet, scheduler, seed, steps, 2).pictures
        for seed in (0, 1, 2, 9)
        for steps in (3, 8)
    }
    assert len(result.reports) == 16
    assert_pictures_equal(
        read_pictures(diffapple.folder / report["path"] for report in result.reports),
        [expected[r["seed"], r["steps"]][r["index"]] for r in result.reports],
    )


@pytest.mark.parametrize("shape", ["google", "deep", "resnet_blocks", "scale_shift"])
def test_bf16_is_as_close_to_fp32_as_diffusers(diffapple, shape):
    checkpoint = make_checkpoint(diffapple.folder / "model", SHAPES[shape])
    unet, scheduler = oracle.load(checkpoint)
    twin = oracle.half_precision_twin(unet, torch.bfloat16)
    ours, theirs = [], []
    for seed in range(3):
        saved = diffapple.folder / f"{seed}.safetensors"
        settings = ["--seed", seed, "--steps", 10, "--batch-size", 2, "--save-latents", saved, "--dtype", "bf16"]
        diffapple.ok("ddpm", "--model", checkpoint, *settings)
        exact = oracle.sample(unet, scheduler, seed, 10, 2).latents
        ours.append(load_file(saved)["latents"] - exact)
        theirs.append(oracle.sample(twin, scheduler, seed, 10, 2).latents - exact)
    assert_half_precision(ours, theirs)


def test_same_pixels_again(diffapple):
    checkpoint = make_checkpoint(diffapple.folder / "model", SMALL)
    digests = set()
    for out in ("one", "two", "three"):
        result = diffapple.ok("ddpm", "--model", checkpoint, "--steps", 5, "--out", out)
        pixels = read_pictures(diffapple.folder / path for path in result.paths)[0]
        digests.add(hashlib.sha256(pixels.tobytes()).hexdigest())
    assert len(digests) == 1
