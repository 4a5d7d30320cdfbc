"""Bad input: whatever is wrong with files, settings or the machine, the program says so in one line that names it, with
the design's exit code, leaves no partial file, and never shows LibTorch's insides."""

import json
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from checkpoints import (
    SMALL,
    TINY,
    WEIGHTS,
    copy_checkpoint,
    edit_json,
    make_checkpoint,
    read_state,
    write_json,
    write_state,
)
from conftest import PROGRAM, leftovers
from safetensors.torch import save_file

INSIDES = "Exception raised from|frame #|terminate called|c10|what():|at::|std::|nlohmann|Aborted".split("|")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="limits and permissions as on Linux")


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("good") / "good", SMALL)


@pytest.fixture
def model(good, diffapple) -> Path:
    """A checkpoint to break."""
    return copy_checkpoint(good, diffapple.folder / "model")


def assert_refused(diffapple, result, code: int, *named: str) -> None:
    assert result.code == code, (result.code, result.err)
    assert result.out == ""
    lines = result.err.splitlines()
    assert len(lines) == 1, result.err
    assert len(lines[0]) < 20_000
    for part in named:
        assert part in lines[0]
    for part in INSIDES:
        assert part not in lines[0]
    assert [path for path in diffapple.folder.rglob("*.png")] == []
    assert leftovers(diffapple.folder) == []


@pytest.fixture
def refuses(diffapple, model):
    """Runs the broken checkpoint (a picture would take a second) and checks the refusal."""

    def run(*named: str, code: int = 1, arguments=(), timeout: float = 20, **options):
        result = diffapple("ddpm", "--model", model, "--steps", 2, *arguments, timeout=timeout, **options)
        assert_refused(diffapple, result, code, *named)

    return run


def weights_of(model: Path) -> Path:
    return model / "unet" / f"{WEIGHTS}.safetensors"


def split_safetensors(path: Path) -> tuple[dict, bytes]:
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def write_safetensors(path: Path, header, data: bytes) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


# --- models that are not there


@pytest.mark.parametrize(
    "name", ["nowhere", "no/such", "./nowhere", "/no/where", "a/b/c", "..", "x" * 5000, "no/such@v1"], ids=range(8)
)
def test_no_such_model(diffapple, name):
    result = diffapple("ddpm", "--model", name, timeout=10)
    assert_refused(diffapple, result, 1, name[:20])


def test_an_empty_folder_is_no_model(diffapple):
    (diffapple.folder / "empty").mkdir()
    assert_refused(diffapple, diffapple("ddpm", "--model", "empty"), 1, "empty", "model_index.json")


def test_a_file_is_no_model_folder(diffapple, good):
    assert_refused(diffapple, diffapple("ddpm", "--model", weights_of(good)), 1, weights_of(good).name)


@pytest.mark.parametrize(
    ("gone", "named"),
    [
        ("unet", "unet"),
        ("unet/config.json", "config.json"),
        (f"unet/{WEIGHTS}.safetensors", f"{WEIGHTS}.safetensors"),
        ("scheduler", "scheduler_config.json"),
        ("scheduler/scheduler_config.json", "scheduler_config.json"),
    ],
)
def test_a_part_is_missing(model, refuses, gone, named):
    path = model / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    refuses(named)


@pytest.mark.parametrize("part", ["unet/config.json", f"unet/{WEIGHTS}.safetensors", "scheduler/scheduler_config.json"])
def test_a_folder_in_place_of_a_file(model, refuses, part):
    (model / part).unlink()
    (model / part).mkdir()
    refuses(Path(part).name)


@linux_only
@pytest.mark.parametrize("part", ["unet/config.json", f"unet/{WEIGHTS}.safetensors", "scheduler/scheduler_config.json"])
def test_a_pipe_in_place_of_a_file(model, refuses, part):
    """Opening one would wait for ever."""
    (model / part).unlink()
    os.mkfifo(model / part)
    refuses(Path(part).name)


# --- safetensors


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 9, 100, 5000, -1, -1000])
def test_truncated_weights(model, refuses, keep):
    path = weights_of(model)
    path.write_bytes(path.read_bytes()[:keep])
    refuses(path.name)


def test_weights_with_bytes_after_the_end(model, refuses):
    with weights_of(model).open("ab") as file:
        file.write(b"\0" * 16)
    refuses(weights_of(model).name)


@pytest.mark.parametrize("size", [0, 1, 2**20, 100_000_001, 2**31, 2**32 + 8, 2**63, 2**64 - 8, 2**64 - 1])
def test_lying_header_size(model, refuses, size):
    path = weights_of(model)
    path.write_bytes(struct.pack("<Q", size) + path.read_bytes()[8:])
    refuses(path.name)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"12",
        b'"text"',
        b"{}",
        b'{"a"',
        b"\xff\xfe\x00",
        b'{"a": NaN}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a":[]}',
        b'{"a":1}',
        b'{"a":{}}',
        b'{"__metadata__": 5}',
        b'{"__metadata__": {"a": 5}}',
        b'{"\xff":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
    ],
    ids=range(19),
)
def test_hostile_header(model, refuses, header):
    write_safetensors(weights_of(model), header, b"\0" * 4)
    refuses(weights_of(model).name)


