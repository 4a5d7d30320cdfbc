"""Checkpoints in one file, in the original layout: recognised, listed and run as diffusers' from_single_file does."""

import json
import os
import shutil
import struct
import sys
import types

import numpy as np
import finished
import pytest
import sd_oracle
import torch
from clip_vocabulary import END, write_tokenizer
from conftest import PROJECT, one_line_error
from diffusers import (
    AutoencoderKL,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from oracle import assert_latents_equal, assert_pictures_equal
from original_layout import UNET, VAE, original_state, write_single_file
from PIL import Image
from pictures import mask, photo
from safetensors.torch import save_file
from sd_checkpoints import load_pipeline, make_sd2, make_sd15, make_sdxl, random_vae, vae_shape
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

MODELS = {
    "sd15": (make_sd15, {}, StableDiffusionPipeline, "sd15"),
    "sd15_inpainting": (make_sd15, dict(unet=dict(in_channels=9)), StableDiffusionInpaintPipeline, "sd2-inpaint"),
    "sd2": (make_sd2, dict(inpainting=False, v_prediction=True), StableDiffusionPipeline, "sd15"),
    "sd2_inpainting": (make_sd2, {}, StableDiffusionInpaintPipeline, "sd2-inpaint"),
    "sdxl": (make_sdxl, {}, StableDiffusionXLPipeline, "sdxl-turbo"),
}


@pytest.fixture(scope="module", params=MODELS)
def original(request, tmp_path_factory):
    """A checkpoint as a folder and as one file."""
    make, options, kind, command = MODELS[request.param]
    folder = make(tmp_path_factory.mktemp(request.param) / "model", **options)
    file = write_single_file(folder.parent / "one.v1.safetensors", original_state(load_pipeline(folder)))
    return folder, file, kind, command


def states(pipeline) -> dict:
    models = {n: m for n, m in pipeline.components.items() if isinstance(m, torch.nn.Module)}
    return {f"{n}.{key}": tensor for n, m in models.items() for key, tensor in m.state_dict().items()}


def listed(diffapple, *arguments) -> dict:
    """Every tensor that `inspect` lists, with its shape: as stored, but for the VAE's attention, whose matrices the
    original code has as 1x1 convolutions."""
    shape_of = lambda tensor: tensor["shape"][:2] if ".to_" in tensor["name"] else tensor["shape"]  # noqa: E731
    summary = json.loads(diffapple.ok("inspect", *arguments, "--tensors", "--json").out)
    return {
        f"{part['name']}.{tensor['name'].removeprefix('text_model.')}": shape_of(tensor)
        for part in summary["components"]
        for tensor in part["tensors"]
        if "position_ids" not in tensor["name"]
    }


def shapes(pipeline) -> dict:
    return {name.replace(".text_model.", "."): list(t.shape) for name, t in states(pipeline).items()}


def test_names_are_those_of_diffusers(diffapple, original):
    """What from_single_file makes of the file is the folder's model, and what `inspect` lists has its names."""
    folder, file, kind, _ = original
    theirs = kind.from_single_file(file, config=str(folder), local_files_only=True)
    of_folder = load_pipeline(folder)
    assert states(theirs).keys() == states(of_folder).keys()
    expected = states(of_folder)
    for name, tensor in states(theirs).items():
        assert torch.equal(tensor, expected[name]), name
    assert listed(diffapple, file, "--config", folder) == shapes(theirs)


def inputs(diffapple, command) -> tuple[list, dict]:
    """The pictures that a run needs, as options of the program and as arguments of diffusers' pipeline."""
    if command != "sd2-inpaint":
        return [], {}
    pictures = {"image": photo(64, 64), "mask": mask("box", 64, 64)}
    for name, picture in pictures.items():
        picture.save(diffapple.folder / f"{name}.png")
    return ["--image", "image.png", "--mask", "mask.png"], {"image": pictures["image"], "mask_image": pictures["mask"]}


def test_pictures(diffapple, original):
    folder, file, kind, command = original
    theirs = kind.from_single_file(file, config=str(folder), local_files_only=True)
    theirs.set_progress_bar_config(disable=True)
    settings = dict(steps=2, guidance=3)
    options, arguments = inputs(diffapple, command)
    arguments |= {"scheduler": "dpmsolver++"} if command == "sd15" else {}
    options += ["--config", folder]
    sd_oracle.assert_parity(diffapple, command, file, theirs, settings, options=options, arguments=arguments)


def test_same_picture_as_the_folder(diffapple, original):
    """Also where a picture is inpainted. The file's name is the model's."""
    folder, file, _, command = original
    options = ["--steps", 2, "--seed", 3, "--out", "a", *inputs(diffapple, command)[0]]
    of_folder = diffapple.ok(command, "--model", folder, *options, "--sheet", "off").paths
    of_file = diffapple.ok(command, "--model", file, "--config", folder, *options, "--sheet", "off").paths
    assert len(of_file) == len(of_folder) and all("model-one.v1_config-model" in path.name for path in of_file)
    for ours, theirs in zip(of_file, of_folder):
        assert pixels(diffapple.folder / ours) == pixels(diffapple.folder / theirs)


def pixels(path) -> bytes:
    return finished.pixels(path).tobytes()


# --- forms of storage


@pytest.fixture(scope="module")
def sd15(tmp_path_factory):
    folder = make_sd15(tmp_path_factory.mktemp("stored") / "model")
    return folder, original_state(load_pipeline(folder))


def run(diffapple, file, *options, code=0):
    result = diffapple("sd15", "--model", file, "--steps", 1, "--prompt", "a cat", "--force", *options)
    assert result.code == code, result.err
    return result


@pytest.mark.parametrize("name", ["m.ckpt", "m.pt", "m.bin", "m.old.ckpt"])
def test_torch_files(diffapple, sd15, name):
    folder, state = sd15
    file = write_single_file(diffapple.folder / name, state)
    made = run(diffapple, file, "--config", folder).paths[0]
    assert pixels(diffapple.folder / made) == pixels(diffapple.folder / run(diffapple, folder).paths[0])


class Callback:
    """Stands for pytorch_lightning's ModelCheckpoint, which the first checkpoints of Stable Diffusion name."""


Callback.__module__, Callback.__qualname__ = "pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint"


@pytest.mark.parametrize("legacy", [False, True])
def test_training_checkpoint(diffapple, sd15, legacy, monkeypatch):
    """With what Lightning saves beside the weights: its callbacks by their class, numbers of numpy, bytes, sets."""
    module = types.ModuleType(Callback.__module__)
    module.ModelCheckpoint = Callback
    for name in ("pytorch_lightning", "pytorch_lightning.callbacks"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, Callback.__module__, module)
    folder, state = sd15
    callbacks = {Callback: {"best_model_score": np.float64(0.5), "seen": {1, 2}, "raw": b"\xff"}}
    optimizer = {"state": {0: {"exp_avg": torch.ones(3, dtype=torch.float64)}}, "param_groups": [{"lr": 1e-4}]}
    whole = {"epoch": 1, "state_dict": state, "callbacks": callbacks, "optimizer_states": [optimizer]}
    torch.save(whole, diffapple.folder / "m.ckpt", _use_new_zipfile_serialization=not legacy)
    run(diffapple, "m.ckpt", "--config", folder)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("harmed",)


@pytest.mark.parametrize("legacy", [False, True])
def test_code_is_refused_and_named(diffapple, sd15, legacy):
    folder, state = sd15
    whole = {"state_dict": state, "evil": Evil()}
    torch.save(whole, diffapple.folder / "m.ckpt", _use_new_zipfile_serialization=not legacy)
    one_line_error(run(diffapple, "m.ckpt", "--config", folder, code=1), 1, "m.ckpt", "mkdir")
    assert not (diffapple.folder / "harmed").exists()


@pytest.mark.parametrize("keep", [0, 10, 30, 2000, 100_000, -1])
def test_cut_off_legacy_file(diffapple, sd15, keep):
    folder, state = sd15
    file = write_single_file(diffapple.folder / "m.old.ckpt", state)
    file.write_bytes(file.read_bytes()[:keep])
    one_line_error(run(diffapple, file, "--config", folder, code=1), 1, "m.old.ckpt")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2])
