"""GGUF files, of UNets as ComfyUI-GGUF's converter writes them and of whole checkpoints as stable-diffusion.cpp does, with
the values that the gguf package reads from them."""

import itertools
import json
import shutil

import gguf
import numpy as np
import pytest
import sd_oracle
import torch
from conftest import one_line_error
from finished import pixels
from gguf import GGMLQuantizationType as Type
from gguf import quants
from original_layout import UNET, original_state, original_unet
from safetensors.torch import load_file
from sd_checkpoints import load_pipeline, make_sd15, make_sdxl

# Those that the package can write, and those of which it can only read blocks of any content: where the numbers in half
# precision stand in these.
WRITTEN = [Type.Q8_0, Type.Q5_1, Type.Q5_0, Type.Q4_1, Type.Q4_0, Type.BF16]
HALVES = {Type.Q2_K: (80, 82), Type.Q3_K: (108,), Type.Q4_K: (0, 2), Type.Q5_K: (0, 2), Type.Q6_K: (208,)}
WIDE = dict(block_out_channels=(32, 64))


@pytest.fixture(scope="module")
def sd15(tmp_path_factory):
    folder = make_sd15(tmp_path_factory.mktemp("gguf") / "model", unet=WIDE)
    return folder, original_state(load_pipeline(folder))


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory):
    folder = make_sdxl(tmp_path_factory.mktemp("gguf_xl") / "model", unet=WIDE)
    return folder, original_state(load_pipeline(folder))


def of_unet(state: dict) -> dict:
    return {name.removeprefix(UNET): tensor for name, tensor in state.items() if name.startswith(UNET)}