@pytest.mark.parametrize(
    "change",
    [
        dict(dtype="F128"),
        dict(dtype=32),
        dict(dtype=None),
        dict(dtype=""),
        dict(shape=None),
        dict(shape="8"),
        dict(shape=[-8]),
        dict(shape=[8.5]),
        dict(shape=[2**62, 2**62]),
        dict(shape=[2**63]),
        dict(shape=[1e30]),
        dict(shape=[0, 2**62, 2**62]),
        dict(shape=[2**32, 2**32]),
        dict(shape=[9]),
        dict(shape=[1] * 70 + [8]),
        dict(shape=[[8]]),
        dict(data_offsets=None),
        dict(data_offsets=[0]),
        dict(data_offsets=[0, 32, 64]),
        dict(data_offsets=[-32, 0]),
        dict(data_offsets=[32, 0]),
        dict(data_offsets=[2**63, 2**63 + 32]),
        dict(data_offsets=[2**64 - 32, 2**64]),
        dict(data_offsets=["0", "32"]),
        dict(data_offsets=[0.5, 32.5]),
        dict(data_offsets=[4, 36]),
    ],
    ids=lambda change: json.dumps(change)[:40],
)
def test_lying_tensor(model, refuses, change):
    path = weights_of(model)
    header, data = split_safetensors(path)
    header["conv_in.bias"] |= change
    write_safetensors(path, header, data)
    refuses(path.name, "conv_in.bias")


