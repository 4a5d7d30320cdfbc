"""The command line as a contract: what goes to stdout and stderr, file names, recipes, sweeps, interrupts, where models
are found, exit codes."""

import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import TINY, copy_checkpoint, edit_json, make_checkpoint, write_json
from conftest import PROGRAM, leftovers, run_on_terminal
from diffusers import DDPMScheduler, UNet2DModel
from PIL import Image
from recipes import A1111_SETTING
from safetensors.torch import save_file

JSON_FIELDS = set(
    "path seed index prompt negative_prompt steps guidance scheduler width height model device dtype seconds it_per_s "
    "peak_bytes id skipped".split()
)


@pytest.fixture
def ddpm(diffapple, tiny):
    """`diffapple ddpm` with the tiny model, a step or more."""

    def run(*arguments, **options):
        return diffapple("ddpm", "--model", tiny, *arguments, **options)

    run.folder = diffapple.folder
    return run


def pixels(path) -> np.ndarray:
    return np.asarray(Image.open(path))


def chunks(path) -> dict:
    image = Image.open(path)
    image.load()
    return image.text


def recipe(path) -> dict:
    return json.loads(chunks(path)["diffapple"])


def pngs(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))


# --- stdout and stderr


def test_stdout_holds_the_paths(ddpm):
    result = ddpm("--steps", 2, "--seed", "3,1", "--batch-size", 2)
    assert result.code == 0
    assert result.out.splitlines() == [
        f"out/ddpm_cat/uncond/seed{seed}_i{i}_n2_model-tiny.png" for seed in (3, 1) for i in (0, 1)
    ]
    assert all((ddpm.folder / path).is_file() for path in result.paths)
    assert "it/s" in result.err or "s/it" in result.err


def test_json_is_all_of_stdout(ddpm):
    result = ddpm("--steps", "2,3", "--seed", 7, "--batch-size", 2, "--json", "--height", 24)
    assert result.code == 0
    assert [(r["steps"], r["index"]) for r in result.reports] == [(2, 0), (2, 1), (3, 0), (3, 1)]
    for report in result.reports:
        assert set(report) == JSON_FIELDS
        picture = ddpm.folder / report["path"]
        assert Image.open(picture).size == (16, 24)
        expected = dict(prompt=None, negative_prompt=None, guidance=None, seed=7, scheduler="ddpm", width=16, height=24)
        assert {key: report[key] for key in expected} == expected
        assert (report["model"], report["device"], report["dtype"], report["skipped"]) == ("tiny", "cpu", "fp32", False)
        assert report["id"] == recipe(picture)["id"]
        assert report["it_per_s"] == pytest.approx(report["steps"] / report["seconds"], rel=0.01)
        assert 10e6 < report["peak_bytes"] < 10e9
    assert len({report["id"] for report in result.reports}) == 4


def test_quiet_says_nothing(ddpm):
    result = ddpm("--steps", 2, "--quiet")
    assert (result.code, result.err, len(result.paths)) == (0, "", 1)


def test_quiet_still_says_errors(ddpm):
    result = ddpm("--steps", 0, "--quiet")
    assert (result.code, result.out, len(result.err.splitlines())) == (2, "", 1)


def test_progress_is_plain_lines_in_a_pipe(ddpm):
    result = ddpm("--steps", 30, "--seed", "0..3")
    assert result.code == 0
    assert "\r" not in result.err and "\x1b" not in result.err
    assert len(result.err.splitlines()) <= 2 * 4, "more than sparse lines"


def test_progress_is_a_bar_on_a_terminal(diffapple, tiny):
    command = diffapple.command("ddpm", "--model", tiny, "--steps", 300)
    code, written = run_on_terminal(command, diffapple.folder, diffapple.variables())
    assert code == 0
    assert written.count("\r") >= 3
    assert re.search(r"\b\d+/300\b", written) and "300/300" in written
    assert re.search(r"[\d.]+ it/s", written)
    assert re.search(r"\d+:\d\d left", written)
    assert written.endswith("\n")


