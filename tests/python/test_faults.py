"""What the system refuses, or does behind the program's back: a line and an end, never a wait without one or a crash."""

import os
import resource
import signal
import subprocess
import threading
import time

import pytest
from checkpoints import TINY, make_checkpoint
from conftest import leftovers, one_line_error
from faults import needs_faults, with_fault
from finished import pngs
from sd_checkpoints import make_sd15
from test_interrupts import make_slow_checkpoint, wait_until_it_listens

# --- loops that had no end


@needs_faults
@pytest.mark.parametrize("variables", [{"DIFFAPPLE_FAULT_DISAGREE": "1"}, {"DIFFAPPLE_FAULT": "lstat:1:EIO:always"}])
def test_a_system_that_does_not_know_its_new_files(diffapple, tiny, variables):
    run = ["ddpm", "--model", tiny, "--steps", 1]
    result = with_fault(diffapple, **variables)(*run, timeout=30)
    assert result.code == 1 and result.out == ""
    assert "found again under its name" in result.err.splitlines()[-1]
    assert leftovers(diffapple.folder) == [] and pngs(diffapple.folder) == []
    diffapple.ok(*run)


@needs_faults
@pytest.mark.parametrize("call", ["write", "read", "flock", "fsync", "open"])
def test_interrupted_system_calls_end(diffapple, tiny, call):
    run = ["ddpm", "--model", tiny, "--steps", 1]
    result = with_fault(diffapple, f"{call}:1:EINTR:always")(*run, timeout=30)
    assert result.code == (0 if call == "flock" else 1), "without locks nothing is lost"
    assert result.code == 0 or ("Interrupted" in result.err and result.out == "")
    result = with_fault(diffapple, f"{call}:2:EINTR:once")(*run, timeout=30)
    assert result.code == 0, "one interrupt is none"


def test_a_line_without_end(diffapple, tiny):
    with open("/dev/zero", "rb") as zeros:
        result = diffapple("sd15", "--model", "absent", "--prompts", "-", stdin=zeros, timeout=30)
    assert result.code == 1


# --- weights that change while they are read


@pytest.mark.full
def test_weights_that_get_shorter_while_they_are_loaded(diffapple):
    model = make_slow_checkpoint(diffapple.folder / "slow")
    file = model / "unet" / "diffusion_pytorch_model.safetensors"
    cache = diffapple.folder / "home" / "cache" / "diffapple" / "sha256.json"
    process = diffapple.start("ddpm", "--model", model, "--steps", 1)
    deadline = time.monotonic() + 60
    while not cache.exists() and time.monotonic() < deadline:  # its digest is known: it is loaded next
        time.sleep(0.01)
    time.sleep(0.4)
    os.truncate(file, 1 << 20)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1 and out == ""
    (line,) = err.splitlines()
    assert str(file) in line and "changed" in line


def test_weights_that_are_swapped_between_their_digest_and_their_use(diffapple):
    model = make_sd15(diffapple.folder / "sd")
    other = make_sd15(diffapple.folder / "sd_other", seed=3)
    process = diffapple.start("sd15", "--model", model, "--steps", 1, "--interactive", stdin=subprocess.PIPE)
    wait_until_it_listens(process)
    time.sleep(1)
    name = "unet/diffusion_pytorch_model.safetensors"
    os.replace(other / name, model / name)
    out, err = process.communicate("a cat\n", timeout=60)
    assert process.returncode == 1 and out == ""
    assert "changed since this run began" in err


# --- descriptors


def limited(soft: int, hard: int):
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_soft_limit_of_open_files_is_raised(diffapple, tiny):
    diffapple.ok("ddpm", "--model", tiny, "--steps", 1, preexec_fn=limited(6, 4096))


def test_too_few_open_files_are_said_at_once(diffapple, tiny):
    result = diffapple("ddpm", "--model", tiny, "--steps", 1, preexec_fn=limited(6, 6))
    one_line_error(result, 1, "ulimit -n", "files at a time")


@needs_faults
def test_processor_files_that_cannot_be_read(diffapple, tiny):
    """LibTorch's library crashes there."""
    result = with_fault(diffapple, "calls:1:EMFILE:always")("ddpm", "--model", tiny, "--steps", 1)
    one_line_error(result, 1)


@needs_faults
@pytest.mark.parametrize("place", range(1, 9))
def test_processor_files_of_which_one_read_fails(diffapple, place):
    result = with_fault(diffapple, f"read:{place}:EIO:once")("--version")
    if result.code != 0:
        one_line_error(result, 1, "processor" if "/proc" in result.err else "/sys")


# --- crashes


def test_a_memory_fault_ends_in_a_line(diffapple):
    process = diffapple.start("ddpm", "--model", make_slow_checkpoint(diffapple.folder / "slow"), "--steps", 50)
    wait_until_it_listens(process)
    process.send_signal(signal.SIGSEGV)
    out, err = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGSEGV and out == ""
    assert "crashed by a memory fault" in err.splitlines()[-1]


@needs_faults
def test_onednns_errors_do_not_come_on_stdout(diffapple, tiny):
    """It cannot write its machine code where memory cannot be mapped."""
    failed = 0
    for place in range(1, 13):
        result = with_fault(diffapple, f"mmap:{place}:ENOSPC:once")("ddpm", "--model", tiny, "--steps", 1, "--force")
        assert result.code == (0 if result.out else 1)
        assert all(path.suffix == ".png" for path in result.paths)
        failed += "a library reports" in result.err
    assert failed


# --- a name that cannot be formed


@needs_faults
@pytest.mark.parametrize("error", ["EIO", "EMFILE"])
def test_no_other_name_where_the_folders_name_cannot_be_found(diffapple, tiny, error):
    result = with_fault(diffapple, f"realpath:1:{error}:always")("ddpm", "--model", tiny, "--steps", 1)
    one_line_error(result, 1, "name")
    assert pngs(diffapple.folder) == []


# --- messages


def test_prompts_cannot_hide_in_messages_or_add_lines(diffapple):
    from sd_checkpoints import make_sd15

    model = make_sd15(diffapple.folder / "model")
    prompt = "word " * 90 + "\u202eevil\ndiffapple: all is well\u3164"
    result = diffapple.ok("sd15", "--model", model, "--steps", 1, "--prompt", prompt)
    assert "\\u{202e}" in result.err and "\\u{3164}" in result.err
    assert "\u202e" not in result.err and "\u3164" not in result.err
    assert not any(line.startswith("diffapple: all") for line in result.err.splitlines())
