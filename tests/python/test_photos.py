"""Photos as people have them: shape, size, masks that surprise, several of them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import one_line_error
from finished import recipe
from PIL import Image
from pictures import mask, photo
from sd_checkpoints import make_sd2, make_sd15


@pytest.fixture(scope="module")
def sd15(tmp_path_factory):
    return make_sd15(tmp_path_factory.mktemp("sd15") / "model")


@pytest.fixture(scope="module")
def sd2(tmp_path_factory):
    return make_sd2(tmp_path_factory.mktemp("sd2") / "model")


def size_of(diffapple, *arguments) -> tuple[int, int]:
    (report,) = diffapple.ok(*arguments, "--json").reports
    assert Image.open(diffapple.folder / report["path"]).size == (report["width"], report["height"])
    settings = recipe(diffapple.folder / report["path"])["recipe"]["settings"]
    assert (settings["width"], settings["height"]) == (report["width"], report["height"])
    return report["width"], report["height"]


@pytest.mark.parametrize(
    "options, size",
    [
        (["--width", 96], (96, 128)), (["--height", 96], (72, 96)), (["--width", 48], (48, 64)), ([], (300 // 8 * 8, 400)),
        (["--width", 96, "--height", 400], (96, 400)), (["--width", 8], (8, 8)),
    ],
)  # fmt: skip
def test_one_side_keeps_the_shape(diffapple, sd15, options, size):
    photo(300, 400).save(diffapple.folder / "photo.png")
    run = ["sd15", "--model", sd15, "--prompt", "a", "--steps", 2, "--image", "photo.png"]
    assert size_of(diffapple, *run, *options) == size


def test_one_side_of_an_inpainted_picture(diffapple, sd2):
    photo(96, 64).save(diffapple.folder / "photo.png")
    mask("box", 96, 64).save(diffapple.folder / "mask.png")
    run = ["sd2-inpaint", "--model", sd2, "--prompt", "a", "--steps", 2, "--image", "photo.png", "--mask", "mask.png"]
    assert size_of(diffapple, *run, "--width", 72) == (72, 48)
    squeezed = diffapple.ok(*run, "--force").err
    assert "photo.png: 96x64 is squeezed to" in squeezed and "alone keeps its shape" in squeezed
    assert "squeezed" not in diffapple.ok(*run, "--width", 96).err
    (picture,) = diffapple.ok(*run, "--height", 32).paths
    diffapple.ok("replay", picture, "--model", sd2, "--image", "photo.png", "--mask", "mask.png")


def test_a_photo_larger_than_the_model_is_made_for(diffapple, sd15):
    photo(160, 120).save(diffapple.folder / "photo.png")
    run = ["sd15", "--model", sd15, "--prompt", "a", "--steps", 2, "--image", "photo.png"]
    (note,) = [line for line in diffapple.ok(*run).err.splitlines() if "larger than this model" in line]
    width = int(note.split("--width ")[1].split()[0])
    assert "larger than this model" not in diffapple.ok(*run, "--width", width).err


@pytest.mark.parametrize("kind", ["black", "white", "alpha", "size", "usual"])
def test_masks_that_surprise(diffapple, sd2, kind):
    photo(64, 64).save(diffapple.folder / "photo.png")
    hole = {
        "black": mask("empty", 64, 64), "white": mask("full", 64, 64), "size": mask("box", 32, 32),
        "usual": mask("box", 64, 64), "alpha": mask("box", 64, 64).convert("RGBA"),
    }[kind]  # fmt: skip
    hole.save(diffapple.folder / "mask.png")
    run = ["sd2-inpaint", "--model", sd2, "--prompt", "a", "--steps", 2, "--image", "photo.png", "--mask", "mask.png"]
    words = {"black": "is all black", "white": "is all white", "alpha": "alpha is dropped", "size": "is of 32x32"}
    lines = [line for line in diffapple.ok(*run).err.splitlines() if line.startswith("--mask mask.png: ")]
    assert len(lines) == (kind in words) and all(words[kind] in line for line in lines)
    if kind == "size":
        refused = diffapple(*run, "--padding-mask-crop", 4, "--verbose")
        one_line_error(refused, 1, "must be of one size, not 64x64 and 32x32")


# --- several


def test_several_pictures_are_a_list(diffapple, sd15):
    folder = diffapple.folder / "photos"
    folder.mkdir()
    for i, name in enumerate(("b.png", "a.JPG", "c.webp")):
        photo(64 + 8 * i, 64).save(folder / name)
    (folder / "notes.md").write_text("none")
    photo(64, 64).save(folder / "b_comp.png")
    (diffapple.folder / "list.txt").write_text("# two\nphotos/c.webp\nphotos/b.png\n")
    run = ["sd15", "--model", sd15, "--prompt", "a", "--steps", 2, "--json", "--verbose"]
    whole = diffapple.ok(*run, "--image", "photos", "--seed", "1,2")
    stems = [Path(report["path"]).name.split("_image-")[1][0] for report in whole.reports]
    assert stems == ["a", "a", "b", "b", "c", "c"]
    assert [report["width"] for report in whole.reports] == [72, 72, 64, 64, 80, 80]
    assert whole.err.count("loaded unet") == 1 and whole.err.count("contact sheet") == 1
    for options in (["list.txt"], ["photos/c.webp", "photos/b.png"]):
        again = diffapple.ok(*run, "--image", *options, "--seed", 1).reports
        assert [report["skipped"] for report in again] == [True, True]
        assert [Path(report["path"]).name.split("_image-")[1][0] for report in again] == ["c", "b"]
    parts = [diffapple.ok(*run, "--image", "photos", "--out", "p", "--shard", f"{i}/3").reports for i in (1, 2, 3)]
    assert [len(part) for part in parts] == [1, 1, 1]
    (alone,) = diffapple.ok(*run, "--image", "photos/b.png", "--seed", 1, "--out", "alone").reports
    same = whole.reports[2]
    pixels = [Image.open(diffapple.folder / report["path"]).tobytes() for report in (alone, same)]
    assert alone["id"] == same["id"] and pixels[0] == pixels[1]


def test_no_pictures(diffapple, sd15):
    (diffapple.folder / "empty").mkdir()
    (diffapple.folder / "none.txt").write_text("\n")
    run = ["sd15", "--model", sd15, "--prompt", "a", "--image"]
    one_line_error(diffapple(*run, "empty"), 1, "empty", "holds no PNG")
    one_line_error(diffapple(*run, "none.txt"), 1, "none.txt")
    one_line_error(diffapple(*run, ""), 2, "--image")


# --- replay with something changed


def test_replay_with_changes(diffapple, sd15):
    run = ["sd15", "--model", sd15, "--steps", 2, "--json", "--sheet", "off"]
    first = diffapple.ok(*run, "--prompt", "a", "--prompt", "b", "--seed", 5).reports[1]
    changed = ["replay", first["path"], "--model", sd15, "--json", "--set"]
    made = diffapple.ok(*changed, "guidance=4").reports
    expected = diffapple.ok(*run, "--prompt", "a", "--prompt", "b", "--seed", 5, "--guidance", 4, "--out", "b").reports
    assert [report["id"] for report in made] == [report["id"] for report in expected]
    pixels = [Image.open(diffapple.folder / r[1]["path"]).tobytes() for r in (made, expected)]
    assert pixels[0] == pixels[1]
    own = diffapple.ok(*changed, "prompt=c", "--set", "seed=1,2", "--out", "c").reports
    assert [(r["prompt"], r["seed"]) for r in own] == [("a", 1), ("c", 1), ("a", 2), ("c", 2)]
    for wrong, named in (("guidanse=4", "'guidanse'"), ("guidance", "NAME=VALUE"), ("guidance=x", "--guidance"),
                         ("model=x", "give it as --model"), ("steps=0", "--steps")):  # fmt: skip
        one_line_error(diffapple(*changed, wrong), 2, named)
    one_line_error(diffapple(*changed, "steps=1", "--save", "x.png"), 2, "--save")
    one_line_error(diffapple("replay", first["path"], "--force"), 2, "--set")


# --- file systems


@pytest.mark.skipif(sys.platform == "darwin" or not shutil.which("cc"), reason="preloads a library made by cc")
@pytest.mark.parametrize("error, lost", [("EINVAL", False), ("ENOTSUP", False), ("EROFS", False), ("EIO", True)])
def test_a_file_system_without_fsync_loses_no_picture(diffapple, tiny, error, lost):
    source, library = diffapple.folder / "x.c", diffapple.folder / "x.so"
    source.write_text(f"#include <errno.h>\nint fsync(int f) {{ (void)f; errno = {error}; return -1; }}\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    diffapple.environment = {"LD_PRELOAD": str(library)}
    result = diffapple("ddpm", "--model", tiny, "--steps", 1)
    assert result.code == (1 if lost else 0), result.err
    assert lost == (not list((diffapple.folder / "out").rglob("*.png")))
    assert not [path for path in diffapple.folder.rglob("*.tmp") if path.name.startswith(".diffapple")]