def test_quiet_draws_no_bar(diffapple, tiny):
    command = diffapple.command("ddpm", "--model", tiny, "--steps", 30, "--quiet")
    assert run_on_terminal(command, diffapple.folder, diffapple.variables()) == (0, "")


# --- names


def test_the_studys_names(diffapple, tiny):
    folder = copy_checkpoint(tiny, diffapple.folder / "models" / "google" / "ddpm-cat-256")
    assert folder.is_dir()
    result = diffapple.ok("ddpm", "--steps", "1,2", "--seed", "0..1")
    names = [f"out/ddpm_cat/uncond/seed{seed}_i0_n{steps}.png" for steps in (1, 2) for seed in (0, 1)]
    assert result.out.splitlines() == names


def test_settings_never_collide(ddpm):
    """One name for each picture: all of these into one folder, none refused."""
    runs = [
        {},
        {"--seed": 1},
        {"--steps": 3},
        {"--width": 24},
        {"--height": 24},
        {"--dtype": "bf16"},
    ]
    paths = []
    for options in runs:
        settings = {"--seed": 0, "--steps": 2, **options}
        result = ddpm(*[part for option in settings.items() for part in option])
        assert result.code == 0, (options, result.err)
        paths += result.paths
    assert len(set(paths)) == len(paths) == 6
    names = [path.name for path in paths]
    assert "seed0_i0_n2_model-tiny.png" in names
    assert any("_size-24x16" in name for name in names)
    assert any("_size-16x24" in name for name in names)
    assert any("_dtype-bf16" in name for name in names)


def test_another_batch_size_replaces_nothing(ddpm):
    """Its pictures differ (each step draws noise for the whole batch), but the study's names do not show it."""
    path = ddpm.folder / ddpm("--steps", 2, "--seed", 0).paths[0]
    before = path.read_bytes()
    refused = ddpm("--steps", 2, "--seed", 0, "--batch-size", 2)
    assert refused.code == 1
    assert "batch_size 2 instead of 1" in refused.err
    assert path.read_bytes() == before
    assert len(pngs(ddpm.folder)) == 1


def test_latents_get_a_name_of_their_own(ddpm):
    for seed in (1, 2):
        noise = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
        save_file({"latents": noise}, ddpm.folder / f"{seed}.safetensors")
        assert ddpm("--steps", 2, "--latents", f"{seed}.safetensors").code == 0
    assert ddpm("--steps", 2).code == 0
    assert len(pngs(ddpm.folder)) == 3


def test_demo_pictures_have_a_folder_of_their_own(diffapple, tiny):
    copy_checkpoint(tiny, diffapple.folder / "models" / "ddpm-cat-demo")
    result = diffapple.ok("ddpm", "--model", "ddpm-cat-demo", "--steps", 2, "--seed", 0)
    assert result.out == "out/ddpm_cat_demo/uncond/seed0_i0_n2.png\n"


def test_out_folder(ddpm):
    result = ddpm("--steps", 1, "--out", "a/new folder")
    assert result.code == 0
    assert pngs(ddpm.folder) == ["a/new folder/ddpm_cat/uncond/seed42_i0_n1_model-tiny.png"]


def test_defaults_are_seed_42_and_100_steps(ddpm):
    result = ddpm("--json")
    assert [(r["seed"], r["steps"], r["index"]) for r in result.reports] == [(42, 100, 0)]


# --- pictures that exist


def test_a_sweep_skips_what_is_made(ddpm):
    first = ddpm("--steps", 2, "--seed", "0,1", "--json")
    files = {path: (ddpm.folder / path).stat().st_mtime_ns for path in pngs(ddpm.folder)}
    again = ddpm("--steps", 2, "--seed", "0..2", "--json")
    assert [r["skipped"] for r in first.reports] == [False, False]
    assert [r["skipped"] for r in again.reports] == [True, True, False]
    assert [r["id"] for r in again.reports][:2] == [r["id"] for r in first.reports]
    assert {path: (ddpm.folder / path).stat().st_mtime_ns for path in files} == files


