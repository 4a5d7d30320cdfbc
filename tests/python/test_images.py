"""Pictures as input, live against Pillow and diffusers: reading files, resizing, blurring, grey."""

import struct
import zlib

import numpy as np
import pytest
from diffusers.utils import load_image
from PIL import Image, ImageFilter
from PIL.PngImagePlugin import PngInfo
from pictures import Calls, random_picture, run_image, smooth_picture

FILTERS = {name: Image.Resampling[name.upper()] for name in ("nearest", "box", "bilinear", "bicubic", "lanczos")}


@pytest.fixture
def calls(tmp_path) -> Calls:
    return Calls(tmp_path)


# --- files


def expected_of(path, grey: bool) -> Image.Image:
    """What read_image must give: load_image's picture, or its one channel."""
    picture = load_image(str(path))
    return picture.getchannel(0) if grey else picture


def png(width, height, depth, colour, rows: bytes, *chunks: bytes, interlace=0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    parts = [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def random_rows(width, height, bits) -> bytes:
    """Rows with every kind of filter."""
    random = np.random.default_rng(width * height * bits)
    return b"".join(bytes([y % 5]) + random.bytes((width * bits + 7) // 8) for y in range(height))


def adam7_rows(width, height, bits) -> bytes:
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    sizes = [((width - x + dx - 1) // dx, (height - y + dy - 1) // dy) for x, y, dx, dy in passes]
    return b"".join(random_rows(w, h, bits) for w, h in sizes if w and h)


@pytest.mark.parametrize("interlace", [0, 1])
def test_png_of_every_colour_type_and_depth(calls, interlace):
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
    kinds = [(0, d) for d in (1, 2, 4, 8, 16)] + [(2, 8), (2, 16), (4, 8), (4, 16), (6, 8), (6, 16)]
    kinds += [(3, d) for d in (1, 2, 4, 8)]
    for colour, depth in kinds:
        for width, height in [(1, 1), (3, 2), (13, 17)]:
            rows = (adam7_rows if interlace else random_rows)(width, height, depth * channels[colour])
            entries = min(2**depth, 200)  # at 8 bits some pixels have no entry
            palette = [chunk(b"PLTE", np.random.default_rng(1).bytes(3 * entries))] if colour == 3 else []
            for transparent in [False, True] if colour in (0, 2, 3) else [False]:
                tables = {0: struct.pack(">H", 1), 2: struct.pack(">HHH", 1, 2, 3), 3: b"\x00\x80"}
                extra = palette + ([chunk(b"tRNS", tables[colour])] if transparent else [])
                path = calls.folder / f"{colour}_{depth}_{width}_{transparent}.png"
                path.write_bytes(png(width, height, depth, colour, rows, *extra, interlace=interlace))
                calls.add(path.name, expected_of(path, colour in (0, 4)), "read", path)
    calls.run()


def exif(orientation: int, order: str = "<", kind: int = 3) -> bytes:
    value = struct.pack(order + {1: "B3x", 3: "HH", 4: "I"}[kind], *([orientation, 0] if kind == 3 else [orientation]))
    entries = [struct.pack(order + "HHI", 0x010E, 2, 4) + b"cat\0", struct.pack(order + "HHI", 0x0112, kind, 1) + value]
    mark = b"II" if order == "<" else b"MM"
    return mark + struct.pack(order + "HIH", 42, 8, len(entries)) + b"".join(entries) + bytes(4)


def test_exif_orientation(calls):
    for orientation in range(10):  # 0 and 9 do not exist
        for order in "<>":
            for kind in (1, 3, 4):
                block = exif(orientation, order, kind)
                path = calls.save(random_picture("RGB", 5, 3), exif=b"Exif\0\0" + block)
                calls.add(f"png {orientation}{order}{kind}", expected_of(path, False), "read", path)
        path = calls.save(smooth_picture("L", 19, 33), "jpg", exif=b"Exif\0\0" + exif(orientation, order))
        calls.add(f"jpeg {orientation}", expected_of(path, True), "read", path)
        path = calls.save(random_picture("RGB", 5, 3), "webp", lossless=True, exif=exif(orientation, order))
        calls.add(f"webp {orientation}", expected_of(path, False), "read", path)
    calls.run()


def test_orientation_in_xmp_counts_where_exif_has_none(calls):
    packets = [b'<x tiff:Orientation="6"/>', b"<tiff:Orientation>3</tiff:Orientation>", b'tiff:Orientation=""', b"",
               b'tiff:Orientation="x" tiff:Orientation="8"', b'tiff:Orientation="9"', b"tiff:Orientation>"]  # fmt: skip
    picture = random_picture("RGB", 5, 3)
    for packet in packets:
        for block in (b"", b"Exif\0\0" + exif(5), b"Exif\0\0" + exif(1)):
            path = calls.save(picture, "jpg", xmp=packet, exif=block)
            calls.add(f"jpeg {packet}", expected_of(path, False), "read", path)
            path = calls.save(picture, "webp", lossless=True, xmp=packet, exif=block)
            calls.add(f"webp {packet}", expected_of(path, False), "read", path)
            text = PngInfo()
            text.add_itxt("XML:com.adobe.xmp", packet.decode())
            path = calls.save(picture, pnginfo=text, **({"exif": block} if block else {}))
            calls.add(f"png {packet}", expected_of(path, False), "read", path)
    calls.run()


def test_exif_in_several_segments_of_a_jpeg(calls):
    picture = random_picture("RGB", 16, 8)
    whole = exif(6)
    path = calls.save(picture, "jpg")
    content = path.read_bytes()
    segments = b"".join(
        b"\xff\xe1" + struct.pack(">H", len(part) + 8) + b"Exif\0\0" + part for part in (whole[:20], whole[20:])
    )
    path.write_bytes(content[:2] + segments + content[2:])
    assert load_image(str(path)).size == (8, 16), "the test would see nothing"
    calls.add("two segments", expected_of(path, False), "read", path)
    calls.run()


def test_malformed_exif_is_no_orientation(calls):
    good = exif(6)
    for i, block in enumerate([good[:k] for k in range(6, len(good) - 8)] + [b"XX" + good[2:], b"", b"II"]):
        rows = random_rows(4, 3, 24)
        path = calls.folder / f"exif{i}.png"
        path.write_bytes(png(4, 3, 8, 2, rows))
        expected = expected_of(path, False)
        path.write_bytes(png(4, 3, 8, 2, rows, chunk(b"eXIf", block)))
        calls.add(f"cut {i}", expected, "read", path)
    calls.run()


def test_jpeg_equals_pillow(calls):
    for make in (smooth_picture, random_picture):
        for mode, subsampling in [("RGB", "4:4:4"), ("RGB", "4:2:2"), ("RGB", "4:2:0"), ("L", None), ("CMYK", None)]:
            for progressive in (False, True):
                for width, height in [(97, 61), (16, 16), (1, 1), (7, 40), (320, 200)]:
                    options = {"subsampling": subsampling} if subsampling else {}
                    quality = 60 if progressive and width * height > 30 * 30 else 90  # Pillow's encoder has limits
                    picture = make(mode, width, height)
                    path = calls.save(picture, "jpg", quality=quality, progressive=progressive, **options)
                    name = f"{make.__name__} {mode} {subsampling} {progressive} {width}"
                    calls.add(name, expected_of(path, mode == "L"), "read", path)
    calls.run()


def segments_of(jpeg: bytes):
    """The segments before the first scan, and all that follows them."""
    parts, at = [], 2
    while jpeg[at + 1] != 0xDA:
        end = at + 2 + struct.unpack(">H", jpeg[at + 2 : at + 4])[0]
        parts.append(jpeg[at:end])
        at = end
    return parts, jpeg[at:]


def test_unusual_jpeg_equals_pillow(calls):
    for seed, quality in enumerate([1, 5, 30, 75, 95, 100]):
        picture = random_picture("RGB", 61, 37, seed=seed)
        for options in [{"restart_marker_blocks": 2}, {"keep_rgb": True}, {"optimize": True}, {"subsampling": 2}]:
            path = calls.save(picture, "jpg", quality=quality, **options)
            calls.add(f"{quality} {options}", expected_of(path, False), "read", path)
            # The components' sampling factors changed: the scan then decodes to noise, but to the same noise.
            parts, scans = segments_of(path.read_bytes())
            for factors in (0x12, 0x41, 0x14, 0x42, 0x24):
                changed = [p[:11] + bytes([factors]) + p[12:] if p[1] in (0xC0, 0xC1) else p for p in parts]
                path = calls.folder / f"in{quality}_{factors}_{len(calls.calls)}.jpg"
                path.write_bytes(b"\xff\xd8" + b"".join(changed) + scans)
                try:
                    expected = expected_of(path, False)
                except OSError:  # cut off, says Pillow
                    continue
                calls.add(f"{quality} {options} {factors:x}", expected, "read", path)
    for options in [{}, {"progressive": True}]:
        for make in (smooth_picture, random_picture):
            path = calls.save(make("CMYK", 40, 30), "jpg", **options)
            parts, scans = segments_of(path.read_bytes())
            for transform in (None, 0, 2):  # without Adobe's marker; CMYK; YCCK
                kept = [p for p in parts if p[1] != 0xEE]
                if transform is not None:
                    kept.insert(0, b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([transform]))
                path = calls.folder / f"in_cmyk{len(calls.calls)}.jpg"
                path.write_bytes(b"\xff\xd8" + b"".join(kept) + scans)
                calls.add(f"CMYK {options} {transform}", expected_of(path, False), "read", path)
    assert len(calls.calls) > 60
    calls.run()


# 17x9, with arithmetic coding, which Pillow cannot write (by cjpeg of libjpeg-turbo).
ARITHMETIC_JPEG = bytes.fromhex(
    "ffd8ffe000104a46494600010100000100010000ffdb0043001b12141714111b1716171e1c1b2028422b28252528513a3d3042605565645f"
    "555d5b6a7899816a7190735b5d85b586909ea3abadab6780bcc9baa6c799a8aba4ffdb0043011c1e1e2823284e2b2b4ea46e5d6ea4a4a4a4"
    "a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4ffc90011080009001103"
    "012200021101031101ffcc000a0010100501101105ffda000c03010002110311003f00fe1a369b2fee584a8f99a47e5e14e72be1760aafab"
    "8c6cde9bf3ebd32a80ffd9"
)


def test_arithmetic_jpeg_equals_pillow(calls):
    path = calls.folder / "arithmetic.jpg"
    path.write_bytes(ARITHMETIC_JPEG)
    calls.add("arithmetic", expected_of(path, False), "read", path)
    calls.run()


def test_webp_equals_pillow(calls):
    for make in (smooth_picture, random_picture):
        for mode in ("RGB", "RGBA", "L"):
            for width, height in [(1, 1), (97, 61), (16, 16), (320, 200)]:
                picture = make(mode, width, height)
                for options in [{"lossless": True}, {"quality": 20}, {"quality": 90}, {"lossless": True, "exact": True}]:
                    path = calls.save(picture, "webp", **options)
                    name = f"{make.__name__} {mode} {width} {options}"
                    calls.add(name, expected_of(path, False), "read", path)
    frames = [random_picture(mode, 40, 30, seed=seed) for seed, mode in enumerate(["RGBA", "RGB", "RGBA"])]
    for first in range(3):
        path = calls.save(frames[first], "webp", save_all=True, append_images=frames, lossless=first == 1)
        calls.add(f"animation {first}", expected_of(path, False), "read", path)
    calls.run()


def test_pictures_of_other_formats_are_named(tmp_path):
    for name, kind in {"GIF": "gif", "TIFF": "tiff", "AVIF": "avif", "JPEG 2000": "jp2"}.items():
        path = tmp_path / f"picture.{kind}"
        random_picture("RGB", 16, 16).save(path)
        [answer] = run_image(("read", path, tmp_path / "out.png"))
        assert answer.startswith(f"{path}: is not a PNG, JPEG or BMP file") and f"but {name}: convert" in answer
    heic = tmp_path / "picture.heic"
    heic.write_bytes(struct.pack(">I", 24) + b"ftypheic" + bytes(30))
    assert "but HEIC: convert it first (macOS: sips -s format png" in run_image(("read", heic, "out"))[0]


def bmp(width, height, bits, data, *, info=40, compression=0, palette=b"", masks=b"", top_down=False) -> bytes:
    if info == 12:
        header = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        header = struct.pack("<IiiHHIIiiII", info, width, -height if top_down else height, 1, bits, compression,
                             len(data), 0, 0, len(palette) // 4, 0)  # fmt: skip
        header = (header + masks).ljust(info + (len(masks) if info == 40 else 0), b"\0")
    offset = 14 + len(header) + len(palette)
    return b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset) + header + palette + data


def test_bmp_of_every_kind(calls):
    random = np.random.default_rng(0)
    for bits in (1, 4, 8, 16, 24, 32):
        for width, height in [(1, 1), (13, 7), (8, 5)]:
            data = random.bytes((width * bits + 31) // 32 * 4 * height)
            masks565 = struct.pack("<III", 0xF800, 0x7E0, 0x1F)
            masks888 = struct.pack("<III", 0xFF0000, 0xFF00, 0xFF)
            for info in (12, 40, 108, 124):
                entries = 2**bits if bits <= 8 else 0
                palette = b"".join(random.bytes(3) + (b"" if info == 12 else b"\0") for _ in range(entries))
                if info == 12 and bits in (16, 32):
                    continue
                kinds = [{"top_down": top_down} for top_down in ([False] if info == 12 else [False, True])]
                if bits in (16, 32) and info == 40:
                    kinds.append({"compression": 3, "masks": masks565 if bits == 16 else masks888})
                for kind in kinds:
                    path = calls.folder / f"{bits}_{width}_{info}_{len(calls.calls)}.bmp"
                    path.write_bytes(bmp(width, height, bits, data, info=info, palette=palette, **kind))
                    calls.add(f"{path.name} {kind}", expected_of(path, False), "read", path)
    calls.run()


def refused(folder, contents: dict[str, bytes]):
    """Each file is refused with one line that begins with its name."""
    paths = []
    for i, content in enumerate(contents.values()):
        paths.append(folder / f"broken{i}")
        paths[-1].write_bytes(content)
    answers = run_image(*[("read", path, folder / "out.png") for path in paths])
    for name, path, answer in zip(contents, paths, answers, strict=True):
        assert answer.startswith(f"{path}: "), f"{name}: {answer}"


def test_broken_files_are_refused_with_one_line(tmp_path):
    files = {}
    for suffix in ("png", "jpg", "bmp", "webp"):
        random_picture("RGB", 40, 30).save(tmp_path / f"whole.{suffix}")
        files[suffix] = (tmp_path / f"whole.{suffix}").read_bytes()
    lies = {}
    for suffix, content in files.items():
        for length in [0, 1, 2, 10, 30, len(content) // 2, len(content) - (2 if suffix == "jpg" else 1)]:
            if suffix == "bmp" and length == len(content) - 1:
                length -= 1  # the end of the last row may be padding
            lies[f"{suffix} cut at {length}"] = content[:length]
    rows = random_rows(4, 3, 24)
    one = bytes([0, 1, 2, 3])
    lies |= {
        "GIF89a": b"GIF89a" + bytes(100),
        "text": b"hello",
        "checksum": files["png"][:60] + bytes([files["png"][60] ^ 1]) + files["png"][61:],
        "huge png": png(16385, 1, 8, 2, one),
        "many pixels": png(16384, 16384, 8, 0, one),
        "no width": png(0, 1, 8, 2, one),
        "negative": png(2**31, 2**31, 8, 2, one),
        "too little": png(4, 4, 8, 2, rows),
        "too much": png(4, 2, 8, 2, rows),
        "bomb": png(1, 1, 8, 2, bytes(10**8)),
        "no palette": png(4, 3, 8, 3, random_rows(4, 3, 8)),
        "depth": png(4, 3, 3, 2, rows),
        "wrong filter": png(1, 1, 8, 0, b"\x09\x00"),
        "large jpeg": files["jpg"].replace(struct.pack(">HH", 30, 40), struct.pack(">HH", 10000, 10000), 1),
        "bmp side": files["bmp"][:18] + struct.pack("<ii", 2**31 - 1, -(2**31)) + files["bmp"][26:],
        "bmp rle": files["bmp"][:30] + b"\x01" + files["bmp"][31:],
        "bmp offset": files["bmp"][:10] + b"\xff\xff\xff\xff" + files["bmp"][14:],
    }
    refused(tmp_path, lies)
    assert "No such file" in run_image(("read", tmp_path / "absent.png", "out"))[0]
    assert run_image(("read", tmp_path, "out"))[0].startswith(f"{tmp_path}: ")


# --- resizing and blurring

SIZES = [
    ((64, 48), (32, 24)), ((64, 48), (96, 80)), ((37, 53), (53, 37)), ((100, 3), (8, 64)), ((1, 1), (5, 7)),
    ((5, 7), (1, 1)), ((640, 2), (3, 9)), ((2, 500), (400, 1)), ((65, 65), (64, 64)), ((33, 17), (33, 40)),
    ((33, 17), (12, 17)), ((20, 20), (20, 20)), ((301, 199), (152, 104)), ((8, 8), (255, 129)),
]  # fmt: skip


@pytest.mark.parametrize("name", FILTERS)
def test_resizing_equals_pillow(calls, name):
    for mode in ("RGB", "L"):
        for make in (random_picture, smooth_picture):
            for size, target in SIZES:
                picture = make(mode, *size)
                expected = picture.resize(target, FILTERS[name])
                calls.add(f"{mode} {size} {target}", expected, "resize", calls.save(picture), *target, name)
    calls.run()


def test_resizing_random_sizes_and_boxes_equals_pillow(calls):
    random = np.random.default_rng(5)
    for seed in range(60):
        size, target = random.integers(1, 90, 2).tolist(), random.integers(1, 120, 2).tolist()
        picture = random_picture("RGB" if seed % 2 else "L", *size, seed=seed)
        left, right = sorted((random.random(2) * size[0]).round(3).tolist())
        top, bottom = sorted((random.random(2) * size[1]).round(3).tolist())
        name = ["box", "bilinear", "bicubic", "lanczos"][seed % 4]
        path = calls.save(picture)
        for box in [(left, top, right, bottom), (0, size[1], size[0], size[1]), (0, 0, 0, size[1])]:
            if name == "box" and (box[0] == box[2] or box[1] == box[3]):
                continue
            expected = picture.resize(target, FILTERS[name], box)
            calls.add(f"{size} {target} {box} {name}", expected, "resize_box", path, *target, name, *box)
    calls.run()


def test_impossible_sizes_are_refused(calls):
    path = calls.save(random_picture("L", 4, 4))
    for width, height in [(0, 4), (4, -1), (20000, 4)]:
        assert "cannot be resized" in run_image(("resize", path, width, height, "lanczos", "out"))[0]


def test_blur_equals_pillow(calls):
    for mode in ("L", "RGB"):
        for size in [(64, 48), (1, 1), (3, 90), (31, 2)]:
            picture = random_picture(mode, *size)
            path = calls.save(picture)
            for radius in (0, 0.3, 1, 2.5, 4, 33, 200):
                expected = picture.filter(ImageFilter.GaussianBlur(radius))
                calls.add(f"{mode} {size} {radius}", expected, "blur", path, radius)
    calls.run()


def test_grey_equals_pillow(calls):
    picture = random_picture("RGB", 200, 100)
    calls.add("grey", picture.convert("L"), "grey", calls.save(picture))
    calls.run()
