"""Where models are found: folders, names, the Hub's cache, beside the program; and which one is the default."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from checkpoints import copy_checkpoint
from conftest import PROGRAM
from finished import pixels, recipe


def hub_snapshot(cache: Path, model: str, source: Path, revision="a" * 40, reference: str | None = "main") -> Path:
    repository = cache / ("models--" + model.replace("/", "--"))
    snapshot = copy_checkpoint(source, repository / "snapshots" / revision)
    if reference:
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / reference).write_text(revision)
    return snapshot


def test_model_by_folder(diffapple, tiny):
    for name in (tiny, f"{tiny}/", os.path.relpath(tiny, diffapple.folder)):
        report = diffapple.ok("ddpm", "--model", name, "--steps", 1, "--json").reports[0]
        assert report["model"] == "tiny"


@pytest.mark.skipif(sys.platform != "linux", reason="other file systems demand UTF-8")
def test_model_folder_whose_name_is_no_utf8(diffapple, tiny):
    folder = bytes(diffapple.folder / "caf") + b"\xe9"
    shutil.copytree(bytes(tiny), folder)
    command = [os.fsencode(part) for part in diffapple.command("ddpm", "--steps", 1, "--json", "--model")]
    result = subprocess.run([*command, folder], cwd=diffapple.folder, env=diffapple.variables(), capture_output=True)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["model"] == "caf\ufffd"


def test_model_by_name(diffapple, tiny):
    copy_checkpoint(tiny, diffapple.folder / "models" / "my-cats")
    report = diffapple.ok("ddpm", "--model", "my-cats", "--steps", 1, "--json").reports[0]
    assert report["model"] == "my-cats"
    assert "_model-my-cats.png" in report["path"]


@pytest.mark.parametrize("variable", ["HF_HUB_CACHE", "HF_HOME", "HOME"])
def test_model_in_the_hub_cache(diffapple, tiny, variable):
    below = {"HF_HUB_CACHE": "", "HF_HOME": "hub", "HOME": ".cache/huggingface/hub"}[variable]
    hub_snapshot(diffapple.folder / "cache" / below, "someone/cats", tiny)
    diffapple.environment[variable] = str(diffapple.folder / "cache")
    report = diffapple.ok("ddpm", "--model", "someone/cats", "--steps", 1, "--json").reports[0]
    assert report["model"] == "someone/cats"


@pytest.mark.parametrize(
    ("variable", "value", "below"),
    [
        ("XDG_CACHE_HOME", "{0}/cache", "cache/huggingface/hub"),
        ("HUGGINGFACE_HUB_CACHE", "{0}/cache", "cache"),
        ("HF_HUB_CACHE", "~/cache", "home/cache"),
        ("HF_HUB_CACHE", "$PLACE/cache", "place/cache"),
        ("HF_HOME", "${{PLACE}}/cache", "place/cache/hub"),
        ("HF_HOME", "~/hf", "home/hf/hub"),
    ],
)
def test_the_hub_cache_where_huggingface_hub_puts_it(diffapple, tiny, variable, value, below):
    diffapple.environment |= {"PLACE": str(diffapple.folder / "place"), variable: value.format(diffapple.folder)}
    hub_snapshot(diffapple.folder / below, "someone/cats", tiny)
    code = "import huggingface_hub.constants as c; print(c.HF_HUB_CACHE)"
    theirs = subprocess.run([sys.executable, "-c", code], env=diffapple.variables(), capture_output=True, text=True)
    assert Path(theirs.stdout.strip()) == diffapple.folder / below
    assert diffapple.ok("ddpm", "--model", "someone/cats", "--steps", 1, "--json").reports[0]["model"] == "someone/cats"
    missing = diffapple("ddpm", "--model", "someone/dogs", "--steps", 1)
    assert missing.code == 1 and "looked in " in missing.err and str(diffapple.folder / below) in missing.err


def test_the_hub_caches_main_revision_counts(diffapple, tiny, small):
    cache = diffapple.folder / "hub"
    hub_snapshot(cache, "someone/cats", tiny, "a" * 40)
    hub_snapshot(cache, "someone/cats", small, "b" * 40, reference=None)
    diffapple.environment["HF_HUB_CACHE"] = str(cache)
    picked = diffapple.ok("ddpm", "--model", "someone/cats", "--steps", 1, "--json").reports[0]
    direct = diffapple.ok("ddpm", "--model", tiny, "--steps", 1, "--json").reports[0]
    assert np.array_equal(pixels(diffapple.folder / picked["path"]), pixels(diffapple.folder / direct["path"]))
    other = diffapple.ok("ddpm", "--model", f"someone/cats@{'b' * 40}", "--steps", 1, "--json").reports[0]
    assert other["id"] != picked["id"]


def test_weights_hash_of_the_hub_is_its_blob_name(diffapple, tiny):
    """Links into blobs/, as the Hub's client makes them: the name is the sha256, so gigabytes are not read."""
    cache = diffapple.folder / "hub"
    snapshot = hub_snapshot(cache, "someone/cats", tiny)
    weights = snapshot / "unet" / "diffusion_pytorch_model.safetensors"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    blob = snapshot.parents[1] / "blobs" / digest
    blob.parent.mkdir()
    shutil.move(weights, blob)
    weights.symlink_to(os.path.relpath(blob, weights.parent))
    diffapple.environment["HF_HUB_CACHE"] = str(cache)
    path = diffapple.ok("ddpm", "--model", "someone/cats", "--steps", 1).paths[0]
    linked = recipe(diffapple.folder / path)["recipe"]["model"]["weights"]["unet"]
    path = diffapple.ok("ddpm", "--model", tiny, "--steps", 1).paths[0]
    assert linked == recipe(diffapple.folder / path)["recipe"]["model"]["weights"]["unet"] == digest


