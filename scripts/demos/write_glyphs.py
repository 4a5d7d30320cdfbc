#!/usr/bin/env python3
"""Writes what the tests compare pictures with: all emoji as the trainings show them, side by side, and their names.

    python scripts/demos/write_glyphs.py tests/data/emoji
"""
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import emoji

SIDE = 32  # pixels of a glyph in the file: enough to tell them apart
COLUMNS = 11


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    painter, names, scenes = emoji.Painter(), emoji.emoji_names(), emoji.canonical_scenes()
    glyphs = [Image.fromarray(painter.picture(scene)).resize((SIDE, SIDE), Image.BOX) for scene in scenes]
    rows = -(-len(glyphs) // COLUMNS)
    sheet = np.full((rows * SIDE, COLUMNS * SIDE, 3), 255, np.uint8)
    for i, glyph in enumerate(glyphs):
        y, x = SIDE * (i // COLUMNS), SIDE * (i % COLUMNS)
        sheet[y:y + SIDE, x:x + SIDE] = glyph
    Image.fromarray(sheet).quantize(256, dither=Image.Dither.NONE).save(folder / "glyphs.png", optimize=True)
    (folder / "names.txt").write_text("".join(f"{names[scene.subject]}\n" for scene in scenes))


if __name__ == "__main__":
    main()
