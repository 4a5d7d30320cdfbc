"""GGUF files of UNets, against the values that the gguf package reads."""

import json
import struct

import gguf
import numpy as np
import pytest
import torch
from conftest import one_line_error
from finished import pixels
from gguf import GGMLQuantizationType as Type
from gguf import quants
from original_layout import UNET, original_state, write_single_file
from safetensors.torch import load_file
from sd_checkpoints import load_pipeline, make_sd15

SIMPLE = [Type.Q8_0, Type.Q5_0, Type.Q5_1, Type.Q4_0, Type.Q4_1]
OF_K = [Type.Q2_K, Type.Q3_K, Type.Q4_K, Type.Q5_K, Type.Q6_K]
# Where a block's numbers in half precision stand.
HALVES = {Type.Q2_K: (80, 82), Type.Q3_K: (108,), Type.Q4_K: (0, 2), Type.Q5_K: (0, 2), Type.Q6_K: (208,)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_sd15(tmp_path_factory.mktemp("gguf") / "model", unet=dict(block_out_channels=(64, 128)))


def of_unet(state: dict) -> dict:
    return {name.removeprefix(UNET): tensor for name, tensor in state.items() if name.startswith(UNET)}


def random_blocks(kind: Type, shape, generator) -> np.ndarray:
    """Blocks of any content, with scales around 1e-3."""
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    count = int(np.prod(shape)) // elements
    blocks = generator.integers(0, 256, (count, size), dtype=np.uint8)
    for place in HALVES[kind]:
        scales = generator.uniform(1e-4, 1e-3, count).astype(np.float16)
        blocks[:, place : place + 2] = scales.view(np.uint8).reshape(count, 2)
    return blocks.reshape(*shape[:-1], -1)


def write_gguf(path, state: dict, kind: Type, prefix="") -> dict:
    """Matrices in blocks where their rows are whole ones, convolutions in fp16, the rest in fp32. Returns the values."""
    writer, values = gguf.GGUFWriter(path, "sd1"), {}
    generator = np.random.default_rng(0)
    elements, _ = gguf.GGML_QUANT_SIZES[kind]
    for name, tensor in state.items():
        array, of_kind = tensor.numpy(), Type.F32
        if array.ndim == 2 and array.shape[-1] % elements == 0:
            of_kind = kind
            array = random_blocks(kind, array.shape, generator) if kind in OF_K else quants.quantize(array, kind)
        elif array.ndim == 4:
            of_kind, array = Type.F16, array.astype(np.float16)
        writer.add_tensor(prefix + name, array, raw_dtype=of_kind)
        values[name] = torch.from_numpy(quants.dequantize(array, of_kind).astype(np.float32).reshape(tensor.shape))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert any(not torch.equal(values[name], tensor) for name, tensor in state.items())
    return values


@pytest.mark.parametrize("kind", [*SIMPLE, *OF_K], ids=lambda kind: kind.name)
def test_values(diffapple, folder, kind):
    """What convert writes from it are the package's values, to the last bit."""
    state = original_state(load_pipeline(folder))
    if kind in OF_K:  # their blocks have 256 values
        wide = make_sd15(diffapple.folder / "wide", unet=dict(block_out_channels=(64, 256)))
        state, folder = original_state(load_pipeline(wide)), wide
    values = write_gguf(diffapple.folder / "unet.gguf", of_unet(state), kind)
    diffapple.ok("convert", "unet.gguf", "made", "--config", folder, "--dtype", "fp32", "--quiet")
    write_single_file(diffapple.folder / "same.safetensors", values)
    diffapple.ok("convert", "same.safetensors", "same", "--config", folder, "--quiet")
    made, same = (
        load_file(diffapple.folder / name / "unet" / "diffusion_pytorch_model.safetensors") for name in ("made", "same")
    )
    assert made.keys() == same.keys()
    for name, tensor in same.items():
        assert torch.equal(made[name], tensor), name


@pytest.mark.parametrize("prefix", ["", UNET])
def test_picture(diffapple, folder, prefix):
    """Of a UNet alone, in the names of ComfyUI's files or of stable-diffusion.cpp's; the rest comes from --config."""
    values = write_gguf(diffapple.folder / "q.gguf", of_unet(original_state(load_pipeline(folder))), Type.Q8_0, prefix)
    write_single_file(diffapple.folder / "same.safetensors", values)
    made = [
        diffapple.ok("sd15", "--model", model, "--config", folder, "--steps", 1, "--prompt", "a cat").paths[0]
        for model in ("q.gguf", "same.safetensors")
    ]
    assert np.array_equal(*(pixels(diffapple.folder / path) for path in made))
    assert "unet" in diffapple.ok("inspect", "q.gguf", "--config", folder).out


def test_original_shapes(diffapple, folder):
    """Convolutions that were stored as matrices, with their shape beside them."""
    state = of_unet(original_state(load_pipeline(folder)))
    writer = gguf.GGUFWriter(diffapple.folder / "q.gguf", "sd1")
    for name, tensor in state.items():
        flat = tensor.reshape(tensor.shape[0], -1) if tensor.dim() == 4 else tensor
        if tensor.dim() == 4:
            writer.add_array(f"comfy.gguf.orig_shape.{name}", list(tensor.shape))
        writer.add_tensor(name, flat.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    run = ["--steps", 1, "--prompt", "a cat", "--config", folder]
    made = diffapple.ok("sd15", "--model", "q.gguf", *run).paths[0]
    own = diffapple.ok("sd15", "--model", folder, *run[:-2]).paths[0]
    assert np.array_equal(pixels(diffapple.folder / made), pixels(diffapple.folder / own))


def header(tensors=b"", count=1, values=b"", value_count=0, version=3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, count, value_count) + values + tensors


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def info(name=b"a", shape=(32,), kind=8, offset=0) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


BAD = {
    "empty": b"",
    "other": b"GGML" + bytes(100),
    "version": header(version=1),
    "no_tensors": header(count=0),
    "cut_off": header(info()),
    "many_tensors": header(count=1 << 60),
    "long_name": header(struct.pack("<Q", 1 << 62)),
    "unknown_type": header(info(kind=99)) + bytes(1000),
    "part_of_a_block": header(info(shape=(33,))) + bytes(1000),
    "large_shape": header(info(shape=(1 << 40, 1 << 40))) + bytes(1000),
    "many_dimensions": header(text(b"a") + struct.pack("<I", 1 << 31)) + bytes(1000),
    "negative_size": header(info(shape=((1 << 64) - 32,))) + bytes(1000),
    "far_offset": header(info(offset=1 << 63)) + bytes(1000),
    "twice": header(info() * 2, count=2) + bytes(1000),
    "unknown_value": header(info(), values=text(b"k") + struct.pack("<I", 77), value_count=1) + bytes(1000),
    "long_list": header(info(), values=text(b"k") + struct.pack("<IIQ", 9, 4, 1 << 62), value_count=1) + bytes(1000),
    "alignment": header(info(), values=text(b"general.alignment") + struct.pack("<II", 4, 0), value_count=1) + bytes(99),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files(diffapple, folder, name):
    (diffapple.folder / "m.gguf").write_bytes(BAD[name])
    one_line_error(diffapple("inspect", "m.gguf", "--config", folder), 1, "m.gguf")


def test_sizes_are_those_of_the_file(diffapple, folder):
    write_gguf(diffapple.folder / "q.gguf", of_unet(original_state(load_pipeline(folder))), Type.Q4_0)
    summary = json.loads(diffapple.ok("inspect", "q.gguf", "--config", folder, "--json").out)
    assert [part["name"] for part in summary["components"]] == ["text_encoder", "unet", "vae"]
