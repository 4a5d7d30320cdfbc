"""`diffapple sd2-inpaint`, and pictures as input of the other commands, against diffusers' pipelines on small random
checkpoints: 9-channel UNets, blending with 4-channel ones, image to image, for SD and SDXL."""

import diffusers
import numpy as np
import pytest
import sd_oracle
from oracle import SCHEDULER_CLASSES
from PIL import Image
from pictures import mask, photo
from sd_checkpoints import load_pipeline, loaded_once, make_sd2, make_sd15, make_sdxl

PROMPTS = ["a bench", "a cat, sitting on a bench"]


inpainting = loaded_once(make_sd2)
sd15 = loaded_once(make_sd15)
sdxl = loaded_once(make_sdxl)


def as_pipeline(loaded, kind):
    """The same components as another of diffusers' pipelines."""
    components = {k: v for k, v in loaded.components.items() if k in kind.__init__.__annotations__}
    options = {"requires_safety_checker": False} if "requires_safety_checker" in kind.__init__.__annotations__ else {}
    pipeline = kind(**components, **options)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def assert_parity(
    diffapple, command, checkpoint, pipeline, image, mask_image=None, scheduler=None, prompts=PROMPTS, **settings
):
    """Without a scheduler, both take the checkpoint's own."""
    settings = {"steps": 6, "guidance": 3, **settings}
    options, arguments = ["--image", "image.png"], {"image": image.convert("RGB")}
    image.save(diffapple.folder / "image.png")
    if mask_image is not None:
        mask_image.save(diffapple.folder / "mask.png")
        options += ["--mask", "mask.png"]
        arguments["mask_image"] = mask_image
    if scheduler:
        settings["scheduler"] = scheduler
    sd_oracle.assert_parity(
        diffapple, command, checkpoint, pipeline, settings, prompts, options=options, arguments=arguments
    )


@pytest.mark.parametrize("kind", ["box", "thin", "soft", "rgb", "empty", "full"])
def test_masks(diffapple, inpainting, kind):
    assert_parity(diffapple, "sd2-inpaint", *inpainting, photo(64, 64), mask(kind, 64, 64))


@pytest.mark.parametrize("strength", [1.0, 0.8, 0.5])
@pytest.mark.parametrize("scheduler", [None, "ddim", "euler", "dpmsolver++", "euler-a"])
def test_strengths(diffapple, inpainting, scheduler, strength):
    images = photo(64, 64), mask("box", 64, 64)
    assert_parity(diffapple, "sd2-inpaint", *inpainting, *images, strength=strength, scheduler=scheduler, steps=7)


@pytest.mark.parametrize("size", [(64, 64), (57, 91), (200, 40)])
def test_pictures_are_resized(diffapple, inpainting, size):
    images = photo(*size), mask("soft", size[1], size[0])
    assert_parity(diffapple, "sd2-inpaint", *inpainting, *images, width=72, height=104, batch_size=2, steps=2)


@pytest.mark.parametrize("guidance", [0, 1, 7.5])
def test_guidance(diffapple, inpainting, guidance):
    images = photo(64, 64), mask("box", 64, 64)
    assert_parity(diffapple, "sd2-inpaint", *inpainting, *images, guidance=guidance, steps=3)


@pytest.mark.parametrize("scheduler", ["pndm", "ddim", "euler", "dpmsolver++", "euler-a"])
@pytest.mark.parametrize("strength", [1.0, 0.6])
def test_blending_with_four_channels(diffapple, sd15, scheduler, strength):
    checkpoint, loaded = sd15
    pipeline = as_pipeline(loaded, diffusers.StableDiffusionInpaintPipeline)
    images = photo(64, 64), mask("soft", 64, 64)
    assert_parity(
        diffapple, "sd15", checkpoint, pipeline, *images, strength=strength, scheduler=scheduler, steps=5, batch_size=2
    )


@pytest.mark.parametrize("scheduler", SCHEDULER_CLASSES)
def test_image_to_image(diffapple, sd15, scheduler):
    checkpoint, loaded = sd15
    pipeline = as_pipeline(loaded, diffusers.StableDiffusionImg2ImgPipeline)
    assert_parity(diffapple, "sd15", checkpoint, pipeline, photo(75, 66), scheduler=scheduler, strength=0.55, steps=8)


