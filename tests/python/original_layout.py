"""Checkpoints in one file, as the original code (CompVis' latent-diffusion, Stability's SGM) writes them: diffusers'
checkpoints, renamed. The names are not this project's: a list of what the original constructors make goes through the
conversion of diffusers' from_single_file, and each of diffusers' names gets the one that became it."""

import re
from pathlib import Path

import torch
from diffusers.loaders.single_file_utils import (
    DIFFUSERS_TO_LDM_MAPPING,
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
)
from safetensors.torch import save_file

UNET = "model.diffusion_model."
VAE = "first_stage_model."
RESNET = ["in_layers.0", "in_layers.2", "emb_layers.1", "out_layers.0", "out_layers.3", "skip_connection"]
WITH_PARTS = [".weight", ".bias"]


def attention_parts(state: dict) -> list[str]:
    """What stands inside a transformer: the same in both."""
    return sorted({re.split(r"attentions\.\d+\.", name)[1] for name in state if ".attentions." in name})


def unet_names(config: dict, state: dict) -> list[str]:
    """What LDM's UNetModel would make for this config, and perhaps more."""
    levels, layers = len(config["block_out_channels"]), config["layers_per_block"]
    parts = attention_parts(state)
    names = [f"{UNET}{part}" for part in ("time_embed.0", "time_embed.2", "input_blocks.0.0", "out.0", "out.2")]
    names += [f"{UNET}label_emb.0.{i}" for i in (0, 2) if config["addition_embed_type"] == "text_time"]
    whole = [f"{UNET}middle_block.1.{part}" for part in parts]
    names += [f"{UNET}middle_block.{i}.{part}" for i in (0, 2) for part in RESNET]
    down, up = 1, 0
    for level in range(levels):
        for _ in range(layers):
            names += [f"{UNET}input_blocks.{down}.0.{part}" for part in RESNET]
            if "CrossAttn" in config["down_block_types"][level]:
                whole += [f"{UNET}input_blocks.{down}.1.{part}" for part in parts]
            down += 1
        if level < levels - 1:
            names.append(f"{UNET}input_blocks.{down}.0.op")
            down += 1
        attends = "CrossAttn" in config["up_block_types"][level]
        for layer in range(layers + 1):
            names += [f"{UNET}output_blocks.{up}.0.{part}" for part in RESNET]
            if attends:
                whole += [f"{UNET}output_blocks.{up}.1.{part}" for part in parts]
            if layer == layers and level < levels - 1:
                names.append(f"{UNET}output_blocks.{up}.{2 if attends else 1}.conv")
            up += 1
    return whole + [name + part for name in names for part in WITH_PARTS]


def vae_names(config: dict) -> list[str]:
    """What LDM's AutoencoderKL would make."""
    levels, layers = len(config["block_out_channels"]), config["layers_per_block"]
    resnet = ["norm1", "conv1", "norm2", "conv2", "nin_shortcut"]
    names = ["quant_conv", "post_quant_conv"]
    for half, way, moves, count in (("encoder", "down", "downsample", layers), ("decoder", "up", "upsample", layers + 1)):
        names += [f"{half}.{part}" for part in ("conv_in", "conv_out", "norm_out")]
        names += [f"{half}.mid.block_{i}.{part}" for i in (1, 2) for part in resnet]
        names += [f"{half}.mid.attn_1.{part}" for part in ("norm", "q", "k", "v", "proj_out")]
        for level in range(levels):
            names += [f"{half}.{way}.{level}.block.{i}.{part}" for i in range(count) for part in resnet]
            names.append(f"{half}.{way}.{level}.{moves}.conv")
    return [VAE + name + part for name in names for part in WITH_PARTS]


def renamed(state: dict, names: list[str], convert, config: dict) -> dict:
    """The state by those of the names that `convert` makes its names of."""
    marked = {name: torch.full((1, 1), float(i)) for i, name in enumerate(names)}
    made = {new: names[int(mark[0, 0])] for new, mark in convert(marked, config).items()}
    original = {made[name]: tensor for name, tensor in state.items()}
    assert len(original) == len(state)
    return original


