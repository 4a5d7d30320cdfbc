"""The safety checker against diffusers: preprocessing, embedding, verdict."""

import numpy as np
import pytest
import torch
from checkpoints import write_json
from conftest import needs_standin_mps
from modules import run_module
from oracle import assert_latents_equal
from PIL import Image
from sd_checkpoints import FEATURE_EXTRACTOR, random_safety_checker, save_component
from transformers import CLIPImageProcessor


def draw(height: int, width: int, count: int = 6) -> torch.Tensor:
    """Pictures of soft patches of colour, 8-bit [N, H, W, 3]."""
    pictures = []
    for seed in range(count):
        patches = np.random.default_rng(seed).integers(0, 256, (3 + seed, 4, 3), dtype=np.uint8)
        pictures.append(np.asarray(Image.fromarray(patches).resize((width, height), Image.Resampling.BICUBIC)))
    return torch.from_numpy(np.stack(pictures))


class Oracle:
    """A checker and its feature extractor, in a folder for the program."""

    def __init__(self, folder, threshold: float = 1.0, extractor: dict = FEATURE_EXTRACTOR):
        self.component = folder / "safety_checker"
        self.checker = random_safety_checker(threshold)
        write_json(folder / "feature_extractor" / "preprocessor_config.json", extractor)
        self.extractor = CLIPImageProcessor.from_pretrained(folder / "feature_extractor")

    @torch.inference_mode()
    def __call__(self, pictures: torch.Tensor) -> dict:
        images = [Image.fromarray(picture) for picture in pictures.numpy()]
        pixels = self.extractor(images, return_tensors="pt").pixel_values
        embedding = self.checker.visual_projection(self.checker.vision_model(pixels)[1])
        _, unwanted = self.checker(pixels, [np.ones(1) for _ in images])
        return {"pixels": pixels, "embedding": embedding, "unwanted": torch.tensor(unwanted).float()}

    @torch.inference_mode()
    def cosines(self, embedding: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """[N, 17] and [N, 3]."""
        similar = torch.nn.functional.cosine_similarity
        concepts = (self.checker.concept_embeds, self.checker.special_care_embeds)
        return tuple(similar(embedding[:, None], c[None], dim=-1) for c in concepts)

    def verdict(self, pictures: torch.Tensor, device: str = "cpu", **storage) -> list[float]:
        """The program's, which must be diffusers'."""
        save_component(self.component, self.checker, **storage)
        ours, theirs = run_module("safety_checker", self.component, {"pictures": pictures}, device), self(pictures)
        assert torch.equal(ours["pixels"], theirs["pixels"])
        assert_latents_equal(ours["embedding"], theirs["embedding"])
        assert ours["unwanted"].tolist() == theirs["unwanted"].tolist()
        return ours["unwanted"].tolist()


@pytest.fixture
def oracle(tmp_path) -> Oracle:
    return Oracle(tmp_path)


def flag_above_the_median(oracle: Oracle, pictures: torch.Tensor) -> None:
    """Thresholds that half of the pictures exceed, clearly, by one concept."""
    cosines = oracle.cosines(oracle(pictures)["embedding"])[0]
    concept = cosines.std(0).argmax()
    ranked = cosines[:, concept].sort().values
    oracle.checker.concept_embeds_weights[concept] = (ranked[2] + ranked[3]) / 2


@pytest.mark.parametrize("height, width", [(64, 64), (512, 512), (96, 160), (333, 225), (224, 224)])
def test_half_of_the_pictures_are_flagged(oracle, height, width):
    pictures = draw(height, width)
    flag_above_the_median(oracle, pictures)
    assert sum(oracle.verdict(pictures)) == 3


@pytest.mark.parametrize("threshold, flagged", [(1.0, 0), (-1.0, 6)])
def test_none_and_all(tmp_path, threshold, flagged):
    assert sum(Oracle(tmp_path, threshold).verdict(draw(64, 64))) == flagged


def test_a_special_concept_adds_to_all_that_follow(oracle):
    """Concept 0 is 0.005 short of its threshold: it counts only for pictures that special concept 2 made suspect, and
    special concept 2 counts only where special concept 1, before it, did."""
    pictures = draw(64, 64)
    concepts, special = oracle.cosines(oracle(pictures)["embedding"])
    picture = 4
    oracle.checker.special_care_embeds_weights.fill_(1.0)
    oracle.checker.concept_embeds_weights[0] = concepts[picture, 0] + 0.005
    assert oracle.verdict(pictures)[picture] == 0
    oracle.checker.special_care_embeds_weights[2] = special[picture, 2] - 0.002
    assert oracle.verdict(pictures)[picture] == 1
    oracle.checker.special_care_embeds_weights[2] = special[picture, 2] + 0.008  # needs the help of another
    assert oracle.verdict(pictures)[picture] == 0
    oracle.checker.special_care_embeds_weights[1] = special[picture, 1] - 0.002
    assert oracle.verdict(pictures)[picture] == 1


@pytest.mark.parametrize("excess, flagged", [(0.0004, 0), (0.0006, 1), (-0.0004, 0)])
def test_scores_are_rounded_to_three_decimals(oracle, excess, flagged):
    pictures = draw(64, 64)
    concepts, _ = oracle.cosines(oracle(pictures)["embedding"])
    oracle.checker.concept_embeds_weights[5] = concepts[1, 5] - excess
    assert oracle.verdict(pictures)[1] == flagged


@pytest.mark.parametrize(
    "changes",
    [
        dict(size={"shortest_edge": 240}, crop_size={"height": 224, "width": 224}),
        dict(size={"height": 230, "width": 250}),
        dict(size=200),  # smaller than the crop: black around it
        dict(size=201),
        dict(resample=2),
        dict(resample=1),
        dict(do_normalize=False),
        dict(do_rescale=False),
        dict(image_mean=[0.1, 0.2, 0.3], image_std=[1.0, 0.5, 0.25]),
    ],
    ids=str,
)
def test_feature_extractors(tmp_path, changes):
    oracle = Oracle(tmp_path, extractor={**FEATURE_EXTRACTOR, **changes})
    pictures = draw(90, 130)
    flag_above_the_median(oracle, pictures)
    assert sum(oracle.verdict(pictures)) == 3


@pytest.mark.parametrize("storage", ["safetensors", "bin"])
def test_names_of_the_hub(oracle, storage):
    pictures = draw(64, 64)
    flag_above_the_median(oracle, pictures)
    assert sum(oracle.verdict(pictures, storage=storage, hub_names=True)) == 3


@needs_standin_mps
def test_mps_gives_the_same_verdict(oracle):
    pictures = draw(64, 64)
    flag_above_the_median(oracle, pictures)
    assert sum(oracle.verdict(pictures, device="mps")) == 3
