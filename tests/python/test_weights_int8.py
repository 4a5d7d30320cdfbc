"""`--weights int8`: the program against diffusers with weights that were quantised in the same way, and its memory."""

import pytest
import sd_oracle
import torch
from oracle import rms
from sd_checkpoints import load_pipeline, make_sd15, make_sdxl
from sd_oracle import assert_equal

CAT = ["a cat, fat, with brown fur, with short legs"]
FEWEST_CHANNELS = 16


def quantise(model: torch.nn.Module) -> None:
    """Rounds weights to multiples of the largest value of their output channel / 127."""
    for layer in model.modules():
        if isinstance(layer, (torch.nn.Linear, torch.nn.Conv2d)) and min(layer.weight.shape[:2]) >= FEWEST_CHANNELS:
            weight = layer.weight.data
            scale = weight.flatten(1).abs().amax(1).div(127).reshape(-1, *[1] * (weight.dim() - 1))
            weight.copy_((weight / scale).round() * scale)


@pytest.mark.parametrize(
    "command, make, guidance", [("sd15", make_sd15, 4.5), ("sdxl-turbo", make_sdxl, 2)], ids=["sd15", "sdxl"]
)
def test_parity_with_quantised_diffusers(diffapple, command, make, guidance):
    checkpoint = make(diffapple.folder / "model")
    options = ["--steps", 3, "--guidance", guidance, "--weights"]
    ours = sd_oracle.run(diffapple, command, checkpoint, *options, "int8", prompts=CAT)
    as_is = sd_oracle.run(diffapple, command, checkpoint, *options, "as-is", prompts=CAT)
    pipeline = load_pipeline(checkpoint)
    for component in ("unet", "text_encoder", "text_encoder_2"):
        if getattr(pipeline, component, None) is not None:
            quantise(getattr(pipeline, component))
    scheduler = "dpmsolver++" if command == "sd15" else None
    settings = dict(num_inference_steps=3, guidance_scale=guidance)
    assert_equal(ours, sd_oracle.make(pipeline, CAT, scheduler=scheduler, **settings))
    distance = rms(ours.latents - as_is.latents) / rms(as_is.latents)
    assert 1e-4 < distance < 0.2


def test_is_in_recipe_and_name(diffapple):
    checkpoint = make_sd15(diffapple.folder / "model")
    options = ["--model", checkpoint, "--steps", 1, "--prompt", "a cat", "--weights"]
    (int8,) = diffapple.ok("sd15", *options, "int8").paths
    (as_is,) = diffapple.ok("sd15", *options, "as-is").paths
    assert int8.name == as_is.name.replace(".png", "_weights-int8.png")
    assert "the same picture" in diffapple.ok("replay", int8, "--model", checkpoint).out


@pytest.mark.parametrize("value", ["int4", "int8,as-is", ""])
def test_refused(diffapple, value):
    result = diffapple("sd15", "--weights", value)
    assert result.code == 2 and "--weights" in result.err


def test_memory_of_the_weights(diffapple):
    """A UNet of 152 million parameters: 609 MB in fp32, 152 in 8 bits, told apart by the process's peak."""
    wide = dict(block_out_channels=(256, 1024), norm_num_groups=32)
    checkpoint = make_sd15(diffapple.folder / "model", unet=wide)
    stored = sum(file.stat().st_size for file in (checkpoint / "unet").glob("*.safetensors"))
    options = ["--model", checkpoint, "--steps", 6, "--guidance", 1, "--prompt", "a cat", "--json", "--weights"]
    peaks = [diffapple.ok("sd15", *options, kind).reports[0]["peak_bytes"] for kind in ("as-is", "int8")]
    assert stored > 600e6
    assert peaks[0] - peaks[1] > 0.6 * stored