def test_stored_in_few_bits(diffapple, sd15, dtype):
    """Computed in the run's dtype, from the very values that are stored."""
    folder, state = sd15
    few = {name: tensor.to(dtype) for name, tensor in state.items() if tensor.is_floating_point()}
    of_few = run(diffapple, write_single_file(diffapple.folder / "few.safetensors", few), "--config", folder).paths[0]
    again = {name: tensor.float() for name, tensor in few.items()}
    of_all = run(diffapple, write_single_file(diffapple.folder / "all.safetensors", again), "--config", folder).paths[0]
    assert pixels(diffapple.folder / of_few) == pixels(diffapple.folder / of_all)


def means(state: dict) -> dict:
    """A UNet's weights by the names that LDM's LitEma gives to their running means."""
    return {"model_ema." + "".join(n.split(".")[1:]): tensor for n, tensor in state.items() if n.startswith(UNET)}


def test_only_means(diffapple, sd15):
    """Of a UNet: they are read where there is nothing else, and left out where there is, as diffusers leaves them out."""
    folder, state = sd15
    expected = pixels(diffapple.folder / run(diffapple, folder).paths[0])
    only = {**without(state, UNET), **means(state)}
    both = {**state, **{name: 2 * tensor for name, tensor in means(state).items()}}
    for name, tensors in (("only", only), ("both", both)):
        file = write_single_file(diffapple.folder / f"{name}.safetensors", tensors)
        assert pixels(diffapple.folder / run(diffapple, file, "--config", folder).paths[0]) == expected


