"""Model folders in which a component is missing, extra, swapped or damaged: one line that names it, before anything is
made."""

import shutil

import pytest
from checkpoints import edit_json
from conftest import one_line_error
from sd_checkpoints import make_sd15, make_sdxl


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {"sd15": make_sd15(folder / "sd15", safety=1.0), "sdxl": make_sdxl(folder / "sdxl")}


def replace(folder, source):
    shutil.rmtree(folder)
    shutil.copytree(source, folder)


def lie_about_width(model):
    edit_json(model / "text_encoder" / "config.json", hidden_size=48)


def truncate(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


DAMAGES = {
    "no unet": (lambda m, _: shutil.rmtree(m / "unet"), "unet"),
    "no vae": (lambda m, _: shutil.rmtree(m / "vae"), "vae"),
    "no text encoder": (lambda m, _: shutil.rmtree(m / "text_encoder"), "text_encoder"),
    "no tokenizer": (lambda m, _: shutil.rmtree(m / "tokenizer"), "tokenizer"),
    "no scheduler": (lambda m, _: shutil.rmtree(m / "scheduler"), "scheduler"),
    "no weights": (lambda m, _: (m / "unet" / "diffusion_pytorch_model.safetensors").unlink(), "unet"),
    "no merges": (lambda m, _: (m / "tokenizer" / "merges.txt").unlink(), "merges.txt"),
    "unet in the vae's place": (lambda m, _: replace(m / "vae", m / "unet"), "vae/config.json"),
    "vae in the unet's place": (lambda m, _: replace(m / "unet", m / "vae"), "unet/config.json"),
    "unet of another model": (lambda m, other: replace(m / "unet", other / "unet"), "text_encoder"),
    "text encoder of another model": (lambda m, o: replace(m / "text_encoder", o / "text_encoder_2"), "text"),
    "config of other weights": (lambda m, _: lie_about_width(m), "text"),
    "truncated unet": (lambda m, _: truncate(m / "unet" / "diffusion_pytorch_model.safetensors"), "unet"),
    "truncated vae": (lambda m, _: truncate(m / "vae" / "diffusion_pytorch_model.safetensors"), "vae"),
    "vocabulary is no JSON": (lambda m, _: truncate(m / "tokenizer" / "vocab.json"), "vocab.json"),
    "component of another pipeline": (
        lambda m, _: edit_json(m / "model_index.json", prior=["diffusers", "PriorTransformer"]),
        "prior",
    ),
    "second text encoder": (
        lambda m, _: edit_json(m / "model_index.json", text_encoder_2=["transformers", "CLIPTextModelWithProjection"]),
        "text_encoder_2",
    ),
    "safety checker without its processor": (lambda m, _: shutil.rmtree(m / "feature_extractor"), "feature_extractor"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_model(diffapple, models, damage):
    model = diffapple.folder / "model"
    shutil.copytree(models["sd15"], model)
    harm, named = DAMAGES[damage]
    harm(model, models["sdxl"])
    result = diffapple("sd15", "--model", model, "--prompt", "a", "--steps", 1, "--quiet")
    assert (result.code, result.out, len(result.err.splitlines())) == (1, "", 1), result.err
    assert named in result.err, result.err
    assert list(diffapple.folder.rglob("*.png")) == []


@pytest.mark.parametrize("model, layers", [("sd15", 3), ("sdxl", 2)])
def test_more_layers_to_skip_than_there_are(diffapple, models, model, layers):
    options = ["sd15", "--model", models[model], "--prompt", "a", "--steps", 1]
    one_line_error(diffapple(*options, "--clip-skip", layers + 1), 2, f"--clip-skip {layers + 1}", f"{layers} layers")
    diffapple.ok(*options, "--clip-skip", layers)


@pytest.mark.parametrize("component, wrong", [("unet", {"in_channels": 9}), ("vae", {"layers_per_block": 2})])
def test_weights_are_checked_before_anything_is_loaded(diffapple, models, component, wrong):
    model = diffapple.folder / "model"
    shutil.copytree(models["sd15"], model)
    edit_json(model / component / "config.json", **wrong)
    result = diffapple("sd15", "--model", model, "--prompt", "a", "--steps", 1, "--verbose")
    one_line_error(result, 1, component, "do not fit the config")


@pytest.mark.parametrize("command, other", [("sd15", "sdxl"), ("sdxl-turbo", "sd15")])
def test_the_other_family_runs_too(diffapple, models, command, other):
    """The commands differ in their defaults, not in the models that they take."""
    path = diffapple.ok(command, "--model", models[other], "--prompt", "a", "--steps", 1).paths[0]
    assert (diffapple.folder / path).exists()


def test_ddpm_refuses_a_latent_model(diffapple, models):
    result = diffapple("ddpm", "--model", models["sd15"], "--steps", 1)
    assert (result.code, len(result.err.splitlines())) == (1, 1), result.err
