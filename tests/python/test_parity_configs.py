"""Fields of configs that few checkpoints have, each against diffusers: what it reads must count, and what its pipelines
ignore must not. test_config_fuzz.py combines them by the hundred."""

import diffusers
import numpy as np
import pytest
import torch
from checkpoints import SMALL, edit_json, make_checkpoint
from conftest import one_line_error
from oracle import assert_pictures_equal
from PIL import Image
from pictures import mask, photo
from sd_checkpoints import make_sd15, make_sdxl
from sd_oracle import CATS, assert_equal, assert_parity, make, run


STATISTICS = dict(latents_mean=[0.1, -0.2, 0.3, 0.05], latents_std=[1.1, 0.9, 0.7, 1.3])
SETTINGS = {"steps": 3, "guidance": 4}


def load(folder, kind=diffusers.DiffusionPipeline):
    pipeline = kind.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def check(diffapple, folder, command, kind, settings=SETTINGS, scheduler=None, pictures=(), **options):
    """`pictures`: of "image" and "mask". `scheduler`: the checkpoint's own, which sd15 has to be asked for."""
    arguments, typed = {}, ["--scheduler", scheduler] if scheduler else []
    for name, picture in (("image", photo(64, 64)), ("mask", mask("soft", 64, 64))):
        if name in pictures:
            picture.save(diffapple.folder / f"{name}.png")
            typed += [f"--{name}", f"{name}.png"]
            arguments["image" if name == "image" else "mask_image"] = picture
    if "mask" in pictures:
        settings = {**settings, "width": 64, "height": 64}
    pipeline = load(folder, getattr(diffusers, kind))
    assert_parity(diffapple, command, folder, pipeline, settings, options=typed, arguments=arguments, **options)


XL = {"StableDiffusionXLPipeline": (), "StableDiffusionXLImg2ImgPipeline": ("image",)}
XL["StableDiffusionXLInpaintPipeline"] = ("image", "mask")


@pytest.mark.parametrize("kind", XL)
def test_statistics_of_latents(diffapple, kind):
    """SDXL's pipelines read them, except where they encode for inpainting; none reads a shift."""
    folder = make_sdxl(diffapple.folder / "model", vae=dict(STATISTICS, shift_factor=0.3))
    settings = {**SETTINGS, **({"strength": 0.7} if XL[kind] else {})}
    check(diffapple, folder, "sdxl-turbo", kind, settings, pictures=XL[kind])


@pytest.mark.parametrize("pictures", [(), ("image",)])
def test_sd_ignores_statistics_of_latents(diffapple, pictures):
    folder = make_sd15(diffapple.folder / "model", vae=dict(STATISTICS, shift_factor=0.3))
    kind = "StableDiffusionImg2ImgPipeline" if pictures else "StableDiffusionPipeline"
    settings = {**SETTINGS, **({"strength": 0.7} if pictures else {})}
    check(diffapple, folder, "sd15", kind, settings, scheduler="pndm", pictures=pictures)


def test_one_of_the_statistics_is_none(diffapple):
    folder = make_sdxl(diffapple.folder / "model", vae=dict(latents_mean=[1, 2, 3, 4]))
    check(diffapple, folder, "sdxl-turbo", "StableDiffusionXLPipeline")


def test_statistics_of_another_model_are_refused(diffapple):
    folder = make_sdxl(diffapple.folder / "model", vae=dict(latents_mean=[1, 2], latents_std=[1, 2]))
    result = diffapple("sdxl-turbo", "--model", folder, "--prompt", "a")
    one_line_error(result, 1, "vae/config.json", "latents_mean", "latent_channels")


NULLS = {
    "clip_sample": dict(_class_name="DDIMScheduler", clip_sample=None, set_alpha_to_one=None),
    "skip_prk_steps": dict(_class_name="PNDMScheduler", skip_prk_steps=None),
    "lower_order_final": dict(_class_name="DPMSolverMultistepScheduler", lower_order_final=None, solver_order=3),
}


@pytest.mark.parametrize("field", NULLS)
def test_null_is_false(diffapple, field):
    """As None is to Python; an absent key has the class's default."""
    folder = make_sd15(diffapple.folder / "model", scheduler=NULLS[field])
    name = {"DDIMScheduler": "ddim", "PNDMScheduler": "pndm"}.get(NULLS[field]["_class_name"], "dpmsolver++")
    check(diffapple, folder, "sd15", "StableDiffusionPipeline", {"steps": 5, "guidance": 4}, scheduler=name)


def test_no_limit_of_thresholding(diffapple):
    scheduler = dict(_class_name="DDPMScheduler", thresholding=True, sample_max_value=None)
    folder = make_sdxl(diffapple.folder / "model", scheduler=scheduler)
    check(diffapple, folder, "sdxl-turbo", "StableDiffusionXLPipeline")


