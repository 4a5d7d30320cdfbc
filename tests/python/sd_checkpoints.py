"""Small random Stable Diffusion checkpoints in diffusers layout, in the three shapes of the study: SD v1.5, SD v2 (with
inpainting) and SDXL Turbo. As in checkpoints.py, every weight is random and counts, norms and biases are off their
defaults. The schedulers' files are the study's own. Sizes: text 32 wide, latents 8x8, pictures 64x64."""

import copy
import json
import math
from pathlib import Path

import diffusers
import pytest
import torch
import transformers
from checkpoints import to_old_attention_keys, write_json
from clip_vocabulary import END, write_tokenizer
from conftest import PROJECT
from diffusers import AutoencoderKL, DiffusionPipeline, UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

for library in (diffusers, transformers):
    library.utils.logging.set_verbosity_error()
    library.utils.logging.disable_progress_bar()

DATA = PROJECT / "tests" / "data"
OLD_EOS = 2  # what the Hub's configs of Stable Diffusion say; the end token is then the largest id
MERGES = 2000  # of CLIP's 48,894: a vocabulary that is quick to read and still writes every text

TEXT = dict(
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=3,
    num_attention_heads=4,
    hidden_act="quick_gelu",
    projection_dim=32,
    bos_token_id=0,
    eos_token_id=OLD_EOS,
)
TEXT_OF_V2 = dict(TEXT, hidden_act="gelu", num_hidden_layers=2, num_attention_heads=2)
TEXT_2_OF_XL = dict(TEXT, hidden_size=48, hidden_act="gelu", projection_dim=40)

UNET = dict(
    sample_size=8,
    in_channels=4,
    out_channels=4,
    block_out_channels=(32, 64),
    layers_per_block=1,
    down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    attention_head_dim=4,  # the number of heads, as in the study's configs
    cross_attention_dim=32,
    norm_num_groups=8,
)
THREE_LEVELS = dict(
    block_out_channels=(32, 64, 64),
    down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
)
UNET_OF_V2 = dict(UNET, attention_head_dim=(2, 4), use_linear_projection=True)
TIME_IDS, TIME_ID_SIZE = 6, 8
UNET_OF_XL = dict(
    UNET,
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    attention_head_dim=(2, 4),
    transformer_layers_per_block=(1, 2),
    use_linear_projection=True,
    cross_attention_dim=TEXT["hidden_size"] + TEXT_2_OF_XL["hidden_size"],
    addition_embed_type="text_time",
    addition_time_embed_dim=TIME_ID_SIZE,
    projection_class_embeddings_input_dim=TIME_IDS * TIME_ID_SIZE + TEXT_2_OF_XL["projection_dim"],
)


def vae_shape(levels: int = 4, **changes) -> dict:
    """A VAE that makes pictures 2^(levels - 1) times as large as its latents."""
    shape = dict(
        block_out_channels=(8, 16, 16, 16)[:levels],
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=8 * 2 ** (levels - 1),
    )
    return {**shape, **changes}


# 224 pixels as the study's; 49 patches.
VISION = dict(
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    image_size=224,
    patch_size=32,
    hidden_act="quick_gelu",
)
# SD v1.5's preprocessor_config.json.
FEATURE_EXTRACTOR = dict(
    crop_size=224,
    do_center_crop=True,
    do_convert_rgb=True,
    do_normalize=True,
    do_resize=True,
    feature_extractor_type="CLIPFeatureExtractor",
    image_mean=[0.48145466, 0.4578275, 0.40821073],
    image_std=[0.26862954, 0.26130258, 0.27577711],
    resample=3,
    size=224,
)


