"""Small random UNet2D checkpoints in diffusers layout: every model option and every form of storage that the program
reads. Weights are scaled so that the network's output depends on each of them; norms and biases are off their defaults,
because a checkpoint of ones and zeros hides a forgotten norm or bias."""

import json
import math
import shutil
from pathlib import Path

import torch
from diffusers import DDPMScheduler, UNet2DModel
from safetensors.torch import load_file, save_file

WEIGHTS = "diffusion_pytorch_model"

# What each shape changes. Two levels, attention in the lower one.
SMALL = dict(
    sample_size=16,
    block_out_channels=(8, 16),
    layers_per_block=1,
    down_block_types=("DownBlock2D", "AttnDownBlock2D"),
    up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    norm_num_groups=4,
    attention_head_dim=8,
)
# As google/ddpm-*: old-style time embedding, asymmetric padding, one head.
GOOGLE = dict(
    SMALL,
    attention_head_dim=None,
    downsample_padding=0,
    flip_sin_to_cos=False,
    freq_shift=1,
    norm_eps=1e-6,
)
RESNET_BLOCKS = dict(
    down_block_types=("ResnetDownsampleBlock2D", "AttnDownBlock2D"),
    up_block_types=("AttnUpBlock2D", "ResnetUpsampleBlock2D"),
)
SHAPES = {
    "small": SMALL,
    "google": GOOGLE,
    "one_head": dict(SMALL, attention_head_dim=None),
    "four_heads": dict(SMALL, block_out_channels=(8, 32)),
    "odd_head_dim": dict(SMALL, block_out_channels=(8, 24), attention_head_dim=16),
    "scale_shift": dict(SMALL, resnet_time_scale_shift="scale_shift"),
    "scale_shift_mid_norm": dict(SMALL, resnet_time_scale_shift="scale_shift", attn_norm_num_groups=2),
    "padding_0": dict(SMALL, downsample_padding=0),
    "padding_0_resnet": dict(SMALL, downsample_padding=0, downsample_type="resnet"),
    "resnet_samplers": dict(
        SMALL,
        downsample_type="resnet",
        upsample_type="resnet",
        down_block_types=("AttnDownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "AttnUpBlock2D"),
    ),
    "resnet_blocks": dict(SMALL, **RESNET_BLOCKS),
    "resnet_blocks_scale_shift": dict(SMALL, **RESNET_BLOCKS, resnet_time_scale_shift="scale_shift", act_fn="mish"),
    "samplers_without_attention": dict(
        SMALL,
        downsample_type="resnet",
        upsample_type="resnet",
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
    ),
    "groups_2": dict(SMALL, norm_num_groups=2, norm_eps=1e-3),
    "groups_8": dict(SMALL, block_out_channels=(16, 32), norm_num_groups=8, attn_norm_num_groups=2),
    "no_mid_block": dict(SMALL, mid_block_type=None),
    "mid_scale": dict(SMALL, mid_block_scale_factor=math.sqrt(2)),
    "mid_without_attention": dict(SMALL, add_attention=False),
    "centered": dict(SMALL, center_input_sample=True),
    "mish": dict(SMALL, act_fn="mish"),
    "gelu": dict(SMALL, act_fn="gelu"),
    "relu": dict(SMALL, act_fn="relu"),
    "swish": dict(SMALL, act_fn="swish"),
    "wide_picture": dict(SMALL, sample_size=(8, 24)),
    "grey": dict(SMALL, in_channels=1, out_channels=1),
    "rgba": dict(SMALL, in_channels=4, out_channels=4),
    "time_dim": dict(SMALL, time_embedding_dim=20),
    "odd_time_channels": dict(SMALL, block_out_channels=(9, 12), norm_num_groups=3, attention_head_dim=4),
    "freq_shift": dict(SMALL, freq_shift=1, flip_sin_to_cos=True),
    "flip": dict(SMALL, freq_shift=0, flip_sin_to_cos=False),
    "one_level": dict(
        SMALL, block_out_channels=(16,), down_block_types=("AttnDownBlock2D",), up_block_types=("AttnUpBlock2D",)
    ),
    "deep": dict(
        GOOGLE,
        block_out_channels=(8, 8, 16, 16),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
    ),
    "wide": dict(SMALL, block_out_channels=(32, 96), layers_per_block=3, norm_num_groups=16),
    "shrinking": dict(SMALL, block_out_channels=(16, 8)),
}
# log(0) has no embedding: Fourier models need timesteps that end above 0.
FOURIER = dict(SMALL, time_embedding_type="fourier")
FOURIER_SCHEDULER = dict(timestep_spacing="trailing")
# For runs of a thousand steps.
TINY = dict(
    sample_size=16,
    block_out_channels=(4,),
    layers_per_block=1,
    down_block_types=("DownBlock2D",),
    up_block_types=("UpBlock2D",),
    norm_num_groups=2,
    add_attention=False,
)


def random_unet(shape: dict, seed: int = 0) -> UNet2DModel:
    """A model whose every weight is random, from a generator of its own."""
    unet = UNet2DModel(**shape).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in unet.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() > 1:
            parameter.copy_(noise / math.sqrt(parameter[0].numel()))
        elif name == "time_proj.weight":  # Fourier frequencies
            parameter.copy_(noise)
        else:
            parameter.copy_(0.2 * noise + (1.0 if name.endswith("weight") else 0.0))
    return unet


def random_fourier_unet(seed: int = 0) -> UNet2DModel:
    """A Fourier model divides its output by the timestep: here it is scaled up, so that it still counts."""
    unet = random_unet(FOURIER, seed)
    unet.conv_out.weight *= 200
    unet.conv_out.bias *= 200
    return unet


def with_learned_variance(shape: dict, seed: int = 0) -> UNet2DModel:
    """A model with twice the output channels; the second half, the variance, stays in (0, 1)."""
    channels = shape.get("in_channels", 3)
    unet = random_unet(dict(shape, out_channels=2 * channels), seed)
    unet.conv_out.weight[channels:] *= 0.05
    unet.conv_out.bias[channels:] = 0.4
    return unet


def to_old_attention_keys(state: dict, as_convolutions: bool = False) -> dict:
    """Attention weights by the names of old checkpoints; `as_convolutions`: with the shape of a 1x1 convolution."""
    renames = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    renamed = {}
    for name, tensor in state.items():
        for new, old in renames.items():
            if new in name:
                name = name.replace(new, old)
                if as_convolutions and tensor.dim() == 2:
                    tensor = tensor[:, :, None, None].contiguous()
        renamed[name] = tensor
    return renamed


def write_json(path: Path, value) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1))