def original_unet(state: dict, config: dict) -> dict:
    return renamed(state, unet_names(config, state), convert_ldm_unet_checkpoint, config)


def original_vae(state: dict, config: dict) -> dict:
    """Its attention is made of 1x1 convolutions."""
    named = renamed(state, vae_names(config), convert_ldm_vae_checkpoint, config)
    is_linear = re.compile(r"attn_1\.(q|k|v|proj_out)\.weight$")
    return {name: t[:, :, None, None] if is_linear.search(name) else t for name, t in named.items()}


def original_clip(state: dict, prefix: str) -> dict:
    """CLIP is transformers' in the original code, too: as version 4 wrote it."""
    named = {f"{prefix}text_model.{name.removeprefix('text_model.')}": tensor for name, tensor in state.items()}
    length = state[next(name for name in state if "position_embedding" in name)].shape[0]
    return {**named, f"{prefix}text_model.embeddings.position_ids": torch.arange(length)[None]}


def original_open_clip(state: dict, prefix: str, penultimate: bool) -> dict:
    """OpenCLIP: q, k and v are one matrix, the projection is not transposed. `penultimate`: as in SD v2, whose text
    encoder leaves out the last layer and the projection that the file has."""
    mapping = DIFFUSERS_TO_LDM_MAPPING["openclip"]
    state = {f"text_model.{n.removeprefix('text_model.')}" if "projection" not in n else n: t for n, t in state.items()}
    made = {mapping["layers"][name]: t for name, t in state.items() if name in mapping["layers"]}
    if "text_projection" in made:
        made["text_projection"] = made["text_projection"].T.contiguous()
    for name, tensor in state.items():
        if name in mapping["layers"]:
            continue
        for new, old in mapping["transformer"].items():
            name = name.replace(new, old)
        if found := re.match(r"(.*\.attn)\.q_proj\.(weight|bias)", name):
            q = next(n for n in state if state[n] is tensor)
            parts = [state[q.replace("q_proj", f"{letter}_proj")] for letter in "qkv"]
            made[f"transformer.{found[1]}.in_proj_{found[2]}"] = torch.cat(parts)
        elif not re.search(r"[kv]_proj", name):
            made[f"transformer.{name}"] = tensor
    if penultimate:
        layers = max(int(name.split(".")[2]) for name in made if "resblocks" in name) + 1
        last = {n.replace(f".{layers - 1}.", ".23."): t + 1 for n, t in made.items() if f"resblocks.{layers - 1}." in n}
        width = made["ln_final.weight"].shape[0]
        made = {**made, **last, "text_projection": torch.ones(width, width)}
    return {prefix + name: t for name, t in {**made, "logit_scale": torch.tensor(4.6)}.items()}


def original_state(pipeline) -> dict:
    """All components of a pipeline of diffusers in one state dict."""
    state = original_unet(pipeline.unet.state_dict(), pipeline.unet.config)
    state |= original_vae(pipeline.vae.state_dict(), pipeline.vae.config)
    text = pipeline.text_encoder.state_dict()
    if hasattr(pipeline, "text_encoder_2"):
        state |= original_clip(text, "conditioner.embedders.0.transformer.")
        second = pipeline.text_encoder_2.state_dict()
        state |= original_open_clip(second, "conditioner.embedders.1.model.", penultimate=False)
    elif pipeline.text_encoder.config.hidden_act == "gelu":
        state |= original_open_clip(text, "cond_stage_model.model.", penultimate=True)
    else:
        state |= original_clip(text, "cond_stage_model.transformer.")
    # What training leaves in such files.
    return {**state, "betas": torch.linspace(0, 1, 1000), "model_ema.decay": torch.tensor(0.9999)}


def write_single_file(path: Path, state: dict) -> Path:
    """By its extension: .safetensors, or as torch.save writes it (.old.ckpt: as before torch 1.6)."""
    state = {name: tensor.contiguous().clone() for name, tensor in state.items()}
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        legacy = path.name.endswith(".old.ckpt")
        torch.save({"state_dict": state, "global_step": 1}, path, _use_new_zipfile_serialization=not legacy)
    return path
