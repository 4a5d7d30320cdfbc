"""The oracle for Stable Diffusion: diffusers' own pipelines on the same checkpoint, run live. Noise is always drawn in
fp32 from one CPU generator and then cast, also for a pipeline in half precision."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from conftest import Diffapple
from oracle import SCHEDULER_CLASSES, assert_latents_equal, assert_pictures_equal, draw_fp32
from PIL import Image
from safetensors.torch import load_file

RANDN_USERS = [
    "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion",
    "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_img2img",
    "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_inpaint",
    "diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl",
    "diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl_img2img",
    "diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl_inpaint",
    "diffusers.models.autoencoders.vae",
]


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
    """One call of the pipeline. `settings` are its arguments; `scheduler` replaces its scheduler as from_config does.
    Texts given once stand for each prompt, as with the program."""
    for name in ("negative_prompt", "prompt_2", "negative_prompt_2"):
        if isinstance(settings.get(name), str):
            settings[name] = [settings[name]] * len(prompts)
    # diffusers 0.42.1 looks for clip_skip's final norm where transformers 4 had it.
    vars(pipeline.text_encoder).setdefault("text_model", pipeline.text_encoder)
    own = pipeline.scheduler
    kind = SCHEDULER_CLASSES[scheduler] if scheduler else type(own)
    pipeline.scheduler = kind.from_config(own.config)
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
    reports = diffapple.ok(command, *arguments).reports
    assert [report["index"] for report in reports] == list(range(len(reports)))
    pictures = [np.asarray(Image.open(diffapple.folder / report["path"])) for report in reports]
    return Made(load_file(saved)["latents"], pictures)


def assert_equal(ours: Made, expected: Made) -> None:
    assert_latents_equal(ours.latents, expected.latents)
    assert_pictures_equal(ours.pictures, expected.pictures)
