"""Config files of a UNet or scheduler that are damaged, absurd or at odds: refused in one line that names the file and
the key."""

import json
from pathlib import Path

import pytest
from checkpoints import SMALL, edit_json, make_checkpoint
from refusals import assert_refused

BAD_UNET_CONFIGS = [
    ("block_out_channels", 5),
    ("block_out_channels", []),
    ("block_out_channels", [8, "16"]),
    ("block_out_channels", [8, -16]),
    ("block_out_channels", [8, 0]),
    ("block_out_channels", [8, 16, 32]),
    ("block_out_channels", [8, 10**12]),
    ("block_out_channels", [8, 1e300]),
    ("block_out_channels", [8, 2**63]),
    ("block_out_channels", [8, 16.5]),
    ("block_out_channels", [8, 15]),
    ("block_out_channels", [8] * 40),
    ("down_block_types", "DownBlock2D"),
    ("down_block_types", []),
    ("down_block_types", ["DownBlock2D"]),
    ("down_block_types", ["DownBlock2D", "NoSuchBlock"]),
    ("down_block_types", ["DownBlock2D", "UpBlock2D"]),
    ("down_block_types", ["DownBlock2D", None]),
    ("up_block_types", ["UpBlock2D", 3]),
    ("up_block_types", {}),
    ("layers_per_block", 0),
    ("layers_per_block", -1),
    ("layers_per_block", 10**9),
    ("layers_per_block", "2"),
    ("layers_per_block", True),
    ("layers_per_block", [2]),
    ("in_channels", 0),
    ("in_channels", 10**12),
    ("out_channels", -3),
    ("out_channels", "3"),
    ("sample_size", -16),
    ("sample_size", 0),
    ("sample_size", 10**9),
    ("sample_size", "16"),
    ("sample_size", [16]),
    ("sample_size", [16, 16, 16]),
    ("sample_size", [16, 0]),
    ("sample_size", [16, "16"]),
    ("norm_num_groups", 0),
    ("norm_num_groups", 3),
    ("norm_num_groups", 10**12),
    ("norm_eps", "small"),
    ("norm_eps", [1e-5]),
    ("attention_head_dim", 0),
    ("attention_head_dim", -8),
    ("attention_head_dim", 10**12),
    ("attention_head_dim", "8"),
    ("attention_head_dim", 32),
    ("attn_norm_num_groups", 5),
    ("act_fn", "tanhshrink"),
    ("act_fn", 1),
    ("time_embedding_type", "learned"),
    ("time_embedding_type", 0),
    ("time_embedding_dim", 10**12),
    ("time_embedding_dim", -1),
    ("resnet_time_scale_shift", "spatial"),
    ("downsample_type", "magic"),
    ("upsample_type", 4),
    ("downsample_padding", -1),
    ("downsample_padding", 10**9),
    ("downsample_padding", 0.5),
    ("mid_block_scale_factor", 0),
    ("mid_block_scale_factor", "one"),
    ("mid_block_type", "UNetMidBlock2DCrossAttn"),
    ("center_input_sample", 1),
    ("flip_sin_to_cos", "yes"),
    ("freq_shift", "1"),
    ("add_attention", "no"),
    ("num_class_embeds", 10),
    ("class_embed_type", "timestep"),
    ("_class_name", "UNet2DConditionModel"),
    ("_class_name", 7),
]


@pytest.mark.parametrize(("key", "value"), BAD_UNET_CONFIGS, ids=lambda part: json.dumps(part)[:40])
def test_bad_unet_config(model, refuses, key, value):
    edit_json(model / "unet" / "config.json", **{key: value})
    refuses("config", key)


