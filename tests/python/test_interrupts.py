"""Interrupts while loading and while making pictures: a quick end, whole pictures, and a run that can go on."""

import json
import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from checkpoints import TINY, write_json
from conftest import leftovers
from diffusers import DDPMScheduler, UNet2DModel
from finished import pixels, pngs, recipe
from sd_checkpoints import make_sd15

NOTICE = "diffapple: stopping after this step; a second Ctrl-C stops now\n"
FREE = {"DIFFAPPLE_FREE_MEMORY": str(10**13)}  # what would not fit gets no further than its first operators


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_of_a_run(diffapple, tiny, stop):
    arguments = ["ddpm", "--model", tiny, "--steps", 500, "--seed", "0..30"]
    process = diffapple.start(*arguments)
    first = Path(process.stdout.readline().strip())
    time.sleep(0.1)
    process.send_signal(stop)
    out, err = process.communicate(timeout=20)
    assert process.returncode == -stop, "dies of the signal itself, after cleaning up"
    assert err.count(NOTICE) == 1
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
    assert process.returncode == -signal.SIGINT
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
    assert process.returncode == -signal.SIGINT
    assert time.monotonic() - asked < 3
    assert out == ""
    assert err.startswith(NOTICE) and len(err.splitlines()) == 2
    assert pngs(diffapple.folder) == []
    assert leftovers(diffapple.folder) == []


def make_large(diffapple, small) -> list:
    """A call whose step is one of minutes, and its operators of many seconds."""
    diffapple.environment.update(FREE)
    return ["ddpm", "--model", small, "--steps", 3, "--height", 1024, "--width", 1024]


def end_by_two(process: subprocess.Popen, first: int, second: int) -> tuple[float, str]:
    """Seconds that the process lived after the second signal, and what it wrote."""
    process.send_signal(first)
    time.sleep(0.3)
    assert process.poll() is None, "the first signal ends the step, no more"
    asked = time.monotonic()
    process.send_signal(second)
    process.wait(timeout=20)
    return time.monotonic() - asked, process.communicate()[1]


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_a_long_step_within_a_second(diffapple, small, first, second):
    process = diffapple.start(*make_large(diffapple, small))
    assert re.match(r"a step is expected to take about \d+ (minute|hour)s? here, .*3 steps", process.stderr.readline())
    time.sleep(1)
    seconds, err = end_by_two(process, first, second)
    assert process.returncode == -second and seconds < 1
    assert err == NOTICE
    assert pngs(diffapple.folder) == [] and leftovers(diffapple.folder) == []


def test_a_second_signal_ends_loading_within_a_second(diffapple):
    model = make_slow_checkpoint(diffapple.folder / "slow")
    process = diffapple.start("ddpm", "--model", model, "--steps", 1)
    wait_until_it_listens(process)
    process.send_signal(signal.SIGINT)
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.wait(timeout=20)
    assert process.returncode == -signal.SIGINT and time.monotonic() - asked < 1
    assert NOTICE in process.communicate()[1]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_decoding_within_a_second(diffapple, stop):
    """The attention of the VAE, 65,536 latents at once, is one operator of many seconds."""
    quick = dict(down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"), block_out_channels=(8, 8, 8),
                 up_block_types=("CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"))  # fmt: skip
    model = make_sd15(diffapple.folder / "model", unet=quick)
    diffapple.environment.update(FREE)
    process = diffapple.start(
        "sd15", "--model", model, "--prompt", "a cat", "--steps", 1, "--guidance", 1, "--size", "2048x2048", "--verbose"
    )
    for line in process.stderr:
        if line.startswith("loaded vae"):
            break
    time.sleep(0.5)
    seconds, err = end_by_two(process, stop, stop)
    assert process.returncode == -stop and seconds < 1
    assert err == NOTICE
    assert pngs(diffapple.folder) == [] and leftovers(diffapple.folder) == []


def test_quiet_stops_without_a_word(diffapple, small):
    process = diffapple.start(*make_large(diffapple, small), "--quiet")
    wait_until_it_listens(process)
    time.sleep(3)  # into the first step, of which --quiet says nothing
    assert end_by_two(process, signal.SIGINT, signal.SIGINT)[1] == ""


def test_usual_steps_are_not_announced(ddpm):
    assert "a step" not in ddpm("--steps", 1).err


def test_a_loop_of_a_shell_ends_with_it(diffapple, tiny):
    """As Ctrl-C on a terminal: the signal goes to the shell and to the program in its foreground."""
    call = shlex.join(diffapple.command("ddpm", "--model", tiny, "--steps", 500, "--seed"))
    script = f'for seed in 0..20 30..50 60..80; do {call} $seed; echo "next after $?"; done; echo the end'
    shell = subprocess.Popen(
        ["bash", "-c", script], cwd=diffapple.folder, env=diffapple.variables(), start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored where the tests run behind an "&"
    )  # fmt: skip
    assert shell.stdout.readline().endswith(".png\n")
    os.killpg(shell.pid, signal.SIGINT)
    out, err = shell.communicate(timeout=20)
    assert shell.returncode == -signal.SIGINT
    assert "next" not in out and "the end" not in out and "interrupted: " in err
