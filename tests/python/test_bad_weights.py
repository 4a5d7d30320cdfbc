"""Weight files that are damaged, lie, or hold other tensors than the model needs: refused in one line."""

import json
import os
import struct
from pathlib import Path

import pytest
import torch
from checkpoints import WEIGHTS, edit_json, read_state, write_json, write_state
from refusals import assert_refused, weights_of
from safetensors.torch import save_file


# --- safetensors


def split_safetensors(path: Path) -> tuple[dict, bytes]:
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def write_safetensors(path: Path, header, data: bytes) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


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


@pytest.mark.parametrize("missing", [(), ("conv_in.bias",)])
def test_names_with_control_characters_are_not_shown_raw(model, diffapple, missing):
    state = {name: tensor for name, tensor in read_state(model).items() if name not in missing}
    state["evil\x1b[31m\nname\r"] = torch.zeros(1)
    write_state(model, state)
    result = diffapple("ddpm", "--model", model, "--steps", 2)
    assert result.code == (1 if missing else 0)
    (line,) = [line for line in result.err.splitlines() if "evil" in line]
    assert "evil?[31m?name?" in line


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
        "'surplus.weight' [2, 3]",
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
    refuses("unet", "down_blocks.1.attentions.0.to_k.bias expected [32] found [16]", "more")


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


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("keep", [0, 3, 100, 10_000, -1, -100])
def test_truncated_bin(model, refuses, keep, legacy):
    path = as_bin(model)
    if legacy:
        torch.save(torch.load(path), path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:keep])
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
