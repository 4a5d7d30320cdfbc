"""The commands about models, devices and finished pictures: inspect, models, devices, show, selftest."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from checkpoints import copy_checkpoint, edit_json
from conftest import PROJECT, STANDIN_MPS, Diffapple, needs_standin_mps, one_line_error
from PIL import Image
from recipes import save_png
from refusals import run_as_nobody
from safetensors.torch import load_file
from sd_checkpoints import make_sd2, make_sd15, make_sdxl

WEIGHTS = "diffusion_pytorch_model.safetensors"


# --- inspect


def test_inspect_counts_what_is_stored(diffapple, small):
    tensors = load_file(small / "unet" / WEIGHTS)
    (summary,) = diffapple.ok("inspect", small, "--json", "--tensors").reports
    (unet,) = summary["components"]
    parameters = sum(tensor.numel() for tensor in tensors.values())
    size = (small / "unet" / WEIGHTS).stat().st_size
    assert (summary["name"], summary["scheduler"]) == ("small", "DDPMScheduler")
    assert (unet["name"], unet["class"], unet["files"]) == ("unet", "UNet2DModel", [WEIGHTS])
    assert (unet["parameters"], unet["dtypes"], unet["bytes"]) == (parameters, {"fp32": parameters}, size)
    assert (summary["total_parameters"], summary["total_bytes"]) == (parameters, size)
    listed = {tensor["name"]: (tensor["dtype"], tensor["shape"]) for tensor in unet["tensors"]}
    assert listed == {name: ("fp32", list(tensor.shape)) for name, tensor in tensors.items()}


def test_inspect_table(diffapple, small):
    table = diffapple.ok("inspect", small).out
    assert "UNet2DModel" in table and "DDPMScheduler" in table and WEIGHTS in table
    assert "conv_in.weight" not in table
    assert "conv_in.weight" in diffapple.ok("inspect", small, "--tensors").out


def test_inspect_names_the_broken_component(diffapple, small):
    broken = copy_checkpoint(small, diffapple.folder / "broken")
    weights = broken / "unet" / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:1000])
    one_line_error(diffapple("inspect", broken), 1, "its unet", WEIGHTS)
    weights.unlink()
    one_line_error(diffapple("inspect", broken, "--json"), 1, "its unet", "no weights found")


def test_inspect_misses_a_listed_component(diffapple, small):
    model = copy_checkpoint(small, diffapple.folder / "model")
    edit_json(model / "model_index.json", vae=["diffusers", "AutoencoderKL"])
    one_line_error(diffapple("inspect", model), 1, "its vae is missing")


def test_inspect_shows_no_escape_sequences(diffapple, small):
    model = copy_checkpoint(small, diffapple.folder / "model")
    edit_json(model / "scheduler" / "scheduler_config.json", _class_name="\x1b[2JDDPMScheduler")
    assert "\x1b" not in diffapple.ok("inspect", model).out


def test_inspect_needs_a_model(diffapple):
    one_line_error(diffapple("inspect", "nothing-here"), 1, "nothing-here")
    one_line_error(diffapple("inspect"), 2, "MODEL")


# --- models


@pytest.fixture
def hub_model(diffapple, tiny) -> Path:
    """The tiny model as the Hub's cache stores google/ddpm-cat-256; returns its repository folder."""
    repository = diffapple.folder / "home/.cache/huggingface/hub/models--google--ddpm-cat-256"
    snapshot = repository / "snapshots" / ("a" * 40)
    (repository / "blobs").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text("a" * 40)
    for source in (path for path in tiny.rglob("*") if path.is_file()):
        blob = repository / "blobs" / source.name
        shutil.copy(source, blob)
        link = snapshot / source.relative_to(tiny)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    (snapshot / "README.md").write_text("---\nlicense: apache-2.0\ntags:\n- cats\n---\n# Cats\n")
    return repository


def models(diffapple) -> dict:
    (listing,) = diffapple.ok("models", "--json").reports
    return {model["name"]: model for model in listing["models"]}


def test_models_says_how_to_get_what_is_missing(diffapple):
    cat = models(diffapple)["google/ddpm-cat-256"]
    assert (cat["found"], cat["command"], cat["path"], cat["licence"]) == (False, "ddpm", None, "apache-2.0")
    assert "diffapple fetch ddpm-cat` (455 MB)" in cat["how_to_get"]
    assert cat["bytes"] == pytest.approx(455e6, rel=0.01)
    assert "diffapple fetch" in diffapple.ok("models").out