def test_image_to_image_default_strength(diffapple, sd15):
    checkpoint, loaded = sd15
    pipeline = as_pipeline(loaded, diffusers.StableDiffusionImg2ImgPipeline)
    assert_parity(diffapple, "sd15", checkpoint, pipeline, photo(64, 72), scheduler="dpmsolver++", batch_size=2)


@pytest.mark.parametrize("strength", [0.5, 0.8, None])
def test_sdxl_image_to_image(diffapple, sdxl, strength):
    checkpoint, loaded = sdxl
    pipeline = as_pipeline(loaded, diffusers.StableDiffusionXLImg2ImgPipeline)
    settings = {"strength": strength} if strength else {}
    assert_parity(diffapple, "sdxl-turbo", checkpoint, pipeline, photo(80, 64), guidance=0, **settings)


@pytest.mark.parametrize("strength", [1.0, None])
def test_sdxl_inpainting_by_blending(diffapple, sdxl, strength):
    checkpoint, loaded = sdxl
    pipeline = as_pipeline(loaded, diffusers.StableDiffusionXLInpaintPipeline)
    images = photo(64, 64), mask("box", 64, 64)
    settings = {"strength": strength} if strength else {}
    assert_parity(diffapple, "sdxl-turbo", checkpoint, pipeline, *images, width=64, height=64, **settings)


def test_sdxl_inpainting_with_nine_channels(diffapple):
    checkpoint = make_sdxl(diffapple.folder / "model", unet=dict(in_channels=9))
    pipeline = as_pipeline(load_pipeline(checkpoint), diffusers.StableDiffusionXLInpaintPipeline)
    images = photo(64, 64), mask("box", 64, 64)
    assert_parity(diffapple, "sdxl-turbo", checkpoint, pipeline, *images, width=64, height=64, negative_prompt="")


def test_padding_mask_crop(diffapple, sd15):
    checkpoint, loaded = sd15
    pipeline = as_pipeline(loaded, diffusers.StableDiffusionInpaintPipeline)
    images = photo(160, 120), mask("box", 160, 120)
    settings = dict(padding_mask_crop=9, width=64, height=64, scheduler="ddim", steps=3)
    assert_parity(diffapple, "sd15", checkpoint, pipeline, *images, **settings)


def test_comparison_and_kept_pixels(diffapple, inpainting):
    checkpoint, _ = inpainting
    image, box = photo(64, 64), mask("box", 64, 64)
    image.save(diffapple.folder / "image.png")
    box.save(diffapple.folder / "mask.png")
    options = ["--image", "image.png", "--mask", "mask.png", "--steps", 2, "--keep-unmasked", "--json"]
    report = diffapple.ok("sd2-inpaint", "--model", checkpoint, "--prompt", "a bench", *options).reports[0]
    path = diffapple.folder / report["path"]
    result, kept = np.asarray(Image.open(path)), np.asarray(box) < 128
    assert (result[kept] == np.asarray(image)[kept]).all()
    assert (result[~kept] != np.asarray(image)[~kept]).any()
    comparison = np.asarray(Image.open(path.with_name(path.stem + "_comp.png")))
    assert comparison.shape == (64, 192, 3)
    assert (comparison[:, :64] == np.asarray(image)).all()
    assert (comparison[:, 128:] == result).all()


@pytest.mark.parametrize(
    "options, code, text",
    [
        ([], 2, "--image"),
        (["--image", "image.png"], 2, "--mask"),
        (["--mask", "image.png"], 2, "--image"),
        (["--image", "missing.png", "--mask", "image.png"], 1, "missing.png"),
        (["--image", "image.png", "--mask", "broken.png"], 1, "broken.png"),
        (["--image", "image.png", "--mask", "image.png", "--strength", "0"], 2, "--strength"),
        (["--image", "image.png", "--mask", "image.png", "--strength", "1.5"], 2, "--strength"),
    ],
)
def test_wrong_calls(diffapple, inpainting, options, code, text):
    photo(64, 64).save(diffapple.folder / "image.png")
    (diffapple.folder / "broken.png").write_bytes((diffapple.folder / "image.png").read_bytes()[:99])
    result = diffapple("sd2-inpaint", "--model", inpainting[0], "--prompt", "a", "--steps", 2, *options)
    assert (result.code, result.out, len(result.err.splitlines())) == (code, "", 1), result.err
    assert text in result.err