def test_null_is_false_in_pixel_models(diffapple):
    folder = make_checkpoint(diffapple.folder / "model", SMALL)
    edit_json(folder / "scheduler" / "scheduler_config.json", clip_sample=None)
    theirs = load(folder)(generator=torch.Generator().manual_seed(1), num_inference_steps=3).images[0]
    path = diffapple.ok("ddpm", "--model", folder, "--seed", 1, "--steps", 3).paths[0]
    assert_pictures_equal([np.asarray(Image.open(diffapple.folder / path))], [np.asarray(theirs)])


@pytest.mark.parametrize("name", ["gelu_new", "gelu_fast", "gelu_pytorch_tanh", "relu", "silu", "mish"])
def test_activations_of_text_encoders(diffapple, name):
    folder = make_sd15(diffapple.folder / "model", text=dict(hidden_act=name))
    check(diffapple, folder, "sd15", "StableDiffusionPipeline", {"steps": 1, "guidance": 4}, scheduler="pndm")


def test_padding_may_be_hidden_from_the_text_encoder(diffapple):
    folder = make_sd15(diffapple.folder / "model", text=dict(use_attention_mask=True))
    check(diffapple, folder, "sd15", "StableDiffusionPipeline", scheduler="pndm")


def test_sdxl_hides_no_padding(diffapple):
    masks = dict(use_attention_mask=True)
    folder = make_sdxl(diffapple.folder / "model", text=masks, text_2=masks)
    check(diffapple, folder, "sdxl-turbo", "StableDiffusionXLPipeline")


UNETS = {
    "a projection of the text": dict(encoder_hid_dim=32, cross_attention_dim=24),
    "another of its names": dict(encoder_hid_dim=32, encoder_hid_dim_type="text_proj", cross_attention_dim=24),
    "an activation after the time": dict(timestep_post_act="mish"),
    "what only other blocks read": dict(
        resnet_skip_time_act=True,
        resnet_out_scale_factor=1.4,
        cross_attention_norm="layer_norm",
        mid_block_only_cross_attention=True,
    ),
}


@pytest.mark.parametrize("what", UNETS)
def test_unets(diffapple, what):
    folder = make_sd15(diffapple.folder / "model", unet=UNETS[what])
    check(diffapple, folder, "sd15", "StableDiffusionPipeline", scheduler="pndm")


LCM = dict(_class_name="LCMScheduler", skip_prk_steps=..., set_alpha_to_one=..., steps_offset=1)


@pytest.mark.parametrize("guidance", [0, 1, 8.5])
def test_embedded_guidance(diffapple, guidance):
    """A model that learnt guidance gets its scale as a number: one pass, and no negative prompt."""
    folder = make_sd15(diffapple.folder / "model", unet=dict(time_cond_proj_dim=32), scheduler=LCM)
    settings = {"steps": 3, "guidance": guidance, "negative_prompt": "ignored"}
    check(diffapple, folder, "sd15", "StableDiffusionPipeline", settings, scheduler="lcm")


def test_embedded_guidance_of_sdxl(diffapple):
    folder = make_sdxl(diffapple.folder / "model", unet=dict(time_cond_proj_dim=31))
    settings = {**SETTINGS, "strength": 0.7}
    check(diffapple, folder, "sdxl-turbo", "StableDiffusionXLImg2ImgPipeline", settings, pictures=("image",))


def test_latent_consistency_models(diffapple):
    folder = make_sd15(diffapple.folder / "model", unet=dict(time_cond_proj_dim=32), scheduler=LCM)
    edit_json(folder / "model_index.json", _class_name="LatentConsistencyModelPipeline")
    options = ["--scheduler", "lcm", "--steps", 4, "--guidance", 8.5]
    ours = run(diffapple, "sd15", folder, *options, prompts=CATS, seed=3)
    theirs = make(load(folder), CATS, seed=3, num_inference_steps=4, guidance_scale=8.5)
    assert_equal(ours, theirs)


def test_embedded_guidance_in_recipes(diffapple):
    """Its scale is in recipe and name; the negative prompt, which it does not read, is not."""
    folder = make_sd15(diffapple.folder / "model", unet=dict(time_cond_proj_dim=32), scheduler=LCM)
    options = ["--model", folder, "--prompt", "a", "--steps", 1, "--guidance", "2,8", "--json"]
    reports = diffapple.ok("sd15", *options, "--negative-prompt", "b").reports
    assert [report["guidance"] for report in reports] == [2, 8]
    assert len({report["id"] for report in reports}) == 2
    assert all(report["skipped"] for report in diffapple.ok("sd15", *options).reports)
    assert diffapple.ok("replay", reports[1]["path"], "--model", folder).code == 0
