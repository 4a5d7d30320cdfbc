"""Checkpoints as people have them, against diffusers' from_pretrained on the same folder: what its pipelines repair in
configs, what they take from model_index.json, old and unusual configs; and what neither runs is refused by its name."""

import json
import shutil

import diffusers
import numpy as np
import pytest
import sd_oracle
import torch
from checkpoints import SMALL, edit_json, make_checkpoint
from conftest import one_line_error
from oracle import assert_latents_equal, assert_pictures_equal
from PIL import Image
from pictures import mask, photo
from safetensors.torch import load_file
from sd_checkpoints import (
    UNET,
    UNET_OF_XL,
    load_pipeline,
    make_sd2,
    make_sd15,
    make_sdxl,
    random_condition_unet,
    save_component,
)

PROMPTS = ["a bench", "a cat"]
STEPS = {"steps": 5}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    return {
        "sd15": make_sd15(folder / "sd15"),
        "sd2": make_sd2(folder / "sd2"),
        "sdxl": make_sdxl(folder / "sdxl"),
        "safe": make_sd15(folder / "safe", safety=-1.0),
    }


@pytest.fixture
def copy_of(checkpoints, tmp_path):
    """A copy of a checkpoint, to be changed."""

    def copy(name, scheduler=None, /, **index):
        folder = shutil.copytree(checkpoints[name], tmp_path / "model")
        if scheduler is not None:
            edit_json(folder / "scheduler" / "scheduler_config.json", **scheduler)
            if isinstance(scheduler.get("_class_name"), str):
                index.setdefault("scheduler", ["diffusers", scheduler["_class_name"]])
        edit_json(folder / "model_index.json", **index)
        return folder

    return copy


def load(folder, kind=diffusers.DiffusionPipeline):
    pipeline = kind.from_pretrained(folder, **({"safety_checker": None} if hasattr(kind, "run_safety_checker") else {}))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def assert_parity(diffapple, command, folder, pipeline=None, image=False, inpaint=False, own=None, **settings):
    """`own`: the name of the checkpoint's own sampler, asked for where the command has another one."""
    options, arguments = [], {}
    if own:
        options += ["--scheduler", own]
    if image or inpaint:
        arguments["image"] = photo(64, 64)
        arguments["image"].save(diffapple.folder / "image.png")
        options += ["--image", "image.png"]
    if inpaint:
        arguments["mask_image"] = mask("soft", 64, 64)
        arguments["mask_image"].save(diffapple.folder / "mask.png")
        options += ["--mask", "mask.png"]
    pipeline = pipeline or load_pipeline(folder)
    settings = {**STEPS, "guidance": 3.5, **settings}
    sd_oracle.assert_parity(
        diffapple, command, folder, pipeline, settings, PROMPTS, options=options, arguments=arguments
    )


PNDM = dict(_class_name="PNDMScheduler")
DDIM = dict(_class_name="DDIMScheduler", skip_prk_steps=..., set_alpha_to_one=False)
EULER = dict(_class_name="EulerDiscreteScheduler", skip_prk_steps=..., timestep_spacing="leading")
TEXT_TO_IMAGE = {
    # keys of the scheduler's file; the checkpoint's own sampler, or the one that replaces it
    "offset 0, own": (dict(PNDM, steps_offset=0), dict(own="pndm")),
    "offset absent, own": (dict(PNDM, steps_offset=...), dict(own="pndm")),
    "offset 7, own": (dict(EULER, steps_offset=7), dict(own="euler")),
    "offset 0, swapped": (dict(PNDM, steps_offset=0), dict(scheduler="ddim")),
    "offset absent, swapped": (dict(PNDM, steps_offset=...), dict(scheduler="ddim")),
    "offset 0, default sampler": (
        dict(PNDM, steps_offset=0, timestep_spacing="leading"),
        dict(scheduler="dpmsolver++"),
    ),
    "clipping, own": (dict(DDIM, clip_sample=True), dict(own="ddim")),
    "clipping absent, own": (dict(DDIM, clip_sample=...), dict(own="ddim")),
    "clipping, swapped": (dict(PNDM, clip_sample=True), dict(scheduler="ddim")),
    "clipping absent, swapped": (dict(DDIM, clip_sample=...), dict(scheduler="ddpm")),
    "Runge-Kutta stays": (dict(PNDM, skip_prk_steps=False), dict(own="pndm")),
}


@pytest.mark.parametrize("case", TEXT_TO_IMAGE)
def test_repaired_schedulers(diffapple, copy_of, case):
    scheduler, settings = TEXT_TO_IMAGE[case]
    assert_parity(diffapple, "sd15", copy_of("sd15", scheduler), **settings)


