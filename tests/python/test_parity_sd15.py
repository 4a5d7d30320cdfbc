"""`diffapple sd15` against diffusers' StableDiffusionPipeline on small random checkpoints."""

import numpy as np
import pytest
import sd_oracle
from oracle import SCHEDULER_CLASSES
from PIL import Image
from sd_checkpoints import THREE_LEVELS, load_pipeline, make_sd2, make_sd15
from sd_oracle import CATS

LONG = "a very long prompt about cats and their whiskers, " * 12
UNICODE = "кот 猫 🐈 naïve ΣΑΣ İstanbul ﬁsh\u0301 <|endoftext|> tail"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return make_sd15(tmp_path_factory.mktemp("sd15") / "model")


@pytest.fixture(scope="module")
def pipeline(checkpoint):
    return load_pipeline(checkpoint)


def assert_parity(diffapple, checkpoint, pipeline, prompts=["a cat"], seed=0, **settings):
    """Without a scheduler in `settings`, the program must take the study's by itself."""
    settings = {"steps": 4, "guidance": 7.5, **settings}
    own = {} if "scheduler" in settings else {"scheduler": "dpmsolver++"}
    sd_oracle.assert_parity(diffapple, "sd15", checkpoint, pipeline, settings, prompts, seed, arguments=own)


@pytest.mark.parametrize("guidance", [0, 1, 4.5, 8])
def test_guidance(diffapple, checkpoint, pipeline, guidance):
    assert_parity(diffapple, checkpoint, pipeline, guidance=guidance, negative_prompt="low quality, bad quality")


@pytest.mark.parametrize("scheduler", SCHEDULER_CLASSES)
def test_scheduler(diffapple, checkpoint, pipeline, scheduler):
    assert_parity(diffapple, checkpoint, pipeline, scheduler=scheduler, steps=7, guidance=3)


@pytest.mark.parametrize("steps", [1, 2, 3, 15, 25])
def test_steps(diffapple, checkpoint, pipeline, steps):
    assert_parity(diffapple, checkpoint, pipeline, steps=steps, guidance=2, seed=steps)


@pytest.mark.parametrize("height, width", [(64, 64), (72, 104), (136, 64), (8, 200)])
def test_size(diffapple, checkpoint, pipeline, height, width):
    assert_parity(diffapple, checkpoint, pipeline, height=height, width=width, steps=2)


def test_batch_is_prompt_major(diffapple, checkpoint, pipeline):
    assert_parity(diffapple, checkpoint, pipeline, prompts=[*CATS, "a dog"], batch_size=2, negative_prompt="fog")


@pytest.mark.parametrize("prompt", ["", " ", "!", LONG, UNICODE, "a\tcat\nand 1234 dogs'll"], ids=range(6))
def test_prompt(diffapple, checkpoint, pipeline, prompt):
    assert_parity(diffapple, checkpoint, pipeline, prompts=[prompt], steps=2, negative_prompt=prompt[::-1])


@pytest.mark.parametrize("clip_skip", [0, 1, 2])
def test_clip_skip(diffapple, checkpoint, pipeline, clip_skip):
    assert_parity(diffapple, checkpoint, pipeline, clip_skip=clip_skip, steps=2)


def test_guidance_rescale(diffapple, checkpoint, pipeline):
    assert_parity(diffapple, checkpoint, pipeline, guidance_rescale=0.7, guidance=9, prompts=CATS)


def test_eta(diffapple, checkpoint, pipeline):
    assert_parity(diffapple, checkpoint, pipeline, eta=0.6, scheduler="ddim", steps=5)


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
    assert_parity(diffapple, checkpoint, load_pipeline(checkpoint), prompts=CATS, steps=3, height=72, width=64)


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
    settings = dict(steps=4, guidance=4, scheduler="dpmsolver++")
    sd_oracle.assert_half_precision_parity(diffapple, "sd15", checkpoint, pipeline, "bf16", settings)
