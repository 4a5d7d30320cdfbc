"""`--rng cuda`: the start noise of torch's CUDA generator, made on the CPU; against numpy, published values, and where
there is a GPU, torch."""

from unittest import mock

import numpy as np
import oracle
import pytest
import sd_oracle
import torch
from checkpoints import TINY, make_checkpoint, read_state, write_state
from cuda_noise import CudaNoise, philox_4x32
from finished import chunks, recipe
from oracle import assert_latents_equal, assert_pictures_equal
from PIL import Image
from safetensors.torch import load_file
from sd_checkpoints import load_pipeline, make_sd15
from sd_oracle import CATS

# Random123's kat_vectors for philox4x32 with 10 rounds: counter, key, words.
KNOWN_ANSWERS = [
    ("00000000 " * 4, "00000000 " * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff " * 4, "ffffffff " * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]
# What A1111's web UI (modules/rng_philox.py) says a GPU gives for torch.randn of seed 0 and 12 numbers.
OF_SEED_0 = [-0.92466259, -0.42534415, -2.6438457, 0.14518388, -0.12086647, -0.57972564, -0.62285122, -0.32838709,
             -1.07454231, -0.36314407, -1.67105067, 2.26550497]  # fmt: skip


def test_the_reference_has_published_values():
    for counter, key, expected in KNOWN_ANSWERS:
        counter, key, expected = (
            np.array([[int(word, 16)] for word in text.split()], np.uint32) for text in (counter, key, expected)
        )
        assert np.array_equal(philox_4x32(counter, key), expected)
    assert np.allclose(CudaNoise(0).randn((3, 4)).flatten(), OF_SEED_0, atol=2e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU")
@pytest.mark.parametrize("count", [7, 16384, 98304, 98305, 1_500_000])
def test_the_reference_has_a_gpus_values(count):
    gpu = torch.cuda.get_device_properties(0)
    noise = CudaNoise(2**40 + 7, (gpu.multi_processor_count, gpu.max_threads_per_multi_processor))
    generator = torch.Generator("cuda").manual_seed(2**40 + 7)
    for _ in range(3):
        theirs = torch.randn(count, generator=generator, device="cuda").cpu()
        assert (noise.randn((count,)) - theirs).abs().max() < 1e-5


def made_with(noise: CudaNoise):
    """In place of the oracles' noise."""
    return lambda shape, generator=None, device=None, dtype=None, layout=None: noise.randn(shape).to(dtype)


def run_ddpm(diffapple, model, seed, *options):
    saved = diffapple.folder / "latents.safetensors"
    settings = ["--seed", seed, "--rng", "cuda", "--device", "cpu", *options]
    result = diffapple.ok("ddpm", "--model", model, "--save-latents", saved, *settings)
    return load_file(saved)["latents"], [diffapple.folder / path for path in result.paths], result


@pytest.mark.parametrize("seed", [0, 42, 2**40 + 7, 2**64 - 1])
def test_a_picture_has_the_noise_of_a_cuda_generator(diffapple, tiny, seed):
    """In every draw of the run: DDPM draws after each step."""
    latents, pictures, result = run_ddpm(diffapple, tiny, seed, "--steps", 5, "--batch-size", 2)
    with mock.patch("oracle.draw_fp32", made_with(CudaNoise(seed))):
        expected = oracle.sample(*oracle.load(tiny), seed, 5, 2)
    assert_latents_equal(latents, expected.latents)
    assert_pictures_equal([np.asarray(Image.open(path)) for path in pictures], expected.pictures)
    assert "RTX A5000" not in result.err


@pytest.mark.parametrize(("width", "height", "batch"), [(192, 168, 1), (256, 256, 3)], ids=["1 lap", "6 laps"])
def test_draws_beyond_the_grid_are_those_of_an_a5000(diffapple, width, height, batch):
    model = make_checkpoint(diffapple.folder / "model", dict(TINY, sample_size=64))
    state = read_state(model)  # without the network's roundings, the noise alone is compared
    write_state(model, {name: t * 0 if name.startswith("conv_out.") else t for name, t in state.items()})
    size = ("--width", width, "--height", height)
    latents, _, result = run_ddpm(diffapple, model, 3, "--steps", 2, "--batch-size", batch, *size)
    for gpu, equal in [((64, 1536), True), ((108, 2048), width == 192), ((40, 1024), False)]:
        with mock.patch("oracle.draw_fp32", made_with(CudaNoise(3, gpu))):
            expected = oracle.sample(*oracle.load(model), 3, 2, batch, (height, width)).latents
        assert (((latents - expected).abs().max() / expected.abs().max()) < 1e-4) == equal, gpu
    assert ("RTX A5000" in result.err) == (width == 256)


@pytest.mark.parametrize("options", [{}, {"scheduler": "euler-a"}], ids=str)
def test_sd15(diffapple, options):
    """Its pictures' start noise, and a sampler that draws more."""
    checkpoint = make_sd15(diffapple.folder / "model")
    typed = ["--steps", 4, "--rng", "cuda", *sd_oracle.as_options(options)]
    ours = sd_oracle.run(diffapple, "sd15", checkpoint, *typed, prompts=CATS, seed=2**33 + 1)
    settings = {"num_inference_steps": 4, "scheduler": "dpmsolver++", **options}
    with mock.patch("sd_oracle.draw_fp32", made_with(CudaNoise(2**33 + 1))):
        expected = sd_oracle.make(load_pipeline(checkpoint), CATS, **settings)
    sd_oracle.assert_equal(ours, expected)


def test_it_is_recorded(diffapple, tiny):
    _, (picture, *_), _ = run_ddpm(diffapple, tiny, 11, "--steps", 2)
    assert "_rng-cuda" in picture.name
    assert recipe(picture)["recipe"]["settings"]["rng"] == "cuda"
    assert ", RNG: NV, " in chunks(picture)["parameters"]
    diffapple.ok("replay", picture, "--model", tiny)


def test_the_cpus_is_the_default_and_not_recorded(diffapple, tiny):
    reports = [
        diffapple.ok("ddpm", "--model", tiny, "--steps", 1, "--json", "--force", *options).reports[0]
        for options in ([], ["--rng", "cpu"], ["--rng", "cuda"])
    ]
    assert reports[0]["id"] == reports[1]["id"] != reports[2]["id"]
    picture = diffapple.folder / reports[1]["path"]
    assert "rng" not in recipe(picture)["recipe"]["settings"] and "rng" not in picture.name
    assert ", RNG: CPU, " in chunks(picture)["parameters"]


@pytest.mark.parametrize("name", ["mps", "", "CUDA", "cpu,cuda"])
def test_other_generators_are_a_wrong_call(ddpm, name):
    result = ddpm(f"--rng={name}")
    assert (result.code, result.out, len(result.err.splitlines())) == (2, "", 1)
    assert "--rng" in result.err
