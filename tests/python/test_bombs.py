"""Small files that ask for much: pictures, tokenizers, configs. Each ends within 2 seconds of processor time and 500 MB."""

import io
import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from checkpoints import copy_checkpoint
from PIL import Image
from sd_checkpoints import make_sd15

SECONDS, BYTES = 2.0, 500_000_000
SMALL_RUN = ["--prompt", "a", "--steps", 2, "--strength", 0.5, "--width", 64, "--height", 64]

pytestmark = [
    pytest.mark.full,  # half a minute, and the default run has 25 for all
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the peak of a process has other units"),
]


@pytest.fixture(scope="module")
def sd15(tmp_path_factory) -> Path:
    return make_sd15(tmp_path_factory.mktemp("bombs") / "model")


# The peak of a process is also that of the one it was forked from: a small one, therefore.
MEASURE = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[2:], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(code, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, file=open(sys.argv[1], "w"))
"""


def cost(diffapple, *arguments) -> tuple[int, str, float, int]:
    """Exit code, stderr, processor time in s, peak of memory in bytes."""
    figures = diffapple.folder / "figures"
    command = [sys.executable, "-c", MEASURE, figures, *diffapple.command(*arguments)]
    run = subprocess.run(command, cwd=diffapple.folder, env=diffapple.variables(), stderr=subprocess.PIPE, text=True)
    code, seconds, peak = figures.read_text().split()
    return int(code), run.stderr, float(seconds), int(peak)


def is_bounded(diffapple, *arguments, code: int | None = 1) -> str:
    """Runs it; returns what it says."""
    result, err, seconds, peak = cost(diffapple, *arguments)
    assert code is None or result == code, err
    assert seconds < SECONDS and peak < BYTES, f"{seconds:.2f} s, {peak / 1e6:.0f} MB: {err[:200]}"
    assert result == 0 or len([line for line in err.splitlines() if line.startswith("diffapple: ")]) == 1, err
    return err


# --- pictures


def png_bomb(width: int, height: int, colour: int, depth: int, interlaced: bool = False, orientation: int = 0) -> bytes:
    """A black picture: a thousandth of its size."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row = 1 + (width * channels * depth + 7) // 8
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(bytes(row * 100)) for _ in range(height // 100)) + packer.flush()

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + struct.pack("<HH", orientation, 0) + bytes(4)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))),
            chunk(b"PLTE", bytes(6)) if colour == 3 else b"",
            chunk(b"eXIf", exif) if orientation else b"",
            chunk(b"IDAT", data),
            chunk(b"IEND", b""),
        ]
    )


def jpeg_bomb(width: int, height: int, mode: str = "RGB", **options) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (width, height)).save(file, "JPEG", **options)
    return file.getvalue()


BOMBS = {
    "png_rgb": lambda: png_bomb(10000, 10000, 2, 8),
    "png_rgba16": lambda: png_bomb(10000, 10000, 6, 16),
    "png_grey16": lambda: png_bomb(10000, 10000, 0, 16),
    "png_palette_1_bit": lambda: png_bomb(10000, 10000, 3, 1),
    "png_turned": lambda: png_bomb(10000, 10000, 2, 8, orientation=6),
    "jpeg_baseline": lambda: jpeg_bomb(10000, 10000),
    "jpeg_progressive": lambda: jpeg_bomb(10000, 10000, progressive=True),
    "jpeg_progressive_444": lambda: jpeg_bomb(10000, 10000, progressive=True, subsampling=0),
    "jpeg_progressive_grey": lambda: jpeg_bomb(10000, 10000, "L", progressive=True),
    "jpeg_progressive_cmyk": lambda: jpeg_bomb(10000, 10000, "CMYK", progressive=True),
    "jpeg_wide": lambda: jpeg_bomb(16384, 6100, progressive=True),
}


def daily(values, chosen):
    """All values; those that are not chosen are for the full tests, since each takes seconds to make."""
    return [value if value in chosen else pytest.param(value, marks=pytest.mark.full) for value in values]


@pytest.mark.parametrize("name", daily(BOMBS, ("png_turned", "jpeg_progressive")))
def test_picture_bombs(diffapple, sd15, name):
    file = diffapple.folder / "bomb"
    file.write_bytes(BOMBS[name]())
    assert file.stat().st_size < 3_000_000
    is_bounded(diffapple, "sd15", "--model", sd15, "--image", file, *SMALL_RUN, code=None)