def test_models_names_what_an_incomplete_model_lacks(diffapple):
    model = make_sd15(diffapple.folder / "models" / "stable-diffusion-v1-5")
    for file in (model / "unet").glob("*.safetensors"):
        file.unlink()
    (found,) = [m for m in models(diffapple).values() if m["found"] and m["path"].endswith("stable-diffusion-v1-5")]
    assert found["missing"] == ["unet"] and "diffapple fetch" in found["how_to_get"]
    out = diffapple.ok("models").out
    assert "INCOMPLETE: without unet" in out


def test_models_and_the_readme_say_the_same(diffapple):
    """Download lines, and where a copy is of the model that left the Hub; figures are quoted or not measured."""
    out, readme = diffapple.ok("models").out, (PROJECT / "README.md").read_text()
    lines = set(re.findall(r"`?(diffapple fetch [a-z0-9-]+(?: --dtype fp16)?)", out))
    assert len(lines) == 4 and all(f"{line}`" in readme for line in lines), lines
    facts = re.findall(r": (\S+ .B, \S+), no login; on a M2 ([^*]*)\*\.", " ".join(out.split()))
    assert len(facts) == 4 and all(f"| {licence} | {figures} |" in readme for licence, figures in facts), facts
    for text in (out, readme):
        assert "sd2-community/stable-diffusion-2-inpainting" in text and "left the Hub" in text
    assert "quoted from the study" in out


def test_models_knows_the_studys(diffapple):
    licences = {name: (model["command"], model["licence"]) for name, model in models(diffapple).items()}
    assert licences["stable-diffusion-v1-5/stable-diffusion-v1-5"] == ("sd15", "creativeml-openrail-m")
    assert licences["stabilityai/sdxl-turbo"] == ("sdxl-turbo", "sai-nc-community")
    assert licences["stabilityai/stable-diffusion-2-inpainting"] == ("sd2-inpaint", "openrail++")


@pytest.mark.parametrize("place", ["sd2-community/stable-diffusion-2-inpainting", "stable-diffusion-2-inpainting"])
def test_models_knows_a_copy_of_the_studys(diffapple, place):
    """One that has another Hub id, or none: the study's model is not missing then."""
    make_sd2(diffapple.folder / "models" / place)
    listed = models(diffapple)
    assert "stabilityai/stable-diffusion-2-inpainting" not in listed
    assert (listed[place]["command"], listed[place]["licence"]) == ("sd2-inpaint", "openrail++")


def test_models_names_the_command_of_each_found(diffapple):
    """By the UNet alone: its config is all that is read."""
    for name, make in [("a", make_sd15), ("b", make_sd2), ("c", make_sdxl)]:
        make(diffapple.folder / "models" / name)
    found = models(diffapple)
    assert [found[name]["command"] for name in "abc"] == ["sd15", "sd2-inpaint", "sdxl-turbo"]


def test_models_finds_the_hub_cache(diffapple, hub_model):
    cat = models(diffapple)["google/ddpm-cat-256"]
    assert cat["found"] and cat["licence"] == "apache-2.0" and cat["how_to_get"] is None
    assert cat["path"] == str(hub_model / "snapshots" / ("a" * 40))
    assert cat["bytes"] > (hub_model / "blobs" / WEIGHTS).stat().st_size


def test_models_lists_others_with_their_command(diffapple, tiny):
    copy_checkpoint(tiny, diffapple.folder / "models/my-cats")
    other = copy_checkpoint(tiny, diffapple.folder / "models/other")
    edit_json(other / "unet/config.json", _class_name="UNet3DConditionModel")
    listed = models(diffapple)
    assert (listed["my-cats"]["command"], listed["other"]["command"]) == ("ddpm", None)
    table = diffapple.ok("models").out
    assert next(line for line in table.splitlines() if line.startswith("other")).split()[1:3] == ["not", "yet"]


def test_remove_needs_an_answer(diffapple, tiny):
    model = copy_checkpoint(tiny, diffapple.folder / "models/my-cats")
    one_line_error(diffapple("models", "--remove", "my-cats"), 2, "--yes")
    assert model.is_dir()


