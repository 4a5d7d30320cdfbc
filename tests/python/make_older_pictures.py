#!/usr/bin/env python3
"""Makes a folder of tests/data/older_versions with one version of the program: small random checkpoints, what pictures
start from, pictures of every experiment and setting, and runs.json, which says how each was made. Later versions must
replay, resume and show them: test_older_versions.py.

usage: make_older_pictures.py PROGRAM FOLDER
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from checkpoints import SMALL, TINY, edit_json, make_checkpoint, write_json
from conftest import Diffapple
from finished import pngs, recipe
from PIL import Image
from pictures import smooth_picture
from safetensors.torch import save_file
from sd_checkpoints import (
    FEATURE_EXTRACTOR,
    TEXT_2_OF_XL,
    make_sd2,
    make_sd15,
    make_sdxl,
    random_safety_checker,
    save_component,
)

MERGES = 200
VOCABULARY = 514 + MERGES
ADDED_TOKEN = "<cat>"
# As small as the networks still are what they are: pictures of 32x32, latents of 4x4, about 200 KB for each checkpoint.
TEXT = dict(hidden_size=16, intermediate_size=32)
TEXT_2 = dict(TEXT, hidden_size=24, projection_dim=TEXT_2_OF_XL["projection_dim"])
SMALLEST = dict(
    storage="fp16",
    merges=MERGES,
    vae=dict(block_out_channels=(8, 8, 8, 8), sample_size=32),
    unet=dict(sample_size=4, block_out_channels=(8, 16), norm_num_groups=4, cross_attention_dim=TEXT["hidden_size"]),
    text=TEXT,
)
VISION = dict(hidden_size=16, intermediate_size=32, image_size=32, patch_size=8)
CHECKER_THRESHOLD = 0.515  # flags the last of the four pictures of "sd15, prompts and a negative prompt", by 0.003

IMAGE = ("--image", "inputs/photo.png")
MASKED = (*IMAGE, "--mask", "inputs/mask.png")
# By what they show: the command, the name of its model, and options. No run says where pictures go.
RUNS = {
    "ddpm, with a contact sheet": ("ddpm", "cats", "--seed", "3,9", "--batch-size", "2", "--steps", "3"),
    "ddpm, start noise and other size": (
        *("ddpm", "cats", "--scheduler", "ddim", "--steps", "4", "--height", "24"),
        *("--latents", "inputs/noise_32x24.safetensors"),
    ),
    "ddpm, bf16 of a .bin file": ("ddpm", "tiny", "--dtype", "bf16", "--steps", "3"),
    "ddpm, the demo": ("ddpm", "ddpm-cat-demo", "--seed", "0", "--steps", "5"),
    "sd15, the study's prompts": ("sd15", "someone/sd15", "--guidance", "0,4", "--steps", "3", "--seed", "7"),
    "sd15, prompts and a negative prompt": (
        *("sd15", "someone/sd15", "--prompt", "a bench", "--prompt", 'a "fat" cat', "--batch-size", "2"),
        *("--negative-prompt", "low quality, 雾", "--steps", "4"),
    ),
    "sd15, no safety checker": (
        *("sd15", "someone/sd15", "--prompt", "a bench", "--safety", "off", "--clip-skip", "1"),
        *("--guidance-rescale", "0.7", "--steps", "3"),
    ),
    "sd15, ddim": (
        *("sd15", "someone/sd15", "--prompt", "a bench", "--scheduler", "ddim", "--eta", "0.5", "--steps", "3"),
    ),
    "sd15, samplers": (
        *("sd15", "someone/sd15", "--prompt", "a bench", "--scheduler", "pndm,unipc,euler-a", "--steps", "3"),
    ),
    "sd15, tiles": (
        *("sd15", "someone/sd15", "--prompt", "a bench", "--width", "48", "--height", "40"),
        *("--vae-tiling", "on", "--steps", "2"),
    ),
    "sd15, int8": ("sd15", "someone/sd15", "--prompt", "a bench", "--weights", "int8", "--steps", "3"),
    "sd15, bf16": ("sd15", "someone/sd15", "--prompt", "a bench", "--dtype", "bf16", "--steps", "3"),
    "sd15, odd size": (
        *("sd15", "someone/sd15", "--prompt", "a bench", "--width", "40", "--height", "24", "--steps", "3"),
    ),
    "sd15, start noise": (
        *("sd15", "someone/sd15", "--prompt", "a bench", "--latents", "inputs/noise_4x4.safetensors", "--steps", "3"),
    ),
    "sd15, image to image": (
        *("sd15", "someone/sd15", "--prompt", "a bench", *IMAGE, "--strength", "0.6,1", "--steps", "4"),
    ),
    "sd15, inpainting": ("sd15", "someone/sd15", "--prompt", "a bench", *MASKED, "--scheduler", "pndm", "--steps", "3"),
    "sd15, inpainting of a crop": (
        *("sd15", "someone/sd15", "--prompt", "a bench", *MASKED, "--padding-mask-crop", "4", "--keep-unmasked"),
        *("--strength", "0.8", "--steps", "4"),
    ),
    "sd2-inpaint": ("sd2-inpaint", "sd2", "--prompt", f"a {ADDED_TOKEN}", *MASKED, "--guidance", "3", "--steps", "3"),
    "sd2-inpaint, soft mask": (
        *("sd2-inpaint", "sd2", *MASKED, "--mask-blur", "2", "--strength", "0.7", "--guidance", "3", "--steps", "4"),
    ),
    "sdxl-turbo": ("sdxl-turbo", "xl", "--prompt", "a bench", "--guidance", "0,4", "--steps", "2"),
    "sdxl-turbo, texts and sizes": (
        *("sdxl-turbo", "xl", "--prompt", "a bench", "--prompt-2", "a cat", "--negative-prompt", "low quality"),
        *("--negative-prompt-2", "fog", "--guidance", "4", "--steps", "2"),
        *("--original-size", "40x24", "--target-size", "64x48", "--crop", "2,3"),
    ),
    "sdxl-turbo, image to image": ("sdxl-turbo", "xl", "--prompt", "a bench", *IMAGE, "--steps", "4"),
    "sdxl-turbo, inpainting in bf16 and int8": (
        *("sdxl-turbo", "xl", "--prompt", "a bench", *MASKED, "--dtype", "bf16", "--weights", "int8", "--steps", "3"),
    ),
}
WITH_SHEET = "ddpm, with a contact sheet"


def make_models(folder: Path) -> None:
    """The models that RUNS names. Files that a recipe must see through are among them: notes of diffusers in a
    scheduler's config, a token that a later file adds to a vocabulary."""
    make_checkpoint(folder / "cats", dict(SMALL, sample_size=32), storage="fp16_variant")
    make_checkpoint(folder / "tiny", TINY, storage="bin", prediction_type="sample")
    sd15 = make_sd15(folder / "someone" / "sd15", **SMALLEST, scheduler=dict(_diffusers_version="0.6.0"))
    add_safety_checker(sd15)
    text = dict(TEXT, vocab_size=VOCABULARY + 1)
    sd2 = make_sd2(folder / "sd2", **{**SMALLEST, "text": text})
    write_json(sd2 / "tokenizer" / "added_tokens.json", {ADDED_TOKEN: VOCABULARY})
    unet = dict(SMALLEST["unet"], cross_attention_dim=TEXT["hidden_size"] + TEXT_2["hidden_size"])
    make_sdxl(folder / "xl", **{**SMALLEST, "unet": unet}, text_2=TEXT_2)


