#!/usr/bin/env python3
"""Trains ddpm-cat-demo from scratch: an unconditional DDPM (diffusers UNet2DModel, 3x64x64).

    python scripts/demos/train_ddpm.py --out models/ddpm-cat-demo

It learns the cat, tiger and lion faces of the Noto Color Emoji font on white, and predicts v under a cosine noise
schedule, which keeps the colours of the samples stable where predicting the noise lets them drift.
"""
import copy

import numpy as np
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from PIL import Image, ImageFont

from emoji import FONT, FONT_SIZE, SIZE, ZOOM, draw_glyph
from training import argument_parser, even_timesteps, goes_on_from_weights, save_pipeline, train

FACES = [0x1F431, *range(0x1F638, 0x1F641), 0x1F42F, 0x1F981]  # cat, nine moods of it, tiger, lion


def on_square(glyph):
    """The glyph on white, centred in a square."""
    side = max(glyph.size)
    square = Image.new("RGB", (side, side), "white")
    square.paste(glyph, ((side - glyph.width) // 2, (side - glyph.height) // 2), glyph)
    return square


def augmented(glyph, rng):
    """One training picture: the glyph slightly scaled and shifted, perhaps mirrored."""
    width = rng.uniform(54, 60)
    shift = rng.uniform(-2, 2, 2)
    ink = glyph.resize((round(width * ZOOM),) * 2, Image.LANCZOS)
    canvas = Image.new("RGB", (SIZE * ZOOM,) * 2, "white")
    canvas.paste(ink, tuple(round(((SIZE - width) / 2 + s) * ZOOM) for s in shift))
    picture = np.asarray(canvas.resize((SIZE, SIZE), Image.BOX))
    return picture[:, ::-1] if rng.random() < 0.5 else picture


def make_dataset(per_glyph, seed):
    """uint8 tensor (pictures, 3, SIZE, SIZE)."""
    rng = np.random.default_rng(seed)
    font = ImageFont.truetype(FONT, FONT_SIZE)
    glyphs = [on_square(draw_glyph(font, chr(codepoint))) for codepoint in FACES]
    pictures = [augmented(glyph, rng) for glyph in glyphs for _ in range(per_glyph)]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


def make_model():
    return UNet2DModel(
        sample_size=SIZE,
        block_out_channels=(32, 64, 128, 160),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D", "UpBlock2D"),
        attention_head_dim=32,
        norm_num_groups=8,
        norm_eps=1e-6,
        downsample_padding=0,
        flip_sin_to_cos=False,
        freq_shift=1,
    )


def make_scheduler():
    return DDPMScheduler(
        num_train_timesteps=1000,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        variance_type="fixed_small",
        clip_sample=True,
    )


def main():
    args = argument_parser(__doc__, steps=3000, batch_size=8, lr=8e-4).parse_args()
    data = make_dataset(per_glyph=200, seed=args.seed)
    torch.manual_seed(args.seed)
    scheduler = make_scheduler()
    model = make_model()
    if goes_on_from_weights(args):
        model = DDPMPipeline.from_pretrained(args.out, dtype=torch.float32).unet
    model = model.to(memory_format=torch.channels_last)

    def loss_of_batch(model):
        clean = data[torch.randint(len(data), (args.batch_size,))].float() / 127.5 - 1
        clean = clean.to(memory_format=torch.channels_last)
        noise = torch.randn_like(clean)
        t = even_timesteps(args.batch_size)
        with torch.autocast("cpu", torch.bfloat16):
            predicted = model(scheduler.add_noise(clean, noise, t), t).sample
        return torch.nn.functional.mse_loss(predicted.float(), scheduler.get_velocity(clean, noise, t))

    def save(ema):
        save_pipeline(DDPMPipeline(copy.deepcopy(ema), scheduler), args.out)

    train(model, args, loss_of_batch, save)


if __name__ == "__main__":
    main()