@pytest.mark.parametrize("answer, code", [("y", 0), ("n", 1), ("", 1)])
def test_remove_asks_on_the_terminal(diffapple, tiny, answer, code):
    model = copy_checkpoint(tiny, diffapple.folder / "models/my-cats")
    leader, follower = pty.openpty()
    with diffapple.start("models", "--remove", "my-cats", stdin=follower) as process:
        os.write(leader, f"{answer}\n".encode())
        out, err = process.communicate(timeout=60)
    os.close(leader)
    os.close(follower)
    assert (process.returncode, model.exists()) == (code, code != 0)
    assert "[y/N]" in err and str(Path("models/my-cats")) in err


def test_remove_from_models(diffapple, tiny):
    kept = copy_checkpoint(tiny, diffapple.folder / "models/kept")
    copy_checkpoint(tiny, diffapple.folder / "models/my-cats")
    (report,) = diffapple.ok("models", "--remove", "my-cats", "--yes", "--json").reports
    assert report["removed"] == "my-cats" and report["bytes"] > 0
    assert sorted(path.name for path in (diffapple.folder / "models").iterdir()) == [kept.name]


def test_remove_from_the_hub_cache_takes_the_repository(diffapple, hub_model):
    other = hub_model.with_name("models--other--cats")
    other.mkdir()
    diffapple.ok("models", "--remove", "google/ddpm-cat-256", "--yes")
    assert not hub_model.exists() and other.is_dir()


def test_remove_follows_no_links(diffapple, tiny):
    outside = copy_checkpoint(tiny, diffapple.folder / "outside")
    inside = copy_checkpoint(tiny, diffapple.folder / "models/inside")
    (inside / "link").symlink_to(outside)
    (inside / "file").symlink_to(outside / "model_index.json")
    linked = diffapple.folder / "models/linked"
    linked.symlink_to(outside)
    before = sorted(outside.rglob("*"))
    diffapple.ok("models", "--remove", "inside", "--yes")
    diffapple.ok("models", "--remove", "linked", "--yes")
    assert not inside.exists() and not linked.is_symlink()
    assert sorted(outside.rglob("*")) == before


@pytest.mark.parametrize(
    "name", ["outside", "./outside", "../models/my-cats", "models/my-cats", "/", ".", "..", "none"]
)
def test_remove_takes_names_not_paths(diffapple, tiny, name):
    outside = copy_checkpoint(tiny, diffapple.folder / "outside")
    model = copy_checkpoint(tiny, diffapple.folder / "models/my-cats")
    one_line_error(diffapple("models", "--remove", name, "--yes"), 1, "no model of that name")
    assert outside.is_dir() and model.is_dir()


def test_remove_keeps_the_demo(diffapple, tiny):
    demo = copy_checkpoint(tiny, diffapple.folder / "models/ddpm-cat-demo")
    one_line_error(diffapple("models", "--remove", "ddpm-cat-demo"), 2, "comes with the program", "--yes")
    assert demo.is_dir()
    diffapple.ok("models", "--remove", "ddpm-cat-demo", "--yes")
    assert not demo.exists()


def test_remove_says_what_it_cannot_remove(diffapple, tiny):
    model = copy_checkpoint(tiny, diffapple.folder / "models/my-cats")
    model.chmod(0o555)
    one_line_error(run_as_nobody(diffapple, "models", "--remove", "my-cats", "--yes"), 1, "cannot be removed")
    model.chmod(0o755)
    assert model.exists()


def test_yes_alone_is_a_wrong_call(diffapple):
    one_line_error(diffapple("models", "--yes"), 2, "--remove")


# --- devices


def test_devices(diffapple):
    (report,) = diffapple.ok("devices", "--json").reports
    devices = {device["name"]: device for device in report["devices"]}
    assert devices["cpu"]["available"] and 0 < devices["cpu"]["free_memory"] <= devices["cpu"]["total_memory"]
    assert {d["dtype"]: d["usable"] for d in devices["cpu"]["dtypes"]} == {"fp32": True, "fp16": False, "bf16": True}
    assert {name.split(":")[0] for name in devices} == {"cpu", "cuda", "mps"}
    assert report["libtorch"][0].isdigit() and report["threads"] >= 1 and report["auto"] in devices
    table = diffapple.ok("devices").out
    assert "LibTorch " + report["libtorch"] in table and "bf16" in table


# --- show


@pytest.fixture
def picture(diffapple, tiny) -> Path:
    return diffapple.folder / diffapple.ok("ddpm", "--model", tiny, "--steps", 2).paths[0]


