"""`diffapple bench`: the full-size model with random weights at the smallest size it can make."""

import csv
import json
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

import pytest
import torch
from conftest import PROJECT, STANDIN_MPS, Diffapple, needs_standin_mps, one_line_error
from sd_checkpoints import make_sd2, make_sd15, make_sdxl

sys.path.insert(0, str(PROJECT / "scripts"))
from peers.experiments import EXPERIMENTS  # noqa: E402

SMALL = ["--experiments", "ddpm", "--sizes", 32, "--steps", 1, "--random"]
KEYS = set(
    "experiment device dtype batch_size width height steps ms_per_step it_per_s load_s load_peak_bytes encode_s decode_s peak_bytes "
    "gflop_per_step gemm_share".split()
)
MEASURED = ["ms_per_step", "it_per_s", "load_s", "load_peak_bytes", "decode_s", "peak_bytes", "gflop_per_step", "gemm_share"]


def bench(program, *options) -> dict:
    return json.loads(program.ok("bench", *options, "--json", "-").out)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """One run on the CPU with everything it can write: its result and its folder."""
    program = Diffapple(tmp_path_factory.mktemp("bench"))
    options = ["--repeats", 2, "--devices", "cpu,mps,cuda", "--dtypes", "fp32,bf16,fp16"]
    return program.ok("bench", *SMALL, *options, "--json", "a.json", "--csv", "a.csv"), program


def test_json_of_a_run(measured):
    report = json.loads((measured[1].folder / "a.json").read_text())
    assert report["schema"] == 1
    assert set(report["machine"]) >= {"cpu", "gpu", "cores", "os", "libtorch"}
    rows = {(row["device"].split(":")[0], row["dtype"]): row for row in report["results"]}
    assert len(rows) == 9
    for row in rows.values():
        assert KEYS <= set(row)
        assert (row["experiment"], row["width"], row["height"], row["batch_size"]) == ("ddpm", 32, 32, 1)
    for dtype in ("fp32", "bf16"):
        row = rows["cpu", dtype]
        assert row["status"] == "measured" and all(row[key] > 0 for key in MEASURED)
        assert row["encode_s"] is None
        assert row["it_per_s"] == pytest.approx(1000 / row["ms_per_step"])
        assert row["gflop_per_step"] == pytest.approx(7.76631296)
        assert row["peak_bytes"] == row["resident_bytes"]
    assert rows["cpu", "fp32"]["peak_bytes"] > 4 * 113_673_219
    assert rows["cpu", "bf16"]["peak_bytes"] < 5 * 113_673_219, "the other model's memory was counted"


def test_time_of_each_operator(diffapple):
    result = diffapple.ok("bench", *SMALL, "--repeats", 1, "--dtypes", "fp32", "--operators", "--json", "b.json")
    assert "ddpm cpu fp32 32x32 batch 1: a step" in result.out and "32x32 batch 1: decoding" in result.out
    (row,) = json.loads((diffapple.folder / "b.json").read_text())["results"]
    times = {time["name"]: time for time in row["step_operators"]}
    assert times["mkldnn::_convolution_pointwise"]["calls"] > 50
    assert times["diffapple::flash_attention"]["calls"] == 6 and times["diffapple::group_norm"]["calls"] > 30
    assert 0.2 * row["ms_per_step"] < sum(time["ms"] for time in times.values()) < 20 * row["ms_per_step"]
    assert "mkldnn::_convolution_pointwise" in result.out


def test_what_cannot_run_is_a_row(measured):
    report = json.loads((measured[1].folder / "a.json").read_text())
    rows = {(row["device"].split(":")[0], row["dtype"]): row for row in report["results"]}
    assert rows["cpu", "fp16"]["status"] == "refused" and "no fast path" in rows["cpu", "fp16"]["note"]
    if sys.platform != "darwin":
        assert rows["mps", "fp16"]["status"] == "absent" and rows["mps", "fp16"]["it_per_s"] is None
    assert "no fast path" in measured[0].out


def test_table_and_progress(measured):
    result, _ = measured
    header, *rows = result.out.splitlines()
    assert header.split()[:6] == ["experiment", "device", "dtype", "size", "batch", "it/s"]
    assert len(rows) == 10  # 9, and the machine
    assert "random weights" in result.err and "at most" in result.err