def packed(array: np.ndarray, kind: Type, generator) -> np.ndarray:
    if kind not in HALVES:
        return quants.quantize(array, kind)
    values, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = generator.integers(0, 256, (array.size // values, size), dtype=np.uint8)
    for place in HALVES[kind]:
        scales = generator.uniform(1e-5, 1e-4, len(blocks)).astype(np.float16)
        blocks[:, place : place + 2] = scales.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(*array.shape[:-1], -1)


def write_gguf(path, state: dict, kinds=(*WRITTEN, *HALVES), prefix="", any_rows=True) -> dict:
    """The tensors in one type after the other, vectors in fp32 and what no type takes in fp16. `any_rows`: where rows are
    no whole blocks, the tensor is stored as rows of 256 with its shape in the header. Returns their values."""
    writer, values, generator = gguf.GGUFWriter(path, "sd1"), {}, np.random.default_rng(0)
    kinds = itertools.cycle(kinds)
    for name, tensor in state.items():
        array, kind = tensor.float().numpy(), Type.F32 if tensor.dim() == 1 else next(kinds)
        if tensor.dim() > 1 and any_rows and array.size % 256 == 0 and array.shape[-1] % 256:
            writer.add_array(f"comfy.gguf.orig_shape.{prefix}{name}", list(array.shape))
            array = array.reshape(-1, 256)
        if array.shape[-1] % gguf.GGML_QUANT_SIZES[kind][0]:
            kind = Type.F16
        data = packed(array, kind, generator)
        writer.add_tensor(prefix + name, data, raw_dtype=kind)
        values[name] = torch.from_numpy(quants.dequantize(data, kind).astype(np.float32).reshape(tensor.shape))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return values


def with_unet(folder, values: dict):
    """The folder's pipeline with these values, by their names in the original code, in its UNet."""
    pipeline = load_pipeline(folder)
    state = pipeline.unet.state_dict()
    names = {id(tensor): name for name, tensor in of_unet(original_unet(state, pipeline.unet.config)).items()}
    pipeline.unet.load_state_dict({name: values[names[id(tensor)]] for name, tensor in state.items()})
    return pipeline


PARITY = dict(steps=2, guidance=3)


@pytest.mark.parametrize("prefix, any_rows", [("", True), (UNET, False)])
def test_unet(diffapple, sd15, prefix, any_rows):
    """In the names of ComfyUI's files and of stable-diffusion.cpp's. Text encoder, VAE and the rest are --config's, which
    may be a model's name; the types are listed with the file's own size."""
    folder, state = sd15
    (diffapple.folder / "models").mkdir()
    (diffapple.folder / "models" / "base").symlink_to(folder)
    values = write_gguf(diffapple.folder / "q.gguf", of_unet(state), prefix=prefix, any_rows=any_rows)
    theirs = with_unet(folder, values)
    options = ["--config", "base", "--scheduler", "dpmsolver++"]
    arguments = dict(scheduler="dpmsolver++")
    sd_oracle.assert_parity(diffapple, "sd15", "q.gguf", theirs, PARITY, options=options, arguments=arguments)
    summary = json.loads(diffapple.ok("inspect", "q.gguf", "--config", "base", "--json").out)
    unet = next(part for part in summary["components"] if part["name"] == "unet")
    assert {"q8_0", "q4_0", "fp16", "fp32"} <= unet["dtypes"].keys()
    assert {"q2_k", "q6_k", "bf16"} <= unet["dtypes"].keys() or not any_rows
    size = (diffapple.folder / "q.gguf").stat().st_size
    assert 0.7 * size < unet["bytes"] < size and unet["parameters"] == theirs.unet.num_parameters()


def test_values_are_the_packages(diffapple, sd15):
    """To the last bit, of every type, as `convert` writes them."""
    folder, state = sd15
    values = write_gguf(diffapple.folder / "q.gguf", of_unet(state))
    diffapple.ok("convert", "q.gguf", "made", "--config", folder, "--dtype", "fp32", "--quiet")
    made = load_file(diffapple.folder / "made" / "unet" / "diffusion_pytorch_model.safetensors")
    for name, tensor in with_unet(folder, values).unet.state_dict().items():
        assert torch.equal(made[name], tensor), name


def test_unet_in_names_of_diffusers(diffapple, sdxl):
    """ComfyUI's converter takes such UNets, too. --dtype and --weights are as of any other file."""
    folder, _ = sdxl
    pipeline = load_pipeline(folder)
    values = write_gguf(diffapple.folder / "q.gguf", pipeline.unet.state_dict(), kinds=[Type.Q8_0, Type.Q6_K])
    pipeline.unet.load_state_dict(values)
    sd_oracle.assert_parity(diffapple, "sdxl-turbo", "q.gguf", pipeline, PARITY, options=["--config", folder])
    pipeline.save_pretrained(diffapple.folder / "same")
    run = ["sdxl-turbo", "--prompt", "a cat", "--sheet", "off", "--dtype", "bf16", "--weights", "int8", "--model"]
    ours = diffapple.ok(*run, "q.gguf", "--config", folder).paths[0]
    theirs = diffapple.ok(*run, "same").paths[0]
    assert np.array_equal(pixels(diffapple.folder / ours), pixels(diffapple.folder / theirs))


def sdcpp_names(state: dict, fused: bool) -> dict:
    """Of a whole SDXL, as stable-diffusion.cpp names tensors where it converts names: OpenCLIP's become transformers', with
    q, k and v in three matrices (`fused`: later versions leave one), and linear layers of the UNet 1x1 convolutions."""
    names = {
        "conditioner.embedders.0.transformer.": "cond_stage_model.transformer.",
        "conditioner.embedders.1.model.": "cond_stage_model.1.transformer.text_model.",
        "transformer.resblocks.": "encoder.layers.",
        ".ln_1.": ".layer_norm1.",
        ".ln_2.": ".layer_norm2.",
        ".mlp.c_fc.": ".mlp.fc1.",
        ".mlp.c_proj.": ".mlp.fc2.",
        ".attn.out_proj.": ".self_attn.out_proj.",
        ".ln_final.": ".final_layer_norm.",
        "model.positional_embedding": "model.embeddings.position_embedding.weight",
        "model.token_embedding.": "model.embeddings.token_embedding.",
    }
    made = {}
    for name, tensor in state.items():
        if tensor.dim() == 0 or "position_ids" in name:
            continue
        for old, new in names.items():
            name = name.replace(old, new)
        if ".attn.in_proj_" in name:
            parts = {"in_proj": tensor} if fused else dict(zip(("q_proj", "k_proj", "v_proj"), tensor.chunk(3)))
            made |= {name.replace(".attn.in_proj_", f".self_attn.{part}."): piece for part, piece in parts.items()}
        elif name.endswith(("proj_in.weight", "proj_out.weight")) and tensor.dim() == 2:
            made[name] = tensor[:, :, None, None]
        else:
            made[name] = tensor
    return made


@pytest.mark.parametrize("fused", [False, True])
def test_whole_checkpoint(diffapple, sdxl, fused):
    folder, state = sdxl
    write_gguf(diffapple.folder / "m.gguf", sdcpp_names(state, fused), kinds=[Type.F32], any_rows=False)
    bare = diffapple.folder / "configs"
    shutil.copytree(folder, bare, ignore=shutil.ignore_patterns("*.safetensors"))
    run = ["sdxl-turbo", "--steps", 1, "--prompt", "a cat", "--sheet", "off", "--model"]
    made = diffapple.ok(*run, "m.gguf", "--config", bare).paths[0]
    assert np.array_equal(pixels(diffapple.folder / made), pixels(diffapple.folder / diffapple.ok(*run, folder).paths[0]))


def test_by_name_and_again(diffapple, sd15):
    """What no kind is known of needs its configs; a picture's recipe makes it again; a file that changed is noticed."""
    folder, state = sd15
    models = diffapple.folder / "models"
    models.mkdir()
    (models / "base").symlink_to(folder)
    write_gguf(models / "mine.gguf", of_unet(state), kinds=[Type.Q8_0])
    made = diffapple.ok("sd15", "--model", "mine", "--config", "base", "--steps", 1, "--prompt", "a cat").paths[0]
    assert "_model-mine_config-base" in made.name
    assert "the same picture" in diffapple.ok("replay", made, "--config", "base").out
    one_line_error(diffapple("sd15", "--model", "mine", "--prompt", "a cat"), 1, "mine.gguf", "no known kind")
    write_gguf(models / "mine.gguf", of_unet(state), kinds=[Type.Q4_0])
    one_line_error(diffapple("replay", made, "--config", "base"), 1, "unet")


def test_other_gguf_files(diffapple, sd15):
    """A language model, something else, a file that is cut off."""
    write_gguf(diffapple.folder / "llm.gguf", {"token_embd.weight": torch.ones(4, 32), "blk.0.attn_q.weight": torch.ones(2, 32)})
    one_line_error(diffapple("inspect", "llm.gguf"), 1, "llm.gguf", "a language model")
    (diffapple.folder / "m.gguf").write_bytes(b"PK" + bytes(100))
    one_line_error(diffapple("inspect", "m.gguf"), 1, "m.gguf", "no GGUF file")
    folder, state = sd15
    write_gguf(diffapple.folder / "q.gguf", of_unet(state))
    whole = (diffapple.folder / "q.gguf").read_bytes()
    (diffapple.folder / "cut.gguf").write_bytes(whole[: len(whole) // 2])
    one_line_error(diffapple("sd15", "--model", "cut.gguf", "--config", folder), 1, "cut.gguf", "cut off")
