"""What `diffapple inspect --json --tensors` reads from weight files, against what torch reads from them. (That the
values agree too is shown by the pictures of test_parity_ddpm.py.)"""

import os

import pytest
import torch
from checkpoints import SMALL, WEIGHTS, make_checkpoint

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


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_state_dict_of_each_pickle_protocol(diffapple, checkpoint, protocol):
    state = {}
    for name in DTYPES:
        dtype = getattr(torch, name)
        state[f"{name}.whole"] = torch.ones(3, 4, dtype=dtype)
        state[f"{name}.view"] = state[f"{name}.whole"].t()[1:]
        state[f"{name}.parameter"] = torch.nn.Parameter(torch.ones(2, dtype=dtype))
        state[f"{name}.empty"] = torch.ones(0, 2, dtype=dtype)
        state[f"{name}.scalar"] = torch.tensor(1.0, dtype=dtype)
    replace_weights(checkpoint, state, pickle_protocol=protocol)
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


def test_legacy_file_is_refused_with_advice(diffapple, checkpoint):
    replace_weights(checkpoint, {"w": torch.ones(2)}, _use_new_zipfile_serialization=False)
    assert "safetensors" in refuses(diffapple, checkpoint)


def test_whole_module_is_refused(diffapple, checkpoint):
    replace_weights(checkpoint, torch.nn.Linear(2, 2))
    assert "torch.nn.modules.linear.Linear" in refuses(diffapple, checkpoint)