@pytest.mark.parametrize("case", ["offset 0, own", "clipping, own", "clipping absent, own", "clipping, swapped"])
def test_repaired_schedulers_from_a_picture(diffapple, copy_of, case):
    scheduler, settings = TEXT_TO_IMAGE[case]
    folder = copy_of("sd15", scheduler)
    pipeline = load(folder, diffusers.StableDiffusionImg2ImgPipeline)
    assert_parity(diffapple, "sd15", folder, pipeline, image=True, strength=0.8, **settings)


@pytest.mark.parametrize(
    "scheduler, settings",
    [
        (dict(skip_prk_steps=False), {}),
        (dict(skip_prk_steps=...), {}),
        (dict(steps_offset=..., skip_prk_steps=...), {}),
        (dict(skip_prk_steps=False), dict(scheduler="ddim")),
        (dict(DDIM, clip_sample=True), {}),  # stays: only the other two pipelines change it
        (dict(PNDM, clip_sample=True, steps_offset=0), dict(scheduler="ddim")),
    ],
)
def test_repaired_schedulers_of_inpainting(diffapple, copy_of, scheduler, settings):
    folder = copy_of("sd2", scheduler)
    assert_parity(diffapple, "sd2-inpaint", folder, inpaint=True, **settings)


@pytest.mark.parametrize("scheduler", [dict(steps_offset=0), dict(DDIM, clip_sample=True, steps_offset=0)])
def test_sdxl_repairs_nothing(diffapple, copy_of, scheduler):
    assert_parity(diffapple, "sdxl-turbo", copy_of("sdxl", dict(scheduler, timestep_spacing="leading")))


def test_the_recipe_holds_the_config_as_used(diffapple, copy_of):
    folder = copy_of("sd15", dict(PNDM, steps_offset=0, clip_sample=...))
    typed = ["sd15", "--model", folder, "--prompt", "a", "--steps", 1, "--scheduler", "pndm"]
    picture = diffapple.ok(*typed).paths[0]
    shown = json.loads(diffapple.ok("show", "--json", picture).out)
    config = json.dumps(shown)
    assert '"steps_offset": 1' in config and "clip_sample" not in config
    diffapple.ok("replay", picture, "--model", folder)


@pytest.mark.parametrize("own, solver, swap", [
    ("DPMSolverMultistepScheduler", "bh1", "unipc"),
    ("UniPCMultistepScheduler", "heun", "dpmsolver++"),
])
def test_a_solver_that_its_own_class_replaces_is_not_handed_on(diffapple, copy_of, own, solver, swap):
    folder = copy_of("sdxl", {"_class_name": own, "solver_type": solver, "interpolation_type": ...})
    assert_parity(diffapple, "sdxl-turbo", folder, scheduler=swap)


@pytest.mark.parametrize("wrong", ["PNDMScheduler", "NonsenseScheduler", None, ["scheduler", "Mine"]])
def test_the_schedulers_class_is_the_indexs(diffapple, copy_of, wrong):
    changes = {"_class_name": ... if wrong is None else wrong, "timestep_spacing": "leading"}
    folder = copy_of("sdxl", changes, scheduler=["diffusers", "EulerDiscreteScheduler"])
    assert_parity(diffapple, "sdxl-turbo", folder)


def test_without_any_class_the_named_sampler_runs(diffapple, copy_of):
    folder = copy_of("sd15", {"_class_name": ...})
    (folder / "model_index.json").unlink()
    diffapple.ok("sd15", "--model", folder, "--prompt", "a", "--steps", 1)
    one_line_error(diffapple("sd2-inpaint", "--model", folder, "--prompt", "a", "--steps", 1), 1, "_class_name")


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("pipeline", ["DDPMPipeline", "DDIMPipeline", "PNDMPipeline"])
def test_unconditional_pipelines(diffapple, tmp_path, pipeline, channels):
    """DDIM's and PNDM's take their own sampler whatever the file says; 4 channels are a picture with alpha. Values are
    compared before they are rounded: of 512 levels one is more than 0.1 %."""
    folder = make_checkpoint(tmp_path / "model", dict(SMALL, in_channels=channels, out_channels=channels))
    edit_json(folder / "model_index.json", _class_name=pipeline)
    arguments = dict(batch_size=2, num_inference_steps=7, output_type="np")
    theirs = load(folder)(generator=torch.Generator().manual_seed(4), **arguments).images
    saved = diffapple.folder / "latents.safetensors"
    settings = ["--seed", 4, "--steps", 7, "--batch-size", 2, "--save-latents", saved]
    paths = diffapple.ok("ddpm", "--model", folder, *settings).paths
    ours = load_file(saved)["latents"].clamp(-1, 1)
    assert_latents_equal(ours, torch.from_numpy(theirs).permute(0, 3, 1, 2) * 2 - 1)
    for path, expected in zip(paths, theirs, strict=True):
        levels = np.asarray(Image.open(diffapple.folder / path)).astype(int)
        assert np.abs(levels - (expected.squeeze() * 255).round()).max() <= 1


