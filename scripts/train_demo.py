#!/usr/bin/env python3
"""Trains the small demo checkpoint models/ddpm-cat-demo from scratch on a CPU.

A DDPM (diffusers UNet2DModel, 3x64x64, unconditional) learns the cat, tiger and lion faces of the
Noto Color Emoji font on white. It predicts v under a cosine noise schedule, which keeps the colours
of the samples stable where predicting the noise lets them drift. The averaged (EMA) weights are
written in fp16 as a diffusers pipeline folder, again and again while the training runs.

    python scripts/train_demo.py --out models/ddpm-cat-demo        # needs torch, diffusers, pillow

A run that was stopped goes on with --resume; the same --out and --state must be given again.
"""
import argparse
import copy
import math
import os
import shutil
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from PIL import Image, ImageDraw, ImageFont

FACES = [0x1F431, *range(0x1F638, 0x1F641), 0x1F42F, 0x1F981]  # cat, nine moods of it, tiger, lion
FONT = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"  # Debian: fonts-noto-color-emoji
FONT_SIZE = 109  # the only size of the font's bitmaps
SIZE = 64


def draw_glyph(font, codepoint):
    """The glyph cut to its ink, on white, centred in a square."""
    text = chr(codepoint)
    left, top, right, bottom = font.getbbox(text)
    picture = Image.new("RGBA", (right + 8, bottom + 8))
    ImageDraw.Draw(picture).text((0, 0), text, font=font, embedded_color=True)
    picture = picture.crop(picture.getbbox())
    side = max(picture.size)
    square = Image.new("RGB", (side, side), "white")
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2), picture)
    return square


def augmented(glyph, rng):
    """One training picture: the glyph slightly scaled and shifted, perhaps mirrored."""
    width = rng.uniform(54, 60)
    shift = rng.uniform(-2, 2, 2)
    zoom = 3  # drawn large and reduced, so that positions between pixels come out smooth
    ink = glyph.resize((round(width * zoom),) * 2, Image.LANCZOS)
    canvas = Image.new("RGB", (SIZE * zoom,) * 2, "white")
    canvas.paste(ink, tuple(round(((SIZE - width) / 2 + s) * zoom) for s in shift))
    picture = np.asarray(canvas.resize((SIZE, SIZE), Image.BOX))
    return picture[:, ::-1] if rng.random() < 0.5 else picture


def make_dataset(font_path, per_glyph, seed):
    """uint8 tensor (pictures, 3, SIZE, SIZE)."""
    rng = np.random.default_rng(seed)
    font = ImageFont.truetype(font_path, FONT_SIZE)
    glyphs = [draw_glyph(font, codepoint) for codepoint in FACES]
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


def learning_rate(step, args):
    """Linear warm-up, then a cosine to a hundredth of the peak."""
    fraction = min(step / args.steps, 1.0)
    cosine = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * fraction))
    return args.lr * min((step + 1) / args.warmup, 1.0) * cosine


def save_pipeline(ema, scheduler, out):
    """Writes the pipeline beside `out`, then moves each file into place whole."""
    temporary = out.with_name(out.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    DDPMPipeline(copy.deepcopy(ema).half(), scheduler).save_pretrained(temporary)
    for file in sorted(p for p in temporary.rglob("*") if p.is_file()):
        target = out / file.relative_to(temporary)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file, target)
    shutil.rmtree(temporary)


def save_state(state, path):
    temporary = path.with_name(path.name + ".tmp")
    torch.save(state, temporary)
    os.replace(temporary, path)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the pipeline (EMA weights, fp16)")
    parser.add_argument("--state", type=Path, default=Path("train_demo.pt"), help="file that --resume continues from")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--font", default=FONT)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--lr", type=float, default=8e-4)
    parser.add_argument("--warmup", type=int, default=200, help="steps over which the learning rate rises")
    parser.add_argument("--ema", type=float, default=0.998, help="decay of the averaged weights")
    parser.add_argument("--snapshot-minutes", type=float, default=4)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main():
    args = parse_arguments()
    torch.manual_seed(args.seed)
    data = make_dataset(args.font, per_glyph=200, seed=args.seed)
    model = make_model().to(memory_format=torch.channels_last)
    ema = copy.deepcopy(model).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    scheduler = make_scheduler()
    step, mean_loss = 0, None
    if args.resume:
        state = torch.load(args.state, weights_only=True)
        model.load_state_dict(state["model"])
        ema.load_state_dict(state["ema"])
        optimizer.load_state_dict(state["optimizer"])
        step, mean_loss = state["step"], state["loss"]
        torch.manual_seed(args.seed + step)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(data)} pictures, step {step}", flush=True)

    def snapshot():
        save_pipeline(ema, scheduler, args.out)
        save_state({"model": model.state_dict(), "ema": ema.state_dict(), "optimizer": optimizer.state_dict(),
                    "step": step, "loss": mean_loss}, args.state)

    last_snapshot = last_log = time.monotonic()
    while step < args.steps:
        clean = data[torch.randint(len(data), (args.batch_size,))].float() / 127.5 - 1
        clean = clean.to(memory_format=torch.channels_last)
        noise = torch.randn_like(clean)
        # One timestep from each of batch-size equal ranges: a steadier gradient than independent ones.
        t = ((torch.arange(args.batch_size) + torch.rand(args.batch_size)) / args.batch_size * 1000).long()
        with torch.autocast("cpu", torch.bfloat16):
            predicted = model(scheduler.add_noise(clean, noise, t), t).sample
        loss = torch.nn.functional.mse_loss(predicted.float(), scheduler.get_velocity(clean, noise, t))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, args)
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        decay = min(args.ema, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(ema.parameters()), list(model.parameters()), 1 - decay)
        mean_loss = loss.item() if mean_loss is None else 0.99 * mean_loss + 0.01 * loss.item()

        if step % 100 == 0:
            now = time.monotonic()
            print(f"step {step}  loss {mean_loss:.4f}  {(now - last_log) / 100:.2f} s/step", flush=True)
            last_log = now
        if time.monotonic() - last_snapshot > args.snapshot_minutes * 60:
            snapshot()
            last_snapshot = time.monotonic()
    snapshot()


if __name__ == "__main__":
    main()
