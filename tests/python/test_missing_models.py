"""Models that are not there, wholly or in part: refused in one line that names what is missing."""

import os
import shutil
from pathlib import Path

import pytest
from checkpoints import WEIGHTS
from refusals import assert_refused, linux_only, weights_of


@pytest.fixture(scope="module")
def prompted(tmp_path_factory):
    """A model with prompts; to be read only."""
    from sd_checkpoints import make_sd15

    return make_sd15(tmp_path_factory.mktemp("prompted") / "model")


@pytest.mark.parametrize(
    "name", ["nowhere", "no/such", "./nowhere", "/no/where", "a/b/c", "..", "x" * 5000, "no/such@v1"], ids=range(8)
)
def test_no_such_model(diffapple, name):
    result = diffapple("ddpm", "--model", name, timeout=10)
    assert_refused(diffapple, result, 1, name[:20])


def test_an_empty_folder_is_no_model(diffapple):
    (diffapple.folder / "empty").mkdir()
    assert_refused(diffapple, diffapple("ddpm", "--model", "empty"), 1, "empty", "model_index.json")


def test_a_file_is_no_model_folder(diffapple, small):
    assert_refused(diffapple, diffapple("ddpm", "--model", weights_of(small)), 1, weights_of(small).name)


@pytest.mark.parametrize(
    ("gone", "named"),
    [
        ("unet", "unet"),
        ("unet/config.json", "config.json"),
        (f"unet/{WEIGHTS}.safetensors", f"{WEIGHTS}.safetensors"),
        ("scheduler", "scheduler_config.json"),
        ("scheduler/scheduler_config.json", "scheduler_config.json"),
    ],
)
def test_a_part_is_missing(model, refuses, gone, named):
    path = model / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    refuses(named)


@pytest.mark.parametrize("part", ["unet/config.json", f"unet/{WEIGHTS}.safetensors", "scheduler/scheduler_config.json"])
def test_a_folder_in_place_of_a_file(model, refuses, part):
    (model / part).unlink()
    (model / part).mkdir()
    refuses(Path(part).name)


@linux_only
@pytest.mark.parametrize("part", ["unet/config.json", f"unet/{WEIGHTS}.safetensors", "scheduler/scheduler_config.json"])
def test_a_pipe_in_place_of_a_file(model, refuses, part):
    """Opening one would wait for ever."""
    (model / part).unlink()
    os.mkfifo(model / part)
    refuses(Path(part).name)


@linux_only
@pytest.mark.parametrize("command", [["--image"], ["--latents"], ["--prompts"]], ids=str)
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_pipe_or_a_device_in_place_of_an_input(diffapple, prompted, command, kind):
    path = diffapple.folder / "input"
    os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")
    prompt = [] if command == ["--prompts"] else ["--prompt", "a"]
    result = diffapple("sd15", "--model", prompted, "--steps", 1, *prompt, *command, path, timeout=20)
    assert_refused(diffapple, result, 1, "input", kind)


@linux_only
@pytest.mark.parametrize("command", ["show", "replay", "grid"])
def test_a_pipe_in_place_of_a_picture(diffapple, command):
    os.mkfifo(diffapple.folder / "x.png")
    result = diffapple(command, "x.png", timeout=20)
    assert (result.code, len(result.err.splitlines())) == (1, 1) and "x.png" in result.err


@linux_only
def test_a_model_folder_that_cannot_be_looked_at(diffapple, model):
    """Taken for absent, another file would be chosen."""
    config = model / "unet" / "config.json"
    config.unlink()
    config.symlink_to(config.name)  # stat fails: too many links
    assert_refused(diffapple, diffapple("ddpm", "--model", model, "--steps", 1), 1, "config.json", "symbolic links")
    folder = diffapple.folder / "looks" / "elsewhere"
    folder.parent.mkdir()
    folder.symlink_to(folder.name)
    assert_refused(diffapple, diffapple("ddpm", "--model", folder, "--steps", 1), 1, "elsewhere", "symbolic links")