def test_kind_of_only_means(diffapple):
    names = ["input_blocks.0.0.weight", "input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight"]
    shapes = [(320, 4, 3, 3), (320, 768)]
    state = {UNET + name: torch.zeros(shape) for name, shape in zip(names, shapes)}
    save_file(means(state), diffapple.folder / "m.safetensors")
    summary = json.loads(diffapple.ok("inspect", "m.safetensors", "--tensors", "--json").out)
    assert summary["kind"] == "Stable Diffusion v1"
    listed = {tensor["name"] for tensor in summary["components"][0]["tensors"]}
    assert listed == {"conv_in.weight", "down_blocks.0.attentions.1.transformer_blocks.0.attn2.to_k.weight"}


def test_scaled_weights_are_refused(diffapple, sd15):
    folder, state = sd15
    file = write_single_file(diffapple.folder / "m.safetensors", {**state, f"{UNET}out.2.scale_weight": torch.ones(1)})
    one_line_error(run(diffapple, file, "--config", folder, code=1), 1, "m.safetensors", "scale_weight")


# --- what is absent, and what comes from elsewhere


def without(state: dict, *beginnings) -> dict:
    return {name: tensor for name, tensor in state.items() if not name.startswith(beginnings)}


def test_missing_vae_is_given(diffapple, sd15):
    """As a folder, a file of the original names, one of diffusers' names, or a whole checkpoint."""
    folder, state = sd15
    bare = diffapple.folder / "configs"
    shutil.copytree(folder, bare, ignore=shutil.ignore_patterns("*.safetensors"))
    file = write_single_file(diffapple.folder / "m.safetensors", without(state, VAE))
    one_line_error(run(diffapple, file, "--config", bare, code=1), 1, "m.safetensors", "vae", "--vae")
    own = {name.removeprefix(VAE): tensor for name, tensor in state.items() if name.startswith(VAE)}
    vaes = [
        folder / "vae",
        folder,
        write_single_file(diffapple.folder / "vae-1.safetensors", own),
        write_single_file(diffapple.folder / "vae-2.ckpt", own),
        folder / "vae" / "diffusion_pytorch_model.safetensors",
        write_single_file(diffapple.folder / "whole.safetensors", state),
    ]
    expected = pixels(diffapple.folder / run(diffapple, folder).paths[0])
    for vae in vaes:
        made = run(diffapple, file, "--config", bare, "--vae", vae).paths[0]
        assert f"_vae-{vae.stem}" in made.name and pixels(diffapple.folder / made) == expected


