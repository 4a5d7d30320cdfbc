"""The autoencoder against diffusers: whole and in tiles."""

import pytest
import torch
from conftest import needs_standin_mps
from modules import HALF_PRECISION, assert_outputs_equal, check_half_precision, run_module
from oracle import assert_latents_equal
from sd_checkpoints import random_vae, save_component, vae_shape

SHAPES = {
    "four_levels": vae_shape(4),
    "two_levels": vae_shape(2, layers_per_block=2),
    "one_level": vae_shape(1),
    "no_quant_conv": vae_shape(2, use_quant_conv=False, use_post_quant_conv=False),
    "no_mid_attention": vae_shape(2, mid_block_add_attention=False),
    "mish": vae_shape(2, act_fn="mish", norm_num_groups=2),
    "grey_to_rgba": vae_shape(2, in_channels=1, out_channels=4, latent_channels=3),
    "wide": vae_shape(3, block_out_channels=(32, 48, 96), norm_num_groups=16),
}


def draw(shape: dict, height: int, width: int, batch: int = 1) -> dict:
    """A picture, and latents of the picture's size."""
    generator = torch.Generator().manual_seed(3)
    factor = 2 ** (len(shape["block_out_channels"]) - 1)
    return {
        "image": torch.rand(batch, shape.get("in_channels", 3), height, width, generator=generator) * 2 - 1,
        "latents": torch.randn(
            batch, shape.get("latent_channels", 4), height // factor, width // factor, generator=generator
        ),
    }


@torch.inference_mode()
def expected(vae, inputs: dict) -> dict:
    inputs = {name: tensor.to(vae.dtype) for name, tensor in inputs.items()}
    posterior = vae.encode(inputs["image"]).latent_dist
    outputs = {"mean": posterior.mean, "std": posterior.std, "image": vae.decode(inputs["latents"]).sample}
    return {name: tensor.float() for name, tensor in outputs.items()}


@pytest.mark.parametrize("height, width, batch", [(32, 32, 1), (24, 40, 2)])
@pytest.mark.parametrize("shape", SHAPES)
def test_encode_and_decode(tmp_path, shape, height, width, batch):
    vae = random_vae(SHAPES[shape])
    save_component(tmp_path / "vae", vae)
    inputs = draw(SHAPES[shape], height, width, batch)
    assert_outputs_equal(run_module("autoencoder_kl", tmp_path / "vae", inputs), expected(vae, inputs))


@pytest.mark.parametrize("storage", ["safetensors", "bin", "fp16"])
@pytest.mark.parametrize("hub_names", [False, True], ids=["present_names", "hub_names"])
def test_storage(tmp_path, storage, hub_names):
    vae = random_vae(SHAPES["four_levels"])
    save_component(tmp_path / "vae", vae, storage, hub_names)
    inputs = draw(SHAPES["four_levels"], 32, 32)
    ours = run_module("autoencoder_kl", tmp_path / "vae", inputs)
    assert_outputs_equal(ours, expected(vae.half().float() if storage == "fp16" else vae, inputs))


def test_log_variance_is_clamped(tmp_path):
    vae = random_vae(SHAPES["two_levels"])
    vae.quant_conv.bias[4:] = torch.tensor([-200.0, 200.0, 0.0, -29.0])
    save_component(tmp_path / "vae", vae)
    inputs = draw(SHAPES["two_levels"], 32, 32)
    ours, theirs = run_module("autoencoder_kl", tmp_path / "vae", inputs)["std"], expected(vae, inputs)["std"]
    for channel in range(4):  # each on its own: they are of very different sizes
        assert_latents_equal(ours[:, channel], theirs[:, channel])


@pytest.mark.parametrize("levels, sample_size", [(2, 16), (2, 20), (3, 16), (3, 32), (1, 12)])
@pytest.mark.parametrize("height, width", [(56, 40), (20, 52), (84, 12)])
def test_tiles(tmp_path, levels, sample_size, height, width):
    shape = vae_shape(levels, sample_size=sample_size)
    vae = random_vae(shape)
    save_component(tmp_path / "vae", vae)
    inputs = draw(shape, height, width)
    whole = expected(vae, inputs)["image"]
    vae.enable_tiling()
    theirs = expected(vae, inputs)
    # A sample_size that 4 latents do not divide makes a larger picture, here as in diffusers.
    assert theirs["image"].shape != whole.shape or not torch.allclose(theirs["image"], whole), "no tiles were cut"
    assert_outputs_equal(run_module("autoencoder_kl", tmp_path / "vae", inputs, tiling=True), theirs)


def test_small_pictures_are_not_cut(tmp_path):
    vae = random_vae(SHAPES["two_levels"])
    save_component(tmp_path / "vae", vae)
    inputs = draw(SHAPES["two_levels"], 16, 16)
    assert_outputs_equal(run_module("autoencoder_kl", tmp_path / "vae", inputs, tiling=True), expected(vae, inputs))


@pytest.mark.parametrize("device, dtype", HALF_PRECISION)
def test_half_precision_is_as_close_to_fp32_as_diffusers(tmp_path, device, dtype):
    cases = [(random_vae(SHAPES["wide"], seed), draw(SHAPES["wide"], 32, 48)) for seed in range(4)]
    check_half_precision("autoencoder_kl", tmp_path, cases, expected, device, dtype)


@needs_standin_mps
@pytest.mark.parametrize("tiling", [False, True], ids=["whole", "tiles"])
@pytest.mark.parametrize("shape", ["four_levels", "no_quant_conv"])
def test_mps_fp32_is_the_cpus(tmp_path, shape, tiling):
    save_component(tmp_path / "vae", random_vae(SHAPES[shape]))
    inputs = draw(SHAPES[shape], 128, 80)
    ours = run_module("autoencoder_kl", tmp_path / "vae", inputs, "mps", tiling=tiling)
    assert_outputs_equal(ours, run_module("autoencoder_kl", tmp_path / "vae", inputs, tiling=tiling))
