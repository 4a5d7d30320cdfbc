"""Contact sheets of finished pictures: `diffapple grid`."""

import json
import shutil
from itertools import product

import numpy
import pytest
from PIL import Image
from recipes import save_picture, save_sweep


def sheet_of(diffapple, *arguments):
    """Path, pixels and text of the sheet that a run makes."""
    (path,) = diffapple.ok("grid", *arguments).paths
    path = diffapple.folder / path
    image = Image.open(path)
    assert image.mode == "RGB"
    return path, numpy.asarray(image).astype(int), json.loads(image.text["diffapple"])["sheet"]


def places(sheet, picture):
    """Where a picture stands in a sheet, pixel for pixel: (top, left) of each copy."""
    pixels = numpy.asarray(Image.open(picture).convert("RGB")).astype(int)
    height, width, _ = pixels.shape
    candidates = numpy.argwhere((sheet[: 1 - height, : 1 - width] == pixels[0, 0]).all(-1))
    return [
        (int(top), int(left))
        for top, left in candidates
        if (sheet[top : top + height, left : left + width] == pixels).all()
    ]


def place(sheet, picture):
    (found,) = places(sheet, picture)
    return found


def grid_of(sheet, pictures) -> list[list]:
    """The pictures' numbers as they stand: rows from the top, each from the left."""
    rows = {}
    for number, picture in enumerate(pictures):
        top, left = place(sheet, picture)
        rows.setdefault(top, []).append((left, number))
    return [[number for _, number in sorted(row)] for _, row in sorted(rows.items())]


def test_rows_and_columns_from_recipes(diffapple):
    sweep = [dict(seed=s, guidance=g) for s, g in product([10, 9], [0.0, 2.0, 7.5, 4.0])]
    pictures = save_sweep(diffapple.folder / "out", sweep)
    path, sheet, text = sheet_of(diffapple, *pictures)
    assert path.parent == diffapple.folder / "out" and path.name == f"sheet_{text['id']}.png"
    assert grid_of(sheet, pictures) == [[4, 5, 7, 6], [0, 1, 3, 2]]
    ids = [json.loads(Image.open(p).text["diffapple"])["id"] for p in pictures]
    assert [entry["id"] for entry in text["pictures"]] == ids
    assert [entry["file"] for entry in text["pictures"]] == [p.name for p in pictures]
    # Again, in another order and with the sheet itself among the files: the same sheet.
    again, _, _ = sheet_of(diffapple, *reversed(pictures), path)
    assert again == path


def test_chosen_axes_and_missing_cells(diffapple):
    sweep = [dict(seed=s, guidance=g, steps=n) for s, g, n in product([0, 1, 2], [0.0, 2.0], [1, 4])]
    pictures = save_sweep(diffapple.folder, sweep)
    _, sheet, _ = sheet_of(diffapple, "--rows", "seed", "--columns", "steps", *pictures)
    assert grid_of(sheet, pictures) == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11]]
    pictures.pop(4).unlink()
    _, sheet, _ = sheet_of(diffapple, "--columns", "guidance", "--rows", "steps", *pictures)
    at = [place(sheet, p) for p in pictures]
    assert len({top for top, _ in at}) == 6 and len({left for _, left in at}) == 2
    assert numpy.bincount([sorted({top for top, _ in at}).index(top) for top, _ in at]).tolist().count(1) == 1


def test_prompts_are_rows_and_follow_the_batch(diffapple):
    prompts = ["a cat, fat, with brown fur, with short legs", "eine Katze, 猫, قطة\n\x01 ☃"]
    sweep = [dict(prompt=p, seed=s, index=i, batch=prompts) for s in (0, 1, 2) for i, p in enumerate(prompts)]
    pictures = save_sweep(diffapple.folder, sweep)
    _, sheet, _ = sheet_of(diffapple, *pictures)
    assert grid_of(sheet, pictures) == [[0, 2, 4], [1, 3, 5]]


