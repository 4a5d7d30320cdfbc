"""The UNet of Stable Diffusion v1, v2 (and its inpainting) and SDXL against diffusers."""

import subprocess

import pytest
import torch
from checkpoints import edit_json
from conftest import needs_standin_mps
from modules import RUN_MODULE, assert_outputs_equal, check_half_precision, run_module
from safetensors.torch import save_file
from sd_checkpoints import (
    THREE_LEVELS,
    TIME_IDS,
    UNET,
    UNET_OF_V2,
    UNET_OF_XL,
    random_condition_unet,
    save_component,
)

SHAPES = {
    "v1": UNET,
    "v1_three_levels": dict(UNET, **THREE_LEVELS),
    "v1_deep": dict(
        UNET,
        block_out_channels=(16, 24, 32, 32),
        layers_per_block=2,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    ),
    "v2": UNET_OF_V2,
    "v2_inpainting": dict(UNET_OF_V2, in_channels=9),
    "v2_upcast": dict(UNET_OF_V2, upcast_attention=True),
    "xl": UNET_OF_XL,
    "xl_three_levels": dict(
        UNET_OF_XL,
        block_out_channels=(32, 32, 64),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(1, 2, 4),
        transformer_layers_per_block=(1, 2, 3),
    ),
    "xl_other_depth_above": dict(UNET_OF_XL, reverse_transformer_layers_per_block=(3, 1)),
    "xl_sines_first": dict(UNET_OF_XL, flip_sin_to_cos=False, freq_shift=1),
    "one_head": dict(UNET, attention_head_dim=1),
    "odd_heads": dict(UNET, attention_head_dim=5, block_out_channels=(40, 80)),
    "heads_that_do_not_divide": dict(UNET_OF_V2, attention_head_dim=(3, 6)),
    "odd_heads_as_convolutions": dict(UNET, attention_head_dim=3),
    "layers_per_level": dict(UNET, layers_per_block=(1, 2)),
    "mish": dict(UNET, act_fn="mish"),
    "gelu": dict(UNET, act_fn="gelu"),
    "relu_and_time_act": dict(UNET, act_fn="relu", time_embedding_act_fn="gelu"),
    "eps_and_groups": dict(UNET, norm_eps=1e-3, norm_num_groups=4),
    "scale_shift": dict(UNET, resnet_time_scale_shift="scale_shift"),
    "padding_0": dict(UNET, downsample_padding=0),
    "mid_scale": dict(UNET, mid_block_scale_factor=1.5),
    "mid_without_text": dict(UNET, mid_block_type="UNetMidBlock2D"),
    "no_mid_block": dict(UNET, mid_block_type=None),
    "kernels": dict(UNET, conv_in_kernel=1, conv_out_kernel=5),
    "centered": dict(UNET, center_input_sample=True),
    "time_dim": dict(UNET, time_embedding_dim=36),
    "channels": dict(UNET, in_channels=8, out_channels=3),
}


def draw(shape: dict, batch: int = 2, height: int = 8, width: int = 8, tokens: int = 7, seed: int = 3) -> dict:
    generator = torch.Generator().manual_seed(seed)
    inputs = {
        "sample": torch.randn(batch, shape["in_channels"], height, width, generator=generator),
        "text": torch.randn(batch, tokens, shape["cross_attention_dim"], generator=generator),
    }
    if shape.get("addition_embed_type"):
        pooled = shape["projection_class_embeddings_input_dim"] - TIME_IDS * shape["addition_time_embed_dim"]
        inputs["text_embeds"] = torch.randn(batch, pooled, generator=generator)
        inputs["time_ids"] = torch.tensor([[1024.0, 768, 0, 24, 515, 512]]) + torch.arange(batch)[:, None]
    return inputs


@torch.inference_mode()
def expected(unet, inputs: dict, timestep: float = 500) -> dict:
    inputs = {name: tensor.to(unet.dtype) for name, tensor in inputs.items()}
    repeats = len(inputs["sample"]) // len(inputs["text"])
    text = inputs["text"].repeat(repeats, 1, 1)
    added = {name: inputs[name] for name in ("text_embeds", "time_ids") if name in inputs}
    return {"sample": unet(inputs["sample"], timestep, text, added_cond_kwargs=added).sample.float()}


def check(tmp_path, shape: dict, inputs: dict, timestep: float = 500, device: str = "cpu", storage="safetensors"):
    unet = random_condition_unet(shape)
    save_component(tmp_path / "unet", unet, storage)
    ours = run_module("unet_2d_condition", tmp_path / "unet", inputs, device, timestep=timestep)
    assert_outputs_equal(ours, expected(unet.half().float() if storage == "fp16" else unet, inputs, timestep))


@pytest.mark.parametrize("shape", SHAPES)
def test_shape(tmp_path, shape):
    check(tmp_path, SHAPES[shape], draw(SHAPES[shape]))


@pytest.mark.parametrize("shape", ["v1_three_levels", "v1_deep", "padding_0", "xl_three_levels"])
@pytest.mark.parametrize("height, width", [(24, 40), (9, 13), (11, 16)])
def test_size(tmp_path, shape, height, width):
    check(tmp_path, SHAPES[shape], draw(SHAPES[shape], 1, height, width))