def test_other_vae(diffapple, sd15):
    """Another VAE is another picture, and its recipe says so: it is made again with that VAE alone."""
    folder, _ = sd15
    other = random_vae(vae_shape(), seed=99)
    other.save_pretrained(diffapple.folder / "other")
    own = run(diffapple, folder).paths[0]
    made = run(diffapple, folder, "--vae", "other").paths[0]
    assert made.name == own.name.replace(".png", "_vae-other.png")
    assert pixels(diffapple.folder / made) != pixels(diffapple.folder / own)
    one_line_error(diffapple("replay", made, "--model", folder), 2, "--vae 'other'")
    one_line_error(diffapple("replay", own, "--model", folder, "--vae", "other"), 2, "--vae")
    assert "the same picture" in diffapple.ok("replay", made, "--model", folder, "--vae", "other").out
    one_line_error(diffapple("replay", made, "--model", folder, "--vae", folder / "vae"), 1, "vae")


@pytest.mark.parametrize("vae", ["absent", "text.safetensors", "empty"])
def test_bad_vae(diffapple, sd15, vae):
    folder, _ = sd15
    save_file({"a": torch.ones(1)}, diffapple.folder / "text.safetensors")
    (diffapple.folder / "empty").mkdir()
    one_line_error(run(diffapple, folder, "--vae", vae, code=1), 1, f"--vae {vae}")


def test_config_is_for_files(diffapple, sd15):
    folder, state = sd15
    one_line_error(run(diffapple, folder, "--config", folder, code=2), 2, "--config")
    file = write_single_file(diffapple.folder / "m.safetensors", state)
    one_line_error(run(diffapple, file, "--config", "absent", code=1), 1, "--config absent")


def test_missing_text_encoder(diffapple, sd15):
    """It is named; a folder of configs that has it gives it, as with diffusers."""
    folder, state = sd15
    file = write_single_file(diffapple.folder / "m.safetensors", without(state, "cond_stage_model."))
    expected = pixels(diffapple.folder / run(diffapple, folder).paths[0])
    assert pixels(diffapple.folder / run(diffapple, file, "--config", folder).paths[0]) == expected
    for weights in (folder / "text_encoder").glob("*.safetensors"):
        weights.rename(diffapple.folder / weights.name)
    try:
        one_line_error(run(diffapple, file, "--config", folder, code=1), 1, "text_encoder", "cond_stage_model")
    finally:
        (diffapple.folder / "model.safetensors").rename(folder / "text_encoder" / "model.safetensors")


def test_replay_finds_the_file_by_its_name(diffapple, sd15):
    folder, state = sd15
    (diffapple.folder / "models").mkdir()
    file = write_single_file(diffapple.folder / "models" / "mine.safetensors", state)
    made = run(diffapple, "mine", "--config", folder).paths[0]
    assert "the same picture" in diffapple.ok("replay", made, "--config", folder).out
    one_line_error(diffapple("replay", made), 2, "--config")
    assert file.exists()


@pytest.mark.parametrize(
    "name, part",
    [
        ("lora_unet_down_blocks_0.lora_down.weight", "LoRA"),
        ("control_model.input_blocks.0.0.weight", "ControlNet"),
        ("model.diffusion_model.joint_blocks.0.x", "Stable Diffusion 3"),
        ("double_blocks.0.img_attn.qkv.weight", "FLUX"),
        ("down_blocks.0.resnets.0.conv1.weight", "one component"),
        ("unheard.of", "unheard.of"),
    ],
)
def test_other_files(diffapple, name, part):
    save_file({name: torch.ones(2, 2)}, diffapple.folder / "m.safetensors")
    one_line_error(diffapple("inspect", "m.safetensors"), 1, "m.safetensors", part)
    one_line_error(run(diffapple, "m.safetensors", code=1), 1, "m.safetensors", part)


def test_file_of_no_weights(diffapple):
    save_file({}, diffapple.folder / "m.safetensors")
    one_line_error(diffapple("inspect", "m.safetensors"), 1, "m.safetensors", "holds no tensors")
    (diffapple.folder / "m.txt").write_text("a")
    one_line_error(run(diffapple, "m.txt", code=1), 1, "m.txt", ".safetensors")


