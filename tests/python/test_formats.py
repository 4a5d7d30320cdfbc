"""`--format jpg|webp`: the same recipe in other files; and what other programs put into theirs."""

import json

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from pictures import mask, photo
from sd_checkpoints import make_sd2, make_sd15


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return make_sd15(tmp_path_factory.mktemp("sd15") / "model")


PROMPT = 'a "cat" <b>&amp; 猫 🐈 café\n' + "x" * 10


def make(diffapple, checkpoint, format, *options):
    run = ["sd15", "--model", checkpoint, "--steps", 2, "--prompt", PROMPT, "--format", format, "--json", *options]
    (report,) = diffapple.ok(*run).reports
    return diffapple.folder / report["path"], report


@pytest.mark.parametrize("format", ["jpg", "webp"])
def test_the_same_recipe_in_other_files(diffapple, checkpoint, format):
    png, wanted = make(diffapple, checkpoint, "png")
    path, report = make(diffapple, checkpoint, format)
    assert path == png.with_suffix(f".{format}") and report["id"] == wanted["id"]
    image, pixels = Image.open(path), np.asarray(Image.open(png)).astype(int)
    assert image.format == {"jpg": "JPEG", "webp": "WEBP"}[format]
    difference = np.abs(np.asarray(image.convert("RGB")).astype(int) - pixels)
    assert difference.mean() < 3 if format == "jpg" else difference.max() == 0
    shown = json.loads(diffapple.ok("show", path, "--json").out)
    expected = json.loads(diffapple.ok("show", png, "--json").out)
    for key in ("recipe", "parameters", "generation", "width", "height"):
        one, other = shown[key], expected[key]
        if key == "recipe":
            one, other = one["recipe"], other["recipe"]
        assert one == other, key
    # What other programs read: EXIF's UserComment is A1111's text.
    comment = image.getexif().get_ifd(0x8769)[0x9286]
    assert comment[:8] == b"UNICODE\0" and comment[8:].decode("utf-16-be") == expected["parameters"]
    assert b"diffapple:recipe" in image.info["xmp"]


@pytest.mark.parametrize("format", ["jpg", "webp"])
def test_replay_resume_report_and_grid_read_them(diffapple, checkpoint, format):
    path, report = make(diffapple, checkpoint, format)
    replayed = json.loads(diffapple.ok("replay", path, "--model", checkpoint, "--json").out)
    assert replayed["same"] and replayed["largest_difference"] == 0
    run = ["sd15", "--model", checkpoint, "--steps", 2, "--prompt", PROMPT, "--format", format, "--json"]
    swept = diffapple.ok(*run, "--seed", "42,43")
    assert [r["skipped"] for r in swept.reports] == [True, False] and "contact sheet" in swept.err
    rows = [json.loads(line) for line in diffapple.ok("report", "out", "--json").out.splitlines()]
    assert sorted(row["settings"]["seed"] for row in rows) == ["42", "43"]
    sheet = diffapple.ok("grid", *[r["path"] for r in swept.reports], "--out", "sheet.png")
    assert "could not" not in sheet.err
    other = diffapple("sd15", "--model", checkpoint, "--steps", 2, "--prompt", PROMPT, "--prompt", "b", "--format", format)
    assert other.code == 1 and "another recipe" in other.err


def test_a_recipe_that_is_longer_than_a_segment(diffapple, checkpoint):
    run = ["sd15", "--model", checkpoint, "--steps", 1, "--prompt", "cat " * 15_000, "--format", "jpg", "--json"]
    (report,) = diffapple.ok(*run).reports
    shown = json.loads(diffapple.ok("show", report["path"], "--json").out)
    assert shown["recipe"]["id"] == report["id"]


def test_comparisons_have_the_format_too(diffapple):
    sd2 = make_sd2(diffapple.folder / "sd2")
    photo(64, 64).save(diffapple.folder / "photo.png")
    mask("box", 64, 64).save(diffapple.folder / "mask.png")
    inputs = ["--image", "photo.png", "--mask", "mask.png", "--prompt", "a", "--steps", 2, "--format", "webp"]
    (path,) = diffapple.ok("sd2-inpaint", "--model", sd2, *inputs).paths
    assert (diffapple.folder / path.with_name(path.stem + "_comp.webp")).exists()


@pytest.mark.parametrize("format", ["gif", "", "jpeg,png"])
def test_no_format(diffapple, checkpoint, format):
    result = diffapple("sd15", "--model", checkpoint, f"--format={format}")
    assert result.code == 2 and "--format" in result.err


# --- pictures of other programs

A1111 = "a caf\u00e9 \u732b\nNegative prompt: dog\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 64x64"


def with_user_comment(text: str, order: str) -> Image.Exif:
    exif = Image.Exif()
    codec = {"be": "utf-16-be", "le": "utf-16-le", "ascii": "ascii"}[order]
    code = b"ASCII\0\0\0" if order == "ascii" else b"UNICODE\0"
    exif.get_ifd(0x8769)[0x9286] = code + text.encode(codec, "replace")
    return exif


@pytest.mark.parametrize("order", ["be", "le", "ascii"])
@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_exif_of_other_programs(diffapple, suffix, order):
    path = diffapple.folder / f"x.{suffix}"
    photo(64, 64).save(path, exif=with_user_comment(A1111, order))
    generation = json.loads(diffapple.ok("show", path, "--json").out)["generation"]
    expected = A1111.split("\n")[0]
    assert generation["prompt"] == (expected.encode("ascii", "replace").decode() if order == "ascii" else expected)
    assert generation["settings"]["Seed"] == "1" and generation["negative_prompt"] == "dog"
    row = json.loads(diffapple.ok("report", path, "--json").out)
    assert (row["settings"]["seed"], row["settings"]["steps"], row["settings"]["program"]) == ("1", "20", "A1111")


def test_texts_that_are_not_understood_are_shown_as_they_are(diffapple):
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", A1111)
    info.add_text("workflow", '{"nodes": []}')
    info.add_text("prompt", '{"1": {"inputs": {}}}')
    photo(64, 64).save(diffapple.folder / "x.png", pnginfo=info)
    shown = diffapple.ok("show", "x.png").out
    assert '{"nodes": []}' in shown and '{"1": {"inputs": {}}}' in shown and "Euler a" in shown
    photo(64, 64).save(diffapple.folder / "y.jpg", comment=b"a holiday")
    assert "a holiday" in diffapple.ok("show", "y.jpg").out
    photo(64, 64).save(diffapple.folder / "z.webp")
    assert diffapple("show", "z.webp").code == 1


def test_damaged_files(diffapple, checkpoint):
    for format in ("jpg", "webp"):
        path, _ = make(diffapple, checkpoint, format)
        content = path.read_bytes()
        for cut in (3, 11, 40, 200, len(content) // 2):
            path.write_bytes(content[:cut])
            result = diffapple("show", path)
            assert result.code in (0, 1) and len(result.err.splitlines()) == (result.code == 1)


@pytest.mark.parametrize("format", ["jpg", "webp"])
def test_a_renamed_picture_keeps_its_kind(diffapple, checkpoint, format):
    path, _ = make(diffapple, checkpoint, format)
    run = ["sd15", "--model", checkpoint, "--steps", 2, "--prompt", PROMPT, "--prompt", "b", "--format", format]
    renamed = [diffapple.folder / p for p in diffapple.ok(*run, "--if-exists", "rename").paths]
    assert f"{path.stem}_2.{format}" in [p.name for p in renamed]
    assert {Image.open(p).format for p in renamed} == {"JPEG" if format == "jpg" else "WEBP"}
