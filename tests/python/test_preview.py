"""`--preview N`: the picture so far, in a file. With --interactive it can be looked at in peace: it goes with the
program. Expected is what diffusers' scheduler takes the finished latents to be, mapped to colours by numpy."""

import io
import subprocess
import time

import numpy as np
import pytest
import sd_oracle
import torch
from checkpoints import TINY, make_checkpoint
from conftest import STANDIN_MPS, Diffapple, needs_standin_mps
from diffusers import DDIMScheduler
from PIL import Image, PngImagePlugin
from sd_checkpoints import load_pipeline, make_sd15, make_sdxl

# Of a latent's channels: red, green, blue. (keturn, https://discuss.huggingface.co/t/23204; Timothy Alexis Vass,
# https://huggingface.co/blog/TimothyAlexisVass/explaining-the-sdxl-latent-space)
OF_SD = [[0.298, 0.207, 0.208], [0.187, 0.286, 0.173], [-0.158, 0.189, 0.264], [-0.184, -0.271, -0.473]]
OF_SDXL = [[60, 60, 60], [-60, -5, 10], [25, 15, -5], [-70, -50, -35]]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {"sd15": make_sd15(folder / "sd15"), "sdxl-turbo": make_sdxl(folder / "sdxl")}


def preview_of(diffapple, command, *arguments) -> Image.Image:
    """As it is when the picture is there; then the program ends, and the preview is gone."""
    typed = [command, "--interactive", "--preview", 1, "--seed", 0, *arguments]
    with diffapple.start(*typed, stdin=subprocess.PIPE) as process:
        process.stdin.write("a cat\n")
        process.stdin.flush()
        picture = diffapple.folder / process.stdout.readline().strip()
        file = picture.parent.parent / "preview.png"
        preview = Image.open(io.BytesIO(file.read_bytes()))
        _, err = process.communicate("q\n", timeout=60)
    assert process.returncode == 0 and f"preview: {file.relative_to(diffapple.folder)}" in err
    assert not file.exists() and picture.exists()
    return preview


def expected_preview(checkpoint, command, **settings) -> Image.Image:
    """Of DDIM's first of two turns."""
    estimates = []

    class Recording(DDIMScheduler):
        def step(self, *arguments, **options):
            made = super().step(*arguments, **{**options, "return_dict": True})
            estimates.append(made.pred_original_sample)
            return (made.prev_sample,)

    pipeline = load_pipeline(checkpoint)
    pipeline.scheduler = Recording.from_config(pipeline.scheduler.config, clip_sample=False)
    sd_oracle.make(pipeline, ["a cat"], num_inference_steps=2, guidance_scale=3, **settings)
    latents = estimates[0].permute(0, 2, 3, 1).numpy()
    colours = latents @ np.array(OF_SD) / 2 + 0.5 if command == "sd15" else (
        latents @ np.array(OF_SDXL) + [150, 140, 130]) / 255  # fmt: skip
    pictures = [Image.fromarray((c.clip(0, 1) * 255).round().astype(np.uint8)) for c in colours]
    enlarged = [np.asarray(p.resize((p.width * 4, p.height * 4), Image.Resampling.BICUBIC)) for p in pictures]
    return Image.fromarray(np.concatenate(enlarged, 1))


@pytest.mark.parametrize("command", ["sd15", "sdxl-turbo"])
def test_it_is_what_the_model_aims_at(diffapple, checkpoints, command):
    typed = ["--scheduler", "ddim", "--steps", 2, "--guidance", 3, "--batch-size", 2, "--width", 72, "--height", 64]
    got = preview_of(diffapple, command, "--model", checkpoints[command], *typed)
    sizes = dict(width=72, height=64, num_images_per_prompt=2)
    expected = expected_preview(checkpoints[command], command, **sizes)
    assert got.size == (2 * 36, 32)
    difference = np.abs(np.asarray(got, int) - np.asarray(expected, int))
    assert difference.max() <= 2 and np.asarray(expected).std() > 5


@needs_standin_mps
def test_a_device_shows_the_same(tmp_path, checkpoints):
    typed = ["--model", checkpoints["sd15"], "--steps", 3, "--width", 64, "--height", 64, "--dtype", "fp32"]
    previews = []
    for folder, program in ((tmp_path / "cpu", {}), (tmp_path / "mps", dict(program=STANDIN_MPS))):
        folder.mkdir()
        device = ["--device", folder.name]
        previews.append(np.asarray(preview_of(Diffapple(folder, **program), "sd15", *typed, *device), int))
    assert np.abs(previews[0] - previews[1]).max() <= 1