@pytest.mark.parametrize("decoder, kind", [("vqvae", "VQModel"), ("vae", "AutoencoderKL")])
def test_unconditional_latent_models_are_refused(diffapple, tmp_path, decoder, kind):
    folder = make_checkpoint(tmp_path / "model", SMALL)
    edit_json(folder / "model_index.json", _class_name="LDMPipeline", **{decoder: ["diffusers", kind]})
    one_line_error(diffapple("ddpm", "--model", folder, "--steps", 1), 1, "LDMPipeline", decoder, kind, "latent")


@pytest.mark.parametrize(
    "version, size",
    [("0.6.0", 8), ("0.8.1.dev0", 8), ("0.9.0.dev0", 8), ("0.10.2", 8), ("0.6.0", [8, 8]), ("0.6.0", 72)],
)
def test_sample_sizes_of_old_versions(diffapple, copy_of, version, size):
    """Latents and the pictures' size: at 576x576 diffusers' own pictures move by a level in 0.12 % of the values from
    one memory format to the other, with this VAE of random weights."""
    folder = copy_of("sd15")
    edit_json(folder / "unet" / "config.json", _diffusers_version=version, sample_size=size)
    with torch.no_grad():
        expected = sd_oracle.make(load_pipeline(folder), ["a"], num_inference_steps=1, guidance_scale=1)
    ours = sd_oracle.run(
        diffapple, "sd15", folder, "--steps", 1, "--guidance", 1, "--scheduler", "pndm", prompts=["a"]
    )
    assert_latents_equal(ours.latents, expected.latents)
    assert [picture.shape for picture in ours.pictures] == [picture.shape for picture in expected.pictures]


@pytest.mark.parametrize("entry", [[None, None], ...])
def test_a_safety_checker_outside_the_index_is_not_used(diffapple, copy_of, entry):
    folder = copy_of("safe", safety_checker=entry)
    options = ["--model", folder, "--prompt", "a", "--steps", 1, "--seed", 3]
    black = np.asarray(Image.open(diffapple.folder / diffapple.ok("sd15", *options).paths[0])).max() == 0
    theirs = load(folder)
    assert theirs.safety_checker is None and not black
    one_line_error(diffapple("sd15", *options, "--safety", "on"), 2, "safety checker")


