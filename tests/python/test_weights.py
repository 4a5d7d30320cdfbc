"""What `diffapple inspect --json --tensors` reads from weight files, against what torch reads from them. (That the
values agree too is shown by the pictures of test_parity_ddpm.py.)"""

import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import SMALL, TINY, WEIGHTS, make_checkpoint, read_state, write_json, write_state
from conftest import one_line_error
from diffusers import UNet2DModel
from finished import pixels, recipe
from safetensors.torch import load_file, save_file
from sd_checkpoints import make_sd15
from transformers import CLIPTextModel

DTYPES = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}


def inspect(diffapple, checkpoint):
    return diffapple.ok("inspect", checkpoint, "--json", "--tensors").reports[0]


def listed(report) -> dict:
    (component,) = report["components"]
    return {t["name"]: (t["dtype"], t["shape"]) for t in component["tensors"]}


def replace_weights(checkpoint, value, **options):
    (checkpoint / "unet" / f"{WEIGHTS}.safetensors").unlink()
    torch.save(value, checkpoint / "unet" / f"{WEIGHTS}.bin", **options)


def refuses(diffapple, checkpoint) -> str:
    result = diffapple("inspect", checkpoint, "--json")
    assert result.code == 1 and result.out == ""
    assert result.err.count("\n") == 1
    return result.err


@pytest.fixture
def checkpoint(tmp_path):
    return make_checkpoint(tmp_path / "model", SMALL)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_state_dict_of_each_pickle_protocol(diffapple, checkpoint, protocol, legacy):
    state = {}
    for name in DTYPES:
        dtype = getattr(torch, name)
        state[f"{name}.whole"] = torch.ones(3, 4, dtype=dtype)
        state[f"{name}.view"] = state[f"{name}.whole"].t()[1:]
        state[f"{name}.parameter"] = torch.nn.Parameter(torch.ones(2, dtype=dtype))
        state[f"{name}.empty"] = torch.ones(0, 2, dtype=dtype)
        state[f"{name}.scalar"] = torch.tensor(1.0, dtype=dtype)
    replace_weights(checkpoint, state, pickle_protocol=protocol, _use_new_zipfile_serialization=not legacy)
    expected = {name: (DTYPES[name.split(".")[0]], list(tensor.shape)) for name, tensor in state.items()}
    assert listed(inspect(diffapple, checkpoint)) == expected


def test_training_checkpoint(diffapple, checkpoint):
    state = {"state_dict": {"w": torch.ones(2)}, "global_step": 10**9, "loss": 0.5, "done": True, "note": None}
    replace_weights(checkpoint, state)
    assert listed(inspect(diffapple, checkpoint)) == {"w": ("fp32", [2])}


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harmed",)


def test_code_in_a_pickle_is_refused_and_not_run(diffapple, checkpoint):
    replace_weights(checkpoint, {"w": torch.ones(2), "x": Harmful()})
    assert "mkdir" in refuses(diffapple, checkpoint)
    assert not (diffapple.folder / "harmed").exists()


def test_whole_module_is_refused(diffapple, checkpoint):
    replace_weights(checkpoint, torch.nn.Linear(2, 2))
    assert "torch.nn.modules.linear.Linear" in refuses(diffapple, checkpoint)


# --- which of several files


def write_marked(folder: Path, name: str, state: dict, key: str, mark: float) -> None:
    """Weights whose `key` holds `mark`, as a file of this name, or as the one shard of an index."""
    marked = {**state, key: torch.full_like(state[key], mark)}
    shard = f"shard-{mark:g}.safetensors" if ".safetensors" in name else f"shard-{mark:g}.bin"
    file = folder / (shard if name.endswith(".json") else name)
    save_file(marked, file) if ".safetensors" in name else torch.save(marked, file)
    if name.endswith(".json"):
        write_json(folder / name, {"metadata": {}, "weight_map": dict.fromkeys(marked, shard)})


NAMES = {
    "full": "{0}.safetensors",
    "shards": "{0}.safetensors.index.json",
    "bin": "{1}.bin",
    "bin shards": "{1}.bin.index.json",
    "fp16": "{0}.fp16.safetensors",
    "fp16 bin": "{1}.fp16.bin",
    "bf16": "{0}.bf16.safetensors",
    "ema": "{0}.ema.safetensors",
}
CHOICES = ["full,shards", "full,shards,bin", "full,bin", "bin,fp16", "bin,bin shards", "bin,bin shards,fp16", "shards,bin"]