def test_a_batch_that_is_not_whole_is_made_again(ddpm):
    arguments = ["--steps", 2, "--seed", "0,1", "--batch-size", 2, "--json"]
    paths = [ddpm.folder / r["path"] for r in ddpm(*arguments).reports]
    before = pixels(paths[1])
    paths[1].unlink()
    kept = paths[0].stat().st_mtime_ns
    assert [r["skipped"] for r in ddpm(*arguments).reports] == [True, False, True, True]
    assert paths[0].stat().st_mtime_ns == kept
    assert np.array_equal(pixels(paths[1]), before)


def test_one_batch_is_made_again(ddpm):
    path = ddpm.folder / ddpm("--steps", 2).paths[0]
    before, time_before = pixels(path), path.stat().st_mtime_ns
    result = ddpm("--steps", 2, "--json")
    assert [r["skipped"] for r in result.reports] == [False]
    assert path.stat().st_mtime_ns > time_before
    assert np.array_equal(pixels(path), before)


def test_force_makes_a_sweep_again(ddpm):
    arguments = ["--steps", 2, "--seed", "0,1", "--json"]
    ddpm(*arguments)
    assert [r["skipped"] for r in ddpm(*arguments, "--force").reports] == [False, False]


@pytest.mark.parametrize("seeds", ["0", "0,1"])
def test_a_picture_of_another_recipe_is_kept(diffapple, tiny, seeds):
    """The same name, other weights: refused before anything is made, naming what differs; --force replaces it."""
    model = copy_checkpoint(tiny, diffapple.folder / "tiny")
    arguments = ["ddpm", "--model", model, "--steps", 2, "--seed", seeds]
    path = diffapple.folder / diffapple.ok(*arguments).paths[0]
    before = path.read_bytes()
    edit_json(model / "scheduler" / "scheduler_config.json", clip_sample_range=0.3)
    refused = diffapple(*arguments)
    assert refused.code == 1
    assert refused.out == ""
    assert len(refused.err.splitlines()) == 1
    assert path.name in refused.err and "clip_sample_range" in refused.err and "--force" in refused.err
    assert path.read_bytes() == before
    diffapple.ok(*arguments, "--force")
    assert path.read_bytes() != before


@pytest.mark.parametrize("content", [b"", b"not a picture", None], ids=["empty", "text", "foreign_png"])
def test_a_foreign_file_is_kept(ddpm, content):
    path = ddpm.folder / ddpm("--steps", 2).paths[0]
    if content is None:
        Image.new("RGB", (16, 16)).save(path)
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    refused = ddpm("--steps", 2)
    assert (refused.code, refused.out, len(refused.err.splitlines())) == (1, "", 1)
    assert path.read_bytes() == before
    assert ddpm("--steps", 2, "--force").code == 0
    assert recipe(path)["recipe"]["settings"]["steps"] == 2


# --- lists


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("5", [5]), ("0,2,4", [0, 2, 4]), ("0..3", [0, 1, 2, 3]), ("7,0..2,5", [7, 0, 1, 2, 5]), ("3..3", [3])],
)
def test_lists(ddpm, text, seeds):
    result = ddpm("--steps", 1, "--seed", text, "--json")
    assert [r["seed"] for r in result.reports] == seeds


@pytest.mark.parametrize("option", ["--seed", "--steps"])
@pytest.mark.parametrize(
    "text",
    ["", ",", "1,", ",1", "1,,2", "3..1", "1..", "..3", "1...3", "1..2..3", "a", "1.5", "1e3", "0x10", "1;2", "-1", " ",
     "99999999999999999999", "1..99999999999999", "nan", "+1", "1 2"],
)  # fmt: skip
def test_bad_lists(ddpm, option, text):
    result = ddpm(f"{option}={text}", timeout=10)
    assert (result.code, result.out, len(result.err.splitlines())) == (2, "", 1)
    assert option in result.err