NESTED = {
    "as SSD-1B": dict(
        layers_per_block=2,
        transformer_layers_per_block=[1, [2, 1]],
        reverse_transformer_layers_per_block=[[1, 2, 3], 1],
        mid_block_type="UNetMidBlock2D",
    ),
    "with a mid block": dict(
        transformer_layers_per_block=[1, [3]], reverse_transformer_layers_per_block=[[2, 1], [1, 1]]
    ),
    "as Vega": dict(
        layers_per_block=2,
        transformer_layers_per_block=[[2, 1], [1, 2]],
        reverse_transformer_layers_per_block=[[1, 1, 2], [1, 2, 1]],
        down_block_types=["CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
        mid_block_type=None,
    ),
}


@pytest.mark.parametrize("shape", NESTED)
def test_depths_of_single_transformers(diffapple, copy_of, shape):
    folder = copy_of("sdxl")
    shutil.rmtree(folder / "unet")
    save_component(folder / "unet", random_condition_unet({**UNET_OF_XL, **NESTED[shape]}, 5))
    assert_parity(diffapple, "sdxl-turbo", folder)


def test_nested_depths_need_those_of_the_up_blocks(diffapple, copy_of):
    folder = copy_of("sdxl")
    edit_json(folder / "unet" / "config.json", transformer_layers_per_block=[1, [2]])
    result = diffapple("sdxl-turbo", "--model", folder, "--prompt", "a")
    one_line_error(result, 1, "transformer_layers_per_block", "reverse_")


def test_class_names_as_lists(diffapple, copy_of):
    folder = copy_of("sd15", _class_name=["my_pipeline", "StableDiffusionPipeline"])
    for component in ("unet", "vae"):
        edit_json(folder / component / "config.json", _class_name=["my_" + component, "Mine"])
    edit_json(folder / "model_index.json", _class_name=["my_pipeline", "StableDiffusionPipeline"])
    assert_parity(
        diffapple, "sd15", folder, load(folder, diffusers.StableDiffusionPipeline), scheduler="dpmsolver++"
    )


@pytest.mark.parametrize("kind", ["sd15", "sdxl"])
def test_text_encoders_without_architectures(diffapple, copy_of, kind):
    folder = copy_of(kind)
    for config in folder.glob("text_encoder*/config.json"):
        edit_json(config, architectures=..., model_type=...)
    settings = dict(own="pndm") if kind == "sd15" else {}
    assert_parity(diffapple, "sd15" if kind == "sd15" else "sdxl-turbo", folder, **settings)


def test_block_names_of_diffusers_0_1(diffapple, copy_of):
    folder = copy_of("sd15")
    for component in ("unet", "vae"):
        config = folder / component / "config.json"
        old = {
            key: ["UNetRes" + name for name in json.loads(config.read_text())[key]]
            for key in ("down_block_types", "up_block_types")
        }
        edit_json(config, **old)
    assert_parity(diffapple, "sd15", folder, own="pndm")


def test_block_names_of_diffusers_0_1_in_pixel_models(diffapple, tmp_path):
    folder = make_checkpoint(tmp_path / "model", SMALL)
    names = {key: ["UNetRes" + name for name in SMALL[key]] for key in ("down_block_types", "up_block_types")}
    edit_json(folder / "unet" / "config.json", **names)
    theirs = load(folder)(generator=torch.Generator().manual_seed(1), num_inference_steps=3).images[0]
    path = diffapple.ok("ddpm", "--model", folder, "--seed", 1, "--steps", 3).paths[0]
    assert_pictures_equal([np.asarray(Image.open(diffapple.folder / path))], [np.asarray(theirs)])


def without(folder, *components):
    for component in components:
        shutil.rmtree(folder / component)
        edit_json(folder / "model_index.json", **{component: ...})


def as_refiner(folder):
    edit_json(
        folder / "model_index.json",
        _class_name="StableDiffusionXLImg2ImgPipeline",
        text_encoder=[None, None],
        tokenizer=[None, None],
    )
    for component in ("text_encoder", "tokenizer"):
        shutil.rmtree(folder / component)


def with_unet_of(channels):
    def change(folder):
        shutil.rmtree(folder / "unet")
        save_component(folder / "unet", random_condition_unet(dict(UNET, in_channels=channels)))

    return change


UNSUPPORTED = {
    "StableDiffusionXLImg2ImgPipeline": ("sdxl", as_refiner, {}, ["text_encoder"]),
    "StableDiffusionInstructPix2PixPipeline": ("sd15", with_unet_of(8), {}, ["8 input"]),
    "StableDiffusionDepth2ImgPipeline": (
        "sd15",
        with_unet_of(5),
        dict(depth_estimator=["transformers", "DPTForDepthEstimation"]),
        [],
    ),
    "StableDiffusionControlNetPipeline": (
        "sd15",
        lambda folder: None,
        dict(controlnet=["diffusers", "ControlNetModel"]),
        ["controlnet"],
    ),
    "FluxPipeline": (
        "sd15",
        lambda folder: without(folder, "unet"),
        dict(transformer=["diffusers", "FluxTransformer2DModel"]),
        ["unet"],
    ),
    "StableDiffusion3Pipeline": (
        "sdxl",
        lambda folder: without(folder, "unet"),
        dict(transformer=["diffusers", "SD3Transformer2DModel"]),
        ["unet"],
    ),
}


@pytest.mark.parametrize("pipeline", UNSUPPORTED)
def test_other_pipelines_are_refused_by_their_name(diffapple, copy_of, pipeline):
    source, change, components, named = UNSUPPORTED[pipeline]
    folder = copy_of(source, _class_name=pipeline, **components)
    change(folder)
    command = "sdxl-turbo" if source == "sdxl" else "sd15"
    result = diffapple(command, "--model", folder, "--prompt", "a")
    one_line_error(result, 1, pipeline, "not supported", *named)
    assert "download" not in result.err


@pytest.mark.parametrize("kind", ["EDMEulerScheduler", "KarrasVeScheduler", "FlowMatchEulerDiscreteScheduler"])
def test_no_advice_to_sample_with_another_schedule(diffapple, copy_of, kind):
    folder = copy_of("sdxl", {"_class_name": kind})
    result = diffapple("sdxl-turbo", "--model", folder, "--prompt", "a")
    one_line_error(result, 1, kind)
    assert "--scheduler" not in result.err
    edit_json(folder / "model_index.json", scheduler=["diffusers", "KDPM2DiscreteScheduler"])
    assert "--scheduler" in diffapple("sdxl-turbo", "--model", folder, "--prompt", "a").err


def test_a_lost_end_of_a_prompt_names_the_tokenizers_limit(diffapple, copy_of):
    folder = copy_of("sd15")
    edit_json(folder / "tokenizer" / "tokenizer_config.json", model_max_length=20)
    result = diffapple.ok("sd15", "--model", folder, "--prompt", "cat " * 30, "--steps", 1)
    assert "reads 20 tokens" in result.err


def test_a_missing_revision_is_downloaded_with_an_option(diffapple):
    result = diffapple("sd15", "--model", "someone/model@v2", "--prompt", "a")
    one_line_error(result, 1, "diffapple fetch someone/model --revision v2")