def jpeg_of_many_scans(side: int, repeats: int) -> bytes:
    """A progressive picture whose last scan comes again and again."""
    data = jpeg_bomb(side, side, "L", progressive=True)
    last = data.rindex(b"\xff\xda")
    tables = data.rindex(b"\xff\xc4", 0, last)
    return data[:-2] + data[tables:-2] * repeats + data[-2:]


@pytest.mark.full
def test_a_jpeg_of_many_scans(diffapple, sd15):
    file = diffapple.folder / "scans.jpg"
    for side, repeats in ((7000, 90), (7000, 20), (2000, 99), (7000, 2000)):
        file.write_bytes(jpeg_of_many_scans(side, repeats))
        is_bounded(diffapple, "sd15", "--model", sd15, "--image", file, *SMALL_RUN, code=None)


def test_photos_of_many_pixels_are_read(diffapple, sd15):
    """What asks for little more than any photo does is granted."""
    file = diffapple.folder / "photo.jpg"
    file.write_bytes(jpeg_bomb(7000, 7000, progressive=True))
    is_bounded(diffapple, "sd15", "--model", sd15, "--image", file, *SMALL_RUN, code=0)


# --- texts


def tokenizer_of(diffapple, sd15) -> Path:
    return copy_checkpoint(sd15, diffapple.folder / "model") / "tokenizer"


def ask(diffapple):
    return is_bounded(diffapple, "sd15", "--model", diffapple.folder / "model", "--prompt", "a", "--steps", 1)


@pytest.mark.parametrize("line", daily(["", "a b", "a", "\0"], ["a b"]))
def test_merges_of_ten_million_lines(diffapple, sd15, line):
    folder = tokenizer_of(diffapple, sd15)
    for count in (10_000_000, (16 << 20) // (len(line) + 1) - 1):  # as many as are read at all
        (folder / "merges.txt").write_text(f"{line}\n" * count)
        assert "merges.txt" in ask(diffapple)


@pytest.mark.parametrize("value", daily(["[]", "{}", "0", '""', "[[[[]]]]"], ["{}"]))
@pytest.mark.parametrize("name", daily(["tokenizer.json", "tokenizer_config.json", "vocab.json"], ["tokenizer.json"]))
def test_json_of_ten_million_lines(diffapple, sd15, name, value):
    folder = tokenizer_of(diffapple, sd15)
    for count in (10_000_000, ((16 << 20) - 100) // (len(value) + 2)):
        (folder / name).write_text('{"model": {"vocab": [\n' + ",\n".join([value] * count) + "]}}")
        assert name in ask(diffapple)


@pytest.mark.parametrize(
    "text",
    [
        '{"in_channels": 9223372036854775808}',
        '{"in_channels": -0}',
        '{"in_channels": -0.0}',
        '{"in_channels": 1e400}',
        '{"norm_eps": 1e400}',
        '{"in_channels": 1e308}',
        '{"sample_size": [9223372036854775807, 9223372036854775807]}',
        '{"layers_per_block": 9223372036854775807}',
        '{"block_out_channels": [9223372036854775807]}',
        '{"block_out_channels": [4294967296, 4294967296]}',
        '{"block_out_channels": ' + "[" * 5_000_000 + "]" * 5_000_000 + "}",
        '{"a":' * 2_000_000 + "1" + "}" * 2_000_000,
        "[" * 16_000_000,
        '{"block_out_channels": [' + "4," * 5_000_000 + "4]}",
        '{"down_block_types": [' + '"DownBlock2D",' * 1_000_000 + '"DownBlock2D"]}',
    ],
    ids=lambda text: text[:40],
)
def test_configs_of_impossible_numbers_and_depths(diffapple, model, text):
    file = model / "unet" / "config.json"
    whole = json.loads(file.read_text())
    try:
        changes = json.loads(text)
        file.write_text(json.dumps({**whole, **changes}) if "e400" not in text else text)
    except (ValueError, RecursionError):
        file.write_text(text)
    is_bounded(diffapple, "ddpm", "--model", model, "--steps", 1)


@pytest.mark.full
def test_a_header_of_very_many_values(diffapple, model):
    file = model / "unet" / "diffusion_pytorch_model.safetensors"
    header = b'{"a": {"dtype": "F32", "shape": [' + b"[]," * 25_000_000 + b"0]}}"
    file.write_bytes(len(header).to_bytes(8, "little") + header)
    assert "diffusion_pytorch_model" in is_bounded(diffapple, "ddpm", "--model", model, "--steps", 1)