@pytest.mark.parametrize("batch", [1, 3, 4])
@pytest.mark.parametrize("shape", ["v1", "xl"])
def test_batch(tmp_path, shape, batch):
    check(tmp_path, SHAPES[shape], draw(SHAPES[shape], batch, tokens=77))


def test_pictures_share_texts(tmp_path):
    inputs = draw(UNET, 4)
    check(tmp_path, UNET, {**inputs, "text": inputs["text"][:2].contiguous()})


@pytest.mark.parametrize("timestep", [0, 1, 999, 812.5])
def test_timestep(tmp_path, timestep):
    check(tmp_path, UNET, draw(UNET), timestep)


@pytest.mark.parametrize("storage", ["bin", "fp16"])
def test_storage(tmp_path, storage):
    check(tmp_path, UNET, draw(UNET), storage=storage)


def test_the_bar_sees_a_small_change_of_the_weights(tmp_path):
    unet, inputs = random_condition_unet(UNET), draw(UNET)
    save_component(tmp_path / "unet", unet)
    unet.down_blocks[0].attentions[0].transformer_blocks[0].norm3.bias.zero_()
    ours = run_module("unet_2d_condition", tmp_path / "unet", inputs)
    with pytest.raises(AssertionError, match="latents are"):
        assert_outputs_equal(ours, expected(unet, inputs))


def check_half(tmp_path, shape: dict, device: str, dtype: str) -> None:
    cases = [(random_condition_unet(shape, seed), draw(shape, 2, 16, 16, seed=seed)) for seed in range(4)]
    check_half_precision("unet_2d_condition", tmp_path, cases, expected, device, dtype, timestep=500)


@pytest.mark.parametrize("shape", ["v1", "v2_inpainting", "xl", "odd_heads", "v1_deep"])
def test_bf16_is_as_close_to_fp32_as_diffusers(tmp_path, shape):
    check_half(tmp_path, SHAPES[shape], "cpu", "bf16")


@needs_standin_mps
@pytest.mark.parametrize("shape", ["v1_deep", "v2_upcast", "xl", "odd_heads", "heads_that_do_not_divide"])
def test_standin_mps_fp32(tmp_path, shape):
    check(tmp_path, SHAPES[shape], draw(SHAPES[shape], 2, 9, 12), device="mps")


@needs_standin_mps
@pytest.mark.parametrize("shape, dtype", [("v1", "fp16"), ("v2_upcast", "fp16"), ("xl", "bf16")])
def test_standin_mps_half_precision(tmp_path, shape, dtype):
    check_half(tmp_path, SHAPES[shape], "mps", dtype)


BAD_CONFIGS = {
    "class_embed_type": "timestep",
    "num_class_embeds": 10,
    "encoder_hid_dim": 0,
    "encoder_hid_dim_type": "image_proj",
    "time_cond_proj_dim": 2,
    "addition_embed_type": "text_image",
    "dual_cross_attention": True,
    "only_cross_attention": [False, True],
    "attention_type": "gated",
    "num_attention_heads": 4,
    "attention_head_dim": [4],
    "cross_attention_dim": [32, 48],
    "transformer_layers_per_block": [[1], [1]],
    "layers_per_block": 10**9,
    "block_out_channels": [32, 10**12],
    "down_block_types": ["CrossAttnDownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["UpBlock2D"],
    "conv_in_kernel": 2,
    "norm_num_groups": 7,
    "mid_block_scale_factor": 0,
    "act_fn": "tanh",
    "_class_name": "UNet2DModel",
}


@pytest.mark.parametrize("key", BAD_CONFIGS)
def test_config_that_is_refused(tmp_path, key):
    folder = tmp_path / "unet"
    save_component(folder, random_condition_unet(UNET))
    edit_json(folder / "config.json", **{key: BAD_CONFIGS[key]})
    result = run_with_inputs(folder, draw(UNET))
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)
    assert key in result.stderr and "config.json" in result.stderr


def test_text_of_another_model(tmp_path):
    save_component(tmp_path / "unet", random_condition_unet(UNET))
    result = run_with_inputs(tmp_path / "unet", draw(dict(UNET, cross_attention_dim=48)))
    assert result.returncode == 1
    assert "width 32" in result.stderr and "48" in result.stderr


def test_pooled_text_of_another_model(tmp_path):
    save_component(tmp_path / "unet", random_condition_unet(UNET_OF_XL))
    inputs = draw(UNET_OF_XL)
    result = run_with_inputs(tmp_path / "unet", {**inputs, "text_embeds": inputs["text_embeds"][:, 1:].contiguous()})
    assert result.returncode == 1
    assert "pooled text" in result.stderr


def test_weights_of_another_model(tmp_path):
    save_component(tmp_path / "unet", random_condition_unet(UNET_OF_V2))
    edit_json(tmp_path / "unet" / "config.json", in_channels=9, transformer_layers_per_block=2)
    result = run_with_inputs(tmp_path / "unet", draw(UNET))
    assert result.returncode == 1
    assert "conv_in.weight" in result.stderr and "transformer_blocks.1" in result.stderr


def run_with_inputs(folder, inputs: dict) -> subprocess.CompletedProcess:
    save_file(inputs, folder.parent / "inputs.safetensors")
    command = [RUN_MODULE, "unet_2d_condition", folder, folder.parent / "inputs.safetensors", folder.parent / "made"]
    return subprocess.run(command, capture_output=True, text=True)
