"""Settings that make no picture (steps, batch sizes, latents to start from): refused in one line that names them."""

import pytest
import torch
from refusals import assert_refused
from safetensors.torch import save_file


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


def test_latents_that_are_no_numbers_are_the_files_fault(diffapple, refuses):
    save_file({"latents": torch.full((1, 3, 16, 16), float("inf"))}, diffapple.folder / "start.safetensors")
    refuses("--latents start.safetensors: holds values that are not finite", arguments=["--latents", "start.safetensors"])


def test_an_empty_name_of_the_folder(refuses):
    refuses("--out", code=2, arguments=["--out", ""])


def test_no_such_latents(refuses):
    refuses("nowhere.safetensors", arguments=["--latents", "nowhere.safetensors"])
