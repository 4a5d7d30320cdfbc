"""The oracle for Stable Diffusion: diffusers' own pipelines on the same checkpoint, run live. Noise is always drawn in
fp32 from one CPU generator and then cast, also for a pipeline in half precision."""

import contextlib
import copy
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from conftest import Diffapple
from oracle import (
    HALF_TYPES,
    SCHEDULER_CLASSES,
    assert_half_precision,
    assert_latents_equal,
    assert_pictures_equal,
    draw_fp32,
)
from PIL import Image
from safetensors.torch import load_file
from sd_checkpoints import load_pipeline

RANDN_USERS = [
    "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion",
    "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_img2img",
    "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_inpaint",
    "diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl",
    "diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl_img2img",
    "diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl_inpaint",
    "diffusers.models.autoencoders.vae",
]

CATS = ["a cat, fat, with brown fur, with short legs", "a cat, fat, with white fur, with short legs"]  # the study's

# What the pipelines call a setting that has another name among the program's options.
ARGUMENTS = {"steps": "num_inference_steps", "guidance": "guidance_scale", "batch_size": "num_images_per_prompt"}


@dataclass
class Made:
    latents: torch.Tensor  # fp32 [N, 4, h, w], as the loop leaves them
    pictures: list[np.ndarray]


@contextlib.contextmanager
def noise_in_fp32():
    with contextlib.ExitStack() as stack:
        for module in [*RANDN_USERS, *{c.__module__ for c in SCHEDULER_CLASSES.values()}]:
            with contextlib.suppress(AttributeError):  # a scheduler that draws nothing does not import it
                stack.enter_context(mock.patch(f"{module}.randn_tensor", draw_fp32))
        yield


@torch.inference_mode()
def make(pipeline, prompts: list[str], scheduler: str | None = None, seed: int = 0, **settings) -> Made:
    """One call of the pipeline. `settings` are its arguments; `scheduler` replaces its scheduler as from_config does;
    without one, it is a copy of the pipeline's own, with what the pipeline changed of its config.
    Texts given once stand for each prompt, as with the program."""
    for name in ("negative_prompt", "prompt_2", "negative_prompt_2"):
        if isinstance(settings.get(name), str):
            settings[name] = [settings[name]] * len(prompts)
    # diffusers 0.42.1 looks for clip_skip's final norm where transformers 4 had it.
    vars(pipeline.text_encoder).setdefault("text_model", pipeline.text_encoder)
    own = pipeline.scheduler
    pipeline.scheduler = SCHEDULER_CLASSES[scheduler].from_config(own.config) if scheduler else copy.deepcopy(own)
    kept = {}

    def keep_latents(_pipeline, _step, _timestep, values):
        kept["latents"] = values["latents"]
        return values

    try:
        with noise_in_fp32():
            images = pipeline(
                prompt=prompts,
                generator=torch.Generator().manual_seed(seed),
                callback_on_step_end=keep_latents,
                **settings,
            ).images
    finally:
        pipeline.scheduler = own
    return Made(kept["latents"].float(), [np.asarray(image) for image in images])


def run(diffapple: Diffapple, command: str, checkpoint: Path, *options, prompts: list[str], seed: int = 0) -> Made:
    """The same by the program, in one batch; its pictures in the order of diffusers'."""
    saved = diffapple.folder / "latents.safetensors"
    texts = [part for prompt in prompts for part in ("--prompt", prompt)]
    arguments = ["--model", checkpoint, "--seed", seed, "--save-latents", saved, "--json", "--force", *texts, *options]
    reports = diffapple.ok(command, *arguments, timeout=900).reports
    assert [report["index"] for report in reports] == list(range(len(reports)))
    pictures = [np.asarray(Image.open(diffapple.folder / report["path"])) for report in reports]
    return Made(load_file(saved)["latents"], pictures)


def as_options(settings: dict) -> list:
    """Settings as the program's options: `negative_prompt` is --negative-prompt."""
    return [part for name, value in settings.items() for part in (f"--{name.replace('_', '-')}", value)]


def as_arguments(settings: dict) -> dict:
    """The same settings as arguments of diffusers' pipelines."""
    return {ARGUMENTS.get(name, name): value for name, value in settings.items()}


def assert_parity(
    diffapple: Diffapple,
    command: str,
    checkpoint: Path,
    pipeline,
    settings: dict,  # by the names of the program's options
    prompts: list[str] = CATS,
    seed: int = 0,
    options=(),  # of the program alone
    arguments: dict = {},  # of the pipeline alone
) -> None:
    """One batch of the program against the pipeline's own call."""
    ours = run(diffapple, command, checkpoint, *as_options(settings), *options, prompts=prompts, seed=seed)
    assert_equal(ours, make(pipeline, prompts, seed=seed, **as_arguments(settings), **arguments))


def assert_half_precision_parity(
    diffapple: Diffapple, command: str, checkpoint: Path, pipeline, dtype: str, settings: dict, options=()
) -> None:
    """Latents in `dtype` are as close to fp32 as diffusers' own, over three seeds. `pipeline` computes in fp32; the
    rest is as in assert_parity."""
    twin = load_pipeline(checkpoint, HALF_TYPES[dtype])
    typed = [*as_options({**settings, "dtype": dtype}), *options]
    ours, theirs = [], []
    for seed in range(3):
        exact = make(pipeline, CATS, seed=seed, **as_arguments(settings)).latents
        theirs.append(make(twin, CATS, seed=seed, **as_arguments(settings)).latents - exact)
        ours.append(run(diffapple, command, checkpoint, *typed, prompts=CATS, seed=seed).latents - exact)
    assert_half_precision(ours, theirs)


def assert_equal(ours: Made, expected: Made) -> None:
    assert_latents_equal(ours.latents, expected.latents)
    assert_pictures_equal(ours.pictures, expected.pictures)