@pytest.mark.parametrize("font", [None, "builtin"])
def test_labels_are_drawn_with_any_font(diffapple, font):
    if font:
        diffapple.environment["DIFFAPPLE_FONT"] = font
    pictures = save_sweep(diffapple.folder, [dict(seed=s, guidance=g) for s, g in product([0, 1], [1.0, 2.0, 3.0])])
    _, sheet, _ = sheet_of(diffapple, *pictures)
    at = [place(sheet, p) for p in pictures]
    top, left = min(t for t, _ in at), min(x for _, x in at)
    assert (sheet[:top].max(-1) < 100).sum() > 20 and (sheet[top:, :left].max(-1) < 100).sum() > 20
    assert (sheet[0] == 255).all() and (sheet[:, 0] == 255).all() and (sheet[:, -1] == 255).all()


def test_a_font_that_is_none(diffapple):
    diffapple.environment["DIFFAPPLE_FONT"] = "missing.ttf"
    result = diffapple("grid", save_picture(diffapple.folder / "x.png"))
    assert result.code == 1 and "missing.ttf" in result.err and len(result.err.splitlines()) == 1


def test_pictures_without_recipes_and_of_other_kinds(diffapple):
    pictures = [save_picture(diffapple.folder / f"{name}.png", (48, 32)) for name in ("one", "two", "Äß 猫")]
    Image.new("RGB", (40, 60), "red").save(diffapple.folder / "photo.jpg")
    Image.new("L", (20, 20), 99).save(diffapple.folder / "grey.png")
    _, sheet, text = sheet_of(diffapple, *pictures, "photo.jpg", "grey.png")
    assert len(text["pictures"]) == 5 and all(len(entry["id"]) == 16 for entry in text["pictures"])
    assert [len(places(sheet, picture)) for picture in pictures] == [1, 1, 1]


def test_one_picture_and_copies(diffapple):
    (picture,) = save_sweep(diffapple.folder, [dict(seed=0)])
    _, sheet, _ = sheet_of(diffapple, picture)
    place(sheet, picture)
    _, sheet, _ = sheet_of(diffapple, picture, shutil.copy(picture, diffapple.folder / "copy.png"))
    assert len(places(sheet, picture)) == 2


def test_cell_reduces_and_enlarges_as_pillow(diffapple):
    picture = save_picture(diffapple.folder / "x.png", (64, 32))
    for cell, size, kind in [(32, (32, 16), Image.Resampling.LANCZOS), (128, (128, 64), Image.Resampling.BICUBIC)]:
        _, sheet, _ = sheet_of(diffapple, "--cell", cell, picture)
        Image.open(picture).resize(size, kind).save(diffapple.folder / "expected.png")
        place(sheet, diffapple.folder / "expected.png")


def test_unreadable_files_are_named_and_the_rest_is_shown(diffapple):
    good = save_sweep(diffapple.folder, [dict(seed=s) for s in range(3)])
    (diffapple.folder / "broken.png").write_bytes(good[0].read_bytes()[:200])
    changed = Image.open(good[0]).text["diffapple"].replace('"seed": 0', '"seed": 7')
    save_picture(diffapple.folder / "changed.png", text=changed)
    result = diffapple("grid", *good, "broken.png", "missing.png", "changed.png")
    assert result.code == 1
    lines = result.err.splitlines()
    assert [name for line in lines for name in ("broken.png", "missing.png", "changed.png") if name in line] == [
        "broken.png",
        "missing.png",
        "changed.png",
    ]
    assert len(lines) == 4 and "3 of 6" in lines[-1]
    sheet = numpy.asarray(Image.open(diffapple.folder / result.paths[0])).astype(int)
    assert all(len(places(sheet, picture)) == 1 for picture in good)


def test_no_picture_at_all(diffapple):
    result = diffapple("grid", "missing.png")
    assert (result.code, result.out, len(result.err.splitlines())) == (1, "", 1)
    assert diffapple("grid").code == 2


