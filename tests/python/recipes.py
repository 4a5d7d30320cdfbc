"""Pictures with made-up recipes, written by Pillow: what a sweep leaves behind, without a model."""

import hashlib
import json
from pathlib import Path

import numpy
from PIL import Image
from PIL.PngImagePlugin import PngInfo


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def recipe_text(settings: dict, known: dict | None = None, **determining) -> str:
    """The text of a `diffapple` chunk as the program writes it: the id is a hash of the determining part."""
    recipe = {
        "schema": 1,
        "experiment": "sd15",
        "model": {"name": "tiny", "weights": {"unet": sha256("w")}, "configs": {"unet": sha256("c")}},
        "dtypes": {"unet": "fp32", "vae": "fp32"},
        "device": "cpu",
        "scheduler": {"name": "ddpm", "config": {"beta_start": 0.0001}},
        "settings": {"index": 0, "steps": 5, "batch_size": 1, "width": 64, "height": 64, **settings},
        **determining,
    }
    compact = json.dumps(recipe, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return json.dumps({"schema": 1, "id": sha256(compact)[:16], "recipe": recipe, "known": known or {}})


def save_picture(path: Path, size=(64, 64), colour=None, text: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    y, x = numpy.mgrid[0:height, 0:width]
    base = numpy.array(colour or [int(sha256(path.name)[i : i + 2], 16) for i in (0, 2, 4)])
    shade = (0.4 + 0.6 * (numpy.hypot(x - width / 2, y - height / 2) < min(size) / 3))[..., None]
    info = PngInfo()
    if text is not None:
        info.add_text("diffapple", text)
    Image.fromarray((base * shade).astype("uint8")).save(path, pnginfo=info)
    return path


def save_sweep(folder: Path, combinations: list[dict], known=None, size=(64, 64), **determining) -> list[Path]:
    """A picture for each dictionary of settings; keys of the recipe's upper level may be among them."""
    upper = {"model", "dtypes", "device", "scheduler", "experiment"}
    paths = []
    for number, combination in enumerate(combinations):
        settings = {"width": size[0], "height": size[1], **{k: v for k, v in combination.items() if k not in upper}}
        parts = {**determining, **{k: v for k, v in combination.items() if k in upper}}
        text = recipe_text(settings, known(number) if known else None, **parts)
        paths.append(save_picture(folder / f"p{number:04}.png", size, text=text))
    return paths
