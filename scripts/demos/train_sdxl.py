#!/usr/bin/env python3
"""Trains sdxl-turbo-demo from sd15-demo: a model of the form of SDXL Turbo on emoji, for one to four steps.

    python scripts/demos/train_sdxl.py --base models/sd15-demo --out models/sdxl-turbo-demo

Two text encoders, both of which begin as the base's, and the embedding of their pooled words and of the sizes. There
is no teacher: a caption all but says what its picture is, so the prediction from nothing but noise, on which half of
the training is spent, is a picture already.
"""
import copy

import torch
from diffusers import (DDPMScheduler, EulerAncestralDiscreteScheduler, StableDiffusionPipeline,
                       StableDiffusionXLPipeline)
from transformers import CLIPTextModelWithProjection

import data
import emoji
from tokenizer import load_tokenizer
from train_text_to_image import SCHEDULE, TEXT_WIDTH, draw_captions, make_text_encoder, make_unet, noised, sampler
from training import argument_parser_of_descendant, goes_on_from_weights, save_pipeline, train

POOLED, TIME_WIDTH = 64, 16
TIME_IDS = (emoji.SIZE, emoji.SIZE, 0, 0, emoji.SIZE, emoji.SIZE)  # original size, crop, target size


class TextToImageXL(torch.nn.Module):
    def __init__(self, text_encoder, text_encoder_2, unet):
        super().__init__()
        self.text_encoder, self.text_encoder_2, self.unet = text_encoder, text_encoder_2, unet

    def forward(self, sample, timesteps, ids, empty):
        """`empty` (batch,): whose words are zeros, as those of no prompt are."""
        first = self.text_encoder(ids, output_hidden_states=True)
        ended = (ids == self.text_encoder_2.config.eos_token_id).cumsum(1) > 1
        second = self.text_encoder_2(ids.masked_fill(ended, self.text_encoder_2.config.pad_token_id),
                                     output_hidden_states=True)
        words = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], -1)
        words = torch.where(empty[:, None, None], 0, words)
        pooled = torch.where(empty[:, None], 0, second.text_embeds)
        time_ids = torch.tensor(TIME_IDS, dtype=torch.float32).expand(len(ids), -1)
        return self.unet(sample, timesteps, words,
                         added_cond_kwargs={"text_embeds": pooled, "time_ids": time_ids}).sample


def widened(unet):
    """The UNet with two encoders' words as context, the second's with no weight yet, and the added embedding."""
    wide = make_unet(cross_attention_dim=2 * TEXT_WIDTH, addition_embed_type="text_time",
                     addition_time_embed_dim=TIME_WIDTH,
                     projection_class_embeddings_input_dim=POOLED + len(TIME_IDS) * TIME_WIDTH)
    state = wide.state_dict()
    for name, value in unet.state_dict().items():
        if value.shape == state[name].shape:
            state[name] = value
        else:
            state[name] = torch.zeros_like(state[name])
            state[name][:, :TEXT_WIDTH] = value
    for name in ("weight", "bias"):
        state[f"add_embedding.linear_2.{name}"] = torch.zeros_like(state[f"add_embedding.linear_2.{name}"])
    wide.load_state_dict(state)
    return wide


def with_projection(text_encoder, tokenizer):
    result = make_text_encoder(tokenizer, CLIPTextModelWithProjection, projection_dim=POOLED)
    result.text_model.load_state_dict(text_encoder.state_dict())
    return result


def main():
    args = argument_parser_of_descendant(__doc__, pictures=4000).parse_args()
    base = StableDiffusionPipeline.from_pretrained(args.base, dtype=torch.float32)
    vocabulary = args.base / "tokenizer"
    tokenizer, tokenizer_2 = load_tokenizer(vocabulary), load_tokenizer(vocabulary, pad="!")
    # One place and size for each scene: from noise alone, only a mean of several could be predicted.
    pictures = data.kept(args.dataset, lambda: data.make_captioned(args.pictures, base.vae, tokenizer, args.seed,
                                                                   jitter=False))
    scheduler = DDPMScheduler(**SCHEDULE)
    torch.manual_seed(args.seed)
    if goes_on_from_weights(args):
        begun = StableDiffusionXLPipeline.from_pretrained(args.out, dtype=torch.float32)
        model = TextToImageXL(begun.text_encoder, begun.text_encoder_2, begun.unet)
    else:
        model = TextToImageXL(base.text_encoder, with_projection(base.text_encoder, tokenizer_2), widened(base.unet))

    def loss_of_batch(model):
        chosen = torch.randint(len(pictures.latents), (args.batch_size,))
        sample, t, velocity = noised(pictures.latents[chosen], scheduler)
        with torch.autocast("cpu", torch.bfloat16):
            predicted = model(sample, t, draw_captions(pictures, chosen, wrong=0, empty=0),
                              torch.rand(args.batch_size) < 0.07)
        return torch.nn.functional.mse_loss(predicted.float(), velocity)

    def save(ema):
        ema = copy.deepcopy(ema)
        save_pipeline(StableDiffusionXLPipeline(
            vae=copy.deepcopy(base.vae), text_encoder=ema.text_encoder, text_encoder_2=ema.text_encoder_2,
            tokenizer=tokenizer, tokenizer_2=tokenizer_2, unet=ema.unet,
            scheduler=sampler(EulerAncestralDiscreteScheduler, timestep_spacing="trailing"),
            force_zeros_for_empty_prompt=True, add_watermarker=False), args.out, vocabulary)

    train(model, args, loss_of_batch, save)


if __name__ == "__main__":
    main()
