"""Sweeps: shards, the contact sheet at the end, progress, interrupts and kills."""

import json
import random
import re
import signal
import struct
import time
import zlib
from pathlib import Path

import pytest
from conftest import leftovers, run_on_terminal
from PIL import Image
from sd_checkpoints import make_sd15


def sheets(folder: Path) -> list[Path]:
    return sorted(folder.rglob("sheet_*.png"))


def pictures(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*.png") if not path.name.startswith("sheet_")}


def sheet_ids(path: Path) -> list[str]:
    return [entry["id"] for entry in json.loads(Image.open(path).text["diffapple"])["sheet"]["pictures"]]


def state(paths) -> dict:
    """Changes when a file is written anew, even with the same bytes."""
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}


# --- shards


def test_shards_make_every_nth_batch_and_nothing_twice(diffapple, tiny):
    run = ["ddpm", "--model", tiny, "--steps", "1,2", "--seed", "0..3", "--batch-size", 2, "--json"]
    whole = diffapple.ok(*run, "--out", "whole", "--sheet", "off").reports
    batches = [[report["id"] for report in whole[i : i + 2]] for i in range(0, 16, 2)]
    parts = [[report["id"] for report in diffapple.ok(*run, "--shard", f"{i}/3").reports] for i in (1, 2, 3)]
    assert parts == [sum(batches[i::3], []) for i in range(3)]
    assert sheets(diffapple.folder) == [], "no shard sees all pictures"
    made = state(pictures(diffapple.folder / "out"))
    again = diffapple.ok(*run, "--shard", "2/3").reports + diffapple.ok(*run).reports
    assert all(report["skipped"] for report in again) and len(again) == 6 + 16
    assert state(pictures(diffapple.folder / "out")) == made
    assert len(sheet_ids(*sheets(diffapple.folder))) == 16, "the whole command makes the sheet"


def test_a_shard_of_one_batch_is_part_of_a_sweep(diffapple, tiny):
    run = ["ddpm", "--model", tiny, "--steps", 1, "--seed", "0,1", "--shard", "2/2", "--json"]
    assert [report["skipped"] for _ in range(2) for report in diffapple.ok(*run).reports] == [False, True]
    assert diffapple.ok(*run[:-3], "--shard", "3/3").out == "", "more shards than batches"


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "1/0", "/", "1/2/3", "-1/2", "a/b", "1/", "/2", "1..2/4", ""])
def test_wrong_shards(diffapple, tiny, shard):
    result = diffapple("ddpm", "--model", tiny, "--steps", 1, f"--shard={shard}")
    assert (result.code, result.out, len(result.err.splitlines())) == (2, "", 1)
    assert "--shard" in result.err


# --- the sheet at the end


def test_a_sweep_ends_in_a_sheet(diffapple, tiny):
    run = ["ddpm", "--model", tiny, "--steps", 1, "--seed"]
    first = diffapple.ok(*run, "0,1")
    (sheet,) = sheets(diffapple.folder)
    assert sheet.parent == diffapple.folder / "out" / "ddpm_cat"
    assert f"contact sheet: {sheet.relative_to(diffapple.folder)}" in first.err.splitlines()
    assert len(first.paths) == 2 and sheet.name not in first.out
    # Nothing new: the sheet stays. It is gone: it is made again, of skipped pictures.
    before = state([sheet])
    diffapple.ok(*run, "0,1")
    assert state([sheet]) == before
    sheet.unlink()
    diffapple.ok(*run, "0,1")
    assert sheets(diffapple.folder) == [sheet]
    # One more picture: another sheet, that holds the old ones too.
    reports = diffapple.ok(*run, "0..2", "--json").reports
    (wider,) = set(sheets(diffapple.folder)) - {sheet}
    assert sheet_ids(wider) == [report["id"] for report in reports]


