"""Interrupts while loading and while making pictures: a quick end, whole pictures, and a run that can go on."""

import json
import re
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
