"""Which emoji a picture of a demo checkpoint shows: the nearest by the distance of pixels."""

import numpy as np
from conftest import PROJECT
from PIL import Image

FOLDER = PROJECT / "tests" / "data" / "emoji"
NAMES = (FOLDER / "names.txt").read_text().splitlines()
SIDE = 32  # pixels of a glyph


def _read_glyphs() -> np.ndarray:
    """float (emoji, SIDE, SIDE, 3), 0 to 255."""
    sheet = np.asarray(Image.open(FOLDER / "glyphs.png").convert("RGB")).astype(float)
    rows, columns = (length // SIDE for length in sheet.shape[:2])
    glyphs = sheet.reshape(rows, SIDE, columns, SIDE, 3).swapaxes(1, 2).reshape(-1, SIDE, SIDE, 3)
    return glyphs[: len(NAMES)]


GLYPHS = _read_glyphs()


def glyph(name: str) -> Image.Image:
    return Image.fromarray(GLYPHS[NAMES.index(name)].astype(np.uint8))


def nearest(picture: Image.Image) -> str:
    """The name of the emoji nearest to a picture of one on white, of any size."""
    pixels = np.asarray(picture.convert("RGB").resize((SIDE, SIDE), Image.BOX)).astype(float)
    return NAMES[int(np.square(GLYPHS - pixels).mean((1, 2, 3)).argmin())]


def caption(name: str) -> str:
    return ("an " if name[0] in "aeiou" else "a ") + name
