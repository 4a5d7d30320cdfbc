"""The command line's arguments: lists, the exit codes of wrong calls, and help, which is fast."""

import resource
import sys

import numpy as np
import pytest
import torch
from finished import pixels, pngs
from safetensors.torch import save_file


# --- lists


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("5", [5]),
        ("0,2,4", [0, 2, 4]),
        ("0..3", [0, 1, 2, 3]),
        ("7,0..2,5", [7, 0, 1, 2, 5]),
        ("3..3", [3]),
        ("18446744073709551614..18446744073709551615,9223372036854775808", [2**64 - 2, 2**64 - 1, 2**63]),
    ],
)
def test_lists(ddpm, text, seeds):
    result = ddpm("--steps", 1, "--seed", text, "--json")
    assert [r["seed"] for r in result.reports] == seeds


@pytest.mark.parametrize("option", ["--seed", "--steps"])
@pytest.mark.parametrize(
    "text",
    ["", ",", "1,", ",1", "1,,2", "3..1", "1..", "..3", "1...3", "1..2..3", "a", "1.5", "1e3", "0x10", "1;2", "-2", " ",
     "99999999999999999999", "1..99999999999999", "nan", "+1", "1 2", "-1..3", "random:0", "random:x"],
)  # fmt: skip
def test_bad_lists(ddpm, option, text):
    result = ddpm(f"{option}={text}", timeout=10)
    assert (result.code, result.out, len(result.err.splitlines())) == (2, "", 1)
    assert option in result.err


@pytest.mark.parametrize("text", ["-1", "random", "random:1"])
def test_steps_are_not_drawn(ddpm, text):
    result = ddpm(f"--steps={text}", timeout=10)
    assert (result.code, result.out, len(result.err.splitlines())) == (2, "", 1)


@pytest.mark.parametrize(("text", "count"), [("-1", 1), ("random", 1), ("random:3", 3)])
def test_drawn_seeds_are_told_and_recorded(ddpm, text, count):
    result = ddpm("--steps", 1, "--seed", text, "--json")
    seeds = [report["seed"] for report in result.reports]
    assert len(set(seeds)) == count and all(0 <= seed < 2**32 for seed in seeds)
    typed = ",".join(map(str, seeds))
    assert f"drawn: --seed {typed}" in result.err.splitlines()
    again = ddpm("--steps", 1, "--seed", typed, "--json", "--force")
    assert [report["id"] for report in again.reports] == [report["id"] for report in result.reports]
    assert "drawn" not in again.err
    assert [report["seed"] for report in ddpm("--steps", 1, "--seed", text, "--json").reports] != seeds


def test_a_part_of_a_sweep_draws_no_seeds_of_its_own(ddpm):
    result = ddpm("--seed", "random:4", "--shard", "1/2")
    assert (result.code, len(result.err.splitlines())) == (2, 1)
    assert "--shard" in result.err and "--seed" in result.err


def test_lists_take_the_same_noise_as_single_runs(ddpm):
    together = ddpm("--steps", 5, "--seed", "0..3", "--out", "together")
    for seed, path in enumerate(together.paths):
        alone = ddpm("--steps", 5, "--seed", seed, "--out", "alone")
        assert np.array_equal(pixels(ddpm.folder / alone.paths[0]), pixels(ddpm.folder / path))


# --- exit codes of wrong calls


@pytest.mark.parametrize(
    "arguments",
    [
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
