"""Tables of finished pictures (`diffapple report`; its page: test_report_page.py), and texts of other programs
(`diffapple show`)."""

import csv
import json
import random
import re
import shlex
from itertools import product

import pytest
from conftest import run_on_terminal
from PIL import Image
from recipes import A1111_SETTING, save_picture, save_png, save_sweep, sha256


def known(number: int) -> dict:
    return {"seconds": 1.5 + number, "it_per_s": 3.25, "peak_bytes": 250_000_000, "device_model": "Some CPU"}


def test_table_csv_and_json(diffapple):
    prompts = ["a cat, <b>fat</b> & \"sly\"", "=1+1"]
    sweep = [dict(prompt=p, seed=s) for p, s in product(prompts, [2, 1])]
    save_sweep(diffapple.folder / "out" / "a b#%", sweep, known)
    save_picture(diffapple.folder / "out" / "plain.png")
    result = diffapple.ok("report", "out", "--csv", "r/t.csv", "--html", "r/t.html")
    assert result.out == "r/t.csv\nr/t.html\n" and result.err == "1 picture without a recipe is left out\n"
    lines = diffapple.ok("report", "out").out.splitlines()
    assert lines[0].startswith("sd15: ") and "steps 5" in lines[0] and "scheduler ddpm" in lines[0]
    assert lines[2].split() == ["prompt", "seed", "seconds", "it/s", "peak", "MB", "device", "model", "file"]
    with open(diffapple.folder / "r/t.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["prompt", "seed", "seconds", "it/s", "peak MB", "device model", "id", "file"]
    assert [row[:6] for row in rows] == [
        [prompts[0], "1", "2.50", "3.25", "250", "Some CPU"],
        [prompts[0], "2", "1.50", "3.25", "250", "Some CPU"],
        ["'=1+1", "1", "4.50", "3.25", "250", "Some CPU"],
        ["'=1+1", "2", "3.50", "3.25", "250", "Some CPU"],
    ]
    reports = diffapple.ok("report", "out", "--json").reports
    assert [(r["settings"]["prompt"], r["settings"]["seed"]) for r in reports] == [
        (p, s) for p, s in product(prompts, ["1", "2"])
    ]
    assert reports[0]["known"] == known(1)


def test_csv_on_stdout_in_place_of_the_table(diffapple):
    save_sweep(diffapple.folder / "out", [dict(seed=s) for s in range(2)])
    diffapple.ok("report", "out", "--csv", "table.csv")
    assert diffapple.ok("report", "out", "--csv", "-").out == (diffapple.folder / "table.csv").read_text()
    assert not (diffapple.folder / "-").exists()
    assert diffapple("report", "out", "--csv", "-", "--json").code == 2


def test_csv_runs_no_formula_and_keeps_numbers(diffapple):
    save_sweep(diffapple.folder / "d", [dict(prompt=p, seed=s) for p, s in product(["-2+3", "-1.5"], [0, 1])])
    diffapple.ok("report", "d", "--csv", "t.csv")
    lines = (diffapple.folder / "t.csv").read_bytes().splitlines(keepends=True)
    assert [line.split(b",")[0] for line in lines] == [b"prompt"] + [b"'-2+3"] * 2 + [b"-1.5"] * 2
    assert all(line.endswith(b"\n") and b"\r" not in line for line in lines)


def test_report_of_nothing_and_of_broken_files(diffapple):
    (diffapple.folder / "empty").mkdir()
    result = diffapple("report", "empty")
    assert (result.code, result.out, len(result.err.splitlines())) == (1, "", 1)
    good = save_sweep(diffapple.folder / "d", [dict(seed=0), dict(seed=1)])
    (diffapple.folder / "d" / "broken.png").write_bytes(b"no")
    result = diffapple("report", "d")
    assert result.code == 1 and "broken.png" in result.err and all(p.name in result.out for p in good)
    assert diffapple("report").code == 2


def test_report_sends_no_escape_sequences(diffapple):
    save_sweep(diffapple.folder / "d", [dict(prompt="\x1b[2J\nx", seed=0), dict(prompt="y", seed=1)])
    out = diffapple.ok("report", "d").out
    assert "\x1b" not in out and len(out.splitlines()) == 5


def test_one_table_for_each_experiment(diffapple):
    save_sweep(diffapple.folder / "out", [dict(seed=s, guidance=g) for s, g in product([0, 1], [2.0, 4.0])])
    for path in save_sweep(diffapple.folder / "out" / "other", [dict(steps=n) for n in (1, 2)]):
        recipe = json.loads(Image.open(path).text["diffapple"])["recipe"] | {"experiment": "sdxl-turbo"}
        compact = json.dumps(recipe, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        save_png(path, diffapple=json.dumps({"schema": 1, "id": sha256(compact)[:16], "recipe": recipe, "known": {}}))
    tables = diffapple.ok("report", "out").out.split("\n\n")
    headings, bodies = tables[::2], tables[1::2]
    assert sorted(heading.split(":")[0] for heading in headings) == ["sd15", "sdxl-turbo"]
    assert sorted(body.split()[0] for body in bodies) == ["guidance", "steps"], "what varies, and only that"


@pytest.mark.parametrize("columns", [50, 80, 100])
def test_tables_fit_the_terminal(diffapple, columns):
    prompts = ["a cat, fat, with brown fur, with short legs", "a cat, fat, with white fur, with short legs"]
    sweep = [dict(prompt=p, seed=s, image=sha256(p)) for p, s in product(prompts, [1, 2])]
    save_sweep(diffapple.folder / "out", sweep, known)
    command = f"stty cols {columns}; exec " + shlex.join(diffapple.command("report", "out"))
    variables = {**diffapple.variables(), "TERM": "xterm"}
    code, written = run_on_terminal(["sh", "-c", command], diffapple.folder, variables, with_stdout=True, stdin=True)
    lines = written.replace("\r", "").splitlines()
    assert code == 0 and max(map(len, lines)) <= columns, written
    assert any("brown" in line or "a cat" in line for line in lines)
    digests = [r["id"] for r in diffapple.ok("report", "out", "--json").reports] + [sha256(p)[:8] for p in prompts]
    assert not any(digest in written for digest in digests)


# --- show


def test_show_takes_other_programs_texts_apart(diffapple):
    path = save_png(
        diffapple.folder / "x.png",
        parameters="a lovely cat,\nfat\nNegative prompt: a dog\nSteps: 20, CFG scale: 7.000000, Seed: 42, "
        "Size: 512x512, Model: sd-v1-4.ckpt, RNG: cuda, Sampler: euler_a, Version: stable-diffusion.cpp",
    )
    (report,) = diffapple.ok("show", path, "--json").reports
    assert report["recipe"] is None
    generation = report["generation"]
    assert (generation["prompt"], generation["negative_prompt"]) == ("a lovely cat,\nfat", "a dog")
    assert generation["settings"]["Sampler"] == "euler_a" and len(generation["settings"]) == 8
    out = diffapple.ok("show", path).out
    assert "a lovely cat,\nfat" in out and "negative prompt:\na dog" in out and re.search(r"Sampler +euler_a", out)


WELL_QUOTED = re.compile(r'(?:[^"]|: "a, b"(?=,|$))*')


@pytest.mark.full
def test_show_finds_what_a1111s_expression_finds(diffapple):
    rng = random.Random(0)
    pieces = [
        "Steps: 1", "Seed: 2", "ab", ":", ",", " ", '"', "\\", "x-y/z w: 3", 'q: "a, b"', '"c": d', "--", "=", "K: ",
    ]  # fmt: skip
    for number in range(40):
        line = "Size: 1x1, Aa: 2, Bb: 3, " + "".join(rng.choices(pieces, k=rng.randrange(12)))
        expected = {}
        for name, value in A1111_SETTING.findall(line.strip()):
            expected.setdefault(name, value)
        picture = save_png(diffapple.folder / f"{number}.png", parameters=line)
        (report,) = diffapple.ok("show", picture, "--json").reports
        found = report["generation"]["settings"]
        if not WELL_QUOTED.fullmatch(line):  # its expression goes on inside of the quotation marks, and finds more there
            assert found.keys() <= expected.keys(), line
            continue
        assert sorted(found) == sorted(expected), line
        for name, value in expected.items():
            if not value.startswith('"'):
                assert found[name] == value, line
