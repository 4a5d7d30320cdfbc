"""Pictures with made-up recipes, written by Pillow: what a sweep leaves behind, without a model; and how other programs
read a picture's settings."""

import hashlib
import json
import re
from pathlib import Path

import numpy
from PIL import Image
from PIL.PngImagePlugin import PngInfo

# How A1111's web UI and its readers take the last line of a picture's `parameters` apart.
A1111_SETTING = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def recipe_text(settings: dict, known: dict | None = None) -> str:
    """The text of a `diffapple` chunk as the program writes it: the id is a hash of the determining part."""
    recipe = {
        "schema": 1,
        "experiment": "sd15",
        "model": {"name": "tiny", "weights": {"unet": sha256("w")}, "configs": {"unet": sha256("c")}},
        "dtypes": {"unet": "fp32", "vae": "fp32"},
        "device": "cpu",
        "scheduler": {"name": "ddpm", "config": {"beta_start": 0.0001}},
        "settings": {"index": 0, "steps": 5, "batch_size": 1, "width": 64, "height": 64, **settings},
    }
    compact = json.dumps(recipe, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return json.dumps({"schema": 1, "id": sha256(compact)[:16], "recipe": recipe, "known": known or {}})


def save_png(path: Path, image: Image.Image | None = None, **texts: str) -> Path:
    """A PNG with `texts` by keyword; a black one of 3x2 pixels for tests of the texts alone."""
    info = PngInfo()
    for keyword, text in texts.items():
        info.add_text(keyword, text)
    (image or Image.new("RGB", (3, 2))).save(path, pnginfo=info)
    return path


def save_picture(path: Path, size=(64, 64), text: str | None = None) -> Path:
    """A disc in a colour of the file's name; `text` is its `diffapple` chunk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    y, x = numpy.mgrid[0:height, 0:width]
    base = numpy.array([int(sha256(path.name)[i : i + 2], 16) for i in (0, 2, 4)])
    shade = (0.4 + 0.6 * (numpy.hypot(x - width / 2, y - height / 2) < min(size) / 3))[..., None]
    return save_png(path, Image.fromarray((base * shade).astype("uint8")), **({"diffapple": text} if text else {}))


def save_sweep(folder: Path, combinations: list[dict], known=None, size=(64, 64)) -> list[Path]:
    """A picture for each dictionary of settings; `known(number)` is what its recipe knows besides."""
    paths = []
    for number, combination in enumerate(combinations):
        settings = {"width": size[0], "height": size[1], **combination}
        text = recipe_text(settings, known(number) if known else None)
        paths.append(save_picture(folder / f"p{number:04}.png", size, text=text))
    return paths
