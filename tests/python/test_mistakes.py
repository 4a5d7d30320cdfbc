"""Slips of a user's hand: a file named where another was meant, a setting said twice, a folder of odd photos. Each is told
in one line; nothing is replaced, left out or made otherwise in silence."""

import json
import shutil

import pytest
from conftest import PROJECT, one_line_error
from pictures import photo
from sd_checkpoints import make_sd2, make_sd15

CAT = ["--prompt", "cat", "--steps", 2, "--sheet", "off"]


@pytest.fixture
def sd15(tmp_path_factory):
    return make_sd15(tmp_path_factory.mktemp("sd15") / "m")


@pytest.fixture
def picture(diffapple, sd15):
    """A picture of the program."""
    (path,) = diffapple.ok("sd15", "--model", sd15, *CAT).paths
    return path


# --- files in the way


def test_reports_replace_reports_alone(diffapple, picture):
    """As `report --csv *.png`, where a shell gives the option the first picture."""
    before = (diffapple.folder / picture).read_bytes()
    for option, other in (("--csv", "--html"), ("--html", "--csv")):
        one_line_error(diffapple("report", "out", option, picture), 1, option, "another kind")
        for _ in range(2):
            diffapple.ok("report", "out", option, f"a{option}")
        one_line_error(diffapple("report", "out", other, f"a{option}"), 1, "another kind")
    assert (diffapple.folder / picture).read_bytes() == before
    (diffapple.folder / "empty").touch()
    diffapple.ok("report", "out", "--csv", "empty")


def test_latents_replace_latents_alone(diffapple, sd15, picture):
    run = ["sd15", "--model", sd15, *CAT, "--force", "--quiet"]
    weights = next((sd15 / "unet").glob("*.safetensors"))
    for file in (picture, weights):
        before = (diffapple.folder / file).read_bytes()
        one_line_error(diffapple(*run, "--save-latents", file), 1, "--save-latents", "another kind")
        assert (diffapple.folder / file).read_bytes() == before
    (diffapple.folder / picture).unlink()
    one_line_error(diffapple(*run, "--save-latents", picture), 2, "is the name of the picture")
    for _ in range(2):
        diffapple.ok(*run, "--save-latents", "a.safetensors")
    again = diffapple(*run, "--latents", "a.safetensors", "--save-latents", "a.safetensors")
    one_line_error(again, 2, "is the file of --latents")


def test_other_files_in_the_way(diffapple, sd15, picture):
    for call in (
        ["tokenize", "cat", "--model", sd15, "--save-model", picture],
        ["bench", "--experiments", "ddpm", "--json", picture],
        ["bench", "--experiments", "ddpm", "--csv", picture],
    ):
        one_line_error(diffapple(*call), 1, call[-2], "another kind")
    one_line_error(diffapple("bench", "--json", "x", "--csv", "x"), 2, "two names")
    for _ in range(2):
        diffapple.ok("tokenize", "cat", "--model", sd15, "--save-model", "v.model")


def test_a_single_file_is_what_its_name_says(diffapple):
    demo = PROJECT / "models" / "sd15-demo"
    result = diffapple.ok("convert", demo, "a.safetensors", "--quiet")
    assert (diffapple.folder / "a.safetensors").is_file() and "--config" in result.err, "of no known size"
    one_line_error(diffapple("convert", demo, "b.safetensors", "--layout", "diffusers"), 2, "is the name of a file")
    one_line_error(diffapple("convert", demo, "b", "--layout", "single"), 2, ".safetensors")


# --- what would be left out


def test_a_folder_with_photos_that_cannot_be_read(diffapple, sd15):
    folder = diffapple.folder / "photos"
    folder.mkdir()
    photo(48, 40).save(folder / "a.png")
    photo(48, 40).convert("RGB").save(folder / "b.jfif", format="JPEG")
    (folder / "b.dng").touch()  # a camera's raw file beside its JPEG
    (folder / "notes.txt").touch()
    run = ["sd15", "--model", sd15, *CAT, "--image", "photos", "--size", "32x32"]
    assert len(diffapple.ok(*run).paths) == 2
    (folder / "c.HEIC").touch()
    one_line_error(diffapple(*run), 1, "c.HEIC", "cannot be read", "photos/*.png")


