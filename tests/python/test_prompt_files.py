"""`--prompts FILE` as one sweep: shards, resume, lines with settings, lists in prompts, bad lines."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import one_line_error
from PIL import Image
from pictures import photo
from sd_checkpoints import make_sd15


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return make_sd15(tmp_path_factory.mktemp("sd15") / "model")


@pytest.fixture
def sd15(diffapple, checkpoint):
    """`diffapple sd15` with a file of these lines."""

    def run(lines, *options, call=diffapple.ok):
        file = diffapple.folder / "prompts.txt"
        text = lines if isinstance(lines, str) else "".join(
            (line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines
        )
        file.write_text(text)
        return call("sd15", "--model", checkpoint, "--steps", 1, "--prompts", file, *options)

    run.folder = diffapple.folder
    return run


def prompts(result) -> list[str]:
    return [report["prompt"] for report in result.reports]


FIVE = ["a cat", "a dog", "a bird", "a fish", "an ant"]


def test_shards_spread_the_lines(sd15):
    parts = [sd15(FIVE, "--shard", f"{i}/3", "--json") for i in (1, 2, 3)]
    assert [prompts(part) for part in parts] == [["a cat", "a fish"], ["a dog", "an ant"], ["a bird"]]
    assert not any(report["skipped"] for part in parts for report in part.reports)
    whole = sd15(FIVE, "--json")
    assert prompts(whole) == FIVE and all(report["skipped"] for report in whole.reports)
    assert whole.err.count("contact sheet: ") == 1
    # Seeds and lines are one grid.
    parts = [sd15(FIVE[:2], "--seed", "0..2", "--shard", f"{i}/2", "--json", "--out", "b") for i in (1, 2)]
    assert [len(part.reports) for part in parts] == [3, 3]


def test_an_interrupted_file_goes_on_with_one_seed(sd15, diffapple):
    def start(*arguments):
        return diffapple.start(*[800 if argument == 1 else argument for argument in arguments])

    process = sd15(FIVE, call=start)
    first = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT and first, err
    made = int(re.search(r"interrupted: (\d) of 5 pictures (?:is|are) made", err)[1])
    assert 1 <= made < 5
    picture = diffapple.folder / first.strip()
    before = picture.stat().st_mtime_ns
    process = sd15(FIVE, "--shard=1/5", "--json", call=start)
    out, _ = process.communicate(timeout=60)
    assert json.loads(out)["skipped"] and picture.stat().st_mtime_ns == before


def test_progress_names_prompt_and_position(sd15):
    result = sd15(FIVE[:3], "--verbose")
    labels = [line for line in result.err.splitlines() if "1/1" in line]
    assert labels[-1].startswith("3/3  line 3 'a bird', seed 42, 1 step"), result.err
    (sheet,) = [line.split(": ")[1] for line in result.err.splitlines() if line.startswith("contact sheet: ")]
    stored = json.loads(Image.open(sd15.folder / sheet).text["diffapple"])["sheet"]["pictures"]
    assert len(stored) == 3
    # A line added later leaves the others as they are.
    again = sd15(FIVE[:4], "--json")
    assert [report["skipped"] for report in again.reports] == [True, True, True, False]


def test_a_line_may_have_settings(sd15):
    photo(40, 72).save(sd15.folder / "a.png")
    lines = [
        "plain",
        {"prompt": "own", "negative_prompt": "fog", "seed": 7, "guidance": 4},
        {"prompt": "lists", "seed": "0..1", "guidance": [0, 2.5]},
        {"prompt": "picture", "image": "a.png", "strength": 1},
        {"prompt": ["two", "prompts"], "width": 72, "out": "elsewhere", "clip-skip": 1},
        {"prompt": "null", "guidance": None},
    ]
    result = sd15(lines, "--seed", 3, "--guidance", 2, "--json", "--shard", "1/1")
    reports = {(report["prompt"], report["seed"], report["guidance"]): report for report in result.reports}
    assert list(reports) == [
        ("plain", 3, 2), ("own", 7, 4), ("lists", 0, 0), ("lists", 1, 0), ("lists", 0, 2.5), ("lists", 1, 2.5),
        ("picture", 3, 2), ("two", 3, 2), ("prompts", 3, 2), ("null", 3, 2),
    ]  # fmt: skip
    assert reports["own", 7, 4]["negative_prompt"] == "fog"
    assert (reports["picture", 3, 2]["width"], reports["picture", 3, 2]["height"]) == (40, 72)
    assert reports["two", 3, 2]["path"].startswith("elsewhere/sdv1_5_dpmsolver/two/seed3_n1_s2.0_")
    assert reports["two", 3, 2]["width"] == 72 and "_clip-skip-1" in reports["two", 3, 2]["path"]
    assert all(report["skipped"] for report in sd15(lines, "--seed", 3, "--guidance", 2, "--json").reports)


def test_a_lines_picture_is_that_of_its_own_command(sd15, diffapple, checkpoint):
    """In a file among others, and alone."""
    photo(64, 64).save(sd15.folder / "a.png")
    photo(72, 64).save(sd15.folder / "b.png")
    lines = [
        {"prompt": "a", "image": "a.png"},
        {"prompt": "b", "image": "b.png", "guidance": 0},
        {"prompt": "c", "negative_prompt": "d"},
        {"prompt": "e", "image": "a.png", "strength": 0.6},
    ]
    options = ["--steps=3", "--json", "--sheet=off"]
    together = sd15(lines, *options, call=lambda *a: diffapple.ok(*a[:3], *a[5:])).reports
    for line, report in zip(lines, together, strict=True):
        own = [part for key, value in line.items() for part in (f"--{key.replace('_', '-')}", value)]
        (alone,) = diffapple.ok("sd15", "--model", checkpoint, *own, *options, "--out", "alone").reports
        pixels = [Image.open(sd15.folder / r["path"]).tobytes() for r in (report, alone)]
        assert alone["id"] == report["id"] and pixels[0] == pixels[1], line


BAD = {
    '{"prompt": "a", "guidanse": 4}': "'guidanse': is no setting",
    '{"prompt": "a", "guidance": "x"}': "--guidance 'x'",
    '{"prompt": "a", "steps": 0}': "--steps",
    '{"prompt": "a", "steps": [1, true]}': "'steps': takes a text, a number",
    '{"prompt": "a", "keep_unmasked": 1}': "'keep_unmasked': takes true or false",
    '{"prompt": "a", "width": [64, 128]}': "'width': takes one value",
    '{"prompt": "a", "model": "b"}': "'model': is one for a whole run",
    '{"prompt": "a", "shard": "1/2"}': "'shard': is one for a whole run",
    '{"prompt": "a", "image": "absent.png"}': "absent.png",
    '{"prompt": "a", "image": "prompts.txt"}': "prompts.txt",
    '{"prompt": "a", "width": 63}': "--width 63",
    '{"prompt": "a", "seed": "random"}': "no seeds are drawn",
    '{"prompt": "a", "seed": 1, "seed": 2}': "key \"seed\" is given twice",
    '{"seed": 4}': 'has no "prompt"',
    '{"prompt": "a"': "begins as a JSON object; it: is not valid JSON",
    "{}": 'has no "prompt"',
}  # fmt: skip


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_line_is_named_before_anything_is_loaded(sd15, diffapple, bad):
    result = sd15(["a cat", bad], "--verbose", call=diffapple)
    assert (result.code in (1, 2), result.out, len(result.err.splitlines())) == (True, "", 1), result.err
    assert "prompts.txt: line 2: " in result.err and BAD[bad] in result.err
    assert not (sd15.folder / "out").exists()


def test_all_bad_lines_are_named(sd15, diffapple):
    result = sd15(["a cat", "{}", "# no", "", '{"prompt": "a", "x": 1}', '{"prompt": 1, "y": 2}'], call=diffapple)
    assert result.code == 2
    assert re.findall(r"line \d", result.err) == ["line 2", "line 5", "line 6"]


def test_lines_that_ask_for_one_name(sd15, diffapple):
    """The same twice is made once; another picture of that name is refused."""
    result = sd15(["a cat", "a cat", "a dog"], "--json")
    assert prompts(result) == ["a cat", "a dog"] and "asked for twice" in result.err
    lines = ["a cat", {"prompt": ["a cat", "a dog"]}]
    result = sd15(lines, "--out", "b", call=diffapple)
    assert result.code == 1 and "line 2" in result.err and "also of line 1" in result.err and result.out == ""


@pytest.mark.parametrize("content", ["a cat\n".encode("utf-16"), "a cat".encode("utf-16-be"), b"a\n\0b", b"\xfe\xff"])
def test_what_is_no_text(diffapple, checkpoint, content):
    file = diffapple.folder / "prompts.txt"
    file.write_bytes(content)
    one_line_error(diffapple("sd15", "--model", checkpoint, "--prompts", file), 1, "prompts.txt", "UTF-")


def test_lists_in_prompts(sd15, diffapple, checkpoint):
    folder = diffapple.folder / "wildcards"
    (folder / "more").mkdir(parents=True)
    (folder / "animal.txt").write_text("# two\ncat\n{dog|__more/bird__}\n")
    (folder / "more" / "bird.txt").write_text("owl")
    literal = ["a {red|blue} __animal__", "{a|b}", "{x}"]
    assert prompts(sd15(literal, "--json", "--out", "literal")) == literal
    expanded = ["a red cat", "a red dog", "a red owl", "a blue cat", "a blue dog", "a blue owl", "a", "b", "{x}"]
    assert prompts(sd15(literal, "--wildcards", "--json")) == expanded
    typed = ["--prompt", "{a|b {c|d}} {e|}", "--prompt", "z", "--wildcards", "--json", "--model", checkpoint]
    assert prompts(diffapple.ok("sd15", *typed, "--steps", 1)) == ["a e", "a ", "b c e", "b c ", "b d e", "b d ", "z"]


@pytest.mark.parametrize(
    "prompt, named",
    [("__absent__", "absent.txt"), ("__self__", "name itself"), ("{a|b}" * 30, "more than 100000")],
)
def test_wrong_lists(sd15, diffapple, prompt, named):
    (diffapple.folder / "words").mkdir()
    (diffapple.folder / "words" / "self.txt").write_text("x __self__")
    one_line_error(sd15([prompt], "--wildcard-folder", "words", call=diffapple), 2, "line 1", named)


@pytest.mark.parametrize("options", [["--interactive", "--shard", "1/2"], ["--interactive", "--wildcards"]])
def test_what_needs_all_prompts(diffapple, checkpoint, options):
    one_line_error(diffapple("sd15", "--model", checkpoint, *options), 2, *options[:1])


@pytest.mark.skipif(sys.platform == "darwin", reason="reads /proc")
def test_a_hundred_thousand_seeds_start_at_once(diffapple, tiny):
    """In 200 MB; the processor's time, since this machine may be busy."""
    process = diffapple.start("ddpm", "--model", tiny, "--steps", 1, "--seed", "0..99999", stderr=subprocess.DEVNULL)
    process.stdout.readline()
    status = Path(f"/proc/{process.pid}/status").read_text()
    ticks = sum(map(int, Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) < 200_000
    assert ticks / os.sysconf("SC_CLK_TCK") < 3


@pytest.mark.parametrize("prompt, noted", [("a (cat:1.3)", True), ("a (cat) at 12:30 [dog]", False)])
def test_a_prompt_that_looks_weighted(diffapple, checkpoint, prompt, noted):
    result = diffapple.ok("sd15", "--model", checkpoint, "--steps", 1, "--prompt", prompt)
    assert ("'(cat:1.3)' is no weight" in result.err) == noted