# --- recognised by the tensors alone: files of full size, whose data is a hole


def meta(kind, config: dict) -> torch.nn.Module:
    with torch.device("meta"):
        return kind.from_config(config) if kind in (UNet2DConditionModel, AutoencoderKL) else kind(config)


def study_config(model: str, part: str) -> dict:
    return json.loads((PROJECT / "tests" / "data" / model / part / "config.json").read_text())


class Meta:
    """A full-size pipeline without weights; `text_2`: an SDXL."""

    def __init__(self, model: str, **unet):
        self.unet = meta(UNet2DConditionModel, {**study_config(model, "unet"), **unet})
        self.vae = meta(AutoencoderKL, study_config(model, "vae"))
        self.text_encoder = meta(CLIPTextModel, CLIPTextConfig(**study_config(model, "text_encoder")))
        self.components = dict(unet=self.unet, vae=self.vae, text_encoder=self.text_encoder)
        if model == "sdxl-turbo":
            config = CLIPTextConfig(**study_config(model, "text_encoder_2"))
            self.text_encoder_2 = self.components["text_encoder_2"] = meta(CLIPTextModelWithProjection, config)


def write_hollow(path, state: dict) -> None:
    """A file in half precision whose data was never written: it takes no place on the disk."""
    header, end = {}, 0
    for name, tensor in state.items():
        begin, end = end, end + 2 * tensor.numel()
        header[name] = {"dtype": "F16", "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)


KINDS = {  # file name: model, what is different of its UNet, kind, scheduler, size, command
    "v1-5-pruned": ("sd-v1-5", {}, "Stable Diffusion v1", "PNDMScheduler", "sd15"),
    "sd-v1-5-inpainting": ("sd-v1-5", dict(in_channels=9), "Stable Diffusion v1 inpainting", "PNDMScheduler", "sd15"),
    "v2-1_768-ema-pruned": (
        "sd-v2-inpainting",
        dict(in_channels=4),
        "Stable Diffusion v2 (768, v-prediction)",
        "DDIMScheduler",
        "sd15",
    ),
    "512-base-ema": ("sd-v2-inpainting", dict(in_channels=4), "Stable Diffusion v2 base (512)", "PNDMScheduler", "sd15"),
    "512-inpainting-ema": ("sd-v2-inpainting", {}, "Stable Diffusion v2 inpainting", "PNDMScheduler", "sd15"),
    "sd_xl_base_1.0": ("sdxl-turbo", {}, "SDXL", "EulerDiscreteScheduler", "sdxl-turbo"),
    "sd_xl_turbo_1.0": ("sdxl-turbo", {}, "SDXL Turbo", "EulerAncestralDiscreteScheduler", "sdxl-turbo"),
    "xl-inpaint": ("sdxl-turbo", dict(in_channels=9), "SDXL inpainting", "EulerDiscreteScheduler", "sdxl-turbo"),
}


SLOW_KINDS = {"sd_xl_base_1.0", "xl-inpaint", "sd_xl_turbo_1.0"}  # the slowest


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.full) if n in SLOW_KINDS else n for n in KINDS])
def test_kind(diffapple, name):
    """Recognised, with the configs that its tensors fit exactly, and none left over."""
    model, unet, kind, scheduler, command = KINDS[name]
    whole = Meta(model, **unet)
    write_hollow(diffapple.folder / f"{name}.safetensors", original_state(whole))
    summary = json.loads(diffapple.ok("inspect", f"{name}.safetensors", "--json").out)
    assert (summary["name"], summary["kind"], summary["scheduler"]) == (name, kind, scheduler)
    assert listed(diffapple, f"{name}.safetensors") == shapes(whole)
    # This is refused once every tensor has been compared with the networks, before any is read.
    refusal = "trained for inpainting" if "inpaint" in name else "no safety checker"
    one_line_error(diffapple(command, "--model", f"{name}.safetensors", "--safety", "on"), 2, refusal)


