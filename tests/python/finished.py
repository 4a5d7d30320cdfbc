"""Reading the pictures that a run has made."""

import json
from pathlib import Path

import numpy as np
from PIL import Image


def pixels(path) -> np.ndarray:
    return np.asarray(Image.open(path))


def chunks(path) -> dict:
    image = Image.open(path)
    image.load()
    return image.text


def recipe(path) -> dict:
    return json.loads(chunks(path)["diffapple"])


def pngs(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