def test_pixel_models_show_the_sample_and_viewers_never_see_half_a_file(diffapple):
    checkpoint = make_checkpoint(diffapple.folder / "model", TINY)
    typed = ["ddpm", "--model", checkpoint, "--steps", 400, "--seed", "0,1", "--preview", 3]
    file, seen = diffapple.folder / "out/ddpm_cat/preview.png", set()
    with diffapple.start(*typed) as process:
        while process.poll() is None:
            if file.exists():
                try:
                    seen.add(file.read_bytes())
                except FileNotFoundError:  # it is gone with the run
                    break
            time.sleep(0.005)
        process.communicate(timeout=60)
    assert process.returncode == 0 and len(seen) > 1 and not file.exists()
    side = TINY["sample_size"]
    for content in seen:
        preview = Image.open(io.BytesIO(content))
        preview.load()
        assert preview.size == (side, side) and list(preview.info) == ["Comment"]


def test_a_run_is_the_same_with_and_without(diffapple, checkpoints):
    typed = ["sd15", "--model", checkpoints["sd15"], "--steps", 3, "--seed", "0,1", "--prompt", "a", "--json"]
    without = diffapple.ok(*typed, "--out", "without").reports
    made = diffapple.ok(*typed, "--out", "with", "--preview", 2).reports
    assert [r["id"] for r in without] == [r["id"] for r in made]
    for one, other in zip(without, made, strict=True):
        pictures = [np.asarray(Image.open(diffapple.folder / r["path"])) for r in (one, other)]
        assert np.array_equal(*pictures)
    assert all(r["skipped"] for r in diffapple.ok(*typed, "--out", "with", "--preview", 1).reports)


@pytest.mark.parametrize("kind", ["folder", "picture", "text", "preview"])
def test_what_is_in_its_place_stays(diffapple, checkpoints, kind):
    """But for a preview that a killed run has left."""
    file = diffapple.folder / "out/sdv1_5_dpmsolver/preview.png"
    file.parent.mkdir(parents=True)
    if kind == "folder":
        file.mkdir()
    elif kind == "text":
        file.write_text("mine")
    else:
        mark = PngImagePlugin.PngInfo()
        mark.add_text("Comment", "diffapple: the picture so far" if kind == "preview" else "mine")
        Image.new("RGB", (8, 8)).save(file, pnginfo=mark)
    before = file.read_bytes() if file.is_file() else b""
    typed = ["sd15", "--model", checkpoints["sd15"], "--steps", 4, "--prompt", "a", "--preview", 1]
    result = diffapple.ok(*typed)
    assert result.err.count("no preview:") == (kind != "preview") and (diffapple.folder / result.paths[0]).exists()
    assert file.exists() == (kind != "preview") and (not file.is_file() or file.read_bytes() == before)


def test_one_left_by_a_killed_run_is_no_picture_of_the_folder(diffapple, checkpoints):
    result = diffapple.ok("sd15", "--model", checkpoints["sd15"], "--steps", 1, "--prompt", "a", "--seed", "0,1")
    folder = (diffapple.folder / result.paths[0]).parents[1]
    Image.new("RGB", (8, 8)).save(folder / "preview.png")
    assert "preview" not in diffapple.ok("report", folder, "--csv", "-").out


def test_too_few_steps_for_one_are_told_of(diffapple, checkpoints):
    typed = ["sd15", "--model", checkpoints["sd15"], "--prompt", "a", "--steps", 3, "--preview"]
    assert "--preview 3: there is none, where a picture has 3 steps" in diffapple.ok(*typed, 3).err
    assert "there is none" not in diffapple.ok(*typed, 2).err


@pytest.mark.parametrize("value", ["0", "-1", "x"])
def test_bad_numbers(diffapple, checkpoints, value):
    result = diffapple("sd15", "--model", checkpoints["sd15"], f"--preview={value}")
    assert result.code == 2 and "--preview" in result.err


def test_latents_of_another_kind_have_none(diffapple):
    checkpoint = make_sd15(diffapple.folder / "model", vae=dict(latent_channels=3), unet=dict(in_channels=3, out_channels=3))
    result = diffapple("sd15", "--model", checkpoint, "--preview", 1)
    assert result.code == 2 and "--preview: the latents of this model" in result.err