def edit_json(path: Path, **changes) -> None:
    """Changes keys of a JSON file; a value of ... removes the key."""
    value = {**json.loads(path.read_text()), **changes}
    write_json(path, {key: item for key, item in value.items() if item is not ...})


def save_checkpoint(folder: Path, unet: UNet2DModel, storage: str = "safetensors", **scheduler) -> Path:
    """Writes a checkpoint; `scheduler` holds DDPMScheduler's options. Returns the folder."""
    component = folder / "unet"
    unet.save_pretrained(component)
    DDPMScheduler(**scheduler).save_pretrained(folder / "scheduler")
    write_json(
        folder / "model_index.json",
        {
            "_class_name": "DDPMPipeline",
            "_diffusers_version": "0.42.1",
            "scheduler": ["diffusers", "DDPMScheduler"],
            "unet": ["diffusers", "UNet2DModel"],
        },
    )
    STORAGES[storage](component, unet)
    return folder


def make_checkpoint(folder: Path, shape: dict, seed: int = 0, storage: str = "safetensors", **scheduler) -> Path:
    return save_checkpoint(folder, random_unet(shape, seed), storage, **scheduler)


def _resave(component: Path, unet: UNet2DModel, **options) -> None:
    for file in component.glob(f"{WEIGHTS}*"):
        file.unlink()
    unet.save_pretrained(component, **options)