@pytest.mark.parametrize("pad", ["tokenizer", "tokenizer_2"])
def test_tokenizer_is_in_the_program(diffapple, pad):
    """CLIP's own: the ids are those of the same vocabulary as a folder."""
    write_hollow(diffapple.folder / "xl.safetensors", original_state(Meta("sdxl-turbo")))
    write_tokenizer(diffapple.folder / "folder" / pad, END if pad == "tokenizer" else "!", 48894)
    (diffapple.folder / "folder" / "config.json").write_text("{}")
    texts = "a fat cat!\nкот 猫 🐈 naïve ΣΑΣ\n<|endoftext|> tail ! it's 1234\n" + "whiskers, " * 60
    (diffapple.folder / "texts").write_text(texts)
    made = {}
    for model in ("xl.safetensors", "folder"):
        with (diffapple.folder / "texts").open() as stdin:
            arguments = ["tokenize", "-", "--json", "--model", model, "--tokenizer", pad]
            made[model] = diffapple.ok(*arguments, stdin=stdin).out
    assert made["xl.safetensors"] == made["folder"] and len(made["folder"].splitlines()) == 4


@pytest.mark.full
@pytest.mark.parametrize("model", ["sd-v1-5", "sd-v2-inpainting", "sdxl-turbo"])
def test_full_size(diffapple, model):
    """A file of full size with random weights (bf16), with the program's own configs, and read by from_single_file."""
    inpaints = model == "sd-v2-inpainting"
    whole = Meta(model)
    generator = torch.Generator().manual_seed(0)
    for module in whole.components.values():
        module.to_empty(device="cpu").to(torch.bfloat16)
        for name, parameter in module.named_parameters():
            parameter.requires_grad_(False).copy_(torch.randn(parameter.shape, generator=generator))
            parameter *= parameter[0].numel() ** -0.5 if parameter.dim() > 1 else 0.1
            if parameter.dim() == 1 and name.endswith("weight"):
                parameter += 1
    file = write_single_file(diffapple.folder / f"{model}-turbo.safetensors", original_state(whole))
    configs = shutil.copytree(PROJECT / "tests" / "data" / model, diffapple.folder / "configs")
    index = json.loads((configs / "model_index.json").read_text())
    index |= {name: [None, None] for name in ("safety_checker", "feature_extractor") if name in index}
    (configs / "model_index.json").write_text(json.dumps(index))
    write_tokenizer(configs / "tokenizer", "!" if inpaints else END, 48894)
    if model == "sdxl-turbo":
        write_tokenizer(configs / "tokenizer_2", "!", 48894)
    del whole
    kind = {"sd-v1-5": StableDiffusionPipeline, "sdxl-turbo": StableDiffusionXLPipeline}
    kind = kind.get(model, StableDiffusionInpaintPipeline)
    settings = dict(steps=2, guidance=0, width=128, height=128)
    picture = np.random.default_rng(0).integers(0, 255, (128, 128, 3), dtype=np.uint8)
    Image.fromarray(picture).save(diffapple.folder / "image.png")
    Image.fromarray(picture).convert("L").save(diffapple.folder / "mask.png")
    images = ["--image", diffapple.folder / "image.png", "--mask", diffapple.folder / "mask.png"] if inpaints else []
    command = {"sd-v1-5": "sd15", "sdxl-turbo": "sdxl-turbo"}.get(model, "sd2-inpaint")
    ours = sd_oracle.run(diffapple, command, file, *sd_oracle.as_options(settings), *images, prompts=["a cat"])
    theirs = kind.from_single_file(file, config=str(configs), local_files_only=True)
    arguments = sd_oracle.as_arguments(settings)
    if inpaints:
        arguments["image"] = Image.open(diffapple.folder / "image.png")
        arguments["mask_image"] = Image.open(diffapple.folder / "mask.png")
    scheduler = "dpmsolver++" if model == "sd-v1-5" else None
    expected = sd_oracle.make(theirs, ["a cat"], scheduler=scheduler, **arguments)
    assert_latents_equal(ours.latents, expected.latents)
    for mine, other in zip(ours.pictures, expected.pictures, strict=True):
        assert_pictures_equal(mine, other)
