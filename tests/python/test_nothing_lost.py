"""What fails after the loop costs no steps: the final latents are kept; what can be known is known before."""

import torch
from conftest import one_line_error
from safetensors.torch import load_file, save_file
from sd_checkpoints import make_sd15

SD15 = ["sd15", "--steps", 2, "--prompt", "a cat"]


def break_decoder(checkpoint) -> None:
    """Weights that load, and make nothing finite."""
    file = checkpoint / "vae" / "diffusion_pytorch_model.safetensors"
    state = load_file(file)
    state["decoder.conv_out.bias"] = torch.full_like(state["decoder.conv_out.bias"], float("nan"))
    save_file(state, file, metadata={"format": "pt"})


def test_latents_of_pictures_that_cannot_be_decoded(diffapple, tmp_path):
    checkpoint = make_sd15(tmp_path / "model")
    expected = tmp_path / "expected.safetensors"
    diffapple.ok(*SD15, "--model", checkpoint, "--save-latents", expected)
    break_decoder(checkpoint)
    result = diffapple(*SD15, "--model", checkpoint, "--out", "broken")
    assert result.code == 1 and not result.out
    assert "VAE decoding produced values that are not finite" in result.err
    (kept,) = (tmp_path / "broken").rglob("*_latents.safetensors")
    assert str(kept.relative_to(tmp_path)) in result.err and "final latents" in result.err
    assert torch.equal(load_file(kept)["latents"], load_file(expected)["latents"])
    assert not list((tmp_path / "broken").rglob("*.png"))


def test_a_preprocessor_that_is_missing_is_known_before(diffapple, tmp_path):
    checkpoint = make_sd15(tmp_path / "model", safety=1.0)
    (checkpoint / "feature_extractor" / "preprocessor_config.json").unlink()
    result = diffapple(*SD15, "--model", checkpoint, "--verbose")
    one_line_error(result, 1, "preprocessor_config.json", "--safety off")
    diffapple.ok(*SD15, "--model", checkpoint, "--safety", "off")


def test_a_checker_that_is_cut_off_is_known_before(diffapple, tmp_path):
    checkpoint = make_sd15(tmp_path / "model", safety=1.0)
    file = checkpoint / "safety_checker" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    one_line_error(diffapple(*SD15, "--model", checkpoint, "--verbose"), 1, "safety_checker", "--safety off")


def test_a_vae_of_other_pictures_is_known_before(diffapple, tmp_path):
    checkpoint = make_sd15(tmp_path / "model", vae=dict(out_channels=1))
    one_line_error(diffapple(*SD15, "--model", checkpoint, "--verbose"), 1, "vae", "channels")


def test_safety_is_one_of_two_words(diffapple, tmp_path):
    checkpoint = make_sd15(tmp_path / "model", safety=1.0)
    one_line_error(diffapple(*SD15, "--model", checkpoint, "--safety", "off,on"), 2, "--safety", "one of")


def test_another_diffusers_version_is_no_other_recipe(diffapple, tmp_path):
    checkpoint = make_sd15(tmp_path / "model")
    (picture,) = diffapple.ok(*SD15, "--model", checkpoint).paths
    config = checkpoint / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text().replace("{", '{"_diffusers_version": "0.99.0", "_note": 1,', 1))
    diffapple.ok("replay", picture, "--model", checkpoint)
    diffapple.ok(*SD15, "--model", checkpoint)  # no refusal


def test_added_tokens_make_another_recipe(diffapple, tmp_path):
    checkpoint = make_sd15(tmp_path / "model")
    (before,) = diffapple.ok(*SD15, "--model", checkpoint, "--json").reports
    (checkpoint / "tokenizer" / "added_tokens.json").write_text('{"<cat>": 5}')
    refused = diffapple(*SD15, "--model", checkpoint)
    assert refused.code == 1 and "tokenizer" in refused.err
    (after,) = diffapple.ok(*SD15, "--model", checkpoint, "--json", "--force").reports
    assert after["id"] != before["id"]


def test_single_results_tidy_their_folder(diffapple, tiny):
    """What a writer that was killed has left beside a contact sheet, a replayed picture or a table."""
    (picture,) = diffapple.ok("ddpm", "--model", tiny, "--steps", 1).paths
    commands = [
        ["grid", "--out", "sheet/a.png", picture],
        ["replay", "--model", tiny, "--save", "replay/a.png", picture],
        ["report", "--csv", "report/a.csv", picture],
    ]
    for command in commands:
        leftover = diffapple.folder / command[0].replace("grid", "sheet") / ".diffapple-1-a-0.tmp"
        leftover.parent.mkdir()
        leftover.write_bytes(b"half")
        diffapple.ok(*command)
        assert not leftover.exists(), command
