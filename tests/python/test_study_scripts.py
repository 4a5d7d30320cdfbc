"""The study's experiments as shell scripts, run with small models; and the one command that each names beside it."""

import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
from checkpoints import TINY, make_checkpoint
from conftest import PROGRAM, PROJECT, Diffapple
from PIL import Image
from sd_checkpoints import make_sd2, make_sd15, make_sdxl

SCRIPTS = PROJECT / "scripts" / "experiments"
MAKERS = {
    "ddpm": lambda folder: make_checkpoint(folder, TINY),
    "sd15_guidance": make_sd15,
    "sdxl_turbo_guidance": make_sdxl,
    "sdxl_turbo_steps": make_sdxl,
    "sd2_inpaint": make_sd2,
}
PICTURES = {"ddpm": 7, "sd15_guidance": 8, "sdxl_turbo_guidance": 8, "sdxl_turbo_steps": 10, "sd2_inpaint": 8}


def run_script(folder: Path, name: str, *arguments, **variables) -> subprocess.CompletedProcess:
    environment = {**Diffapple(folder).variables(), "DIFFAPPLE": str(PROGRAM), **variables}
    command = ["bash", SCRIPTS / f"{name}.sh", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def pictures(folder: Path) -> int:
    return len([path for path in folder.rglob("*.png") if not path.name.startswith("sheet_")])


def one_command(name: str) -> list[str]:
    """The command that a script's comment names."""
    lines = (SCRIPTS / f"{name}.sh").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("#     build/diffapple ")]
    return shlex.split(line.removeprefix("#     build/diffapple "))


@pytest.mark.parametrize("name", MAKERS)
def test_script(tmp_path, name):
    model = MAKERS[name](tmp_path / "models" / "m")
    settings = dict(MODEL=str(model), SEED="7", DEVICE="cpu", DTYPE="fp32", OUT="results")
    result = run_script(tmp_path, name, **settings)
    assert result.returncode == 0, result.stderr
    assert pictures(tmp_path / "results") == PICTURES[name]
    results = [path.removeprefix("results/") for path in result.stdout.splitlines()]
    assert len(results) == PICTURES[name] - (4 if name == "sd2_inpaint" else 0)
    assert all("seed7_" in path for path in results)
    (sheet,) = (tmp_path / "results").rglob("sheet_*.png")
    assert result.stderr.rstrip().endswith(sheet.name), "the script ends with it"
    if name == "ddpm":  # batches of several sizes take several commands
        return
    places = {"IMAGE": "results/example_image.bmp", "MASK": "results/example_mask.bmp"}
    command = [places.get(word, word) for word in one_command(name)]
    reports = Diffapple(tmp_path).ok(*command, "--model", model, "--seed", 7, "--out", "results", "--json").reports
    assert {r["path"].removeprefix("results/") for r in reports} == set(results) and all(r["skipped"] for r in reports)
    assert len(list((tmp_path / "results").rglob("sheet_*.png"))) == 1, "that of the script"


def test_arguments_are_passed_on(tmp_path):
    model = make_sd15(tmp_path / "models" / "m")
    result = run_script(tmp_path, "sd15_guidance", "--json", MODEL=str(model))
    assert result.returncode == 0 and result.stdout.count('"guidance"') == 8
    assert len(list(tmp_path.rglob("sheet_*"))) == 1


def test_a_prompt_replaces_the_studys(tmp_path):
    model = make_sd15(tmp_path / "models" / "m")
    result = run_script(tmp_path, "sd15_guidance", "--prompt", "a dog", "--steps", 2, MODEL=str(model))
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 4 and all("/a_dog/" in path for path in result.stdout.splitlines())


@pytest.mark.parametrize(
    ("name", "arguments", "count"),
    [
        ("sdxl_turbo_steps", ["--steps", "3"], 2),
        ("sdxl_turbo_guidance", ["--num-inference-steps=3", "--cfg-scale", "0"], 2),
        ("sd2_inpaint", ["--steps", "2", "--image", "mine.png", "--mask", "mask.png", "--prompt", "a dog"], 1),
        ("sd2_inpaint", ["--steps=2", "--init-image=mine.png", "--mask_image", "mask.png", "-p", "a dog"], 1),
        ("ddpm", ["--steps", "3", "--batch-size", "2", "--out", "elsewhere"], 2),
        ("ddpm", ["--num_inference_steps=3", "-b3", "-o", "elsewhere", "-s", "1"], 3),
    ],
)
def test_arguments_replace_what_the_script_says(tmp_path, name, arguments, count):
    """Also the picture: no script needs editing."""
    for file in ("mine", "mask"):
        Image.new("RGB", (64, 64), "white").save(tmp_path / f"{file}.png")
    model = MAKERS[name](tmp_path / "models" / "m")
    result = run_script(tmp_path, name, *arguments, MODEL=str(model))
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == count
    assert not (tmp_path / "out" / "example_image.bmp").exists()
    assert name != "ddpm" or pictures(tmp_path / "elsewhere") == count and not (tmp_path / "out").exists()
    (sheet,) = tmp_path.rglob("sheet_*.png") if count > 1 else [None]
    assert not sheet or result.stderr.rstrip().endswith(sheet.name), "the script ends with it"


def test_all_four_with_the_demos(tmp_path):
    """The sheet and the page of the README's first screen."""
    result = run_script(tmp_path, "all", "--steps", 2, SEED="3,4", DEVICE="cpu", OUT="results")
    assert result.returncode == 0, result.stderr
    comparisons = 2 * 2  # of the inpainted pictures
    assert len(result.stdout.splitlines()) == pictures(tmp_path / "results") - 1 - comparisons == 2 * 7
    assert Image.open(tmp_path / "results/all.png").width > 2 * 96
    assert (tmp_path / "results/report.html").read_text().count("demo") >= 4
    assert run_script(tmp_path, "all", "--steps=2", "-o", "results", SEED="3,4", DEVICE="cpu").returncode == 0, "again"
    assert not (tmp_path / "out").exists()


def test_example_of_the_inpainting_script(tmp_path):
    """Its own image and mask, as Pillow reads them."""
    run_script(tmp_path, "sd2_inpaint", DIFFAPPLE="true")
    assert not (tmp_path / "out").exists(), "`true` is no path of a program"
    run_script(tmp_path, "sd2_inpaint", DIFFAPPLE="/bin/true")
    image, mask = (Image.open(tmp_path / "out" / f"example_{kind}.bmp").convert("RGB") for kind in ("image", "mask"))
    assert image.size == mask.size == (512, 512)
    values = np.asarray(mask)
    assert set(np.unique(values)) == {0, 255} and 0.2 < (values == 255).mean() < 0.5
    sky, lawn = np.asarray(image)[10, 256].astype(int), np.asarray(image)[500, 256].astype(int)
    assert sky[2] > sky[0] and lawn[1] > lawn[2]


def test_table(tmp_path):
    """What it asks of bench: the figures take minutes."""
    result = run_script(tmp_path, "table", "--repeats", 1, DIFFAPPLE="/bin/echo", DEVICE="cpu", DTYPE="bf16")
    assert result.stdout == "bench --preset study --devices cpu --dtypes bf16 --repeats 1\n"
    result = run_script(tmp_path, "table", "--devices=mps", "--preset", "quick", DIFFAPPLE="/bin/echo", DEVICE="cpu")
    assert result.stdout == "bench --devices=mps --preset quick\n"


def test_without_the_program(tmp_path):
    result = run_script(tmp_path, "ddpm", DIFFAPPLE="/nowhere/diffapple")
    assert result.returncode == 1 and "scripts/setup.sh" in result.stderr