def test_lists_take_the_same_noise_as_single_runs(ddpm):
    together = ddpm("--steps", 5, "--seed", "0..3", "--out", "together")
    for seed, path in enumerate(together.paths):
        alone = ddpm("--steps", 5, "--seed", seed, "--out", "alone")
        assert np.array_equal(pixels(ddpm.folder / alone.paths[0]), pixels(ddpm.folder / path))


# --- exit codes of wrong calls


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["paint"],
        ["ddpm", "--no-such-option"],
        ["ddpm", "surplus"],
        ["ddpm", "--steps"],
        ["ddpm", "--device", "tpu"],
        ["ddpm", "--device", "cpu:0:0"],
        ["ddpm", "--dtype", "fp8"],
        ["ddpm", "--dtype", "fp16", "--device", "cpu"],
        ["ddpm", "--scheduler", "nonsense"],
        ["ddpm", "--steps", "5000"],
        ["ddpm", "--batch-size", "0"],
        ["ddpm", "--batch-size", "-3"],
        ["ddpm", "--batch-size", "two"],
        ["ddpm", "--width", "0"],
        ["ddpm", "--height", "-8"],
        ["ddpm", "--width", "99999999999999999999"],
        ["ddpm", "--seed", "0,1", "--save-latents", "x.safetensors"],
        ["ddpm", "--steps", "1,2", "--save-latents", "x.safetensors"],
        ["ddpm", "--seed", "0,1", "--latents", "x.safetensors"],
        ["ddpm", "--seed", "0,1", "--latents", "absent.safetensors"],
        ["ddpm", "--model", ""],
    ],
    ids=" ".join,
)
def test_wrong_calls(diffapple, tiny, arguments):
    if "ddpm" in arguments and "--model" not in arguments:
        arguments = ["ddpm", "--model", tiny, *arguments[1:]]
    if "--latents" in arguments:
        save_file({"latents": torch.zeros(1, 3, 16, 16)}, diffapple.folder / "x.safetensors")
    result = diffapple(*arguments, timeout=20)
    assert (result.code, result.out) == (2, "")
    assert len(result.err.splitlines()) == 1
    assert pngs(diffapple.folder) == []


def test_fp16_on_the_cpu_names_bf16(ddpm):
    result = ddpm("--dtype", "fp16", "--device", "cpu")
    assert result.code == 2
    assert "bf16" in result.err


def test_a_size_the_unet_cannot_make_names_the_factor(diffapple, small):
    result = diffapple("ddpm", "--model", small, "--width", 17)
    assert result.code == 2
    assert "--width" in result.err and "multiples of 2" in result.err


@pytest.mark.skipif(sys.platform != "linux", reason="a Mac has mps")
def test_mps_on_linux(ddpm):
    result = ddpm("--device", "mps")
    assert (result.code, result.out, len(result.err.splitlines())) == (1, "", 1)
    assert "mps" in result.err


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:7"])
def test_cuda_absent(ddpm, device):
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    result = ddpm("--device", device)
    assert (result.code, result.out, len(result.err.splitlines())) == (1, "", 1)
    assert "cuda" in result.err.lower()


# --- metadata


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


# --- interrupts


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_of_a_run(diffapple, tiny, stop):
    arguments = ["ddpm", "--model", tiny, "--steps", 500, "--seed", "0..30"]
    process = diffapple.start(*arguments)
    first = Path(process.stdout.readline().strip())
    time.sleep(0.1)
    process.send_signal(stop)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "interrupted" in err.splitlines()[-1]
    finished = [str(first), *out.splitlines()]
    assert 1 <= len(finished) < 31
    # What is there is whole: the pictures on stdout, perhaps one that was saved but not yet printed.
    present = pngs(diffapple.folder)
    assert set(finished) <= set(present) and len(present) <= len(finished) + 1
    for path in present:
        pixels(diffapple.folder / path)
        recipe(diffapple.folder / path)
    assert leftovers(diffapple.folder) == []


