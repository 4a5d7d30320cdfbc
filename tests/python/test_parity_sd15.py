"""`diffapple sd15` against diffusers' StableDiffusionPipeline on small random checkpoints."""

import numpy as np
import pytest
import sd_oracle
import torch
from oracle import HALF_PRECISION_FACTOR, SCHEDULER_CLASSES, rms
from PIL import Image
from sd_checkpoints import THREE_LEVELS, load_pipeline, make_sd2, make_sd15
from sd_oracle import assert_equal

CATS = ["a cat, fat, with brown fur, with short legs", "a cat, fat, with white fur, with short legs"]
LONG = "a very long prompt about cats and their whiskers, " * 12
UNICODE = "кот 猫 🐈 naïve ΣΑΣ İstanbul ﬁsh\u0301 <|endoftext|> tail"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return make_sd15(tmp_path_factory.mktemp("sd15") / "model")


@pytest.fixture(scope="module")
def pipeline(checkpoint):
    return load_pipeline(checkpoint)


def assert_parity(
    diffapple, checkpoint, pipeline, prompts=("a cat",), steps=4, guidance=7.5, options=(), batch=1, size=None, **settings
):
    """One batch of the program against the pipeline's own call."""
    typed = ["--steps", steps, "--guidance", guidance, "--batch-size", batch, *options]
    if size:
        typed += ["--height", size[0], "--width", size[1]]
        settings.update(height=size[0], width=size[1])
    if "negative_prompt" in settings:
        typed += ["--negative-prompt", settings["negative_prompt"]]
    if "scheduler" in settings:
        typed += ["--scheduler", settings["scheduler"]]
    settings.setdefault("scheduler", "dpmsolver++")
    seed = settings.pop("seed", 0)
    ours = sd_oracle.run(diffapple, "sd15", checkpoint, *typed, prompts=list(prompts), seed=seed)
    expected = sd_oracle.make(
        pipeline,
        list(prompts),
        seed=seed,
        num_inference_steps=steps,
        guidance_scale=float(guidance),
        num_images_per_prompt=batch,
        **settings,
    )
    assert_equal(ours, expected)


@pytest.mark.parametrize("guidance", [0, 1, 4.5, 8])
def test_guidance(diffapple, checkpoint, pipeline, guidance):
    assert_parity(diffapple, checkpoint, pipeline, guidance=guidance, negative_prompt="low quality, bad quality")


@pytest.mark.parametrize("scheduler", SCHEDULER_CLASSES)
def test_scheduler(diffapple, checkpoint, pipeline, scheduler):
    assert_parity(diffapple, checkpoint, pipeline, scheduler=scheduler, steps=7, guidance=3)


@pytest.mark.parametrize("steps", [1, 2, 3, 15, 25])
def test_steps(diffapple, checkpoint, pipeline, steps):
    assert_parity(diffapple, checkpoint, pipeline, steps=steps, guidance=2, seed=steps)


@pytest.mark.parametrize("size", [(64, 64), (72, 104), (136, 64), (8, 200)])
def test_size(diffapple, checkpoint, pipeline, size):
    assert_parity(diffapple, checkpoint, pipeline, size=size, steps=2)


def test_batch_is_prompt_major(diffapple, checkpoint, pipeline):
    assert_parity(diffapple, checkpoint, pipeline, prompts=[*CATS, "a dog"], batch=2, negative_prompt="fog")


@pytest.mark.parametrize("prompt", ["", " ", "!", LONG, UNICODE, "a\tcat\nand 1234 dogs'll"], ids=range(6))
def test_prompt(diffapple, checkpoint, pipeline, prompt):
    assert_parity(diffapple, checkpoint, pipeline, prompts=[prompt], steps=2, negative_prompt=prompt[::-1])


@pytest.mark.parametrize("clip_skip", [0, 1, 2])
def test_clip_skip(diffapple, checkpoint, pipeline, clip_skip):
    options = ["--clip-skip", clip_skip]
    assert_parity(diffapple, checkpoint, pipeline, clip_skip=clip_skip, options=options, steps=2)


def test_guidance_rescale(diffapple, checkpoint, pipeline):
    options = ["--guidance-rescale", 0.7]
    assert_parity(diffapple, checkpoint, pipeline, guidance_rescale=0.7, options=options, guidance=9, prompts=CATS)


def test_eta(diffapple, checkpoint, pipeline):
    assert_parity(diffapple, checkpoint, pipeline, eta=0.6, options=["--eta", 0.6], scheduler="ddim", steps=5)


SHAPES = {
    "three_levels": dict(unet=THREE_LEVELS),
    "two_level_vae": dict(vae_levels=2),
    "fp16_files": dict(storage="fp16"),
    "bin_files": dict(storage="bin"),
    "hub_names": dict(hub_names=True),
    "whole_vocabulary": dict(merges=48894),
    "karras": dict(scheduler=dict(use_karras_sigmas=True)),
    "upcast_attention": dict(unet=dict(upcast_attention=True)),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_checkpoint(diffapple, shape):
    checkpoint = make_sd15(diffapple.folder / "model", **SHAPES[shape])
    assert_parity(diffapple, checkpoint, load_pipeline(checkpoint), prompts=CATS, steps=3, size=(72, 64))


@pytest.mark.parametrize("v_prediction", [False, True])
def test_sd2_text_to_image(diffapple, v_prediction):
    checkpoint = make_sd2(diffapple.folder / "model", inpainting=False, v_prediction=v_prediction)
    assert_parity(diffapple, checkpoint, load_pipeline(checkpoint), prompts=["a bench!"], steps=3)


@pytest.mark.parametrize("safety", [-1.0, 1.0])
def test_safety_checker(diffapple, safety):
    """At -1 every picture is flagged and black, at 1 none is."""
    checkpoint = make_sd15(diffapple.folder / "model", safety=safety)
    assert_parity(diffapple, checkpoint, load_pipeline(checkpoint), prompts=CATS, steps=2)
    typed = ["--model", checkpoint, "--steps", 2, "--prompt", "a cat", "--json"]
    checked = diffapple.ok("sd15", *typed)
    assert ("--safety off" in checked.err) == (safety < 0)
    free = diffapple.ok("sd15", *typed, "--safety", "off").reports[0]
    assert free["path"] == checked.reports[0]["path"].replace(".png", "_safety-off.png")
    assert np.asarray(Image.open(diffapple.folder / free["path"])).any()


def test_safety_on_needs_a_checker(diffapple, checkpoint):
    result = diffapple("sd15", "--model", checkpoint, "--safety", "on")
    assert (result.code, len(result.err.splitlines())) == (2, 1) and "safety checker" in result.err


def test_bf16_is_as_close_to_fp32_as_diffusers(diffapple, checkpoint, pipeline):
    twin = load_pipeline(checkpoint).to(torch.bfloat16)
    ours, theirs = [], []
    for seed in range(3):
        settings = dict(num_inference_steps=4, guidance_scale=4.0, scheduler="dpmsolver++")
        exact = sd_oracle.make(pipeline, CATS, seed=seed, **settings).latents
        theirs.append(sd_oracle.make(twin, CATS, seed=seed, **settings).latents - exact)
        options = ["--steps", 4, "--guidance", 4, "--dtype", "bf16"]
        ours.append(sd_oracle.run(diffapple, "sd15", checkpoint, *options, prompts=CATS, seed=seed).latents - exact)
    distance, allowed = rms(torch.stack(ours)), rms(torch.stack(theirs)) * HALF_PRECISION_FACTOR
    assert allowed / 1000 < distance <= allowed
