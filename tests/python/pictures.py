"""Pictures for the tests of image input, and the driver run_image that calls the program's picture functions."""

import subprocess
from pathlib import Path

import numpy as np
from conftest import PROGRAM
from PIL import Image, ImageDraw, ImageFilter
from safetensors.torch import load_file

DRIVER = PROGRAM.with_name("run_image")


def run_image(*calls: tuple) -> list[str]:
    """Runs all calls in one process; one answer each, "ok" or an error's line."""
    lines = "".join("\t".join(map(str, call)) + "\n" for call in calls)
    result = subprocess.run([DRIVER], input=lines, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    answers = result.stdout.splitlines()
    assert len(answers) == len(calls), result.stdout
    return answers


class Calls:
    """Collects calls with what each must give, then runs and compares them all at once."""

    def __init__(self, folder: Path):
        self.folder, self.calls, self.checks = folder, [], []

    def add(self, name: str, expected, *call):
        """`call` without its output; expected is a PIL picture or a tensor."""
        tensor = not isinstance(expected, Image.Image)
        output = self.folder / f"out{len(self.calls)}.{'safetensors' if tensor else 'png'}"
        self.calls.append((*call, output))
        self.checks.append((name, expected, output))

    def save(self, picture: Image.Image, suffix: str = "png", **options) -> Path:
        path = self.folder / f"in{len(list(self.folder.glob('in*')))}.{suffix}"
        picture.save(path, **options)
        return path

    def run(self):
        for answer, (name, expected, output) in zip(run_image(*self.calls), self.checks, strict=True):
            assert answer == "ok", f"{name}: {answer}"
            if isinstance(expected, Image.Image):
                assert_same_picture(name, Image.open(output), expected)
            else:
                got = load_file(output)["tensor"]
                assert got.shape == expected.shape and got.dtype == expected.dtype, name
                assert got.equal(expected), f"{name}: {(got - expected).abs().max()}"


def assert_same_picture(name: str, got: Image.Image, expected: Image.Image):
    assert (got.mode, got.size) == (expected.mode, expected.size), name
    difference = np.abs(np.asarray(got).astype(int) - np.asarray(expected).astype(int))
    assert not difference.any(), f"{name}: {difference.max()} levels, {np.count_nonzero(difference)} values"


def random_picture(mode: str, width: int, height: int, seed: int = 0) -> Image.Image:
    channels = len(mode)
    values = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Image.fromarray(values[..., 0] if channels == 1 else values, mode=mode)


def smooth_picture(mode: str, width: int, height: int) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    waves = [127.5 + 127.4 * np.sin(x * (0.05 + 0.02 * c) + y * 0.03 * (c + 1)) for c in range(len(mode))]
    values = np.stack(waves, -1).astype(np.uint8)
    return Image.fromarray(values[..., 0] if len(mode) == 1 else values, mode=mode)


def photo(width: int, height: int) -> Image.Image:
    """Smooth, with edges and noise."""
    rng = np.random.default_rng(width * 1000 + height)
    y, x = np.mgrid[0:height, 0:width]
    waves = np.stack([np.sin(x / 9 + c) * np.cos(y / (7 + c)) for c in range(3)], -1)
    pixels = np.clip(128 + 90 * waves + rng.normal(0, 12, waves.shape), 0, 255).astype(np.uint8)
    image = Image.fromarray(pixels)
    ImageDraw.Draw(image).rectangle([width // 3, height // 4, width // 2, height // 2], fill=(250, 20, 90))
    return image


def mask(kind: str, width: int, height: int) -> Image.Image:
    """A box, hard, soft or as RGB; a thin line; empty; full."""
    image = Image.new("L", (width, height), 255 if kind == "full" else 0)
    draw = ImageDraw.Draw(image)
    if kind in ("box", "soft", "rgb"):
        draw.rectangle([width // 4, height // 3, width * 3 // 4, height * 4 // 5], fill=255)
    if kind == "thin":
        draw.line([0, height // 2, width, height // 3], fill=255, width=1)
    if kind == "soft":
        image = image.filter(ImageFilter.GaussianBlur(6))
    return image.convert("RGB") if kind == "rgb" else image
