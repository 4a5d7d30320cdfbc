"""CLIP's text encoder against transformers."""

import pytest
import torch
from checkpoints import edit_json
from conftest import needs_standin_mps
from modules import HALF_PRECISION, assert_outputs_equal, check_half_precision, run_module
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


def prompts(length: int) -> dict:
    """Two texts: one padded with its end token, one with id 0; each holds the end token, the largest id."""
    ids = torch.randint(1, END - 1, (2, length), generator=torch.Generator().manual_seed(5))
    ids[0, length // 2 :] = END
    ids[1, length // 3] = END
    ids[1, length // 3 + 1 :] = 0
    return {"ids": ids}


@torch.inference_mode()
def expected(model, inputs: dict, layers_skipped: int = 0, final_norm: bool = True) -> dict:
    output = model(inputs["ids"], output_hidden_states=True)
    hidden = output.hidden_states[-(layers_skipped + 1)]
    inner = model.text_model if hasattr(model, "text_model") else model
    pooled = output.text_embeds if hasattr(output, "text_embeds") else output.pooler_output
    hidden = inner.final_layer_norm(hidden) if final_norm else hidden
    if layers_skipped == 0 and final_norm:
        assert torch.equal(hidden, output.last_hidden_state)
    return {"hidden": hidden.float(), "pooled": pooled.float()}


@pytest.mark.parametrize("projection", [False, True], ids=["plain", "projection"])
@pytest.mark.parametrize("shape", SHAPES)
def test_last_hidden_state_and_pooled(tmp_path, shape, projection):
    model = random_text_encoder(SHAPES[shape], projection=projection)
    save_component(tmp_path / "text_encoder", model)
    inputs = prompts(SHAPES[shape].get("max_position_embeddings", 77))
    ours = run_module("clip_text", tmp_path / "text_encoder", inputs)
    assert_outputs_equal(ours, expected(model, inputs))


@pytest.mark.parametrize("final_norm", [True, False])
@pytest.mark.parametrize("layers_skipped", [1, 2, 3])
def test_skipped_layers(tmp_path, layers_skipped, final_norm):
    model = random_text_encoder(SHAPES["sd15"])
    save_component(tmp_path / "text_encoder", model)
    inputs = prompts(20)
    request = dict(layers_skipped=layers_skipped, final_norm=final_norm)
    ours = run_module("clip_text", tmp_path / "text_encoder", inputs, **request)
    assert_outputs_equal(ours, expected(model, inputs, **request))


@pytest.mark.parametrize("hub_names", [False, True], ids=["present_names", "hub_names"])
@pytest.mark.parametrize("storage", ["safetensors", "bin", "fp16"])
@pytest.mark.parametrize("projection", [False, True], ids=["plain", "projection"])
def test_storage(tmp_path, storage, projection, hub_names):
    model = random_text_encoder(SHAPES["sd15"], projection=projection)
    save_component(tmp_path / "text_encoder_2", model, storage, hub_names)
    inputs = prompts(20)
    ours = run_module("clip_text", tmp_path / "text_encoder_2", inputs)
    assert_outputs_equal(ours, expected(model.half().float() if storage == "fp16" else model, inputs))


def test_projection_in_the_weights_alone(tmp_path):
    """A config that names the model without its projection, and weights with one."""
    model = random_text_encoder(SHAPES["sdxl_2"], projection=True)
    save_component(tmp_path / "text_encoder_2", model)
    edit_json(tmp_path / "text_encoder_2" / "config.json", architectures=["CLIPTextModel"])
    inputs = prompts(20)
    assert_outputs_equal(run_module("clip_text", tmp_path / "text_encoder_2", inputs), expected(model, inputs))


@pytest.mark.parametrize("device, dtype", HALF_PRECISION)
def test_half_precision_is_as_close_to_fp32_as_transformers(tmp_path, device, dtype):
    cases = [(random_text_encoder(SHAPES["deep"], seed, projection=True), prompts(77)) for seed in range(4)]
    check_half_precision("clip_text", tmp_path, cases, expected, device, dtype)


@needs_standin_mps
@pytest.mark.parametrize("shape", ["sd15", "sdxl_2", "present_eos"])
def test_mps_fp32_is_the_cpus(tmp_path, shape):
    save_component(tmp_path / "text_encoder", random_text_encoder(SHAPES[shape], projection=True))
    inputs, request = prompts(77), dict(layers_skipped=1, final_norm=False)
    ours = run_module("clip_text", tmp_path / "text_encoder", inputs, "mps", **request)
    assert_outputs_equal(ours, run_module("clip_text", tmp_path / "text_encoder", inputs, **request))