BAD_SCHEDULER_CONFIGS = [
    ("num_train_timesteps", 0),
    ("num_train_timesteps", -5),
    ("num_train_timesteps", 10**12),
    ("num_train_timesteps", "1000"),
    ("num_train_timesteps", 10.5),
    ("beta_start", 0),
    ("beta_start", -0.1),
    ("beta_start", 2),
    ("beta_start", "0.1"),
    ("beta_end", 1.5),
    ("beta_end", [0.1]),
    ("beta_schedule", "quadratic"),
    ("beta_schedule", 1),
    ("trained_betas", "0.1"),
    ("trained_betas", []),
    ("trained_betas", [0.1, "x"]),
    ("trained_betas", [0.1, 2.0, 0.1]),
    ("trained_betas", [0.1, -1.0, 0.1]),
    ("variance_type", "huge"),
    ("variance_type", 3),
    ("prediction_type", "future"),
    ("timestep_spacing", "random"),
    ("steps_offset", -1),
    ("steps_offset", 10**12),
    ("steps_offset", "1"),
    ("clip_sample", "yes"),
    ("clip_sample_range", "1"),
    ("clip_sample_range", -1),
    ("thresholding", 1),
    ("dynamic_thresholding_ratio", 1.5),
    ("dynamic_thresholding_ratio", -0.5),
    ("sample_max_value", "big"),
    ("rescale_betas_zero_snr", "x"),
]


@pytest.mark.parametrize(("key", "value"), BAD_SCHEDULER_CONFIGS, ids=lambda part: repr(part)[:40])
def test_bad_scheduler_config(model, refuses, key, value):
    options = {"thresholding": True} if "thresholding_" in key or "max" in key else {}
    edit_json(model / "scheduler" / "scheduler_config.json", **{**options, key: value})
    refuses("scheduler_config.json", key)


@pytest.mark.parametrize("name", ["NoSuchScheduler", 5, ...])
def test_bad_class_of_a_scheduler(model, refuses, name):
    """Of a checkpoint without an index, which would say it."""
    (model / "model_index.json").unlink()
    edit_json(model / "scheduler" / "scheduler_config.json", _class_name=name)
    refuses("scheduler_config.json", "_class_name")


def test_bad_class_of_a_scheduler_in_the_index(model, refuses):
    edit_json(model / "model_index.json", scheduler=["diffusers", "NoSuchScheduler"])
    refuses("_class_name", "NoSuchScheduler")


CONFIG_FILES = ["unet/config.json", "scheduler/scheduler_config.json"]


@pytest.mark.parametrize("file", CONFIG_FILES)
@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"not JSON",
        b"[]",
        b"null",
        b'"text"',
        b"3",
        b"{",
        b'{"a": }',
        b'{"a": 1,}',
        b'{"beta_start": NaN, "norm_eps": NaN}',
        b'{"beta_start": Infinity, "norm_eps": -Infinity}',
        b'{"beta_start": 1e999, "norm_eps": 1e999}',
        b"\xff\xfe\x00\x01",
        b'{"a": "\xff"}',
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"a": "' + b"x" * (17 << 20) + b'"}',
    ],
    ids=range(18),
)
def test_config_that_is_no_json(model, refuses, file, text):
    (model / file).write_bytes(text)
    refuses(Path(file).name)


@pytest.mark.parametrize("name", ["norm_eps", "mid_block_scale_factor", "freq_shift"])
def test_numbers_beyond_double(model, refuses, name):
    path = model / "unet" / "config.json"
    edit_json(path, **{name: "@"})
    path.write_text(path.read_text().replace('"@"', "1e400"))
    refuses("config.json")


def test_a_variance_that_the_unet_does_not_learn(model, refuses):
    edit_json(model / "scheduler" / "scheduler_config.json", variance_type="learned_range")
    refuses("variance_type", "output channels", arguments=["--quiet"])


@pytest.mark.parametrize("channels", [2, 5])
def test_channels_that_no_picture_has(diffapple, channels):
    model = make_checkpoint(diffapple.folder / "odd", dict(SMALL, in_channels=channels, out_channels=channels))
    assert_refused(diffapple, diffapple("ddpm", "--model", model, "--steps", 1), 1, "channels")