def _as_half(component: Path, unet: UNet2DModel, **options) -> None:
    half = UNet2DModel.from_config(unet.config).eval()
    half.load_state_dict(unet.state_dict())
    _resave(component, half.half(), variant="fp16", **options)


def _as_state(component: Path, state: dict) -> None:
    save_file(state, component / f"{WEIGHTS}.safetensors")


def _as_bin(component: Path, state) -> None:
    (component / f"{WEIGHTS}.safetensors").unlink()
    torch.save(state, component / f"{WEIGHTS}.bin")


def _as_views_of_one_storage(component: Path, unet: UNet2DModel) -> None:
    """All tensors in one storage, at offsets; the 2-D ones transposed, so that their strides count."""
    tensors = unet.state_dict()
    storage = torch.cat([(t.t() if t.dim() == 2 else t).flatten() for t in tensors.values()])
    views, offset = {}, 0
    for name, tensor in tensors.items():
        view = storage[offset : offset + tensor.numel()]
        views[name] = view.view(tensor.shape[::-1]).t() if tensor.dim() == 2 else view.view(tensor.shape)
        offset += tensor.numel()
    _as_bin(component, views)


def _as_root(component: Path, _unet) -> None:
    folder = component.parent
    for file in [*component.iterdir(), folder / "scheduler" / "scheduler_config.json"]:
        file.rename(folder / file.name)
    component.rmdir()
    (folder / "scheduler").rmdir()


def _with_fp16_beside(component: Path, unet: UNet2DModel) -> None:
    """An fp16 variant beside the fp32 file: with other weights, so that a test sees which one was taken."""
    random_unet(dict(unet.config), seed=99).half().save_pretrained(component, variant="fp16")


def _with_mixed_types(component: Path, unet: UNet2DModel) -> None:
    types = [torch.float32, torch.float16, torch.bfloat16, torch.float64]
    _as_state(component, {name: t.to(types[i % 4]) for i, (name, t) in enumerate(unet.state_dict().items())})


STORAGES = {
    "safetensors": lambda component, unet: None,
    "fp16_variant": _as_half,
    "fp16_beside_fp32": _with_fp16_beside,
    "sharded": lambda component, unet: _resave(component, unet, max_shard_size="20KB"),
    "sharded_fp16": lambda component, unet: _as_half(component, unet, max_shard_size="10KB"),
    "bin": lambda component, unet: _resave(component, unet, safe_serialization=False),
    "bin_sharded": lambda component, unet: _resave(
        component, unet, safe_serialization=False, max_shard_size="20KB"
    ),
    "bin_plain_dict": lambda component, unet: _as_bin(component, dict(unet.state_dict())),
    "bin_views": _as_views_of_one_storage,
    "bin_half": lambda component, unet: _as_bin(component, {k: v.half() for k, v in unet.state_dict().items()}),
    "mixed_types": _with_mixed_types,
    "old_keys": lambda component, unet: _as_state(component, to_old_attention_keys(unet.state_dict())),
    "old_convolution_keys": lambda component, unet: _as_state(
        component, to_old_attention_keys(unet.state_dict(), as_convolutions=True)
    ),
    "old_keys_bin": lambda component, unet: _as_bin(component, to_old_attention_keys(unet.state_dict())),
    "root": _as_root,
}


def read_state(checkpoint: Path) -> dict:
    return load_file(checkpoint / "unet" / f"{WEIGHTS}.safetensors")


def write_state(checkpoint: Path, state: dict) -> None:
    save_file(state, checkpoint / "unet" / f"{WEIGHTS}.safetensors")


def copy_checkpoint(source: Path, target: Path) -> Path:
    return Path(shutil.copytree(source, target))
