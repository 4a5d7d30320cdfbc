"""What becomes of images and masks in the pipelines, live against diffusers' VaeImageProcessor."""

import numpy as np
import pytest
import torch
from diffusers.image_processor import VaeImageProcessor
from PIL import Image
from pictures import Calls, random_picture, run_image, smooth_picture

IMAGES = VaeImageProcessor(vae_scale_factor=8)
MASKS = VaeImageProcessor(vae_scale_factor=8, do_normalize=False, do_binarize=True, do_convert_grayscale=True)
SIZES = [((64, 48), (64, 48)), ((61, 45), (64, 64)), ((40, 90), (64, 32)), ((90, 40), (24, 64)), ((8, 8), (64, 64))]


@pytest.fixture
def calls(tmp_path) -> Calls:
    return Calls(tmp_path)


def masks(width: int, height: int) -> dict[str, Image.Image]:
    values = np.zeros((height, width), np.uint8)
    box, thin, point = values.copy(), values.copy(), values.copy()
    box[height // 4 : height // 2, width // 3 : 2 * width // 3 + 1] = 255
    thin[:, width // 2] = 255
    point[-1, -1] = 200
    soft = np.asarray(smooth_picture("L", width, height))
    grey = {"box": box, "thin": thin, "point": point, "soft": soft, "full": values + 255}
    return {name: Image.fromarray(v) for name, v in grey.items()} | {"rgb": random_picture("RGB", width, height)}


def test_images_and_masks_become_diffusers_tensors(calls):
    for size, (width, height) in SIZES:
        image = random_picture("RGB", *size)
        path = calls.save(image)
        for name, mask in (masks(*size) | {"empty": Image.new("L", size)}).items():
            inputs = (path, calls.save(mask), width, height)
            for padding in ("-", 0, 5, 1000) if name != "empty" else ("-",):
                options = {}
                if padding != "-":
                    region = MASKS.get_crop_region(mask, width, height, pad=padding)
                    options = {"crops_coords": region, "resize_mode": "fill"}
                label = f"{name} {size} to {width}x{height} padding {padding}"
                expected = IMAGES.preprocess(image, height=height, width=width, **options)
                calls.add(label, expected, "image_tensor", *inputs, padding)
                hole = MASKS.preprocess(mask, height=height, width=width, **options)
                calls.add(label, hole, "mask_tensor", *inputs, padding)
                if padding == "-":
                    small = torch.nn.functional.interpolate(hole, size=(height // 8, width // 8))
                    joined = torch.cat([(expected * (hole < 0.5)).flatten(), small.flatten()])
                    calls.add(label, joined, "masked_latents", *inputs, padding)
    calls.run()


def test_overlay_equals_diffusers(calls):
    for size, (width, height) in SIZES:
        image, result = random_picture("RGB", *size), random_picture("RGB", width, height, seed=1)
        files = calls.save(image), calls.save(result)
        for name, mask in masks(*size).items():
            path = calls.save(mask)
            for padding in (0, 7):
                region = MASKS.get_crop_region(mask, width, height, pad=padding)
                expected = IMAGES.apply_overlay(mask, image, result, region)
                calls.add(f"{name} {size} {padding}", expected, "overlay", files[0], path, files[1], width, height, padding)
    calls.run()


def test_a_black_mask_or_another_size_cannot_be_cropped_to(calls):
    image, black = calls.save(random_picture("RGB", 16, 16)), calls.save(Image.new("L", (16, 16)))
    white = calls.save(Image.new("L", (8, 8), 255))
    answers = run_image(
        ("mask_tensor", image, black, 16, 16, 3, "out"), ("overlay", image, white, image, 16, 16, 0, "out")
    )
    assert "the mask is black" in answers[0] and "of one size, not 16x16 and 8x8" in answers[1]


def test_unmasked_pixels_are_kept_exactly(calls):
    for size, target in SIZES:
        image, result = random_picture("RGB", *size), random_picture("RGB", *target, seed=1)
        for name, mask in masks(*size).items():
            hole = np.asarray(mask.resize(target, Image.Resampling.LANCZOS).convert("L")) >= 128
            kept = np.asarray(image.resize(target, Image.Resampling.LANCZOS))
            expected = Image.fromarray(np.where(hole[..., None], np.asarray(result), kept))
            inputs = calls.save(image), calls.save(mask), calls.save(result)
            calls.add(f"{name} {size}", expected, "keep_unmasked", *inputs)
    calls.run()


def test_comparison_shows_image_mask_and_result(calls):
    image, mask, result = random_picture("RGB", 24, 16), random_picture("L", 24, 16), random_picture("RGB", 24, 16, seed=1)
    expected = Image.fromarray(np.concatenate([np.asarray(p.convert("RGB")) for p in (image, mask, result)], 1))
    calls.add("comparison", expected, "comparison", *map(calls.save, (image, mask, result)))
    calls.run()
