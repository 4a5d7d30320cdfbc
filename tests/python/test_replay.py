"""`diffapple replay`: pictures of all experiments made again from their recipes, and what it refuses."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import SMALL, copy_checkpoint, make_checkpoint, read_state, write_state
from conftest import Diffapple
from finished import recipe
from PIL import Image
from pictures import smooth_picture
from recipes import save_png, sha256
from safetensors.torch import save_file
from sd_checkpoints import make_sd2, make_sd15, make_sdxl

FAST = ("--steps", 2)


@pytest.fixture(scope="module")
def studio(tmp_path_factory) -> Diffapple:
    """A folder with models of all experiments under models/ and the pictures that they start from."""
    folder = tmp_path_factory.mktemp("studio")
    make_checkpoint(folder / "models" / "cats", SMALL)
    make_sd15(folder / "models" / "someone" / "sd15")
    make_sd2(folder / "models" / "sd2")
    make_sdxl(folder / "models" / "xl")
    smooth_picture("RGB", 96, 64).save(folder / "photo.png")
    mask = np.zeros((64, 96), np.uint8)
    mask[16:48, 32:80] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    save_file({"latents": torch.randn(1, 3, 16, 16)}, folder / "noise.safetensors")
    return Diffapple(folder, environment={"OMP_NUM_THREADS": "1"})


def make(studio, command: str, model: str, *options) -> list[Path]:
    return studio.ok(command, "--model", model, *FAST, "--sheet", "off", *options).paths


def replay(studio, picture, *options, code: int = 0) -> dict:
    result = studio("replay", picture, "--json", *options)
    assert result.code == code, result.err
    (report,) = result.reports
    assert report["same"] == (code == 0)
    return report


def refused(studio, picture, *options, **run_options) -> str:
    """The one line on stderr of a replay that is refused."""
    result = studio("replay", picture, *options, **run_options)
    assert result.code in (1, 2), result.err
    assert result.out == "" and len(result.err.splitlines()) == 1
    return result.err


def rewrite(source: Path, target: Path, change) -> Path:
    """A picture whose recipe `change` edited, under an id that belongs to it."""
    stored = recipe(source)
    stored["recipe"] = change(stored["recipe"]) or stored["recipe"]
    compact = json.dumps(stored["recipe"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return save_png(target, Image.open(source), diffapple=json.dumps({**stored, "id": sha256(compact)[:16]}))


RUNS = {
    "ddpm": ("ddpm", "cats", "--seed", "0,9", "--batch-size", 2),
    "ddpm other settings": ("ddpm", "cats", "--scheduler", "ddim", "--height", 24, "--latents", "noise24.safetensors"),
    "sd15": ("sd15", "someone/sd15", "--guidance", "0,6"),
    "sd15 all options": (
        *("sd15", "someone/sd15", "--prompt", 'a "cat", 猫\n', "--negative-prompt", "fog", "--batch-size", 2),
        *("--scheduler", "ddim", "--eta", 0.5, "--clip-skip", 1, "--guidance-rescale", 0.7, "--width", 72),
    ),
    "image to image": ("sd15", "someone/sd15", "--image", "photo.png", "--strength", "0.6,1"),
    "sd2-inpaint": ("sd2-inpaint", "sd2", "--image", "photo.png", "--mask", "mask.png", "--guidance", 3),
    "crop": (
        *("sd2-inpaint", "sd2", "--image", "photo.png", "--mask", "mask.png", "--prompt", "x", "--mask-blur", 2),
        *("--padding-mask-crop", 4, "--keep-unmasked"),
    ),
    "sdxl-turbo": ("sdxl-turbo", "xl", "--guidance", 0, "--prompt", "a"),
    "sdxl-turbo guided": (
        *("sdxl-turbo", "xl", "--guidance", 4, "--prompt", "a", "--prompt-2", "b", "--negative-prompt", "c"),
        *("--negative-prompt-2", "d"),
    ),
    "sdxl-turbo without a negative prompt": ("sdxl-turbo", "xl", "--guidance", 4, "--prompt", "b"),
}


@pytest.mark.parametrize("name", RUNS)
def test_pictures_of_all_experiments(studio, name):
    save_file({"latents": torch.randn(1, 3, 24, 16)}, studio.folder / "noise24.safetensors")
    command, model, *options = RUNS[name]
    pictures = make(studio, command, model, "--out", name, *options)
    files = []
    for option in ("--image", "--mask", "--latents"):
        if option in options:
            files += [option, options[options.index(option) + 1]]
    for picture in (pictures[0], pictures[-1]):
        report = replay(studio, picture, *files)
        assert (report["largest_difference"], report["equal_share"], report["psnr_db"]) == (0, 1, None)
        assert report["bar"].startswith("equal values")
        assert report["id"] == recipe(studio.folder / picture)["id"]


@pytest.fixture(scope="module")
def cat(studio) -> Path:
    return studio.folder / make(studio, "ddpm", "cats")[0]


@pytest.fixture(scope="module")
def prompted(studio) -> Path:
    return studio.folder / make(studio, "sd15", "someone/sd15", "--prompt", "a cat")[0]


def test_report_in_words(studio, cat):
    out = studio.ok("replay", cat).out
    assert re.fullmatch(
        rf"{re.escape(str(cat))}: the same picture: largest difference 0 of 255, 100\.0000% of the values equal, "
        r"identical \(wanted: equal values.*\)\n",
        out,
    )


def test_model_elsewhere(studio, cat, tmp_path):
    """The name stands for a folder under models/ only, never for one that happens to lie here."""
    lone = replace(studio, folder=tmp_path)
    model = copy_checkpoint(studio.folder / "models" / "cats", tmp_path / "cats")
    assert "'cats'" in refused(lone, cat) and "--model" in refused(lone, cat)
    replay(lone, cat, "--model", model)
    copy_checkpoint(model, tmp_path / "models" / "cats")
    write_state(model, {name: -weight for name, weight in read_state(model).items()})
    replay(lone, cat)


def test_other_weights(studio, cat, tmp_path):
    model = copy_checkpoint(studio.folder / "models" / "cats", tmp_path / "cats")
    write_state(model, {name: weight * 1.01 for name, weight in read_state(model).items()})
    message = refused(studio, cat, "--model", model)
    assert "other weights of the unet" in message and "--model" in message


def test_changed_picture(studio, cat, tmp_path):
    pixels = np.asarray(Image.open(cat)).copy()
    pixels[3, 4, 1] ^= 1
    changed = save_png(tmp_path / "changed.png", Image.fromarray(pixels), diffapple=Image.open(cat).text["diffapple"])
    report = replay(studio, changed, code=3)
    assert report["largest_difference"] == 1 and report["equal_share"] == pytest.approx(1 - 1 / pixels.size)
    assert report["psnr_db"] == pytest.approx(10 * np.log10(255**2 * pixels.size))
    result = studio("replay", changed, "--quiet")
    assert result.code == 3 and "differs: largest difference 1 " in result.out and len(result.err.splitlines()) == 1


def test_another_number_of_threads_lowers_the_bar(studio, cat):
    threaded = replace(studio, environment={"OMP_NUM_THREADS": "2"})
    assert replay(threaded, cat)["bar"].startswith("within 1 level")


def test_another_dtype(studio, prompted):
    report = replay(studio, prompted, "--dtype", "bf16")
    assert report["bar"].startswith("at least 30 dB") and report["psnr_db"] >= 30
    assert report["largest_difference"] > 0
    made = studio.folder / make(studio, "sd15", "someone/sd15", "--prompt", "a cat", "--dtype", "bf16")[0]
    assert replay(studio, made)["largest_difference"] == 0


def test_a_device_that_is_not_here(studio, cat, tmp_path):
    elsewhere = rewrite(cat, tmp_path / "cuda.png", lambda recipe: recipe.update(device="cuda"))
    result = studio.ok("replay", elsewhere)
    assert "made on cuda" in result.err and "at least 30 dB" in result.out
    assert "cuda" in refused(studio, elsewhere, "--device", "cuda:7")


def test_save(studio, cat, tmp_path):
    saved = tmp_path / "again.png"
    replay(studio, cat, "--save", saved)
    assert np.array_equal(np.asarray(Image.open(saved)), np.asarray(Image.open(cat)))
    assert recipe(saved)["id"] == recipe(cat)["id"]
    before = cat.read_bytes()
    assert "exists" in refused(studio, cat, "--save", cat)
    assert cat.read_bytes() == before


def test_files_that_it_was_made_from_are_needed_again(studio, prompted, tmp_path):
    options = ("--image", "photo.png", "--mask", "mask.png", "--prompt", "a bench")
    picture = make(studio, "sd2-inpaint", "sd2", *options)[0]
    assert "--image FILE" in refused(studio, picture)
    assert "--mask FILE" in refused(studio, picture, "--image", "photo.png")
    message = refused(studio, picture, "--image", "mask.png", "--mask", "mask.png")
    assert "--image mask.png" in message and "sha256" in message
    assert "missing.png" in refused(studio, picture, "--image", "missing.png", "--mask", "mask.png")
    assert "without one" in refused(studio, prompted, "--image", "photo.png")
    picture = make(studio, "ddpm", "cats", "--latents", "noise.safetensors")[0]
    assert "--latents FILE" in refused(studio, picture)
    save_file({"latents": torch.randn(1, 3, 16, 16)}, tmp_path / "other.safetensors")
    assert "sha256" in refused(studio, picture, "--latents", tmp_path / "other.safetensors")


def test_comparison_picture(studio):
    options = ("--image", "photo.png", "--mask", "mask.png", "--prompt", "a bench")
    picture = make(studio, "sd2-inpaint", "sd2", *options, "--seed", 5)[0]
    comparison = picture.with_name(picture.stem + "_comp.png")
    message = refused(studio, comparison, "--image", "photo.png", "--mask", "mask.png")
    assert "192x64" in message and "side by side" in message


def test_what_has_no_recipe(studio, cat, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    assert "has no recipe" in refused(studio, tmp_path / "plain.png")
    assert "photo.jpg" in refused(studio, "photo.jpg")
    (tmp_path / "cut.png").write_bytes(cat.read_bytes()[:-100])
    assert "cut.png" in refused(studio, tmp_path / "cut.png")
    text = Image.open(cat).text["diffapple"].replace('"steps":2', '"steps":3')
    assert "was changed" in refused(studio, save_png(tmp_path / "edited.png", Image.open(cat), diffapple=text))


def settings(**changes):
    def change(recipe):
        recipe["settings"].update(changes)

    return change


def without(*path):
    def change(recipe):
        *parents, last = path
        for key in parents:
            recipe = recipe[key]
        del recipe[last]

    return change


def at(value, *path):
    def change(recipe):
        *parents, last = path
        for key in parents:
            recipe = recipe[key]
        recipe[last] = value

    return change


HUGE = 2**62
HOSTILE = {
    **{f"{key} {value!r:.30}": settings(**{key: value}) for key, values in {
        "width": [HUGE, 0, -8, "64", 8192, None, 64.5, True],
        "height": [2**31, []],
        "batch_size": [HUGE, 0, 65],
        "steps": [0, HUGE, 10**9, "2", {}],
        "seed": [-1, 2**64, 0.5, "x"],
        "index": [1, -1, HUGE],
        "guidance": [-1, 1e308, "7"],
        "eta": [2],
        "clip_skip": [HUGE, -1],
        "prompt_syntax": ["heavy", 1, True],
        "strength": [0.5, 2],
        "prompt": ["x" * 30_000, 7],
        "batch": [[], ["a"] * 100_000, ["x" * 30_000], "a cat", [[]], ["a"] * 64],
        "negative_prompt": ["y" * 1_000_000, [1]],
        "prompt_2": ["z"],
        "image": ["0" * 64, 5],
        "latents": ["/etc/passwd"],
        "mask_blur": [1e9],
        "padding_mask_crop": [-5, 3],
        "keep_unmasked": ["yes", True],
        "unknown": [1],
    }.items() for value in values},
    **{f"model {name!r:.30}": at(name, "model", "name") for name in [
        *("/", "/etc", "../models/cats", "..", ".", "", "models/cats", "./cats", "cats/", "cats/unet/../../cats"),
        *("someone/absent", "\x1b[2J\x07", "a\0b", "x" * 100_000, 5, None, ["cats"]),
    ]},
    **{f"scheduler {name!r}": at(name, "scheduler", "name") for name in ["unknown", "", 3]},
    "scheduler config": at(10**9, "scheduler", "config", "num_train_timesteps"),
    "no scheduler config": without("scheduler", "config"),
    "scheduler null": at(None, "scheduler"),
    "experiment": at("../ddpm", "experiment"),
    "experiment of others": at("ddpm", "experiment"),
    "experiment type": at([], "experiment"),
    "device": at("\x1b]0;owned\x07", "device"),
    "device type": at(7, "device"),
    "dtype": at("fp8", "dtypes", "unet"),
    "no dtype of the UNet": at({"x": []}, "dtypes"),
    "dtypes type": at("fp32", "dtypes"),
    "weights": at({"unet": "/etc/passwd"}, "model", "weights"),
    "configs type": at([], "model", "configs"),
    "schema": at(99, "schema"),
    "two schemas": at(1, "schema"),
    "deep": at(json.loads("[" * 20 + "]" * 20), "settings", "prompt"),
    **{f"no {key}": without(key) for key in ("settings", "experiment", "model", "dtypes", "device", "scheduler")},
    **{f"no {key}": without("settings", key) for key in ("width", "steps", "seed", "batch_size", "index", "batch")},
    "nothing": lambda _: {"x": 1},
}  # fmt: skip


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.full) for part in (1, 2))])
def test_hostile_recipes(studio, prompted, tmp_path, part):
    """Each is refused in one line before anything is loaded, quickly, and without a byte that a terminal obeys."""
    (tmp_path / "cats").mkdir()
    loaded = []
    for number, (name, change) in enumerate(list(HOSTILE.items())[part::3]):
        picture = rewrite(prompted, tmp_path / f"{number}.png", change)
        message = refused(studio, picture, "--verbose", timeout=20)
        if "loaded" in message or re.search(r"[\x00-\x09\x0b-\x1f]", message) or len(message) > 50_000:
            loaded.append((name, message))
    assert loaded == []


# Just beyond what a recipe may ask for: (what it is a recipe of, the setting, its value, what the refusal names).
CAPS = [
    ("sd15", "steps", 10_001, "steps"),
    ("sd15", "width", 8_193, "width"),
    ("sd15", "height", 8_193, "height"),
    ("sd15", "batch_size", 65, "batch_size"),
    ("sd15", "batch", ["a"] * 65, "batch"),
    ("sd15", "batch", ["a" * 20_001], "batch"),
    ("sd15", "negative_prompt", "a" * 20_001, "negative_prompt"),
    ("sd15", "guidance", 1000.5, "guidance"),
    ("sd15", "clip_skip", 101, "clip_skip"),
    ("sd15", "guidance_rescale", 1.5, "guidance_rescale"),
    ("sd15", "eta", 1.5, "eta"),
    ("sd15", "seed", 2**64, ""),  # to JSON no integer: already its id is another
    ("sd15", "rng", "mps", ""),
    ("sd15", "weights", "int4", ""),
    ("sd15", "vae_tiling", "some", ""),
    ("image to image", "strength", 1.01, "strength"),
    ("image to image", "image", "a" * 301, "image"),
    ("crop", "mask_blur", 1001.0, "mask_blur"),
    ("crop", "padding_mask_crop", 8_193, "padding_mask_crop"),
    ("crop", "mask", "../mask.png", ""),
    ("sdxl-turbo", "prompt_2", "a" * 20_001, "prompt_2"),
    ("sdxl-turbo guided", "negative_prompt_2", "a" * 20_001, "negative_prompt_2"),
    ("sdxl-turbo", "original_size", [8_193, 8], "original_size"),
    ("sdxl-turbo", "target_size", [8, 8_193], "target_size"),
    ("sdxl-turbo", "crop_top_left", [8_193, 0], ""),
]


@pytest.mark.parametrize("name", dict.fromkeys(cap[0] for cap in CAPS))
def test_caps_of_recipes_with_a_valid_id(studio, tmp_path, name):
    """What a forged recipe may ask for is bounded, value by value, before anything is loaded."""
    original = studio.folder / make(studio, *RUNS[name])[0]
    for _, key, value, named in (cap for cap in CAPS if cap[0] == name):
        picture = rewrite(original, tmp_path / "forged.png", settings(**{key: value}))
        files = ["--image", "photo.png", "--mask", "mask.png"] if name == "crop" else []
        files = ["--image", "photo.png"] if name == "image to image" else files
        message = refused(studio, picture, *files, "--verbose", timeout=20)
        assert named in message and "loaded" not in message and len(message) < 2000, (key, message[:300])


def assert_harmless(result):
    """Lines of a length that can be read, without a byte that a terminal obeys, and no exception's text."""
    assert result.code in (0, 1), result.err[-500:]
    assert "a library reports" not in result.err
    for line in (result.out + result.err).split("\n"):
        assert len(line) < 20_000 and not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", line), line[:200]