def add_safety_checker(checkpoint: Path) -> None:
    """A checker that looks at 32x32 pixels: that of sd_checkpoints.py takes more room than all other components."""
    checker = random_safety_checker(CHECKER_THRESHOLD, **VISION)
    save_component(checkpoint / "safety_checker", checker, "fp16")
    size = VISION["image_size"]
    write_json(
        checkpoint / "feature_extractor" / "preprocessor_config.json",
        dict(FEATURE_EXTRACTOR, size=size, crop_size=size),
    )
    edit_json(
        checkpoint / "model_index.json",
        safety_checker=["stable_diffusion", type(checker).__name__],
        feature_extractor=["transformers", "CLIPImageProcessor"],
    )


def make_inputs(folder: Path) -> None:
    folder.mkdir()
    smooth_picture("RGB", 48, 40).save(folder / "photo.png")
    mask = np.zeros((40, 48), np.uint8)
    mask[12:30, 16:40] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    generator = torch.Generator().manual_seed(0)
    for name, shape in {"noise_32x24": (1, 3, 24, 32), "noise_4x4": (1, 4, 4, 4)}.items():
        save_file({"latents": torch.randn(shape, generator=generator)}, folder / f"{name}.safetensors")


def make_pictures(diffapple: Diffapple) -> list[dict]:
    """What runs.json says of each run: its name, the call without the program and without --out, whether it is a sweep,
    the bar that a replay on another machine must reach, and its pictures."""
    runs = []
    for name, (command, model, *options) in RUNS.items():
        call = [command, "--model", model, "--device", "cpu", *options]
        if name != WITH_SHEET:
            call += ["--sheet", "off"]
        reports = diffapple.ok(*call, "--out", "pictures", "--json").reports
        paths = [str(Path(report["path"]).relative_to("pictures")) for report in reports]
        runs.append({"name": name, "call": call, "sweep": is_sweep(call), "bar": bar_of(call), "pictures": paths})
    return runs


def is_sweep(call: list[str]) -> bool:
    """Whether a call makes several batches."""
    lists = ("--seed", "--steps", "--guidance", "--scheduler", "--strength")
    return any(option in lists and "," in value for option, value in zip(call, call[1:]))


def bar_of(call: list[str]) -> str:
    return "30 dB" if "bf16" in call else "fidelity"


def main(program: Path, folder: Path) -> None:
    if folder.exists():
        sys.exit(f"{folder}: exists; pictures of an older version are kept, and never made again in their place")
    with tempfile.TemporaryDirectory() as work:
        diffapple = Diffapple(Path(work), program=program.resolve(), environment={"OMP_NUM_THREADS": "1"})
        make_models(diffapple.folder / "models")
        make_inputs(diffapple.folder / "inputs")
        runs = make_pictures(diffapple)
        first = recipe(diffapple.folder / "pictures" / runs[0]["pictures"][0])
        made_by = {"program": diffapple.ok("--version").out.strip(), "schema": first["schema"]}
        write_json(diffapple.folder / "runs.json", {**made_by, "runs": runs})
        shutil.rmtree(diffapple.folder / "home")
        shutil.copytree(diffapple.folder, folder)
    print(f"{folder}: {len(pngs(folder / 'pictures'))} pictures")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
