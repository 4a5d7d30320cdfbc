"""The mps path on machines without one: `diffapple_standin_mps` is the program with a stand-in device that computes on
the CPU and refuses what mps refuses (tests/standin_mps)."""

import json

import numpy as np
import oracle
import pytest
import torch
from checkpoints import (
    FOURIER_SCHEDULER,
    SHAPES,
    SMALL,
    TINY,
    make_checkpoint,
    random_fourier_unet,
    random_unet,
    save_checkpoint,
    with_learned_variance,
)
from conftest import STANDIN_MPS, Diffapple, needs_standin_mps
from oracle import HALF_TYPES, assert_half_precision, assert_latents_equal, assert_pictures_equal
from PIL import Image
from safetensors.torch import load_file, save_file

pytestmark = needs_standin_mps


@pytest.fixture
def standin(tmp_path) -> Diffapple:
    return Diffapple(tmp_path, STANDIN_MPS)


def run(program, checkpoint, *options, seed=0, steps=7, batch=2):
    """Report, final latents and pictures of one batch."""
    saved = program.folder / "latents.safetensors"
    settings = ["--seed", seed, "--steps", steps, "--batch-size", batch, "--save-latents", saved, "--json", "--force"]
    reports = program.ok("ddpm", "--model", checkpoint, *settings, *options).reports
    pictures = [np.asarray(Image.open(program.folder / report["path"])) for report in reports]
    return reports[0], load_file(saved)["latents"], pictures


FP32_SHAPES = ["google", "scale_shift", "resnet_samplers", "resnet_blocks", "deep", "grey", "mish", "centered"]


@pytest.mark.parametrize("shape", FP32_SHAPES)
def test_fp32_is_the_cpus(standin, shape):
    checkpoint = make_checkpoint(standin.folder / "model", SHAPES[shape])
    report, latents, pictures = run(standin, checkpoint, "--device", "mps", "--dtype", "fp32")
    assert (report["device"], report["dtype"]) == ("mps", "fp32")
    _, cpu_latents, cpu_pictures = run(standin, checkpoint, "--device", "cpu")
    assert_latents_equal(latents, cpu_latents)
    assert_pictures_equal(pictures, cpu_pictures)


@pytest.mark.parametrize("dtype", HALF_TYPES)
@pytest.mark.parametrize("stored_as", ["safetensors", "bin"])
def test_weights_of_the_devices_type_are_read_straight_into_its_memory(standin, dtype, stored_as):
    """The same values, stored in fp32, are converted on their way: one picture."""
    checkpoint = make_checkpoint(standin.folder / "model", SMALL)
    file = checkpoint / "unet" / "diffusion_pytorch_model.safetensors"
    halves = {name: tensor.to(HALF_TYPES[dtype]) for name, tensor in load_file(file).items()}
    save_file({name: tensor.float() for name, tensor in halves.items()}, file)
    options = ["--device", "mps", "--dtype", dtype]
    _, latents, pictures = run(standin, checkpoint, *options)
    file.unlink()
    if stored_as == "bin":
        torch.save(halves, file.with_suffix(".bin"))
    else:
        save_file(halves, file)
    _, same_latents, same_pictures = run(standin, checkpoint, *options)
    assert torch.equal(latents, same_latents) and all(map(np.array_equal, pictures, same_pictures))


def test_fourier_fp32_is_the_cpus(standin):
    checkpoint = save_checkpoint(standin.folder / "model", random_fourier_unet(), **FOURIER_SCHEDULER)
    _, latents, _ = run(standin, checkpoint, "--device", "mps", "--dtype", "fp32")
    assert_latents_equal(latents, run(standin, checkpoint, "--device", "cpu")[1])


@pytest.mark.parametrize(
    "scheduler",
    [
        dict(thresholding=True, sample_max_value=1.5),
        dict(prediction_type="v_prediction", clip_sample=False),
        dict(variance_type="fixed_large", prediction_type="sample"),
    ],
    ids=["thresholding", "v", "sample"],
)
def test_schedulers_fp32_are_the_cpus(standin, scheduler):
    checkpoint = make_checkpoint(standin.folder / "model", SMALL, **scheduler)
    _, latents, _ = run(standin, checkpoint, "--device", "mps", "--dtype", "fp32")
    assert_latents_equal(latents, run(standin, checkpoint, "--device", "cpu")[1])


