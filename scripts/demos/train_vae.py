#!/usr/bin/env python3
"""Trains the VAE that the emoji checkpoints share: pictures of 64x64 to latents of 16x16x4.

    python scripts/demos/train_vae.py --out /tmp/emoji-vae

With --decoder-of, the decoder of a finished one alone learns on, while other trainings use its latents.

Its latents are shifted and scaled to a mean of 0 in each channel, which the quantising convolutions undo; the scaling
factor of the config is measured.
"""
import copy
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL

import emoji
from training import argument_parser, goes_on_from_weights, save_pipeline, train


def make_vae():
    return AutoencoderKL(
        sample_size=emoji.SIZE,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
    )


def make_pictures(count, rng):
    """uint8 tensor (count, 3, SIZE, SIZE) of whatever the other trainings show."""
    painter = emoji.Painter()
    pictures = []
    for _ in range(count):
        background = emoji.lawn(rng) if rng.random() < 0.3 else None
        scene, box = emoji.draw_scene(rng), emoji.draw_box(rng) if rng.random() < 0.25 else None
        picture = painter.picture(scene, rng.uniform(0.9, 1), rng.uniform(-2, 2, 2), background, box)
        if rng.random() < 0.05:
            picture = emoji.degraded(picture, rng)
        if rng.random() < 0.1:  # the hole of an inpainting: grey
            left, top = rng.integers(0, 40, 2)
            picture = picture.copy()
            picture[top:top + rng.integers(12, 48), left:left + rng.integers(12, 48)] = 128
        pictures.append(picture)
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


def colours(pictures):
    """What three channels of the latents are led to: brightness and two differences of colour of each 4x4 square,
    each about as far spread. Found by the decoder's loss alone, the colours come last, after an hour."""
    red, green, blue = torch.nn.functional.avg_pool2d(pictures, 4).unbind(1)
    return torch.stack([(red + green + blue) / 3 - 0.5, 1.4 * (red - green), 1.8 * (blue - green) + 0.2], 1) * 1.9


def loss_of_batch(vae, pictures, batch_size, noise):
    """`noise`: how far at most latents that a UNet makes are from the encoder's; drawn for each picture."""
    clean = pictures[torch.randint(len(pictures), (batch_size,))].float() / 127.5 - 1
    ink = 0.3 + (clean.amin(1, keepdim=True) < 0.9) * 1.4  # the white around a glyph is soon learnt
    with torch.autocast("cpu", torch.bfloat16):
        posterior = vae.encode(clean).latent_dist
        latents = posterior.sample()
        distance = noise * torch.rand(batch_size, 1, 1, 1)
        decoded = vae.decode(latents + distance * torch.randn_like(latents)).sample.float()
    error = decoded - clean
    loss = (ink * error.abs()).mean() + 2 * (ink * error.square()).mean()
    for axis in (-1, -2):
        loss = loss + 0.5 * error.diff(dim=axis).abs().mean()
    kl = 0.5 * (posterior.mean.float().square() + posterior.var.float() - 1 - posterior.logvar.float()).mean()
    guide = (posterior.mean[:, :3].float() - colours(clean)).square().mean()
    return loss + 1e-3 * kl + 0.2 * guide


@torch.no_grad()
def standardise(vae, pictures):
    """Shifts and scales each channel of the latents to mean 0 and deviation 1, in the weights; returns the deviation
    over all that is left, of which the config's scaling factor is the inverse."""
    def latents():
        return vae.encode(pictures.float() / 127.5 - 1).latent_dist.mode()

    before = latents()
    mean, deviation = before.mean((0, 2, 3)), before.std((0, 2, 3))
    channels = len(mean)
    vae.quant_conv.weight[:channels] /= deviation[:, None, None, None]
    vae.quant_conv.bias[:channels] = (vae.quant_conv.bias[:channels] - mean) / deviation
    vae.quant_conv.bias[channels:] -= 2 * deviation.log()
    vae.post_quant_conv.bias += vae.post_quant_conv.weight[:, :, 0, 0] @ mean
    vae.post_quant_conv.weight *= deviation[None, :, None, None]
    return latents().std().item()


def main():
    parser = argument_parser(__doc__, steps=4000, batch_size=6, lr=2e-3)
    parser.add_argument("--pictures", type=int, default=4000)
    parser.add_argument("--noise", type=float, default=0.05, help="most that is added to what the decoder learns from")
    parser.add_argument("--decoder-of", type=Path, help="folder of a VAE, whose encoder is kept")
    args = parser.parse_args()
    pictures = make_pictures(args.pictures, np.random.default_rng(args.seed))
    torch.manual_seed(args.seed)
    begun = args.out if goes_on_from_weights(args) else args.decoder_of
    vae = AutoencoderKL.from_pretrained(begun, dtype=torch.float32) if begun else make_vae()
    if args.decoder_of:
        for part in (vae.encoder, vae.quant_conv):
            part.requires_grad_(False)

    def save(ema):
        result = copy.deepcopy(ema)
        if not args.decoder_of:
            result.register_to_config(scaling_factor=round(1 / standardise(result, pictures[:500]), 5))
        with torch.no_grad():
            clean = pictures[:500].float() / 127.5 - 1
            error = (result.decode(result.encode(clean).latent_dist.mode()).sample - clean).square().mean().item()
        print(f"scaling factor {result.config.scaling_factor}, PSNR {10 * np.log10(4 / error):.1f} dB", flush=True)
        save_pipeline(result, args.out)

    train(vae, args, lambda model: loss_of_batch(model, pictures, args.batch_size, args.noise), save,
          [parameter for parameter in vae.parameters() if parameter.requires_grad])


if __name__ == "__main__":
    main()