def test_text_of_another_encoding(diffapple, sd15):
    (diffapple.folder / "p.txt").write_bytes(b"a cat\ncaf\xe9\n")
    one_line_error(diffapple("sd15", "--model", sd15, "--prompts", "p.txt"), 1, "line 2", "UTF-8")


def test_a_file_of_prompts_in_a_session(diffapple, sd15):
    (diffapple.folder / "p.txt").write_text('# cats\na cat\n{"prompt": "a fox", "seed": 9}\n')
    with (diffapple.folder / "p.txt").open() as file:
        result = diffapple("sd15", "--model", sd15, "--steps", 1, "--interactive", stdin=file)
    assert result.code == 2 and len(result.paths) == 1 and "--prompts -" in result.err


def test_files_count_once(diffapple, sd15, picture):
    diffapple.ok("sd15", "--model", sd15, *CAT, "--seed", 7)
    rows = diffapple.ok("report", "out", picture.parent, f"./{picture}", "--json").reports
    assert len(rows) == 2
    one_line_error(diffapple("grid", "out", "--rows", "seed", "--columns", "seed"), 2, "cannot be both")


# --- settings


def test_names_in_lines_are_those_of_options(diffapple, sd15):
    (diffapple.folder / "p.txt").write_text(
        '{"prompt": "a", "size": "32x40"}\n{"prompt": "b", "num-inference-steps": 2, "height": 48}\n'
    )
    run = ["sd15", "--model", sd15, "--prompts", "p.txt", "--steps", 1, "--size", "64x64", "--json"]
    first, second = diffapple.ok(*run).reports
    assert (first["width"], first["height"], first["steps"]) == (32, 40, 1)
    assert (second["height"], second["steps"]) == (48, 2)
    (diffapple.folder / "p.txt").write_text('{"prompt": "a", "sise": "32x32"}\n')
    one_line_error(diffapple(*run), 2, "'sise'", "did you mean size?")


def test_changes_of_a_picture(diffapple, sd15, picture):
    replay = ["replay", picture, "--model", sd15]
    (made,) = diffapple.ok(*replay, "--set", "size=32x40").paths
    assert "size-32x40" in made.name
    one_line_error(diffapple(*replay, "--set", "guidance=4", "--set", "guidance=5"), 2, "given twice")
    one_line_error(diffapple(*replay, "--set", "format=jpg"), 2, "recipe")
    assert "--eta has no effect here" in diffapple.ok(*replay, "--set", "eta=1").err


def test_a_seed_beside_the_noise(diffapple, sd15):
    run = ["sd15", "--model", sd15, *CAT]
    diffapple.ok(*run, "--save-latents", "l.safetensors")
    with_noise = [*run, "--latents", "l.safetensors"]
    assert "--seed has no effect here" in diffapple.ok(*with_noise, "--seed", 9).err
    assert "--seed" not in diffapple.ok(*with_noise, "--seed", 9, "--scheduler", "euler-a").err, "which draws more"


@pytest.mark.parametrize(("value", "on"), [("1", True), ("TRUE", True), ("on", True), ("0", False), ("no", False)])
def test_switches_of_the_environment(diffapple, tiny, value, on):
    diffapple.environment["DIFFAPPLE_JSON"] = value
    out = diffapple.ok("ddpm", "--model", tiny, "--steps", 1).out
    assert out.startswith("{") == on and (not on or json.loads(out))


def test_what_is_no_switch(diffapple, tiny):
    diffapple.environment["DIFFAPPLE_KEEP_LOADED"] = "banana"
    one_line_error(diffapple("ddpm", "--model", tiny), 2, "DIFFAPPLE_KEEP_LOADED", "true or false")


def test_models_of_other_commands(diffapple, sd15, tmp_path):
    photo(48, 40).save(diffapple.folder / "i.png")
    photo(48, 40).convert("L").point(lambda level: 255 * (level > 128)).save(diffapple.folder / "m.png")
    images = ["--image", "i.png", "--mask", "m.png", "--size", "32x32"]
    inpainting = make_sd2(tmp_path / "sd2")
    for command, model, meant in (("sd15", inpainting, "sd2-inpaint"), ("sd2-inpaint", sd15, "sd15")):
        shutil.rmtree(diffapple.folder / "out", ignore_errors=True)
        told = diffapple.ok(command, "--model", model, *CAT, *images).err
        assert f"is one for `diffapple {meant}`" in told
    assert "is one for" not in diffapple.ok("sd2-inpaint", "--model", inpainting, *CAT, *images).err
