"""Textual inversions in a checkpoint's tokenizers: `<x>` in a prompt stands for all vectors of the embedding, as in
diffusers' TextualInversionLoaderMixin.maybe_convert_prompt."""

import itertools
import json
import random

import pytest
import torch
from diffusers.loaders import TextualInversionLoaderMixin
from sd_checkpoints import load_pipeline, make_sd15, make_sdxl
from sd_oracle import assert_parity
from test_tokenize import tokenize
from transformers import CLIPTokenizer

EMBEDDINGS = {"<x>": 3, "<one>": 1, "cat-toy": 2, "<Big>": 2}  # vectors of each
WORDS = [*EMBEDDINGS, "<X>", "<x>_1", "<x>_2", "<x>_3", "cat-toy_1", "<big>", "cat", "a", "toy", "_1", ",", "é", "<"]


def tensors(width: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return {name: torch.randn(count, width, generator=generator) for name, count in EMBEDDINGS.items()}


def with_embeddings(folder, second: bool):
    """The checkpoint as it is saved after the embeddings were loaded."""
    pipeline = load_pipeline(folder)
    for name, tensor in tensors(32).items():
        pipeline.load_textual_inversion({name: tensor})
    if second:
        for name, tensor in tensors(48).items():
            pipeline.load_textual_inversion(
                {name: tensor}, tokenizer=pipeline.tokenizer_2, text_encoder=pipeline.text_encoder_2
            )
    pipeline.save_pretrained(folder)
    return folder, load_pipeline(folder)


@pytest.fixture(scope="module")
def sd15(tmp_path_factory):
    return with_embeddings(make_sd15(tmp_path_factory.mktemp("sd15") / "model"), second=False)


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory):
    return with_embeddings(make_sdxl(tmp_path_factory.mktemp("sdxl") / "model"), second=True)


def converted(prompt: str, tokenizer) -> str | None:
    """diffusers' text; None where it depends on the order of a set."""

    class InOrder:
        """A tokenizer whose tokens come in a given order."""

        def __init__(self, tokens):
            self.added_tokens_encoder, self.tokens = tokenizer.added_tokens_encoder, tokens

        def tokenize(self, _):
            return self.tokens

    found = [token for token in dict.fromkeys(tokenizer.tokenize(prompt)) if token in tokenizer.added_tokens_encoder]
    texts = set()
    for order in itertools.permutations(found):
        text = prompt
        for token in order:  # one token at a time, so that no set orders them
            text = TextualInversionLoaderMixin()._maybe_convert_prompt(text, InOrder([token]))
        texts.add(text)
    return texts.pop() if len(texts) == 1 else None


def test_ids(diffapple, sd15):
    folder, _ = sd15
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    r = random.Random(4)
    texts = [*EMBEDDINGS, "", "<x> <x>", "a <x>, a<x>b", "<x>_1", "<x>_1 <x>", "<x> and cat-toy", "no embedding"]
    texts += [r.choice(["", " "]).join(r.choices(WORDS, k=r.randrange(1, 7))) for _ in range(1500)]
    expected = {text: converted(text, tokenizer) for text in texts}
    certain = [text for text in texts if expected[text] is not None]
    assert len(certain) > 1000 and any(expected[text] != text for text in certain)
    ours = tokenize(diffapple, certain, folder)
    for text, ids in zip(certain, ours, strict=True):
        assert ids == tokenizer(expected[text]).input_ids, text
    one = diffapple.ok("tokenize", "<x>", "--model", folder, "--json")
    assert len(json.loads(one.out)) == 5


PROMPTS = [["a <x> cat", "cat-toy on a <x>"], ["a <one>, <Big>", "<x>_1 <big>"]]


@pytest.mark.parametrize("prompts", PROMPTS)
def test_sd15(diffapple, sd15, prompts):
    settings = {"steps": 3, "guidance": 4, "negative_prompt": "<x> cat-toy", "scheduler": "dpmsolver++"}
    assert_parity(diffapple, "sd15", *sd15, settings, prompts)


def test_a_lost_end_counts_all_vectors(diffapple, sd15):
    folder, pipeline = sd15
    result = diffapple.ok("sd15", "--model", folder, "--prompt", "<x> " * 30, "--steps", 1)
    ids = pipeline.tokenizer(pipeline.maybe_convert_prompt("<x> " * 30, pipeline.tokenizer)).input_ids
    assert len(ids) == 92
    assert f"is left out: {pipeline.tokenizer.decode(ids[76:-1])}\n" in result.err


@pytest.mark.parametrize("prompts", PROMPTS)
def test_both_tokenizers_of_sdxl(diffapple, sdxl, prompts):
    settings = {"steps": 2, "guidance": 4, "negative_prompt": "<x>", "prompt_2": "cat-toy by <Big>"}
    assert_parity(diffapple, "sdxl-turbo", *sdxl, settings, prompts)
