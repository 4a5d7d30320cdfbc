"""`diffapple sdxl-turbo` against diffusers' StableDiffusionXLPipeline on small random checkpoints."""

import pytest
import sd_oracle
from sd_checkpoints import load_pipeline, make_sd15, make_sdxl


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return make_sdxl(tmp_path_factory.mktemp("sdxl") / "model")


@pytest.fixture(scope="module")
def pipeline(checkpoint):
    return load_pipeline(checkpoint)


def assert_parity(diffapple, checkpoint, pipeline, seed=0, options=(), arguments={}, **settings):
    settings = {"steps": 2, "guidance": 0, **settings}
    sd_oracle.assert_parity(
        diffapple, "sdxl-turbo", checkpoint, pipeline, settings, seed=seed, options=options, arguments=arguments
    )


@pytest.mark.parametrize("steps", [1, 2, 4, 8, 16])
def test_steps(diffapple, checkpoint, pipeline, steps):
    assert_parity(diffapple, checkpoint, pipeline, steps=steps, seed=steps)


@pytest.mark.parametrize("guidance", [0, 1, 2, 4.5, 8])
def test_guidance_without_a_negative_prompt(diffapple, checkpoint, pipeline, guidance):
    """An embedding of zeros stands for it."""
    assert_parity(diffapple, checkpoint, pipeline, steps=4, guidance=guidance)


@pytest.mark.parametrize("negative", ["", "low quality, bad quality"])
def test_negative_prompt_is_encoded(diffapple, checkpoint, pipeline, negative):
    assert_parity(diffapple, checkpoint, pipeline, guidance=3, negative_prompt=negative)


def test_without_zeros_for_an_empty_prompt(diffapple):
    checkpoint = make_sdxl(diffapple.folder / "model", force_zeros_for_empty_prompt=False)
    assert_parity(diffapple, checkpoint, load_pipeline(checkpoint), guidance=3)


def test_second_prompts(diffapple, checkpoint, pipeline):
    texts = dict(prompt_2="a painting!", negative_prompt="fog", negative_prompt_2="rain !")
    assert_parity(diffapple, checkpoint, pipeline, guidance=4, **texts)


@pytest.mark.parametrize("height, width", [(64, 64), (104, 72)])
def test_size_and_batch(diffapple, checkpoint, pipeline, height, width):
    assert_parity(diffapple, checkpoint, pipeline, height=height, width=width, batch_size=2, guidance=2)


@pytest.mark.parametrize("scheduler", ["euler", "dpmsolver++", "ddim", "lcm"])
def test_scheduler(diffapple, checkpoint, pipeline, scheduler):
    assert_parity(diffapple, checkpoint, pipeline, scheduler=scheduler, steps=4, guidance=2)


def test_guidance_rescale(diffapple, checkpoint, pipeline):
    assert_parity(diffapple, checkpoint, pipeline, guidance=7, guidance_rescale=0.6)


@pytest.mark.parametrize("clip_skip", [0, 1])
def test_clip_skip(diffapple, checkpoint, pipeline, clip_skip):
    assert_parity(diffapple, checkpoint, pipeline, guidance=2, clip_skip=clip_skip)


@pytest.mark.parametrize("guidance", [0, 3])
def test_size_conditioning(diffapple, checkpoint, pipeline, guidance):
    """diffusers has [height, width] and [top, left]; without negative sizes, these are the negative prompt's too."""
    options = ["--original-size", "1024x512", "--target-size", "96x160", "--crop", "32,8"]
    sizes = dict(original_size=(512, 1024), target_size=(160, 96), crops_coords_top_left=(8, 32))
    assert_parity(diffapple, checkpoint, pipeline, guidance=guidance, options=options, arguments=sizes)


def test_size_conditioning_in_recipe_and_name(diffapple, checkpoint):
    options = ["--model", checkpoint, "--prompt", "a cat", "--width", 64, "--height", 64]
    sizes = ["--original-size", "128x96", "--target-size", "64x64", "--crop", "0,8"]
    (path,) = diffapple.ok("sdxl-turbo", *options, *sizes).paths
    assert path.stem.endswith("_original-128x96_crop-at-0x8")  # the target is the default
    assert "the same picture" in diffapple.ok("replay", path, "--model", checkpoint).out
    (plain,) = diffapple.ok("sdxl-turbo", *options).paths
    assert (diffapple.folder / plain).read_bytes() != (diffapple.folder / path).read_bytes()


@pytest.mark.parametrize("option", [["--original-size", "64"], ["--target-size", "0x64"], ["--crop", "1x2"]])
def test_sizes_are_refused(diffapple, checkpoint, option):
    result = diffapple("sdxl-turbo", "--model", checkpoint, *option)
    assert result.code == 2 and option[0] in result.err


def test_models_without_size_conditioning_refuse_it(diffapple):
    checkpoint = make_sd15(diffapple.folder / "model")
    result = diffapple("sd15", "--model", checkpoint, "--crop", "0,8")
    assert result.code == 2 and "--crop" in result.err


@pytest.mark.parametrize("options", [dict(hub_names=True), dict(storage="bin"), dict(merges=48894)], ids=range(3))
def test_checkpoint(diffapple, options):
    checkpoint = make_sdxl(diffapple.folder / "model", **options)
    assert_parity(diffapple, checkpoint, load_pipeline(checkpoint), guidance=2)


def test_base_scheduler(diffapple):
    """SDXL base has Euler with leading timesteps."""
    base = dict(_class_name="EulerDiscreteScheduler", timestep_spacing="leading", steps_offset=1)
    checkpoint = make_sdxl(diffapple.folder / "model", scheduler=base)
    assert_parity(diffapple, checkpoint, load_pipeline(checkpoint), guidance=5, steps=5)


def test_bf16_is_as_close_to_fp32_as_diffusers(diffapple, checkpoint, pipeline):
    settings = dict(steps=4, guidance=0)
    sd_oracle.assert_half_precision_parity(diffapple, "sdxl-turbo", checkpoint, pipeline, "bf16", settings)
