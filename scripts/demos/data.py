"""The emoji pictures as tensors: encoded once, so that a training holds no more than its own networks."""
import dataclasses
import re

import numpy as np
import torch

import emoji

CAPTIONS = 4  # of each picture


@dataclasses.dataclass
class Captioned:
    latents: torch.Tensor  # (pictures, 4, SIZE / 4, SIZE / 4), scaled
    ids: torch.Tensor  # int16 (pictures, CAPTIONS, 77)
    empty_ids: torch.Tensor  # (77,), of the empty caption


def kept(file, make):
    """What `make` returns, from a file where it was kept before: a training that goes on need not draw all again."""
    if file is not None and file.exists():
        return torch.load(file, weights_only=False)
    made = make()
    if file is not None:
        torch.save(made, file)
    return made


def caption_words():
    names = emoji.emoji_names()
    rng = np.random.default_rng(0)
    texts = [names[subject] for subject in emoji.ANIMALS + emoji.OTHERS]
    texts += [emoji.caption(emoji.draw_scene(rng), names, rng) for _ in range(3000)]
    texts += [emoji.LOW_QUALITY, ", good quality high best and of the in red blue green yellow two three !"]
    return re.findall(r"[a-z]+|[^a-z\s]", " ".join(texts))


def tokenize(tokenizer, texts):
    ids = tokenizer(texts, padding="max_length", max_length=77, truncation=True).input_ids
    return torch.tensor(ids, dtype=torch.int16)


@torch.no_grad()
def encode(vae, pictures):
    """uint8 arrays (SIZE, SIZE, 3) to scaled latents."""
    pictures = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    parts = [vae.encode(part.float() / 127.5 - 1).latent_dist.mode() for part in pictures.split(50)]
    return torch.cat(parts) * vae.config.scaling_factor


def make_captioned(count, vae, tokenizer, seed, jitter=True):
    """Scenes on white, one in twelve of low quality and saying so."""
    rng = np.random.default_rng(seed)
    painter, names = emoji.Painter(), emoji.emoji_names()
    pictures, captions = [], []
    for _ in range(count):
        scene = emoji.draw_scene(rng)
        picture = painter.picture(scene, rng.uniform(0.95, 1), rng.uniform(-1, 1, 2)) if jitter else \
            painter.picture(scene)
        texts = [emoji.caption(scene, names, rng) for _ in range(CAPTIONS)]
        if rng.random() < 1 / 12:
            picture = emoji.degraded(picture, rng)
            texts = [emoji.LOW_QUALITY if rng.random() < 0.6 else f"{text}, {emoji.LOW_QUALITY}" for text in texts]
        pictures.append(picture)
        captions += texts
    ids = tokenize(tokenizer, captions).reshape(count, CAPTIONS, -1)
    return Captioned(encode(vae, pictures), ids, tokenize(tokenizer, [""])[0].long())
