#!/usr/bin/env python3
"""Trains sd2-inpaint-demo from sd15-demo: a model of the form of Stable Diffusion v2 inpainting on emoji.

    python scripts/demos/train_inpainting.py --base models/sd15-demo --out models/sd2-inpaint-demo

The text encoder and the VAE stay as they are; the UNet gets five channels more, which begin at zero: the mask and the
latents of the picture with a grey hole.
"""
import copy
import dataclasses

import numpy as np
import torch
from diffusers import DDPMScheduler, PNDMScheduler, StableDiffusionInpaintPipeline, StableDiffusionPipeline
from PIL import Image, ImageDraw

import data
import emoji
from tokenizer import load_tokenizer
from train_text_to_image import SCHEDULE, TextToImage, draw_captions, make_unet, noised, sampler
from training import argument_parser_of_descendant, goes_on_from_weights, save_pipeline, train


@dataclasses.dataclass
class Holed(data.Captioned):
    masks: torch.Tensor  # (pictures, 1, SIZE / 4, SIZE / 4), 1 in the hole
    rests: torch.Tensor  # as latents, of the pictures with their hole


def draw_mask(rng):
    """uint8 array (SIZE, SIZE), 255 in the hole: a half, boxes, blobs or all."""
    mask = Image.new("L", (emoji.SIZE,) * 2)
    draw = ImageDraw.Draw(mask)
    kind = rng.random()
    if kind < 0.1:
        draw.rectangle((0, 0, 63, 63), fill=255)
    elif kind < 0.3:
        half = ((0, 0, 31, 63), (32, 0, 63, 63), (0, 0, 63, 31), (0, 32, 63, 63))[rng.integers(4)]
        draw.rectangle(half, fill=255)
    else:
        for _ in range(rng.integers(1, 4)):
            left, top, right, bottom = (int(v) for v in emoji.draw_box(rng))
            (draw.rectangle if kind < 0.7 else draw.ellipse)((left, top, right - 1, bottom - 1), fill=255)
    return np.asarray(mask)


def draw_example(rng, painter):
    """Scene, picture and mask: what is spoken of lies in the hole, or the hole is somewhere."""
    background = emoji.lawn(rng) if rng.random() < 0.6 else None
    kind = rng.random()
    scene = emoji.Scene() if kind < 0.1 else emoji.draw_scene(rng)
    if 0.1 < kind < 0.3:  # the study's own prompt
        scene = emoji.Scene(subject=emoji.ANIMALS[0 if rng.random() < 0.5 else rng.integers(len(emoji.ANIMALS))],
                            bench=True)
    if rng.random() < 0.35:
        return scene, painter.picture(scene, background=background), draw_mask(rng)
    # A hole in the middle, as the study's script has it, or anywhere.
    box = (14, 12, 50, 44) if rng.random() < 0.3 else emoji.draw_box(rng)
    mask = np.zeros((emoji.SIZE, emoji.SIZE), np.uint8)
    mask[box[1]:box[3], box[0]:box[2]] = 255
    return scene, painter.picture(scene, background=background, box=box), mask


def make_holed(count, vae, tokenizer, seed):
    rng = np.random.default_rng(seed)
    painter, names = emoji.Painter(), emoji.emoji_names()
    pictures, rests, masks, captions = [], [], [], []
    for _ in range(count):
        scene, picture, mask = draw_example(rng, painter)
        texts = [emoji.caption(scene, names, rng) for _ in range(data.CAPTIONS)]
        rest = np.where(mask[..., None] > 0, 128, picture).astype(np.uint8)
        if rng.random() < 1 / 12:
            picture = np.where(mask[..., None] > 0, emoji.degraded(picture, rng), picture)
            texts = [emoji.LOW_QUALITY if rng.random() < 0.6 else f"{text}, {emoji.LOW_QUALITY}" for text in texts]
        pictures.append(picture)
        rests.append(rest)
        masks.append(torch.from_numpy(mask[::4, ::4].copy()) / 255)  # the nearest, as diffusers reduces a mask
        captions += texts
    ids = data.tokenize(tokenizer, captions).reshape(count, data.CAPTIONS, -1)
    return Holed(data.encode(vae, pictures), ids, data.tokenize(tokenizer, [""])[0].long(),
                 torch.stack(masks)[:, None], data.encode(vae, rests))


def widened(unet):
    """The UNet with the channels of mask and picture added to its first convolution, zero."""
    wide = make_unet(in_channels=9)
    state = unet.state_dict()
    first = torch.zeros_like(wide.conv_in.weight)
    first[:, :4] = state["conv_in.weight"]
    wide.load_state_dict({**state, "conv_in.weight": first})
    return wide


def main():
    args = argument_parser_of_descendant(__doc__, pictures=5000).parse_args()
    base = StableDiffusionPipeline.from_pretrained(args.base, dtype=torch.float32)
    vocabulary = args.base / "tokenizer"
    tokenizer = load_tokenizer(vocabulary)
    pictures = data.kept(args.dataset, lambda: make_holed(args.pictures, base.vae, tokenizer, args.seed))
    scheduler = DDPMScheduler(**SCHEDULE)
    if goes_on_from_weights(args):
        begun = StableDiffusionInpaintPipeline.from_pretrained(args.out, dtype=torch.float32)
        model = TextToImage(begun.text_encoder, begun.unet)
    else:
        model = TextToImage(base.text_encoder, widened(base.unet))
    model.text_encoder.requires_grad_(False)

    def loss_of_batch(model):
        chosen = torch.randint(len(pictures.latents), (args.batch_size,))
        noisy, t, velocity = noised(pictures.latents[chosen], scheduler)
        sample = torch.cat([noisy, pictures.masks[chosen], pictures.rests[chosen]], 1)
        with torch.autocast("cpu", torch.bfloat16):
            predicted = model(sample, t, draw_captions(pictures, chosen, wrong=0.1, empty=0.1))
        # Outside the hole there is little to learn: the picture is given.
        weight = 0.2 + 0.8 * pictures.masks[chosen]
        return (weight * (predicted.float() - velocity).square()).mean() / weight.mean()

    def save(ema):
        ema = copy.deepcopy(ema)
        save_pipeline(StableDiffusionInpaintPipeline(
            vae=copy.deepcopy(base.vae), text_encoder=ema.text_encoder, tokenizer=tokenizer, unet=ema.unet,
            scheduler=sampler(PNDMScheduler, skip_prk_steps=True), safety_checker=None, feature_extractor=None,
            requires_safety_checker=False), args.out, vocabulary)

    train(model, args, loss_of_batch, save, model.unet.parameters())


if __name__ == "__main__":
    main()