def test_forged_recipes_in_other_commands(studio, prompted, tmp_path):
    """Names, texts and numbers of any kind are shown, tabled and put on sheets, and nothing is written elsewhere."""
    folder = tmp_path / "forged"
    folder.mkdir()
    for number, change in enumerate(HOSTILE.values()):
        rewrite(prompted, folder / f"{number}.png", change)
    rewrite(prompted, tmp_path / "long.png", settings(**{"negative_prompt": "y" * 1_000_000, "prompt": "x" * 1_000_000}))
    before = set(tmp_path.rglob("*"))
    for places in ([folder], [tmp_path / "long.png"], [tmp_path / "long.png", prompted]):
        assert_harmless(studio("report", *places))
        assert_harmless(studio("grid", "--cell", 16, "--force", "--out", tmp_path / "sheet.png", *places))
    assert set(tmp_path.rglob("*")) - before <= {tmp_path / "sheet.png"}
    assert Image.open(tmp_path / "sheet.png").height < 2000


@pytest.mark.parametrize("name", ["model '\\x1b[2J\\x07'", "model 5", "deep", "nothing", "experiment type"])
def test_forged_recipes_shown(studio, prompted, tmp_path, name):
    assert_harmless(studio("show", rewrite(prompted, tmp_path / "forged.png", HOSTILE[name])))


def test_long_texts_are_shown_up_to_a_bound(studio, prompted, tmp_path):
    picture = save_png(tmp_path / "long.png", Image.open(prompted), parameters="y" * 1_000_000)
    shown = studio.ok("show", picture)
    assert len(shown.out) < 300_000 and "800000 more bytes; --json shows them" in shown.out
    assert len(studio.ok("show", "--json", picture).reports[0]["text"]["parameters"]) == 1_000_000


def test_the_file_itself_is_never_changed(studio, cat):
    before = cat.read_bytes()
    for options in ([], ["--dtype", "bf16"], ["--quiet"], ["--verbose"]):
        assert studio("replay", cat, *options).code in (0, 3), "made again or not, it was compared"
    assert cat.read_bytes() == before


def test_wrong_calls(studio, cat):
    assert studio("replay").code == 2
    assert studio("replay", cat, "--dtype", "fp16", "--device", "cpu").code == 2
    assert studio("replay", "absent.png").code == 1