@pytest.mark.parametrize("choice", CHOICES + ["shards,fp16", "full,fp16,bf16,ema", "bin,bf16"])
@pytest.mark.parametrize("of_transformers", [False, True], ids=["diffusers", "transformers"])
def test_the_same_file_as_diffusers(diffapple, tmp_path, choice, of_transformers):
    if of_transformers:
        folder = make_sd15(tmp_path / "model") / "text_encoder"
        stems, key = ("model", "pytorch_model"), "final_layer_norm.bias"
    else:
        folder = make_checkpoint(tmp_path / "model", TINY) / "unet"
        stems, key = (WEIGHTS, WEIGHTS), "conv_in.bias"
    (weights,) = folder.glob("*.safetensors")
    state = load_file(weights)
    weights.unlink()
    key = next(name for name in state if name.endswith(key))
    for mark, kind in enumerate(choice.split(",")):
        write_marked(folder, NAMES[kind].format(*stems), state, key, mark)
    loaded = (CLIPTextModel if of_transformers else UNet2DModel).from_pretrained(folder)
    mark = next(value for name, value in loaded.state_dict().items() if key.endswith(name) or name.endswith(key))
    wanted = NAMES[choice.split(",")[int(mark.mean().item())]].format(*stems)
    name = "text_encoder" if of_transformers else "unet"
    report = diffapple.ok("inspect", tmp_path / "model", "--json").reports[0]
    (files,) = [part["files"] for part in report["components"] if part["name"] == name]
    shard = f"shard-{mark.mean().item():g}{'.bin' if '.bin' in wanted else '.safetensors'}"
    assert files == [shard if wanted.endswith(".json") else wanted]


@pytest.mark.parametrize("kind", ["fp16", "fp16 bin", "bf16", "ema"])
def test_a_variant_that_is_alone(diffapple, checkpoint, kind):
    folder = checkpoint / "unet"
    state = read_state(checkpoint)
    (folder / f"{WEIGHTS}.safetensors").unlink()
    write_marked(folder, NAMES[kind].format(WEIGHTS, WEIGHTS), state, "conv_in.bias", 1)
    assert inspect(diffapple, checkpoint)["components"][0]["files"] == [NAMES[kind].format(WEIGHTS, WEIGHTS)]


# --- tensors that have no place


def test_surplus_tensors_are_left_out_with_a_note(diffapple, checkpoint):
    pictures = []
    for surplus in ({}, {"loss.weight": torch.ones(3), "time_embedding.cond_proj.weight": torch.ones(2, 2).int()}):
        write_state(checkpoint, read_state(checkpoint) | surplus)
        result = diffapple.ok("ddpm", "--model", checkpoint, "--steps", 2, "--out", f"out{len(surplus)}")
        pictures.append(pixels(diffapple.folder / result.paths[0]))
        note = "unet: 2 tensors of its weights are left out, having no place in the model: 'loss.weight' [3], 'time_emb"
        assert (note in result.err) == bool(surplus), result.err
    assert np.array_equal(*pictures)


@pytest.mark.full
def test_300_000_surplus_tensors_take_little_time(diffapple, checkpoint):
    surplus = {f"optimizer.state.{i}.exp_avg": torch.zeros(1) for i in range(300_000)}
    write_state(checkpoint, read_state(checkpoint) | surplus)
    start = time.monotonic()
    result = diffapple.ok("ddpm", "--model", checkpoint, "--steps", 1, timeout=60)
    assert time.monotonic() - start < 20
    assert "300000 tensors" in result.err and len(result.err) < 3000


@pytest.mark.full
def test_missing_beside_300_000_surplus_tensors(diffapple, checkpoint):
    state = read_state(checkpoint) | {f"optimizer.state.{i}.exp_avg": torch.zeros(1) for i in range(300_000)}
    del state["conv_in.bias"]
    write_state(checkpoint, state)
    result = diffapple("ddpm", "--model", checkpoint, "--steps", 1, timeout=20)
    one_line_error(result, 1, "missing conv_in.bias [8]", "and 299984 more")
    assert len(result.err) < 3000


# --- weights that are swapped


def test_weights_swapped_under_a_kept_time(diffapple, tmp_path):
    """As rsync -t, cp -p and tar leave them: another file of the same size and time."""
    models = [make_checkpoint(tmp_path / name, TINY, seed=seed) for seed, name in enumerate(("one", "two"))]
    run = ["ddpm", "--model", models[0], "--steps", 1, "--seed", "0", "--json"]
    first = diffapple.ok(*run).reports[0]
    target, source = (model / "unet" / f"{WEIGHTS}.safetensors" for model in models)
    times = target.stat()
    shutil.copyfile(source, target)
    os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))
    refused = diffapple("replay", diffapple.folder / first["path"], "--model", models[0])
    one_line_error(refused, 1, "cannot be made again with what is here")
    one_line_error(diffapple(*run), 1, "exists with another recipe")
    second = diffapple.ok(*run, "--force").reports[0]
    assert second["id"] != first["id"]
    digest = recipe(diffapple.folder / second["path"])["recipe"]["model"]["weights"]["unet"]
    cache = json.loads((diffapple.folder / "home" / "cache" / "diffapple" / "sha256.json").read_text())
    assert cache[str(target)]["sha256"] == digest