@pytest.mark.parametrize("arguments", [("--rows", "colour"), ("--columns", "colour"), ("--cell", 0)])
def test_wrong_calls(diffapple, arguments):
    pictures = save_sweep(diffapple.folder, [dict(seed=s) for s in range(2)])
    result = diffapple("grid", *arguments, *pictures)
    assert (result.code, result.out, len(result.err.splitlines())) == (2, "", 1)


def test_only_sheets_are_replaced(diffapple):
    pictures = save_sweep(diffapple.folder, [dict(seed=s) for s in range(2)])
    precious = save_picture(diffapple.folder / "precious.png")
    before = precious.read_bytes()
    result = diffapple("grid", "--out", precious, *pictures)
    assert result.code == 1 and "--force" in result.err and precious.read_bytes() == before
    sheet_of(diffapple, "--out", precious, "--force", *pictures)
    sheet_of(diffapple, "--out", precious, *pictures)


@pytest.mark.full
def test_hundreds_of_pictures_keep_to_the_limit(diffapple):
    pictures = save_sweep(diffapple.folder / "many", [dict(seed=s) for s in range(400)], size=(512, 512))
    result = diffapple.ok("grid", *pictures)
    width, height = Image.open(diffapple.folder / result.paths[0]).size
    assert width * height <= 40_000_000 and "reduced" in result.err


def test_show_of_a_sheet(diffapple):
    pictures = save_sweep(diffapple.folder, [dict(seed=s) for s in range(2)])
    path, _, text = sheet_of(diffapple, *pictures)
    assert text["id"] in diffapple.ok("show", path).out
    (report,) = diffapple.ok("show", path, "--json").reports
    assert report["recipe"] is None


def test_a_folder_is_its_pictures_without_sheets_and_comparisons(diffapple):
    pictures = save_sweep(diffapple.folder / "out", [dict(seed=s) for s in range(3)])
    shutil.copy(pictures[0], pictures[0].with_name(pictures[0].stem + "_comp.png"))
    _, _, text = sheet_of(diffapple, *pictures)
    assert sheet_of(diffapple, diffapple.folder / "out")[2] == text  # beside it there is a sheet now


def test_guidance_0_stands_in_the_row_of_its_prompt(diffapple):
    """Without guidance there is no negative prompt: that is no setting in which pictures differ."""
    study = [
        dict(prompt=prompt, guidance=g, **({"negative_prompt": "low quality"} if g > 1 else {}))
        for prompt, g in product(["a brown cat", "a white cat"], [0.0, 2.0, 4.0, 8.0])
    ]
    pictures = save_sweep(diffapple.folder / "out", study)
    _, sheet, _ = sheet_of(diffapple, *pictures)
    assert grid_of(sheet, pictures) == [[0, 1, 2, 3], [4, 5, 6, 7]]


# --- an X/Y plot of whatever is in a folder

TURBO = [dict(prompt=p, guidance=g, steps=4) for p, g in product(["a brown cat", "a white cat"], [0.0, 2.0, 4.0, 8.0])]
TURBO += [dict(prompt=p, guidance=0.0, steps=n) for p, n in product(["a brown cat", "a white cat"], [1, 2, 8, 16])]


def test_two_sweeps_in_one_folder_make_a_full_table(diffapple):
    """The study's two figures of SDXL Turbo: columns are the pairs of steps and guidance that were made."""
    pictures = save_sweep(diffapple.folder / "out", TURBO)
    result = diffapple.ok("grid", "out")
    assert result.err == ""
    sheet = numpy.asarray(Image.open(diffapple.folder / result.paths[0])).astype(int)
    assert grid_of(sheet, pictures) == [[8, 9, 0, 1, 2, 3, 10, 11], [12, 13, 4, 5, 6, 7, 14, 15]]


