"""What a run gives: paths or JSON on stdout, progress on stderr, the names of its pictures; and which pictures that
exist it skips, makes again or keeps."""

import re

import numpy as np
import pytest
import torch
from checkpoints import copy_checkpoint, edit_json
from conftest import run_on_terminal
from finished import pixels, pngs, recipe
from PIL import Image
from safetensors.torch import load_file, save_file

JSON_FIELDS = set(
    "path seed index prompt negative_prompt steps guidance scheduler width height model device dtype seconds it_per_s "
    "peak_bytes id skipped".split()
)


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


def test_a_dumb_terminal_gets_plain_lines(diffapple, tiny):
    command = diffapple.command("ddpm", "--model", tiny, "--steps", 300)
    code, written = run_on_terminal(command, diffapple.folder, {**diffapple.variables(), "TERM": "dumb"})
    assert code == 0 and "300/300" in written
    assert "\x1b" not in written and "\r" not in written.replace("\r\n", "\n")


def test_quiet_draws_no_bar(diffapple, tiny):
    command = diffapple.command("ddpm", "--model", tiny, "--steps", 30, "--quiet")
    assert run_on_terminal(command, diffapple.folder, diffapple.variables()) == (0, "")


EVIL, SHOWN = "\x1b[31m\u202e", "\\x1b[31m\\u{202e}"


def test_notes_show_escape_sequences_instead_of_sending_them(ddpm):
    result = ddpm("--steps", 1, "--seed", "0,1", "--out", f"a{EVIL}b")
    assert result.code == 0, result.err
    assert f"contact sheet: a{SHOWN}b/" in result.err
    assert not set(EVIL[0] + EVIL[-1]) & set(result.err)
    assert len(result.paths) == 2 and all((ddpm.folder / path).is_file() for path in result.paths), "for scripts"


def test_terminals_get_no_escape_sequences_of_others(diffapple, tiny):
    options = ("--steps", 1, "--seed", "0,1", "--out", f"a{EVIL}b")
    command = diffapple.command("ddpm", "--model", tiny, *options)
    code, written = run_on_terminal(command, diffapple.folder, diffapple.variables(), with_stdout=True)
    assert code == 0
    assert f"\na{SHOWN}b/ddpm_cat/uncond/seed1" in written.replace("\r", "\n")
    assert "\x1b[31m" not in written and "\u202e" not in written
    command = diffapple.command("ddpm", "--model", tiny, *options, "--json")
    code, written = run_on_terminal(command, diffapple.folder, diffapple.variables(), with_stdout=True)
    assert code == 0 and r'"path":"a\u001b[31m\u202eb/' in written
    assert "\x1b[31m" not in written and "\u202e" not in written


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


def test_a_taken_name_is_another_with_if_exists(ddpm):
    """rename keeps both pictures, and finds the renamed one again; replace leaves what is the picture wanted."""
    options = ["--steps", 2, "--seed", "0,1", "--json"]
    first = ddpm(*options).reports
    refused = ddpm(*options, "--batch-size", 2)
    assert refused.code == 1 and "--if-exists rename" in refused.err and "--out" in refused.err
    renamed = [ddpm(*options, "--batch-size", 2, "--if-exists", "rename").reports for _ in range(2)]
    assert [r["path"] for r in renamed[0] if r["index"] == 0] == [r["path"].replace(".png", "_2.png") for r in first]
    assert [r["skipped"] for r in renamed[0]] == [False] * 4 and [r["skipped"] for r in renamed[1]] == [True] * 4
    assert [r["skipped"] for r in ddpm(*options, "--if-exists", "replace").reports] == [True, True]
    replaced = ddpm(*options, "--batch-size", 2, "--if-exists", "replace").reports
    assert [r["path"] for r in replaced if r["index"] == 0] == [r["path"] for r in first]


def test_what_differs_is_said_in_words(diffapple, tiny, small):
    model = copy_checkpoint(tiny, diffapple.folder / "m")
    arguments = ["ddpm", "--model", model, "--steps", 1]
    diffapple.ok(*arguments)
    weights = next((model / "unet").glob("*.safetensors"))
    tensors = load_file(weights)
    save_file({name: tensor + 1e-3 for name, tensor in tensors.items()}, weights)
    refused = diffapple(*arguments)
    assert refused.code == 1 and "other weights of the unet" in refused.err
    assert not re.search(r"[0-9a-f]{16}", refused.err)


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