def test_the_same_command_goes_on_after_an_interrupt(diffapple, tiny):
    arguments = ["ddpm", "--model", tiny, "--steps", 200, "--seed", "0..5"]
    process = diffapple.start(*arguments)
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130
    made = len(pngs(diffapple.folder))
    assert 1 <= made < 6
    reports = diffapple.ok(*arguments, "--json").reports
    assert [r["skipped"] for r in reports] == [True] * made + [False] * (6 - made)


def make_slow_checkpoint(folder: Path) -> Path:
    """Weights of 4 GB, nearly all of it a hole in the file: slow to hash and to load."""
    config = dict(TINY, block_out_channels=(4096,), layers_per_block=1)
    with torch.device("meta"):
        unet = UNet2DModel(**config)
    header, offset = {}, 0
    for name, tensor in unet.state_dict().items():
        size = 4 * tensor.numel()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    write_json(folder / "unet" / "config.json", {"_class_name": "UNet2DModel", **config})
    DDPMScheduler().save_pretrained(folder / "scheduler")
    with open(folder / "unet" / "diffusion_pytorch_model.safetensors", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + offset)
    return folder


def wait_until_it_listens(process: subprocess.Popen) -> None:
    """Until the program has its own handler for SIGINT, and a moment more."""
    status = Path(f"/proc/{process.pid}/status")
    deadline = time.monotonic() + 20
    while status.exists() and time.monotonic() < deadline:
        caught = re.search(r"SigCgt:\s*(\w+)", status.read_text())
        if caught and int(caught[1], 16) >> (signal.SIGINT - 1) & 1:
            break
        time.sleep(0.02)
    time.sleep(0.5 if status.exists() else 3)
    assert process.poll() is None, "ended too fast: this test shows nothing"


def test_interrupt_while_loading(diffapple):
    model = make_slow_checkpoint(diffapple.folder / "slow")
    process = diffapple.start("ddpm", "--model", model, "--steps", 1)
    wait_until_it_listens(process)
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert time.monotonic() - asked < 3
    assert out == ""
    assert len(err.splitlines()) == 1
    assert pngs(diffapple.folder) == []
    assert leftovers(diffapple.folder) == []


def test_a_second_interrupt_ends_at_once(diffapple, small):
    process = diffapple.start("ddpm", "--model", small, "--steps", 3, "--batch-size", 64, "--height", 256)
    wait_until_it_listens(process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=5)
    assert process.returncode in (130, -signal.SIGINT)


# --- where models are found


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
    for part in ("google/ddpm-cat-256", "ddpm-cat-demo", "hf download google/ddpm-cat-256", "models/ddpm-cat-256"):
        assert part in message


def test_the_studys_model_is_never_replaced_silently(bare, tiny):
    copy_checkpoint(tiny, bare.folder / "models" / "ddpm-cat-demo")
    result = bare("ddpm", "--model", "google/ddpm-cat-256", "--steps", 1)
    assert (result.code, result.out, len(result.err.splitlines())) == (1, "", 1)
    assert "google/ddpm-cat-256" in result.err and "hf download" in result.err


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


# --- speed


@pytest.mark.parametrize("arguments", [["--help"], ["ddpm", "--help"], ["--version"]], ids=" ".join)
def test_help_is_fast(diffapple, arguments):
    """Processor time, because the machine may be busy with other tests."""

    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        result = diffapple(*arguments)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert (result.code, result.err) == (0, "")
        assert "diffapple" in result.out or "--steps" in result.out
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(5)) < 0.5