@pytest.mark.parametrize("place", ["overlap", "hole", "beyond the end"])
def test_lying_layout(model, refuses, place):
    path = weights_of(model)
    header, data = split_safetensors(path)
    last = max(tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__")
    begin = {"overlap": header["conv_norm_out.bias"]["data_offsets"][0], "hole": last + 4, "beyond the end": 10**12}
    header["conv_in.bias"]["data_offsets"] = [begin[place], begin[place] + 32]
    write_safetensors(path, header, data + bytes(36))
    refuses(path.name)


def test_a_git_lfs_pointer(model, refuses):
    weights_of(model).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 12345\n")
    refuses(weights_of(model).name, "LFS")


def test_names_with_control_characters_are_not_shown_raw(model, refuses, diffapple):
    state = read_state(model)
    state["evil\x1b[31m\nname\r"] = torch.zeros(1)
    write_state(model, state)
    refuses("evil")
    err = diffapple("ddpm", "--model", model, "--steps", 2).err
    assert "\x1b" not in err and "\r" not in err


# --- tensors that do not fit


def test_every_misfit_in_one_message(model, refuses):
    state = read_state(model)
    del state["conv_in.bias"]
    del state["mid_block.resnets.1.norm2.weight"]
    state["conv_out.weight"] = torch.zeros(3, 8, 5, 5)
    state["time_embedding.linear_1.bias"] = torch.zeros(7)
    state["surplus.weight"] = torch.zeros(2, 3)
    write_state(model, state)
    refuses(
        "unet",
        "conv_in.bias [8]",
        "mid_block.resnets.1.norm2.weight [16]",
        "conv_out.weight",
        "[3, 8, 3, 3]",
        "[3, 8, 5, 5]",
        "time_embedding.linear_1.bias",
        "[32]",
        "[7]",
        "surplus.weight [2, 3]",
    )


def test_integer_weights(model, refuses):
    state = read_state(model)
    state["conv_in.bias"] = torch.zeros(8, dtype=torch.int32)
    write_state(model, state)
    refuses("conv_in.bias")


def test_the_same_tensor_by_old_and_new_name(model, refuses):
    state = read_state(model)
    state["mid_block.attentions.0.query.weight"] = state["mid_block.attentions.0.to_q.weight"].clone()
    write_state(model, state)
    refuses("mid_block.attentions.0.to_q.weight")


def test_weights_of_another_config(model, refuses):
    edit_json(model / "unet" / "config.json", block_out_channels=[8, 32])
    refuses("unet", "mid_block.resnets.0.conv1.weight", "[32, 32, 3, 3]", "[16, 16, 3, 3]")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(diffapple, model, value):
    state = read_state(model)
    state["conv_in.bias"][0] = value
    write_state(model, state)
    saved = diffapple.folder / "latents.safetensors"
    result = diffapple("ddpm", "--model", model, "--steps", 2, "--quiet", "--save-latents", saved)
    assert_refused(diffapple, result, 1, "not finite")
    assert not saved.exists()


def test_sharded_weights_that_miss_a_shard(model, refuses):
    folder = model / "unet"
    state = read_state(model)
    weights_of(model).unlink()
    shard = f"{WEIGHTS}-00001-of-00002.safetensors"
    save_file(state, folder / shard)
    names = dict.fromkeys(state, shard) | {"conv_in.bias": f"{WEIGHTS}-00002-of-00002.safetensors"}
    write_json(folder / f"{WEIGHTS}.safetensors.index.json", {"metadata": {}, "weight_map": names})
    refuses(f"{WEIGHTS}-00002-of-00002.safetensors")


@pytest.mark.parametrize(
    "index",
    [
        {},
        {"weight_map": []},
        {"weight_map": {"conv_in.bias": 5}},
        {"weight_map": {}},
        {"weight_map": {"conv_in.bias": "../../outside.safetensors"}},
        {"weight_map": {"conv_in.bias": "/etc/passwd"}},
        {"weight_map": {"conv_in.bias": ""}},
        {"weight_map": {"conv_in.bias": "."}},
    ],
    ids=json.dumps,
)
def test_bad_index(model, refuses, index):
    weights_of(model).rename(model / "outside.safetensors")
    write_json(model / "unet" / f"{WEIGHTS}.safetensors.index.json", index)
    refuses(f"{WEIGHTS}.safetensors.index.json")


# --- .bin


def as_bin(model: Path) -> Path:
    path = model / "unet" / f"{WEIGHTS}.bin"
    torch.save(read_state(model), path)
    weights_of(model).unlink()
    return path


@pytest.mark.parametrize("keep", [0, 3, 100, 10_000, -1, -100])
def test_truncated_bin(model, refuses, keep):
    path = as_bin(model)
    path.write_bytes(path.read_bytes()[:keep])
    refuses(path.name)


def test_legacy_bin(model, refuses):
    path = as_bin(model)
    torch.save(torch.load(path), path, _use_new_zipfile_serialization=False)
    refuses(path.name)


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil-was-here",)


def test_bin_runs_no_code(diffapple, model, refuses):
    path = as_bin(model)
    state = torch.load(path)
    torch.save({**state, "evil": Evil()}, path)
    refuses(path.name)
    assert list(diffapple.folder.rglob("evil-was-here")) == []


@pytest.mark.parametrize("content", [5, [1, 2], "text", {"a": "b"}, None, {}], ids=repr)
def test_bin_without_tensors(model, refuses, content):
    path = as_bin(model)
    torch.save(content, path)
    refuses(path.name)


# --- configs


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
    ("_class_name", "NoSuchScheduler"),
    ("_class_name", 5),
    ("_class_name", ...),
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


# --- settings


@pytest.mark.parametrize("steps", ["0", "-1", "5000", "1001", "abc", "1e2", "", "99999999999999999999"])
def test_bad_steps(diffapple, model, steps):
    assert_refused(diffapple, diffapple("ddpm", "--model", model, f"--steps={steps}", timeout=10), 2, "--steps")


@pytest.mark.parametrize("size", ["1000000", "1000000000", "99999999999999999999"])
def test_absurd_batch_size(diffapple, model, size):
    result = diffapple("ddpm", "--model", model, "--steps", 1, "--batch-size", size, timeout=20)
    assert result.code in (1, 2)
    assert_refused(diffapple, result, result.code, "batch-size")


def test_latents_that_do_not_fit(diffapple, model, refuses):
    path = diffapple.folder / "start.safetensors"
    arguments = ["--latents", "start.safetensors", "--quiet"]
    for shape in [(1, 3, 16, 24), (2, 3, 16, 16), (1, 4, 16, 16), (3, 16, 16)]:
        save_file({"latents": torch.zeros(shape)}, path)
        refuses("--latents", arguments=arguments)


@pytest.mark.parametrize(
    "tensors",
    [
        {"other": torch.zeros(1, 3, 16, 16)},
        {"latents": torch.zeros(1, 3, 16, 16, dtype=torch.float16)},
        {"latents": torch.full((1, 3, 16, 16), float("nan"))},
        {"latents": torch.zeros(1, 3, 16, 16, dtype=torch.int64)},
    ],
    ids=["no_latents", "fp16", "nan", "int64"],
)
def test_bad_latents(diffapple, refuses, tensors):
    save_file(tensors, diffapple.folder / "start.safetensors")
    refuses("start.safetensors", arguments=["--latents", "start.safetensors"])


def test_no_such_latents(refuses):
    refuses("nowhere.safetensors", arguments=["--latents", "nowhere.safetensors"])


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


def run_as_nobody(diffapple, *arguments):
    """As root no folder is unwritable: the program then runs as another user."""
    if os.geteuid() != 0:
        return diffapple(*arguments)
    can_run = subprocess.run(
        [PROGRAM, "--version"], user=65534, group=65534, extra_groups=[], capture_output=True, cwd="/"
    )
    if can_run.returncode != 0:
        pytest.skip("another user cannot run the program here")
    for folder in [diffapple.folder, *diffapple.folder.parents]:
        if folder.stat().st_mode & 0o001 == 0:
            folder.chmod(folder.stat().st_mode | 0o011)
    return diffapple(*arguments, user=65534, group=65534, extra_groups=[])


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
