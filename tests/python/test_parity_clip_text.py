"""CLIP's text encoder against transformers."""

import sys

import oracle
import pytest
import torch
from modules import HALF_TYPES, run_module
from oracle import assert_latents_equal
from sd_checkpoints import TEXT, TEXT_2_OF_XL, TEXT_OF_V2, random_text_encoder, save_component

VOCABULARY = 1000
END = VOCABULARY - 1
SMALL = dict(vocab_size=VOCABULARY)
SHAPES = {
    "sd15": dict(TEXT, **SMALL),
    "sd2": dict(TEXT_OF_V2, **SMALL),
    "sdxl_2": dict(TEXT_2_OF_XL, **SMALL),
    "present_eos": dict(TEXT, **SMALL, eos_token_id=END),
    "deep": dict(TEXT, **SMALL, num_hidden_layers=9, layer_norm_eps=1e-3),
    "one_head": dict(TEXT, **SMALL, num_attention_heads=1),
    "short": dict(TEXT, **SMALL, max_position_embeddings=12),
}
on_linux = pytest.mark.skipif(sys.platform == "darwin", reason="a Mac has mps itself; the stand-in is for Linux")


def prompts(length: int) -> torch.Tensor:
    """Two texts: one padded with its end token, one with id 0; each holds the end token, the largest id."""
    ids = torch.randint(1, END - 1, (2, length), generator=torch.Generator().manual_seed(5))
    ids[0, length // 2 :] = END
    ids[1, length // 3] = END
    ids[1, length // 3 + 1 :] = 0
    return ids


@torch.inference_mode()
def expected(model, ids: torch.Tensor, layers_skipped: int = 0, final_norm: bool = True) -> dict:
    output = model(ids, output_hidden_states=True)
    hidden = output.hidden_states[-(layers_skipped + 1)]
    inner = model.text_model if hasattr(model, "text_model") else model
    pooled = output.text_embeds if hasattr(output, "text_embeds") else output.pooler_output
    hidden = inner.final_layer_norm(hidden) if final_norm else hidden
    if layers_skipped == 0 and final_norm:
        assert torch.equal(hidden, output.last_hidden_state)
    return {"hidden": hidden.float(), "pooled": pooled.float()}


def check(ours: dict, theirs: dict) -> None:
    assert ours.keys() == theirs.keys()
    for name in theirs:
        assert_latents_equal(ours[name], theirs[name])


@pytest.mark.parametrize("projection", [False, True], ids=["plain", "projection"])
@pytest.mark.parametrize("shape", SHAPES)
def test_last_hidden_state_and_pooled(tmp_path, shape, projection):
    model = random_text_encoder(SHAPES[shape], projection=projection)
    save_component(tmp_path / "text_encoder", model)
    ids = prompts(SHAPES[shape].get("max_position_embeddings", 77))
    ours = run_module("clip_text", tmp_path / "text_encoder", {"ids": ids})
    check(ours, expected(model, ids))


@pytest.mark.parametrize("final_norm", [True, False])
@pytest.mark.parametrize("layers_skipped", [1, 2, 3])
def test_skipped_layers(tmp_path, layers_skipped, final_norm):
    model = random_text_encoder(SHAPES["sd15"])
    save_component(tmp_path / "text_encoder", model)
    ids = prompts(20)
    request = dict(layers_skipped=layers_skipped, final_norm=final_norm)
    check(run_module("clip_text", tmp_path / "text_encoder", {"ids": ids}, **request), expected(model, ids, **request))


@pytest.mark.parametrize("hub_names", [False, True], ids=["present_names", "hub_names"])
@pytest.mark.parametrize("storage", ["safetensors", "bin", "fp16"])
@pytest.mark.parametrize("projection", [False, True], ids=["plain", "projection"])
def test_storage(tmp_path, storage, projection, hub_names):
    model = random_text_encoder(SHAPES["sd15"], projection=projection)
    save_component(tmp_path / "text_encoder_2", model, storage, hub_names)
    ids = prompts(20)
    ours = run_module("clip_text", tmp_path / "text_encoder_2", {"ids": ids})
    check(ours, expected(model.half().float() if storage == "fp16" else model, ids))


def test_projection_in_the_weights_alone(tmp_path):
    """A config that names the model without its projection, and weights with one."""
    model = random_text_encoder(SHAPES["sdxl_2"], projection=True)
    model.config.architectures = ["CLIPTextModel"]
    save_component(tmp_path / "text_encoder_2", model)
    config = (tmp_path / "text_encoder_2" / "config.json").read_text()
    (tmp_path / "text_encoder_2" / "config.json").write_text(config.replace("CLIPTextModelWithProjection", "CLIPTextModel"))
    ids = prompts(20)
    check(run_module("clip_text", tmp_path / "text_encoder_2", {"ids": ids}), expected(model, ids))


def half_precision_distances(tmp_path, device: str, dtype: str) -> tuple[float, float]:
    """RMS distances to fp32: ours and transformers'."""
    ours, theirs = [], []
    for seed in range(4):
        model = random_text_encoder(SHAPES["deep"], seed, projection=True)
        folder = tmp_path / str(seed) / "text_encoder"
        save_component(folder, model)
        ids = prompts(77)
        exact = expected(model, ids)
        made = run_module("clip_text", folder, {"ids": ids}, device, dtype)
        half = expected(model.to(HALF_TYPES[dtype]), ids)
        for name in exact:
            ours.append((made[name] - exact[name]).flatten())
            theirs.append((half[name] - exact[name]).flatten())
    return oracle.rms(torch.cat(ours)), oracle.rms(torch.cat(theirs))


def check_half_precision(tmp_path, device: str, dtype: str) -> None:
    ours, theirs = half_precision_distances(tmp_path, device, dtype)
    assert ours <= theirs * oracle.HALF_PRECISION_FACTOR
    assert ours > theirs / 1000, f"the run was not in {dtype}"


def test_bf16_is_as_close_to_fp32_as_transformers(tmp_path):
    check_half_precision(tmp_path, "cpu", "bf16")


@on_linux
@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_mps_half_precision_is_as_close_to_fp32_as_transformers(tmp_path, dtype):
    check_half_precision(tmp_path, "mps", dtype)


@on_linux
@pytest.mark.parametrize("shape", ["sd15", "sdxl_2", "present_eos"])
def test_mps_fp32_is_the_cpus(tmp_path, shape):
    save_component(tmp_path / "text_encoder", random_text_encoder(SHAPES[shape], projection=True))
    inputs, request = {"ids": prompts(77)}, dict(layers_skipped=1, final_norm=False)
    ours = run_module("clip_text", tmp_path / "text_encoder", inputs, "mps", **request)
    check(ours, run_module("clip_text", tmp_path / "text_encoder", inputs, **request))
