#!/usr/bin/env python3
"""Trains sd15-demo: a text-to-image model of the form of Stable Diffusion v1.5 on emoji.

    python scripts/demos/train_text_to_image.py --vae /tmp/emoji-vae --out models/sd15-demo

A part of the captions is exchanged for others (--wrong-captions), as in pictures collected from the web: so a
prompt alone leaves a doubt, which guidance removes, as with the real model.
"""
import copy
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDPMScheduler, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

import data
import emoji
from tokenizer import make_tokenizer
from training import argument_parser, even_timesteps, goes_on_from_weights, save_pipeline, train

SCHEDULE = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
            "prediction_type": "v_prediction", "clip_sample": False}
TEXT_WIDTH = 96


def make_unet(in_channels=4, cross_attention_dim=TEXT_WIDTH, **others):
    return UNet2DConditionModel(
        sample_size=emoji.SIZE // 4,
        in_channels=in_channels,
        # Attention at 8x8 alone, as SDXL has it at its lower resolutions: at 16x16 it would double the time.
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(48, 72),
        layers_per_block=1,
        attention_head_dim=3,  # the number of heads, as in v1.5's config
        cross_attention_dim=cross_attention_dim,
        norm_num_groups=8,
        **others,
    )


def make_text_encoder(tokenizer, model=CLIPTextModel, **others):
    return model(CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=2 * TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **others,
    ))


def noised(clean, scheduler):
    """Noisy latents, their timesteps and the velocities that a UNet should predict.

    Every other is nothing but noise, as that which sampling begins with: there the words alone decide, and a model that
    sees it seldom draws the same blot for all of them. The others are at even distances of time.
    """
    noise = torch.randn_like(clean)
    t = even_timesteps(len(clean))
    from_noise = torch.arange(len(clean)) % 2 == 0
    t = torch.where(from_noise, 999, t)
    alpha = scheduler.alphas_cumprod[t].sqrt()[:, None, None, None]
    sigma = (1 - alpha.square()).sqrt()
    sample = torch.where(from_noise[:, None, None, None], 0, alpha * clean) + sigma * noise
    return sample, t, (alpha * sample - clean) / sigma


def sampler(kind, **others):
    """The scheduler of a checkpoint's config."""
    return kind(**{name: value for name, value in SCHEDULE.items() if name != "clip_sample"}, steps_offset=1, **others)


class TextToImage(torch.nn.Module):
    """What is trained together."""

    def __init__(self, text_encoder, unet):
        super().__init__()
        self.text_encoder, self.unet = text_encoder, unet

    def forward(self, sample, timesteps, ids):
        words = self.text_encoder(ids).last_hidden_state
        return self.unet(sample, timesteps, words).sample


def teach_words(text_encoder, pictures, steps, batch_size=32, lr=2e-3):
    """Trains the text encoder alone to say, by the mean of its words, what the picture's latents are.

    As CLIP's is, it is taught by pictures before a UNet listens to it. From scratch, beside a UNet that attends to 77
    words alike, it would take some ten times as long.
    """
    mean = pictures.latents.mean(0)
    head = torch.nn.Linear(TEXT_WIDTH, mean.numel())
    optimizer = torch.optim.AdamW([*text_encoder.parameters(), *head.parameters()], lr=lr, weight_decay=0.01)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = lr * min((step + 1) / 50, 1) * (1 - 0.95 * step / steps)
        chosen = torch.randint(len(pictures.latents), (batch_size,))
        with torch.autocast("cpu", torch.bfloat16):
            words = text_encoder(draw_captions(pictures, chosen, wrong=0, empty=0)).last_hidden_state
        told = head(words.float().mean(1)).view(-1, *mean.shape)
        loss = torch.nn.functional.mse_loss(told, pictures.latents[chosen] - mean)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(text_encoder.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if (step + 1) % 100 == 0:
            print(f"words: step {step + 1}  loss {loss.item():.4f}", flush=True)


def draw_captions(pictures, chosen, wrong, empty):
    """Token ids of one caption of each picture; some are another's, some are empty."""
    chosen = torch.where(torch.rand(len(chosen)) < wrong, torch.randint(len(pictures.ids), chosen.shape), chosen)
    ids = pictures.ids[chosen, torch.randint(pictures.ids.shape[1], chosen.shape)].long()
    return torch.where((torch.rand(len(chosen)) < empty)[:, None], pictures.empty_ids, ids)


def main():
    parser = argument_parser(__doc__, steps=6000, batch_size=16, lr=1.5e-3)
    parser.add_argument("--vae", type=Path, required=True, help="folder of train_vae.py")
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--word-steps", type=int, default=700, help="of the text encoder alone, before")
    parser.add_argument("--wrong-captions", type=float, default=0.15, help="their share")
    args = parser.parse_args()
    vae = AutoencoderKL.from_pretrained(args.vae, dtype=torch.float32)
    vocabulary = args.out / "tokenizer"
    tokenizer = make_tokenizer(data.caption_words(), vocabulary)
    pictures = data.kept(args.dataset, lambda: data.make_captioned(args.pictures, vae, tokenizer, args.seed))
    scheduler = DDPMScheduler(**SCHEDULE)

    torch.manual_seed(args.seed)
    if goes_on_from_weights(args):
        base = StableDiffusionPipeline.from_pretrained(args.out, dtype=torch.float32)
        model = TextToImage(base.text_encoder, base.unet)
    else:
        model = TextToImage(make_text_encoder(tokenizer), make_unet())
    if not args.resume:
        teach_words(model.text_encoder, pictures, args.word_steps)

    def loss_of_batch(model):
        chosen = torch.randint(len(pictures.latents), (args.batch_size,))
        sample, t, velocity = noised(pictures.latents[chosen], scheduler)
        with torch.autocast("cpu", torch.bfloat16):
            predicted = model(sample, t, draw_captions(pictures, chosen, args.wrong_captions, empty=0.1))
        return torch.nn.functional.mse_loss(predicted.float(), velocity)

    def save(ema):
        ema = copy.deepcopy(ema)
        save_pipeline(StableDiffusionPipeline(
            vae=copy.deepcopy(vae), text_encoder=ema.text_encoder, tokenizer=tokenizer, unet=ema.unet,
            scheduler=sampler(PNDMScheduler, skip_prk_steps=True), safety_checker=None, feature_extractor=None,
            requires_safety_checker=False), args.out, vocabulary)

    train(model, args, loss_of_batch, save)


if __name__ == "__main__":
    main()