@pytest.fixture
def bare(diffapple):
    """The program in a tree without models beside it."""
    program = diffapple.folder / "bin" / "build" / "diffapple"
    program.parent.mkdir(parents=True)
    shutil.copy2(PROGRAM, program)
    diffapple.program = program
    return diffapple


def test_without_the_studys_model_the_demo_is_used(bare, tiny):
    copy_checkpoint(tiny, bare.folder / "models" / "ddpm-cat-demo")
    result = bare.ok("ddpm", "--steps", 1, "--seed", 0)
    assert result.out == "out/ddpm_cat_demo/uncond/seed0_i0_n1.png\n"
    message = result.err.splitlines()[0]
    for part in ("google/ddpm-cat-256", "ddpm-cat-demo", "diffapple fetch ddpm-cat", "models/ddpm-cat-256"):
        assert part in message


def test_the_studys_model_is_never_replaced_silently(bare, tiny):
    copy_checkpoint(tiny, bare.folder / "models" / "ddpm-cat-demo")
    result = bare("ddpm", "--model", "google/ddpm-cat-256", "--steps", 1)
    assert (result.code, result.out, len(result.err.splitlines())) == (1, "", 1)
    assert "google/ddpm-cat-256" in result.err and "diffapple fetch" in result.err


@pytest.mark.parametrize("place", ["models/ddpm-cat-256", "models/google/ddpm-cat-256", "hub"])
def test_the_studys_model_is_the_default(bare, tiny, place):
    copy_checkpoint(tiny, bare.folder / "models" / "ddpm-cat-demo")
    if place == "hub":
        hub_snapshot(bare.folder / "hub", "google/ddpm-cat-256", tiny)
        bare.environment["HF_HUB_CACHE"] = str(bare.folder / "hub")
    else:
        copy_checkpoint(tiny, bare.folder / place)
    result = bare.ok("ddpm", "--steps", 1, "--seed", 0)
    assert result.out == "out/ddpm_cat/uncond/seed0_i0_n1.png\n"
    assert "demo" not in result.err


def test_models_beside_the_program(bare, tiny):
    copy_checkpoint(tiny, bare.folder / "bin" / "models" / "beside")
    (bare.folder / "work").mkdir()
    assert bare("ddpm", "--model", "beside", "--steps", 1).code == 0