@pytest.mark.parametrize("name", oracle.SCHEDULER_CLASSES)
def test_named_schedulers_fp32_are_the_cpus(standin, name):
    checkpoint = make_checkpoint(standin.folder / "model", TINY, prediction_type="v_prediction")
    options = ["--scheduler", name]
    _, latents, _ = run(standin, checkpoint, "--device", "mps", "--dtype", "fp32", *options)
    assert_latents_equal(latents, run(standin, checkpoint, "--device", "cpu", *options)[1])


@pytest.mark.parametrize("variance_type", ["learned", "learned_range"])
def test_learned_variance_fp32_is_the_cpus(standin, variance_type):
    unet = with_learned_variance(SMALL)
    checkpoint = save_checkpoint(standin.folder / "model", unet, variance_type=variance_type)
    _, latents, _ = run(standin, checkpoint, "--device", "mps", "--dtype", "fp32")
    assert_latents_equal(latents, run(standin, checkpoint, "--device", "cpu")[1])


def test_given_latents(standin):
    checkpoint = make_checkpoint(standin.folder / "model", SMALL)
    noise = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(77))
    save_file({"latents": noise}, standin.folder / "start.safetensors")
    start = ["--latents", "start.safetensors"]
    _, latents, _ = run(standin, checkpoint, "--device", "mps", "--dtype", "fp32", *start)
    assert_latents_equal(latents, run(standin, checkpoint, "--device", "cpu", *start)[1])


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
@pytest.mark.parametrize("shape", ["google", "deep", "resnet_blocks"])
def test_half_precision_is_as_close_to_fp32_as_diffusers(standin, shape, dtype):
    checkpoint = make_checkpoint(standin.folder / "model", SHAPES[shape])
    unet, scheduler = oracle.load(checkpoint)
    twin = oracle.half_precision_twin(unet, HALF_TYPES[dtype])
    ours, theirs = [], []
    for seed in (0, 1, 2):
        latents = run(standin, checkpoint, "--device", "mps", "--dtype", dtype, seed=seed)[1]
        exact = oracle.sample(unet, scheduler, seed, 7, 2).latents
        ours.append(latents - exact)
        theirs.append(oracle.sample(twin, scheduler, seed, 7, 2).latents - exact)
    assert_half_precision(ours, theirs)


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16"])
def test_the_start_noise_is_the_cpus(standin, dtype):
    """A model whose v-prediction is 0, without clipping: one step from t = 0 leaves sqrt(alpha_bar) times the noise."""
    unet = random_unet(SMALL)
    unet.conv_out.weight.zero_()
    unet.conv_out.bias.zero_()
    checkpoint = save_checkpoint(standin.folder / "model", unet, prediction_type="v_prediction", clip_sample=False)
    noise = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    _, latents, _ = run(standin, checkpoint, "--device", "mps", "--dtype", dtype, seed=3, steps=1)
    assert torch.allclose(latents, noise * (1 - 0.0001) ** 0.5, rtol=1e-5, atol=1e-6)


def test_auto_is_mps_in_fp16(standin):
    checkpoint = make_checkpoint(standin.folder / "model", SMALL)
    report, _, _ = run(standin, checkpoint)
    assert (report["device"], report["dtype"]) == ("mps", "fp16")


def test_recipe_and_memory(standin):
    checkpoint = make_checkpoint(standin.folder / "model", SMALL)
    report, _, _ = run(standin, checkpoint, "--device", "mps")
    stored = json.loads(Image.open(standin.folder / report["path"]).text["diffapple"])
    assert stored["recipe"]["device"] == "mps"
    assert stored["recipe"]["dtypes"] == {"unet": "fp16"}
    assert report["peak_bytes"] > 0
    on_cpu, _, _ = run(standin, checkpoint, "--device", "cpu")
    assert report["id"] != on_cpu["id"]


def test_weights_that_overflow_fp16(standin):
    """fp16 ends at 65504: an error that names a way out, and no picture."""
    unet = random_unet(SMALL)
    unet.conv_in.weight.mul_(1e5)
    checkpoint = save_checkpoint(standin.folder / "model", unet)
    result = standin("ddpm", "--model", checkpoint, "--device", "mps", "--dtype", "fp16", "--steps", 2, "--quiet")
    assert (result.code, result.out, len(result.err.splitlines())) == (1, "", 1)
    assert "not finite" in result.err and "--dtype" in result.err
    assert list(standin.folder.rglob("*.png")) == []
