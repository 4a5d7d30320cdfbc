"""`diffapple convert`: what it writes loads in diffusers and here, and makes the picture of its source."""

import json
import shutil
import signal
import time
from pathlib import Path

import psutil
import finished
import pytest
import torch
from checkpoints import SMALL, make_checkpoint
from conftest import leftovers, one_line_error
from diffusers import DDPMPipeline, DiffusionPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline
from original_layout import original_state, write_single_file
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from sd_checkpoints import load_pipeline, make_sd2, make_sd15, make_sdxl
from test_single_files import Meta, states, write_hollow

SOURCES = {
    "sd15": (make_sd15, dict(hub_names=True, storage="bin"), "sd15"),
    "sd15_safety": (make_sd15, dict(safety=1.0), "sd15"),
    "sd2": (make_sd2, dict(inpainting=False), "sd15"),
    "sdxl": (make_sdxl, {}, "sdxl-turbo"),
}


@pytest.fixture(scope="module", params=SOURCES)
def source(request, tmp_path_factory):
    make, options, command = SOURCES[request.param]
    return make(tmp_path_factory.mktemp(request.param) / "model", **options), command


def pixels(path) -> bytes:
    return finished.pixels(path).tobytes()


def picture(diffapple, command, model, *options) -> bytes:
    arguments = ["--model", model, "--steps", 1, "--prompt", "a cat", "--guidance", 2, "--force", *options]
    return pixels(diffapple.folder / diffapple.ok(command, *arguments).paths[0])


def test_folder(diffapple, source):
    folder, command = source
    made = diffapple.ok("convert", folder, "made")
    assert made.paths == [Path("made")] and leftovers(diffapple.folder) == []
    written = diffapple.folder / "made"
    theirs = DiffusionPipeline.from_pretrained(written)
    for name, tensor in states(load_pipeline(folder)).items():
        assert torch.equal(states(theirs)[name], tensor), name
    assert picture(diffapple, command, "made") == picture(diffapple, command, folder)
    assert not list(written.rglob("*.bin"))
    model = written / "tokenizer" / "sentencepiece.model"
    model.rename(diffapple.folder / "tokenizer.model")  # which stands for the vocabulary
    for file in model.parent.iterdir():
        file.unlink() if file.name in ("vocab.json", "merges.txt") else None
    (diffapple.folder / "tokenizer.model").rename(model.with_name("tokenizer.model"))
    assert picture(diffapple, command, "made") == picture(diffapple, command, folder)
    for weights in written.rglob("*.safetensors"):
        names = load_file(weights).keys()
        assert not [name for name in names if "position_ids" in name or ".query." in name or "proj_attn" in name]


def test_single_file_and_back(diffapple, source):
    """One file by diffusers' own reading of it, and a folder again."""
    folder, command = source
    diffapple.ok("convert", folder, "one.safetensors", "--layout", "single")
    of_folder = load_pipeline(folder)
    kind = StableDiffusionXLPipeline if command == "sdxl-turbo" else StableDiffusionPipeline
    theirs = kind.from_single_file(diffapple.folder / "one.safetensors", config=str(folder), local_files_only=True)
    for name, tensor in states(theirs).items():
        assert torch.equal(states(of_folder)[name], tensor), name
    diffapple.ok("convert", "one.safetensors", "again", "--config", folder)
    options = ["--safety", "off"] if "safety" in str(folder) else []
    assert picture(diffapple, command, "again") == picture(diffapple, command, folder, *options)


def test_original_file_becomes_a_folder(diffapple, source):
    folder, command = source
    file = write_single_file(diffapple.folder / "one.old.ckpt", original_state(load_pipeline(folder)))
    diffapple.ok("convert", file, "made", "--config", folder)
    theirs, expected = DiffusionPipeline.from_pretrained(diffapple.folder / "made"), states(load_pipeline(folder))
    for name, tensor in states(theirs).items():
        assert torch.equal(expected[name], tensor), name