def test_show_prints_both_texts(diffapple, picture):
    stored = Image.open(picture).text
    (report,) = diffapple.ok("show", picture, "--json").reports
    assert (report["file"], report["width"], report["height"]) == (str(picture), 16, 16)
    assert report["parameters"] == stored["parameters"]
    assert report["recipe"] == json.loads(stored["diffapple"])
    assert report["text"] == stored
    shown = diffapple.ok("show", picture).out
    assert stored["parameters"] in shown and report["recipe"]["id"] in shown


def test_show_prints_other_software(diffapple):
    path = save_png(diffapple.folder / "x.png", Software="Cat Painter", prompt="une chatte grisée, 猫")
    shown = diffapple.ok("show", path).out
    assert "Cat Painter" in shown and "une chatte grisée, 猫" in shown
    (report,) = diffapple.ok("show", path, "--json").reports
    assert (report["parameters"], report["recipe"], report["text"]["Software"]) == (None, None, "Cat Painter")


def test_show_sends_no_escape_sequences(diffapple):
    path = save_png(diffapple.folder / "x.png", parameters="\x1b]0;owned\x07 \x1b[2J\rSteps: 1", Comment="\x9b2J")
    shown = diffapple.ok("show", path).out
    assert not set("\x1b\x07\r\x9b") & set(shown)
    assert "Steps: 1" in shown


def test_show_doubts_a_changed_recipe(diffapple, picture):
    stored = Image.open(picture).text["diffapple"]
    assert '"seed":42' in stored
    changed = save_png(diffapple.folder / "x.png", diffapple=stored.replace('"seed":42', '"seed":43'))
    result = diffapple("show", changed)
    assert result.code == 1 and "id" in result.err and '"seed":43' in result.out
    result = diffapple("show", changed, "--json")
    assert result.code == 1 and result.reports[0]["recipe"] is None


def test_show_refuses_what_has_no_text(diffapple):
    one_line_error(diffapple("show", save_png(diffapple.folder / "plain.png")), 1, "plain.png", "no text")
    (diffapple.folder / "x.txt").write_text("no picture")
    one_line_error(diffapple("show", "x.txt"), 1, "x.txt")
    one_line_error(diffapple("show", "missing.png"), 1, "missing.png")
    one_line_error(diffapple("show"), 2, "FILE")


# --- selftest


def check_selftest(result, device: str, dtypes: set):
    (report,) = result.reports
    failed = [check for check in report["checks"] if not check["ok"]]
    assert (result.code, failed, report["failed"]) == (0, [], 0), result.err
    assert report["device"] == device and report["passed"] == len(report["checks"]) > 50
    assert {check["dtype"] for check in report["checks"]} == {*dtypes, "-"}
    assert {"linear", "UNet2D, as ddpm-cat-256", "scheduler ddpm, steps", "ddpm run of 8 steps"} <= {
        check["check"] for check in report["checks"]
    }
    assert report["seconds"] < 300


def test_selftest_on_the_cpu(diffapple):
    check_selftest(diffapple("selftest", "--device", "cpu", "--json"), "cpu", {"fp32", "bf16"})


def test_selftest_table(diffapple):
    result = diffapple.ok("selftest", "--device", "cpu", "--dtype", "fp32")
    header, *rows = result.out.splitlines()
    assert header.split() == ["check", "dtype", "error", "limit"]
    assert all(row.endswith(" ok") for row in rows)
    assert f"all {len(rows)} checks passed on cpu" in result.err


@needs_standin_mps
def test_selftest_on_the_standin(tmp_path):
    standin = Diffapple(tmp_path, STANDIN_MPS)
    result = standin("selftest", "--device", "mps", "--dtype", "fp32,fp16", "--speed", "off", "--json")
    check_selftest(result, "mps", {"fp32", "fp16"})


@pytest.mark.parametrize("dtype", ["fp16", "fp64", "fp32,", ""])
def test_selftest_refuses_a_dtype(diffapple, dtype):
    result = diffapple("selftest", "--device", "cpu", "--dtype", dtype)
    assert result.code == 2 and len(result.err.splitlines()) == 1


def test_selftest_can_be_interrupted(diffapple):
    with diffapple.start("selftest", "--device", "cpu", stderr=subprocess.STDOUT) as process:
        assert "selftest on cpu" in process.stdout.readline()
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