def replace_pixels(path: Path) -> None:
    """By what cannot be decompressed, in a whole PNG file whose recipe is as it was."""
    data = path.read_bytes()
    begin = data.index(b"IDAT") - 4
    chunk = b"IDAT" + b"no pixels"
    data = data[:begin] + struct.pack(">I", 9) + chunk + struct.pack(">I", zlib.crc32(chunk))
    path.write_bytes(data + struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND")))


def test_a_picture_that_cannot_be_read_leaves_no_smaller_sheet(diffapple, tiny):
    """A sheet of fewer pictures would stand beside them under the name of another sweep."""
    run = ["ddpm", "--model", tiny, "--steps", "1,2"]
    damaged, _ = diffapple.ok(*run, "--sheet", "off").paths
    replace_pixels(diffapple.folder / damaged)
    result = diffapple.ok(*run)
    assert "no contact sheet: " in result.err and Path(damaged).name in result.err
    assert sheets(diffapple.folder) == []


@pytest.mark.parametrize("options", [["--seed", 3], ["--batch-size", 3], ["--seed", "0,1", "--sheet", "off"]])
def test_no_sheet(diffapple, tiny, options):
    result = diffapple.ok("ddpm", "--model", tiny, "--steps", 1, *options)
    assert sheets(diffapple.folder) == [] and "sheet" not in result.err


def test_a_sheet_that_cannot_be_made_is_no_failure(diffapple, tiny):
    run = ["ddpm", "--model", tiny, "--steps", 1, "--seed", "0,1"]
    diffapple.ok(*run)
    (sheet,) = sheets(diffapple.folder)
    Image.new("RGB", (9, 9)).save(sheet)
    before = sheet.read_bytes()
    assert "no contact sheet" in diffapple.ok(*run, "--force").err
    assert sheet.read_bytes() == before, "a user's own file"


def test_prompts_of_any_script(diffapple):
    model = make_sd15(diffapple.folder / "models" / "m")
    assert model.is_dir()
    prompts = ["кот 猫 🐈", "قطة\nनमस्ते", "a cat " * 60, "../../escape", "."]
    options = [part for prompt in prompts for part in ("--prompt", prompt)]
    run = ["sd15", "--model", "m", "--steps", 1, "--guidance", "0,3", "--json", *options]
    reports = diffapple.ok(*run).reports
    assert [report["prompt"] for report in reports] == 2 * prompts
    paths = pictures(diffapple.folder / "out")
    assert {diffapple.folder / report["path"] for report in reports} == paths and len(paths) == 10
    assert len({path.parent for path in paths}) == 5
    (sheet,) = sheets(diffapple.folder / "out" / "sdv1_5_dpmsolver")
    assert len(sheet_ids(sheet)) == 10
    assert all(report["skipped"] for report in diffapple.ok(*run).reports)


# --- progress


def test_ranges_of_numbers(diffapple):
    model = make_sd15(diffapple.folder / "model")
    settings = ["--guidance", "0..2,4.5", "--prompt", "a", "--steps", 1, "--sheet", "off"]
    made = diffapple.ok("sd15", "--model", model, *settings).paths
    assert [re.search("_s(.*?)_", path.name)[1] for path in made] == ["0.0", "1.0", "2.0", "4.5"]


def test_prompts_that_share_a_folder(diffapple):
    """None is shared: those that meet end in a hash. Each keeps its picture, and a second run finds them all."""
    model = make_sd15(diffapple.folder / "model")
    prompts = ["a b", "a_b", "other", "A B", "a b"]
    options = ["--model", model, "--steps", 1, "--seed", "0,1", "--json", "--sheet", "off"]
    options += [part for prompt in prompts for part in ("--prompt", prompt)]
    made = diffapple.ok("sd15", *options).reports
    names = [Path(report["path"]).relative_to("out/sdv1_5_dpmsolver").as_posix().split("_n1")[0] for report in made]
    plain = [re.sub("-[0-9a-f]{8}/", "-*/", name) for name in names[:5]]
    assert plain == ["a_b-*/seed0_i0", "a_b-*/seed0", "other/seed0", "A_B-*/seed0", "a_b-*/seed0_i4"]
    assert len({report["path"].lower() for report in made}) == 10
    assert all(report["skipped"] for report in diffapple.ok("sd15", *options).reports)


def test_one_bar_for_the_whole_sweep(diffapple, tiny):
    command = diffapple.command("ddpm", "--model", tiny, "--steps", "150,200", "--seed", "0,1", "--sheet", "off")
    code, written = run_on_terminal(command, diffapple.folder, diffapple.variables())
    assert code == 0
    assert written.count("\n") == 1 and written.endswith("\n"), "one bar, that stays when it is full"
    states = written.split("\r\x1b[K")
    state_of = re.compile(r"(\d)/4  seed (\d), (\d+) steps  \d+/\d+  [\d.]+ (?:it/s|s/it)  \d+:\d\d")
    batches = [tuple(map(int, found.groups())) for found in map(state_of.search, states) if found]
    assert sorted(set(batches)) == [(1, 0, 150), (2, 1, 150), (3, 0, 200), (4, 1, 200)]
    assert all("left)" in s for s in states[1:-1]) and "left" not in states[-1]
    cells = [s.count("█") for s in states]
    assert cells == sorted(cells) and cells[-1] > 5 and "░" not in states[-1]


def test_lines_are_sparse_and_skipped_batches_are_named(diffapple, tiny):
    run = ["ddpm", "--model", tiny, "--steps", 2, "--sheet", "off", "--seed"]
    assert len(diffapple.ok(*run, "0..2").err.splitlines()) == 1
    lines = diffapple.ok(*run, "0..3").err.splitlines()
    assert lines[0] == "3 of 4 batches are made already" and len(lines) == 2


# --- interrupts and kills


def test_an_interrupt_says_what_is_left(diffapple, tiny):
    run = ["ddpm", "--model", tiny, "--steps", 400, "--seed", "0..7", "--batch-size", 2]
    process = diffapple.start(*run)
    for _ in range(4):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGINT
    made = len(pictures(diffapple.folder))
    assert 4 <= made < 16
    last = err.splitlines()[-1]
    verb = "is" if made == 1 else "are"
    assert f"{made} of 16 pictures {verb} made, {16 - made} left; the same command goes on from there" in last
    assert sheets(diffapple.folder) == []


def test_leftovers_of_killed_runs_are_removed(diffapple, tiny):
    folder = diffapple.folder / "out" / "ddpm_cat" / "uncond"
    folder.mkdir(parents=True)
    for place in (folder, folder.parent):
        (place / ".diffapple-123-0.tmp").write_text("cut off")
        (place / ".somebody.tmp").write_text("not ours")
    diffapple.ok("ddpm", "--model", tiny, "--steps", 1)
    assert [path.name for path in leftovers(diffapple.folder / "out")] == [".somebody.tmp"] * 2


def test_a_sweep_killed_ten_times_ends_complete(diffapple, tiny):
    """64 pictures; kill -9 at random moments. What a killed run had finished is never made again."""
    run = ["ddpm", "--model", tiny, "--steps", 40, "--seed", "0..31", "--batch-size", 2]
    moments = random.Random(8)
    finished = {}
    for _ in range(10):
        process = diffapple.start(*run)
        for _ in range(len(finished) + moments.randrange(1, 6)):
            process.stdout.readline()
        time.sleep(moments.uniform(0, 0.05))
        process.kill()
        process.communicate()
        now = state(pictures(diffapple.folder))
        assert finished.items() <= now.items(), "a finished picture was made again"
        finished = now
    assert 10 <= len(finished) < 64, "the kills came at no useful moments"
    result = diffapple.ok(*run, "--json")
    now = state(pictures(diffapple.folder))
    assert finished.items() <= now.items() and len(now) == 64 == len(result.reports)
    assert {diffapple.folder / r["path"] for r in result.reports if r["skipped"]} == finished.keys()
    for report in result.reports:
        image = Image.open(diffapple.folder / report["path"])
        image.load()
        assert json.loads(image.text["diffapple"])["id"] == report["id"]
    assert leftovers(diffapple.folder / "out") == []
    assert len(sheet_ids(*sheets(diffapple.folder))) == 64