def test_where_chooses_pictures(diffapple):
    pictures = save_sweep(diffapple.folder / "out", TURBO)
    _, sheet, text = sheet_of(diffapple, "out", "--where", "steps=4")
    assert len(text["pictures"]) == 8 and grid_of(sheet, pictures[:8]) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    _, _, text = sheet_of(diffapple, "out", "--where", "guidance=0", "--where", "prompt=a white cat")
    assert len(text["pictures"]) == 5
    assert len(sheet_of(diffapple, "out", "--where", "steps=1,16")[2]["pictures"]) == 4


@pytest.mark.parametrize(
    ("condition", "parts"),
    [
        ("step=4", ["--where step", "did you mean steps?"]),
        ("steps=5", ["no picture has that; there are 1, 2, 4, 8, 16"]),
        ("steps", ["--where 'steps'", "steps=4"]),
    ],
)
def test_conditions_that_choose_nothing(diffapple, condition, parts):
    save_sweep(diffapple.folder / "out", TURBO)
    for command in ("grid", "report"):
        result = diffapple(command, "out", "--where", condition)
        assert (result.code, result.out, len(result.err.splitlines())) == (2, "", 1)
        assert all(part in result.err for part in parts), result.err


def test_no_mostly_white_sheet_but_a_note_and_a_suggestion(diffapple):
    sweep = [dict(seed=0, steps=n, guidance=2.0, eta=0.0) for n in (1, 2, 4, 8)]
    sweep += [dict(seed=s, steps=4, guidance=2.0, eta=0.5) for s in (1, 2, 3)]
    sweep += [dict(seed=0, steps=4, guidance=g, eta=1.0) for g in (3.0, 4.0, 5.0)]
    pictures = save_sweep(diffapple.folder / "out", sweep)
    result = diffapple.ok("grid", "out")
    assert "places of a table" in result.err and "one after the other" in result.err and "--where " in result.err
    width, height = Image.open(diffapple.folder / result.paths[0]).size
    assert width * height < 5 * len(pictures) * 64 * 64
    condition = result.err.split("--where ")[1].split()[0]
    assert "places" not in diffapple.ok("grid", "out", "--where", condition).err


def test_numbers_count_in_names_and_sizes(diffapple):
    for name in ("n1", "n16", "n2", "n4"):
        save_picture(diffapple.folder / "plain" / f"{name}.png")
    _, _, text = sheet_of(diffapple, "plain")
    assert [entry["file"] for entry in text["pictures"]] == ["n1.png", "n2.png", "n4.png", "n16.png"]


def test_captions_tell_pictures_of_one_name_apart(diffapple):
    """Of other programs: only their folders differ."""
    for folder in ("one", "two"):
        save_picture(diffapple.folder / "out" / folder / "x.png")
    _, apart, _ = sheet_of(diffapple, "out", "--out", "apart.png")
    (diffapple.folder / "out" / "two" / "x.png").rename(diffapple.folder / "out" / "one" / "y.png")
    _, same_folder, _ = sheet_of(diffapple, "out", "--out", "same.png")
    assert (apart < 100).sum() > (same_folder < 100).sum(), "longer captions"


def test_long_prompts_that_differ_at_their_ends_are_told_apart(diffapple):
    beginning = "a very detailed picture of " * 12
    pictures = save_sweep(diffapple.folder / "out", [dict(prompt=beginning + end) for end in ("a cat", "a dog")])
    _, sheet, _ = sheet_of(diffapple, "out")
    (one, _), (other, _) = (place(sheet, p) for p in pictures)
    rows = [sheet[top : top + 64, :] for top in sorted((one, other))]
    left = min(place(sheet, p)[1] for p in pictures)
    if one != other:  # rows of a table
        assert not numpy.array_equal(rows[0][:, :left], rows[1][:, :left])


def test_a_sheet_is_a_png(diffapple):
    pictures = save_sweep(diffapple.folder, [dict(seed=s) for s in range(2)])
    result = diffapple("grid", *pictures, "--out", "x.jpg")
    assert result.code == 2 and "x.png" in result.err and not (diffapple.folder / "x.jpg").exists()
