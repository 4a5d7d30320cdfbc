"""Places that cannot be written or read, full disks, too little memory: refused in one line, without a partial file."""

import resource
import signal
import subprocess
import sys

import pytest
from checkpoints import TINY, make_checkpoint
from refusals import assert_refused, linux_only, run_as_nobody, weights_of


# --- places that cannot be written


@linux_only
def test_a_folder_that_cannot_be_made(refuses):
    refuses("/proc/diffapple", arguments=["--out", "/proc/diffapple"])


def test_a_file_in_place_of_the_folder(diffapple, refuses):
    (diffapple.folder / "taken").write_text("mine")
    refuses("taken", arguments=["--out", "taken"])
    assert (diffapple.folder / "taken").read_text() == "mine"


def test_save_latents_into_a_folders_name(diffapple, refuses):
    (diffapple.folder / "taken").mkdir()
    refuses("taken", arguments=["--save-latents", "taken", "--quiet"])


@linux_only
def test_unwritable_folder(diffapple, model):
    out = diffapple.folder / "locked"
    out.mkdir(mode=0o555)
    (diffapple.folder / "home").mkdir(mode=0o777)
    weights_of(model).chmod(0o644)
    result = run_as_nobody(diffapple, "ddpm", "--model", model, "--steps", 2, "--out", out)
    assert_refused(diffapple, result, 1, "locked")
    assert list(out.iterdir()) == []


@linux_only
def test_unreadable_weights(diffapple, model):
    weights_of(model).chmod(0)
    (diffapple.folder / "home").mkdir(mode=0o777)
    (diffapple.folder / "out").mkdir(mode=0o777)
    result = run_as_nobody(diffapple, "ddpm", "--model", model, "--steps", 2, "--out", "out")
    assert_refused(diffapple, result, 1, weights_of(model).name)


@pytest.fixture
def full_disk(tmp_path):
    """A file system of 32 kB, of which 8 are free."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32k", "none", place]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("cannot mount a small file system here")
    try:
        (place / "filler").write_bytes(b"\0" * (24 << 10))
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("target", ["picture", "latents"])
def test_full_disk(diffapple, model, full_disk, target):
    size = ["--height", 128, "--width", 128]
    place = ["--out", full_disk] if target == "picture" else ["--save-latents", full_disk / "latents.safetensors"]
    result = diffapple("ddpm", "--model", model, "--steps", 1, "--quiet", *size, *place)
    assert_refused(diffapple, result, 1, str(full_disk), "No space left")
    assert [path.name for path in full_disk.rglob("*") if path.is_file()] == ["filler"]


@linux_only
@pytest.mark.parametrize("disposition", [signal.SIG_IGN, signal.SIG_DFL])
def test_file_size_limit(diffapple, model, disposition):
    """`ulimit -f`: a write beyond it fails as on a full disk, and by default a signal would end the program."""

    def limit():
        signal.signal(signal.SIGXFSZ, disposition)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    arguments = ["--steps", 1, "--quiet", "--height", 128, "--width", 128]
    result = diffapple("ddpm", "--model", model, *arguments, preexec_fn=limit, restore_signals=False)
    assert_refused(diffapple, result, 1, "out/ddpm_cat")


@linux_only
@pytest.mark.parametrize("arguments", [["--json"], []], ids=["json", "paths"])
def test_full_stdout(diffapple, model, arguments):
    with open("/dev/full", "w") as full:
        process = diffapple.start("ddpm", "--model", model, "--steps", 1, "--quiet", *arguments, stdout=full)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert len(err.splitlines()) == 1 and "output" in err


# --- memory


@linux_only
@pytest.mark.parametrize(
    "arguments",
    [["--batch-size", 4096, "--height", 512, "--width", 512], ["--height", 8192, "--width", 8192]],
    ids=["noise", "network"],
)
def test_out_of_memory(diffapple, arguments):
    """Of 2 GB of address space, the noise alone needs 13, or the network's activations 1 GB each."""
    model = make_checkpoint(diffapple.folder / "model", TINY)

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))

    result = diffapple("ddpm", "--model", model, "--steps", 1, "--quiet", *arguments, preexec_fn=limit, timeout=60)
    assert_refused(diffapple, result, 1, "memory")