def test_csv_of_a_run(measured):
    with open(measured[1].folder / "a.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9 and KEYS <= set(rows[0])
    assert float(rows[0]["it_per_s"]) > 0 and rows[-1]["it_per_s"] == ""


def test_compare(measured):
    _, program = measured
    report = json.loads((program.folder / "a.json").read_text())
    report["machine"]["cpu"] = "<Fast & \x1b[31mCPU>"
    for row in report["results"]:
        if row["it_per_s"]:
            row["it_per_s"] *= 10
    (program.folder / "b.json").write_text(json.dumps(report))
    result = program.ok("bench", "--compare", "a.json", "b.json", "--svg", "c.svg")
    assert result.out.splitlines()[-1] == "c.svg" and "\x1b" not in result.out
    assert len(result.out.splitlines()) == 1 + 4 + 1
    svg = ElementTree.parse(program.folder / "c.svg")
    texts = [element.text for element in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[0] == "ddpm, 32x32, batch 1: it/s"
    assert any(text.startswith("<Fast & [31mCPU>, cpu") for text in texts)
    bars = [element for element in svg.iter("{http://www.w3.org/2000/svg}rect")]
    assert len(bars) == 1 + 4


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"schema": 2}', '{"schema": 1, "machine": {"cpu": "x"}, "results": [{"it_per_s": -1}]}']
)
def test_compare_refuses_other_files(diffapple, text):
    (diffapple.folder / "x.json").write_text(text)
    one_line_error(diffapple("bench", "--compare", "x.json"), 1, "x.json")
    assert not list(diffapple.folder.glob("*.svg"))


def test_compare_needs_files(diffapple):
    one_line_error(diffapple("bench", "--compare", "missing.json"), 1, "missing.json")


@pytest.mark.parametrize(
    "options, part",
    [
        (["--sizes", 100], "multiples of 32"),
        (["--devices", "gpu"], "'gpu'"),
        (["--dtypes", "fp64"], "fp64"),
        (["--experiments", "sd9"], "sd9"),
        (["--steps", 0], "--steps"),
        (["--preset", "study", "--sizes", 64], "--sizes"),
        (["--preset", "other"], "--preset"),
    ],
)
def test_wrong_calls(diffapple, options, part):
    one_line_error(diffapple("bench", *options), 2, part)


def test_an_unwritable_file_is_said_at_once(diffapple):
    one_line_error(diffapple("bench", *SMALL, "--json", "missing/a.json"), 1, "missing/a.json")


def test_never_longer_than_it_says(diffapple):
    options = [*SMALL, "--repeats", 500, "--devices", "cpu", "--max-minutes", 0.15, "--json", "-"]
    start = time.monotonic()
    result = diffapple.ok("bench", *options)
    assert time.monotonic() - start < 9 + 2  # 2: to start and end the process on a busy machine
    (*_, last) = json.loads(result.out)["results"]
    assert last["repeats"] < 500 and "out of time" in last["note"]
    assert "at most 9 s" in result.err


def test_study_preset_quotes(diffapple):
    options = ["--preset", "study", "--devices", "mps", "--dtypes", "fp16"]
    if sys.platform == "darwin":
        pytest.skip("here the study's own size would be measured")
    rows = {row["experiment"]: row for row in bench(diffapple, *options)["results"]}
    assert rows["ddpm"]["quoted_rtx_a5000_it_per_s"] == 42 and rows["ddpm"]["status"] == "absent"
    assert set(rows) == {"ddpm", "sd15", "sdxl-turbo", "sd2-inpaint"}
    assert {name: row["quoted_m2_it_per_s"] for name, row in rows.items() if name != "ddpm"} == {
        "sd15": 1, "sdxl-turbo": 0.5, "sd2-inpaint": 1
    }
    assert (rows["sd15"]["batch_size"], rows["sd15"]["width"]) == (2, 512), "the study's two prompts"
    table = diffapple.ok("bench", *options).out
    assert "M2*" in table and "quoted from the study" in table


def test_sustained(diffapple):
    options = [*SMALL, "--repeats", 1, "--devices", "cpu", "--dtypes", "fp32", "--sustained", 0.03]
    (row,) = bench(diffapple, *options)["results"]
    assert row["first_minute_it_per_s"] > 0 and row["last_minute_it_per_s"] > 0


def test_interrupt_keeps_finished_rows(diffapple):
    options = [*SMALL, "--repeats", 1000, "--devices", "cpu", "--dtypes", "fp32"]
    with diffapple.start("bench", *options, stderr=subprocess.PIPE) as process:
        while "repeat 1 of" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert out.splitlines()[1].split()[:3] == ["ddpm", "cpu", "fp32"]
    assert "interrupted" in err.splitlines()[-1]


@needs_standin_mps
def test_mps(tmp_path):
    standin = Diffapple(tmp_path, STANDIN_MPS)
    (row,) = bench(standin, *SMALL, "--repeats", 1, "--devices", "mps", "--dtypes", "fp32")["results"]
    assert (row["status"], row["device"]) == ("measured", "mps")
    assert row["peak_bytes"] == row["device_bytes"] > 4 * 113_673_219
    assert 0 < row["recommended_share"] < 1


@pytest.mark.parametrize("name, make", [("sd15", make_sd15), ("sd2-inpaint", make_sd2), ("sdxl-turbo", make_sdxl)])
def test_peers_run_every_stage(tmp_path, name, make):
    """What scripts/bench_peers.py has diffusers do, on a small model."""
    with torch.no_grad():
        peer = EXPERIMENTS[name](str(make(tmp_path / "model")), "fp32", "channels_last", 64)
        assert {stage for stage, seconds in peer.timings(1, 2).items() if seconds > 0} == {"step", "encode", "decode"}
        assert peer.picture(1).size == (64, 64)