@pytest.mark.parametrize("dtype", ["fp16", "bf16", "fp32"])
def test_dtype(diffapple, source, dtype):
    folder, _ = source
    diffapple.ok("convert", folder, "made", "--dtype", dtype)
    kind = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}[dtype]
    theirs = states(DiffusionPipeline.from_pretrained(diffapple.folder / "made", torch_dtype=kind))
    for name, tensor in states(load_pipeline(folder)).items():
        if tensor.is_floating_point():
            assert torch.equal(theirs[name], tensor.to(kind)), name
    for file in (diffapple.folder / "made").rglob("*.safetensors"):
        with safe_open(file, "pt") as weights:
            assert {weights.get_tensor(name).dtype for name in weights.keys()} == {kind}


def test_ddpm(diffapple):
    """Files in the root become components; there is no single-file form."""
    folder = make_checkpoint(diffapple.folder / "model", SMALL, storage="root")
    diffapple.ok("convert", folder, "made")
    DDPMPipeline.from_pretrained(diffapple.folder / "made")
    one, other = (
        pixels(diffapple.folder / diffapple.ok("ddpm", "--model", model, "--steps", 2, "--out", model.name).paths[0])
        for model in (folder, diffapple.folder / "made")
    )
    assert one == other
    one_line_error(diffapple("convert", folder, "one.safetensors", "--layout", "single"), 1, "single file")


def test_refusals(diffapple, source):
    folder, _ = source
    (diffapple.folder / "there").mkdir()
    one_line_error(diffapple("convert", folder, "there"), 1, "there", "exists")
    one_line_error(diffapple("convert", folder, "one.bin", "--layout", "single"), 2, ".safetensors")
    one_line_error(diffapple("convert", "absent", "made"), 1, "absent")


def test_too_large_for_fp16(diffapple, source):
    folder, _ = source
    one_line_error(diffapple("inspect", folder / "absent"), 1)
    diffapple.ok("convert", folder, "copy")
    file = diffapple.folder / "copy" / "vae" / "diffusion_pytorch_model.safetensors"
    state = load_file(file)
    state["decoder.conv_in.bias"][0] = 1e6
    save_file(state, file, metadata={"format": "pt"})
    one_line_error(diffapple("convert", "copy", "made", "--dtype", "fp16", "--quiet"), 1, "decoder.conv_in.bias", "bf16")
    assert not (diffapple.folder / "made").exists() and leftovers(diffapple.folder) == []


def large_model(folder: Path) -> Path:
    """An SD 1.5 whose UNet has some 100 MB."""
    return make_sd15(folder, unet=dict(block_out_channels=(256, 512), cross_attention_dim=32, norm_num_groups=32))


def test_killed_and_started_again(diffapple):
    folder = large_model(diffapple.folder / "model")
    process = diffapple.start("convert", folder, "made")
    deadline = time.monotonic() + 60
    while not leftovers(diffapple.folder) and time.monotonic() < deadline:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (diffapple.folder / "made").exists()
    diffapple.ok("convert", folder, "made")
    assert leftovers(diffapple.folder) == []
    assert json.loads((diffapple.folder / "made" / "model_index.json").read_text())


def test_memory(diffapple):
    """One tensor at a time: the peak is far below the model's size."""
    folder = large_model(diffapple.folder / "model")
    bytes_of_model = sum(file.stat().st_size for file in folder.rglob("*.safetensors"))
    base = peak(diffapple, "devices")
    assert peak(diffapple, "convert", folder, "made", "--dtype", "bf16") - base < 0.4 * bytes_of_model


@pytest.mark.full
def test_memory_of_an_sdxl(diffapple):
    """Of full size, from one file to a folder in another type: under 1 GB, LibTorch's own and the networks' names in it."""
    write_hollow(diffapple.folder / "xl.safetensors", original_state(Meta("sdxl-turbo")))
    arguments = ["convert", "xl.safetensors", "made", "--dtype", "bf16", "--quiet"]
    assert peak(diffapple, *arguments) < 1e9
    shutil.rmtree(diffapple.folder / "made")


def peak(diffapple, *arguments) -> int:
    """The largest resident memory that is not of files, as often as it can be seen."""
    process, largest = diffapple.start(*arguments), 0
    handle = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            memory = handle.memory_info()
            largest = max(largest, memory.rss - memory.shared)
        except psutil.NoSuchProcess:
            break
        time.sleep(0.002)
    process.communicate()
    assert process.returncode == 0
    return largest