@torch.no_grad()
def randomise(module: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Fills every parameter: weights so that values keep their size, norms near 1, biases near 0."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() > 1:
            parameter.copy_(noise / math.sqrt(parameter[0].numel()))
        else:
            parameter.copy_(0.2 * noise + (1.0 if name.endswith("weight") else 0.0))
    return module.eval().requires_grad_(False)


def random_text_encoder(shape: dict, seed: int = 0, projection: bool = False):
    kind = CLIPTextModelWithProjection if projection else CLIPTextModel
    return randomise(kind(CLIPTextConfig(**shape)), seed)


def random_vae(shape: dict, seed: int = 0) -> AutoencoderKL:
    """Its pictures stay mostly inside [-1, 1]."""
    vae = randomise(AutoencoderKL(**shape), seed)
    vae.decoder.conv_out.weight *= 0.4
    return vae


def random_condition_unet(shape: dict, seed: int = 0) -> UNet2DConditionModel:
    return randomise(UNet2DConditionModel(**shape), seed)


def random_safety_checker(threshold: float, seed: int = 0, **vision) -> StableDiffusionSafetyChecker:
    """Flags a picture whose embedding has a cosine above `threshold` to one of 17 concepts: none at 1, all at -1. The
    thresholds of the 3 special care concepts are half of that."""
    config = CLIPConfig(vision_config=dict(VISION, **vision), projection_dim=24)
    checker = randomise(StableDiffusionSafetyChecker(config), seed)
    checker.concept_embeds_weights.fill_(threshold)
    checker.special_care_embeds_weights.fill_(threshold / 2)
    return checker


def make_sd15(folder: Path, **options) -> Path:
    """SD v1.5's shape: 4 heads, 1x1 convolutions around the transformers, quick_gelu. For the options see _save; unet,
    text, vae and scheduler change keys of the configs, `safety` is the threshold of a safety checker, None for none."""
    return _save(folder, "StableDiffusionPipeline", "sd-v1-5", dict(unet=UNET, text=TEXT, pad=END), **options)


def make_sd2(folder: Path, inpainting: bool = True, v_prediction: bool = False, **options) -> Path:
    """SD v2's shape: heads by level, linear projections, gelu, "!" as padding; 9 input channels for inpainting."""
    unet = dict(UNET_OF_V2, in_channels=9) if inpainting else UNET_OF_V2
    pipeline = "StableDiffusionInpaintPipeline" if inpainting else "StableDiffusionPipeline"
    if v_prediction:
        options["scheduler"] = {"prediction_type": "v_prediction", **options.get("scheduler", {})}
    return _save(folder, pipeline, "sd-v2-inpainting", dict(unet=unet, text=TEXT_OF_V2, pad="!"), **options)


def make_sdxl(folder: Path, force_zeros_for_empty_prompt: bool = True, **options) -> Path:
    """SDXL Turbo's shape: two text encoders of different widths, added text and time embeddings."""
    defaults = dict(unet=UNET_OF_XL, text=TEXT, pad=END, text_2=TEXT_2_OF_XL)
    options["vae"] = {"scaling_factor": 0.13025, "force_upcast": True, **options.get("vae", {})}
    index = dict(force_zeros_for_empty_prompt=force_zeros_for_empty_prompt)
    return _save(folder, "StableDiffusionXLPipeline", "sdxl-turbo", defaults, index=index, **options)


def _save(
    folder: Path,
    pipeline: str,
    scheduler_of: str,
    defaults: dict,
    *,
    seed: int = 0,
    storage: str = "safetensors",  # or "fp16" (variant files only), "bin"
    hub_names: bool = False,  # weights by the names of the Hub's files: text_model. and position_ids, old attention keys
    safety: float | None = None,
    vae_levels: int = 4,
    unet: dict = {},
    text: dict = {},
    text_2: dict = {},
    vae: dict = {},
    scheduler: dict = {},  # keys of scheduler_config.json; ... removes one
    merges: int = MERGES,
    index: dict = {},
) -> Path:
    models = {
        "unet": random_condition_unet({**defaults["unet"], **unet}, seed),
        "vae": random_vae(vae_shape(vae_levels, **vae), seed + 1),
    }
    kinds = {}
    vocabulary = write_tokenizer(folder / "tokenizer", defaults["pad"], merges)
    models["text_encoder"] = random_text_encoder({**defaults["text"], "vocab_size": vocabulary, **text}, seed + 2)
    if "text_2" in defaults:
        write_tokenizer(folder / "tokenizer_2", "!", merges)
        shape = {**defaults["text_2"], "vocab_size": vocabulary, **text_2}
        models["text_encoder_2"] = random_text_encoder(shape, seed + 3, projection=True)
        kinds["tokenizer_2"] = ["transformers", "CLIPTokenizer"]
    if safety is not None:
        models["safety_checker"] = random_safety_checker(safety, seed + 4)
        write_json(folder / "feature_extractor" / "preprocessor_config.json", FEATURE_EXTRACTOR)
        kinds["feature_extractor"] = ["transformers", "CLIPImageProcessor"]
    elif pipeline != "StableDiffusionXLPipeline":
        kinds.update(safety_checker=[None, None], feature_extractor=[None, None])
    for name, model in models.items():
        save_component(folder / name, model, storage, hub_names)
        kinds[name] = [_library(model), type(model).__name__]
    config = {**json.loads((DATA / scheduler_of / "scheduler" / "scheduler_config.json").read_text()), **scheduler}
    config = {key: value for key, value in config.items() if value is not ...}
    write_json(folder / "scheduler" / "scheduler_config.json", config)
    kinds.update(scheduler=["diffusers", config["_class_name"]], tokenizer=["transformers", "CLIPTokenizer"])
    write_json(
        folder / "model_index.json", {"_class_name": pipeline, "_diffusers_version": "0.42.1", **kinds, **index}
    )
    return folder


def _library(model) -> str:
    if isinstance(model, StableDiffusionSafetyChecker):
        return "stable_diffusion"
    return "transformers" if isinstance(model, (CLIPTextModel, CLIPTextModelWithProjection)) else "diffusers"


def save_component(folder: Path, model, storage: str = "safetensors", hub_names: bool = False) -> None:
    """Writes one model's config and weights."""
    if storage == "fp16":
        model = copy.deepcopy(model).half()
    model.save_pretrained(folder, variant="fp16" if storage == "fp16" else None)
    if not hub_names and storage != "bin":
        return
    (written,) = folder.glob("*.safetensors")
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    state = to_hub_names(model, state) if hub_names else state
    if storage == "bin":
        written.unlink()
        torch.save(state, folder / f"{'pytorch_model' if written.stem == 'model' else written.stem}.bin")
    else:
        save_file(state, written, metadata={"format": "pt"})


def to_hub_names(model, state: dict) -> dict:
    """A state dict as transformers 4 and old versions of diffusers wrote it."""
    if isinstance(model, AutoencoderKL):
        return to_old_attention_keys(state)
    if isinstance(model, StableDiffusionSafetyChecker):
        buffer = "vision_model.vision_model.embeddings.position_ids"
        state = {name.replace("vision_model.", "vision_model.vision_model.", 1): t for name, t in state.items()}
        return {**state, buffer: torch.arange(model.config.vision_config.image_size // 32 + 1)[None]}
    if isinstance(model, CLIPTextModel):
        state = {f"text_model.{name}": tensor for name, tensor in state.items()}
    if isinstance(model, (CLIPTextModel, CLIPTextModelWithProjection)):
        positions = torch.arange(model.config.max_position_embeddings)[None]
        return {**state, "text_model.embeddings.position_ids": positions}
    return state


def load_pipeline(checkpoint: Path, dtype: torch.dtype = torch.float32) -> DiffusionPipeline:
    """The checkpoint as diffusers loads it, all in one dtype."""
    names = [path.name for path in (checkpoint / "unet").iterdir()]
    variant = "fp16" if any("fp16" in name for name in names) else None
    safetensors = any(name.endswith("safetensors") for name in names)
    pipeline = DiffusionPipeline.from_pretrained(
        checkpoint, variant=variant, use_safetensors=safetensors, torch_dtype=dtype
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def loaded_once(make, **options):
    """A fixture of a module: a checkpoint of its own, as a folder and as diffusers loads it."""

    @pytest.fixture(scope="module")
    def checkpoint(tmp_path_factory):
        folder = make(tmp_path_factory.mktemp(make.__name__) / "model", **options)
        return folder, load_pipeline(folder)

    return checkpoint
