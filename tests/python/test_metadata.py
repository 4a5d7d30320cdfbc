"""What a picture says about itself: the settings as other programs read them, the recipe and its id; and its mode."""

import re
import time
from pathlib import Path

from checkpoints import TINY, copy_checkpoint, make_checkpoint
from finished import chunks, recipe
from PIL import Image
from recipes import A1111_SETTING


def test_parameters_read_by_others(ddpm):
    path = ddpm.folder / ddpm("--steps", 3, "--seed", 11, "--height", 24).paths[0]
    last_line = chunks(path)["parameters"].splitlines()[-1]
    settings = dict(A1111_SETTING.findall(last_line))
    assert len(settings) >= 3
    assert last_line.startswith("Steps: 3, ")
    assert list(settings)[:5] == ["Steps", "Sampler", "Seed", "Size", "Model"]
    assert (settings["Sampler"], settings["Seed"], settings["Size"]) == ("DDPM", "11", "16x24")
    assert (settings["Model"], settings["RNG"]) == ("tiny", "CPU")
    assert settings["Version"].startswith("diffapple ")


def test_recipe_in_the_picture(ddpm):
    path = ddpm.folder / ddpm("--steps", 3, "--seed", 11, "--batch-size", 2).paths[1]
    stored = recipe(path)
    assert re.fullmatch(r"[0-9a-f]{8,64}", stored["id"])
    assert isinstance(stored["schema"], int)
    determining = stored["recipe"]
    settings = determining["settings"]
    assert (settings["seed"], settings["index"], settings["steps"], settings["batch_size"]) == (11, 1, 3, 2)
    assert (settings["width"], settings["height"]) == (16, 16)
    assert re.fullmatch(r"[0-9a-f]{64}", determining["model"]["weights"]["unet"])
    assert determining["scheduler"]["config"]["num_train_timesteps"] == 1000
    assert determining["device"] == "cpu"
    assert stored["known"]["seconds"] > 0
    assert str(ddpm.folder) not in chunks(path)["diffapple"], "a path of this machine"
    assert str(Path.home()) not in chunks(path)["diffapple"]


def test_id_depends_on_what_determines_the_picture_only(diffapple, tiny):
    """Not on where the model lies, where the picture goes, on the time or the number of threads."""
    elsewhere = copy_checkpoint(tiny, diffapple.folder / "else where" / "tiny")

    def id_of(model, out, **changes) -> str:
        settings = {"model": model, "out": out, "seed": 3, "steps": 2, **changes}
        options = [part for key, value in settings.items() for part in (f"--{key.replace('_', '-')}", value)]
        return diffapple.ok("ddpm", "--json", *options).reports[0]["id"]

    first = id_of(tiny, "one")
    time.sleep(1.1)
    diffapple.environment["OMP_NUM_THREADS"] = "2"
    assert id_of(elsewhere, "two") == id_of("else where/tiny/", diffapple.folder / "three") == first
    for change in (dict(seed=4), dict(steps=3), dict(height=24), dict(dtype="bf16"), dict(batch_size=2)):
        assert id_of(tiny, "changed", **change) != first, change


def test_id_depends_on_the_weights(diffapple, tiny):
    """Also when they change under the same name, size and second."""
    model = copy_checkpoint(tiny, diffapple.folder / "tiny")
    weights = model / "unet" / "diffusion_pytorch_model.safetensors"
    run = ["ddpm", "--model", model, "--json", "--steps", 1]
    before = diffapple.ok(*run).reports[0]["id"]
    data = bytearray(weights.read_bytes())
    data[-4:] = b"\0\0\0\0"
    weights.write_bytes(data)
    after = diffapple.ok(*run, "--out", "other").reports[0]["id"]
    assert before != after


def test_picture_modes(diffapple):
    for channels, mode in ((1, "L"), (3, "RGB"), (4, "RGBA")):
        shape = dict(TINY, in_channels=channels, out_channels=channels)
        model = make_checkpoint(diffapple.folder / f"channels{channels}", shape)
        result = diffapple.ok("ddpm", "--model", model, "--steps", 1)
        assert Image.open(diffapple.folder / result.paths[0]).mode == mode
