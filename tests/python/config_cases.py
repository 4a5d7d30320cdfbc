"""Random configs of checkpoints that diffusers runs, each made from one number: `make_case(seed)`. A case changes some
fields of scheduler, UNet, VAE and text encoders, to values that people's files have and to others that diffusers'
classes take, on small random weights; test_config_fuzz.py runs them."""

import json
import random
from dataclasses import dataclass, field

from checkpoints import SMALL
from sd_checkpoints import TEXT, TEXT_2_OF_XL, TEXT_OF_V2, UNET, UNET_OF_V2, UNET_OF_XL


@dataclass
class Case:
    seed: int
    kind: str  # of KINDS
    command: str
    image: bool = False
    mask: bool = False
    configs: dict[str, dict] = field(default_factory=dict)  # by component; what is off the checkpoint maker's defaults
    index: dict = field(default_factory=dict)  # of model_index.json
    settings: dict = field(default_factory=dict)  # of the run
    swap: str | None = None  # a sampler in place of the checkpoint's own
    pipeline: str = ""  # the class of diffusers that runs it
    short: bool = False  # keys that have their class's default are not in the files
    picture: tuple[int, int] = (64, 64)
    sized: bool = False  # --width and --height are those of the picture

    @property
    def sampler(self) -> str | None:
        """What has to be asked for: sd15 has a sampler of its own."""
        own = NAMES.get(self.configs["scheduler"]["_class_name"])
        if self.command == "sd15" and self.swap == "dpmsolver++":
            return None
        return self.swap or (own if self.command == "sd15" else None)

    def __str__(self) -> str:
        parts = {"command": self.command, "pipeline": self.pipeline, **self.configs, "index": self.index}
        parts.update(settings=self.settings, swap=self.swap, short=self.short)
        if self.image:
            parts.update(picture=self.picture, sized=self.sized)
        text = "\n".join(f"  {name}: {json.dumps(value)}" for name, value in parts.items() if value)
        return f"case {self.seed} ({self.kind})\n{text}"

    def fields(self) -> set[str]:
        """The names of all changed fields: a refusal has to name one."""
        return {key for config in [*self.configs.values(), self.index, self.settings] for key in config}


BETAS = {
    "beta_schedule": ["linear", "scaled_linear", "squaredcos_cap_v2"],
    "beta_start": [0.0001, 0.00085, 0.001],
    "beta_end": [0.012, 0.02, 0.014],
    "num_train_timesteps": [1000, 1000, 100, 1500],
}
PREDICTION = ["epsilon", "v_prediction", "sample"]
SPACING = {"timestep_spacing": ["leading", "linspace", "trailing"], "steps_offset": [0, 1, 2]}
THRESHOLDING = {
    "thresholding": [True, False, None],
    "dynamic_thresholding_ratio": [0.9, 0.995, 0.5],
    "sample_max_value": [1.0, 1.5, 3, None],
}
CLIPPING = {"clip_sample": [True, False, None], "clip_sample_range": [1.0, 0.5, 2]}
SIGMAS = {key: [True, False] for key in ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")}
FINAL = {"final_sigmas_type": ["zero", "sigma_min"]}
FLOW = {"flow_shift": [1.0, 3.0]}
ZERO_SNR = {"rescale_betas_zero_snr": [True, False, None]}
LIMITS = {"sigma_min": [None, 0.03, 0.1], "sigma_max": [None, 10.0, 14.6]}

SCHEDULERS: dict[str, dict[str, list]] = {
    "DDPMScheduler": {
        **THRESHOLDING,
        **CLIPPING,
        **ZERO_SNR,
        "variance_type": ["fixed_small", "fixed_small_log", "fixed_large"],
        "beta_schedule": [*BETAS["beta_schedule"], "sigmoid", "laplace"],
    },
    "DDIMScheduler": {**THRESHOLDING, **CLIPPING, **ZERO_SNR, "set_alpha_to_one": [True, False, None]},
    "PNDMScheduler": {"skip_prk_steps": [True, False, None], "set_alpha_to_one": [True, False]},
    "DPMSolverMultistepScheduler": {
        **THRESHOLDING,
        **SIGMAS,
        **FINAL,
        **FLOW,
        **ZERO_SNR,
        "solver_order": [1, 2, 3],
        "algorithm_type": ["dpmsolver++", "dpmsolver", "sde-dpmsolver++", "sde-dpmsolver", "deis"],
        "solver_type": ["midpoint", "heun", "logrho", "bh1", "bh2"],
        "lower_order_final": [True, False, None],
        "euler_at_final": [True, False],
        "use_lu_lambdas": [True, False],
        "lambda_min_clipped": [-5.1, float("-inf"), -3],
        "variance_type": [None, "fixed_small"],
    },
    "DPMSolverSinglestepScheduler": {
        **THRESHOLDING,
        **SIGMAS,
        **FINAL,
        **FLOW,
        "solver_order": [1, 2, 3],
        "algorithm_type": ["dpmsolver++", "dpmsolver", "sde-dpmsolver++", "deis"],
        "solver_type": ["midpoint", "heun", "logrho", "bh2"],
        "lower_order_final": [True, False, None],
        "lambda_min_clipped": [-5.1, float("-inf")],
        "variance_type": [None, "fixed_small"],
    },
    "EulerDiscreteScheduler": {
        **SIGMAS,
        **FINAL,
        **LIMITS,
        **ZERO_SNR,
        "interpolation_type": ["linear", "log_linear"],
        "timestep_type": ["discrete", "continuous"],
    },
    "EulerAncestralDiscreteScheduler": {**ZERO_SNR},
    "HeunDiscreteScheduler": {**SIGMAS, **CLIPPING, "beta_schedule": [*BETAS["beta_schedule"], "exp"]},
    "LMSDiscreteScheduler": {**SIGMAS},
    "UniPCMultistepScheduler": {
        **THRESHOLDING,
        **SIGMAS,
        **FINAL,
        **FLOW,
        **LIMITS,
        **ZERO_SNR,
        "solver_order": [1, 2, 3],
        "predict_x0": [True, False],
        "solver_type": ["bh1", "bh2", "midpoint", "heun", "logrho"],
        "lower_order_final": [True, False, None],
        "disable_corrector": [[], [0], [0, 1], [1]],
        "solver_p": [None],
    },
    "LCMScheduler": {
        **THRESHOLDING,
        **CLIPPING,
        **ZERO_SNR,
        "original_inference_steps": [50, 20, 100],
        "set_alpha_to_one": [True, False],
        "timestep_scaling": [10.0, 5.0],
    },
}
WITHOUT_SAMPLE = {"PNDMScheduler", "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler"}
# What diffusers runs, and the program does not have.
OTHER_SCHEDULERS = [
    "KDPM2DiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "DEISMultistepScheduler",
    "TCDScheduler",
]
NAMES = {
    "DDPMScheduler": "ddpm",
    "DDIMScheduler": "ddim",
    "PNDMScheduler": "pndm",
    "DPMSolverMultistepScheduler": "dpmsolver++",
    "DPMSolverSinglestepScheduler": "dpmsolver++-single",
    "EulerDiscreteScheduler": "euler",
    "EulerAncestralDiscreteScheduler": "euler-a",
    "HeunDiscreteScheduler": "heun",
    "LMSDiscreteScheduler": "lms",
    "UniPCMultistepScheduler": "unipc",
    "LCMScheduler": "lcm",
}
# The schedulers of unconditional pipelines: DDPMPipeline gives a generator to step, which not all take.
OF_PIXELS = ["DDPMScheduler", "DDIMScheduler", "DPMSolverMultistepScheduler", "LCMScheduler"]

ACTIVATIONS = ["silu", "swish", "mish", "gelu", "relu"]
TEXT_ACTIVATIONS = [*ACTIVATIONS, "quick_gelu", "gelu_new", "gelu_pytorch_tanh", "gelu_fast", "quick_gelu", "gelu", "tanh"]


class Chooser:
    def __init__(self, seed: int):
        self.random = random.Random(seed)

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def one(self, values):
        return self.random.choice(list(values))

    def some(self, table: dict[str, list], share: float) -> dict:
        return {key: self.one(values) for key, values in table.items() if self.chance(share)}


def scheduler_config(c: Chooser, classes: list[str]) -> dict:
    kind = c.one(OTHER_SCHEDULERS) if c.chance(0.03) else c.one(classes)
    own = SCHEDULERS.get(kind, {})
    config = {"_class_name": kind, **c.some({**BETAS, **SPACING, **own}, 0.3)}
    if c.chance(0.35):
        config["prediction_type"] = c.one(PREDICTION[: 2 if kind in WITHOUT_SAMPLE else 3])
    if config.get("algorithm_type", "++").endswith("++") is False and c.chance(0.9):
        config["final_sigmas_type"] = "sigma_min"
    if kind == "LCMScheduler" or kind in OTHER_SCHEDULERS:
        config.pop("num_train_timesteps", None)
    elif c.chance(0.08):
        count = c.one([20, 50])
        betas = [round(0.002 + 0.2 / count * i, 5) for i in range(count)]
        config.update(num_train_timesteps=count, trained_betas=betas)
    if c.chance(0.05):
        config["use_flow_sigmas"] = False
    if c.chance(0.2):  # a key of other classes, which this one may read or not
        others = {**SIGMAS, **CLIPPING, **FINAL, "skip_prk_steps": [True], "set_alpha_to_one": [True]}
        config.update(c.some(others, 0.3))
    one_of = [key for key in SIGMAS if config.get(key)]
    for key in one_of[1:]:
        config[key] = False
    return config


def pixel_unet(c: Chooser) -> dict:
    levels = c.one([1, 2, 2, 3])
    groups = c.one([2, 4, 8])
    types = ["", "Attn", "Resnet"]
    plain = {"": "{}Block2D", "Attn": "Attn{}Block2D", "Resnet": "Resnet{}sampleBlock2D"}
    channels = c.one([1, 3, 3, 4])
    shape = dict(
        SMALL,
        block_out_channels=[groups * c.one([1, 2, 3, 4]) for _ in range(levels)],
        down_block_types=[plain[c.one(types)].format("Down") for _ in range(levels)],
        up_block_types=[plain[c.one(types)].format("Up") for _ in range(levels)],
        norm_num_groups=groups,
        in_channels=channels,
        out_channels=channels,
        sample_size=c.one([16, 16, 8, [8, 16]]),
    )
    shape["attention_head_dim"] = c.one([None, 1, 2, min(shape["block_out_channels"])])
    shape.update(
        c.some(
            {
                "center_input_sample": [True, False],
                "time_embedding_type": ["positional", "fourier"],
                "time_embedding_dim": [16, 20, None],
                "freq_shift": [0, 1],
                "flip_sin_to_cos": [True, False],
                "mid_block_type": ["UNetMidBlock2D", None],
                "layers_per_block": [1, 2, 3],
                "mid_block_scale_factor": [1, 1.5],
                "downsample_padding": [0, 1],
                "downsample_type": ["conv", "resnet"],
                "upsample_type": ["conv", "resnet"],
                "dropout": [0.0, 0.1],
                "act_fn": ACTIVATIONS,
                "attn_norm_num_groups": [1, 2, None],
                "norm_eps": [1e-5, 1e-6, 1e-3],
                "resnet_time_scale_shift": ["default", "scale_shift"],
                "add_attention": [True, False],
                "num_train_timesteps": [1000, None],
            },
            0.3,
        )
    )
    return shape


# Fields that SD's pipelines run, though hardly any checkpoint has them: at most one in a case.
UNUSUAL_UNET = [
    {"only_cross_attention": True},
    {"only_cross_attention": [True, False]},
    {"cross_attention_norm": "layer_norm"},
    {"cross_attention_norm": "group_norm"},
    {"timestep_post_act": "silu"},
    {"timestep_post_act": "mish"},
    {"time_embedding_type": "fourier"},
    {"resnet_skip_time_act": True},
    {"resnet_out_scale_factor": 1.4},
    {"mid_block_only_cross_attention": True},
    {"mid_block_type": "UNetMidBlock2DSimpleCrossAttn"},
    {"dual_cross_attention": True},
    {"time_cond_proj_dim": 16},
    {"encoder_hid_dim": 32},
    {"encoder_hid_dim": 32, "encoder_hid_dim_type": "text_proj"},
    {"encoder_hid_dim": 32, "encoder_hid_dim_type": None},
    {"attention_type": "gated"},
    {"addition_embed_type": "text"},
    {"addition_embed_type_num_heads": 32},
    {"projection_class_embeddings_input_dim": 24},
    {"addition_time_embed_dim": 24},
    {"down_block_types": ["CrossAttnDownBlock2D", "AttnDownBlock2D"]},
    {"down_block_types": ["CrossAttnDownBlock2D", "ResnetDownsampleBlock2D"]},
    {"down_block_types": ["SimpleCrossAttnDownBlock2D", "DownBlock2D"]},
    {"up_block_types": ["ResnetUpsampleBlock2D", "CrossAttnUpBlock2D"]},
    {"up_block_types": ["AttnUpBlock2D", "CrossAttnUpBlock2D"]},
    {"act_fn": "tanh"},
    {"conv_in_kernel": 4},
    {"conv_out_kernel": 2},
    {"downsample_padding": 2},
    {"norm_num_groups": None},
    {"cross_attention_dim": [32, 24]},
    {"attention_head_dim": [4, 8]},
]


def condition_unet(c: Chooser, base: dict) -> dict:
    levels = c.one([1, 2, 2, 2, 3])
    groups = c.one([4, 8])
    heads = [1, 2, 4]
    shape = dict(
        base,
        block_out_channels=[groups * c.one([4, 8]) for _ in range(levels)],
        down_block_types=[c.one(["CrossAttnDownBlock2D", "DownBlock2D"]) for _ in range(levels)],
        up_block_types=[c.one(["CrossAttnUpBlock2D", "UpBlock2D"]) for _ in range(levels)],
        norm_num_groups=groups,
        attention_head_dim=c.one([c.one(heads), [c.one(heads) for _ in range(levels)]]),
        transformer_layers_per_block=c.one([1, [c.one([1, 2]) for _ in range(levels)], 2]),
        sample_size=8,
    )
    shape.update(
        c.some(
            {
                "layers_per_block": [1, 2, [c.one([1, 2]) for _ in range(levels)]],
                "center_input_sample": [True, False],
                "flip_sin_to_cos": [True, False],
                "freq_shift": [0, 1],
                "downsample_padding": [1],
                "mid_block_scale_factor": [1, 1.5],
                "mid_block_type": ["UNetMidBlock2DCrossAttn", "UNetMidBlock2D", None],
                "dropout": [0.0, 0.1],
                "act_fn": ACTIVATIONS,
                "norm_eps": [1e-5, 1e-6, 1e-3],
                "use_linear_projection": [True, False],
                "upcast_attention": [True, False, None],
                "resnet_time_scale_shift": ["default", "scale_shift"],
                "time_embedding_dim": [32, 40, None],
                "time_embedding_act_fn": [None, *ACTIVATIONS],
                "time_embedding_type": ["positional"],
                "conv_in_kernel": [1, 3, 5],
                "conv_out_kernel": [1, 3, 5],
                "only_cross_attention": [False, [False] * levels],
                "dual_cross_attention": [False],
                "cross_attention_dim": [[base["cross_attention_dim"]] * levels],
                "encoder_hid_dim": [None],
                "class_embed_type": [None],
                "resnet_out_scale_factor": [1.0],
                "attention_type": ["default"],
                "num_attention_heads": [None],
            },
            0.2,
        )
    )
    if c.chance(0.15):
        unusual = c.one(UNUSUAL_UNET)
        shape.update(unusual)
        if any(isinstance(value, list) for value in unusual.values()):
            shape.update({key: value for key, value in two_levels(base).items() if key not in unusual})
    if shape.get("transformer_layers_per_block") == 1 and c.chance(0.1):
        del shape["transformer_layers_per_block"]
    return shape


def two_levels(base: dict) -> dict:
    keys = ("block_out_channels", "down_block_types", "up_block_types", "attention_head_dim", "norm_num_groups")
    return {
        **{key: base[key] for key in keys},
        "transformer_layers_per_block": 1,
        "layers_per_block": 1,
        "cross_attention_dim": base["cross_attention_dim"],
        "only_cross_attention": False,
    }


def vae_config(c: Chooser, levels: int) -> dict:
    groups = c.one([2, 4])
    shape = dict(
        block_out_channels=[groups * c.one([2, 4]) for _ in range(levels)],
        down_block_types=["DownEncoderBlock2D"] * levels,
        up_block_types=["UpDecoderBlock2D"] * levels,
        norm_num_groups=groups,
    )
    shape.update(
        c.some(
            {
                "layers_per_block": [1, 2],
                "act_fn": ["silu", "swish", "mish", "gelu", "relu"],
                "sample_size": [32, 64, 512],
                "scaling_factor": [0.18215, 0.13025, 1.0, 0.5],
                "shift_factor": [None, 0.1, -0.3],
                "latents_mean": [None, [0.1, -0.2, 0.3, 0.05]],
                "latents_std": [None, [1.1, 0.9, 0.7, 1.3]],
                "force_upcast": [True, False, None],
                "use_quant_conv": [True, False],
                "use_post_quant_conv": [True, False],
                "mid_block_add_attention": [True, False],
            },
            0.25,
        )
    )
    if c.chance(0.05):
        key, block = c.one([("down_block_types", "AttnDownEncoderBlock2D"), ("up_block_types", "AttnUpDecoderBlock2D")])
        shape[key] = [block] * levels
    return shape


def text_config(c: Chooser, base: dict) -> dict:
    changed = c.some(
        {
            "hidden_act": TEXT_ACTIVATIONS,
            "num_hidden_layers": [2, 3, 4],
            "num_attention_heads": [1, 2, 4],
            "intermediate_size": [48, 100],
            "layer_norm_eps": [1e-5, 1e-6, 1e-3],
            "eos_token_id": [2, 2513, 49407],
            "bos_token_id": [0, 49406],
            "pad_token_id": [1, 0],
            "max_position_embeddings": [77, 100],
            "attention_dropout": [0.0, 0.1],
            "initializer_factor": [1.0, 0.5],
            "projection_dim": [base["projection_dim"]],
            "use_attention_mask": [False],
        },
        0.2,
    )
    if c.chance(0.03):
        changed["use_attention_mask"] = True
    return changed


def run_settings(c: Chooser, kind: str) -> dict:
    settings = {"steps": c.one([1, 2, 3, 4, 6])}
    if kind == "ddpm":
        return settings
    settings["guidance"] = c.one([0, 1, 3.5, 7.5])
    if c.chance(0.3):
        settings["batch_size"] = 2
    if c.chance(0.3):
        settings["negative_prompt"] = c.one(["ugly", "a dog, low quality"])
    if c.chance(0.15):
        settings["clip_skip"] = 1
    return settings


KINDS = {"ddpm": 3, "sd15": 4, "sd2": 2, "inpaint": 2, "sdxl": 3}  # and how often
COMMANDS = {"sd15": "sd15", "sd2": "sd15", "inpaint": "sd2-inpaint", "sdxl": "sdxl-turbo"}
BASES = {
    "sd15": (UNET, TEXT),
    "sd2": (UNET_OF_V2, TEXT_OF_V2),
    "inpaint": (UNET_OF_V2, TEXT_OF_V2),
    "sdxl": (UNET_OF_XL, TEXT),
}


def pixel_case(seed: int, c: Chooser) -> Case:
    case = Case(seed, "ddpm", "ddpm", pipeline=c.one(["DDPMPipeline", "DDPMPipeline", "DDIMPipeline", "PNDMPipeline"]))
    classes = OF_PIXELS if case.pipeline == "DDPMPipeline" else list(SCHEDULERS)
    case.configs = {"scheduler": scheduler_config(c, classes), "unet": pixel_unet(c)}
    case.short = c.chance(0.3)
    case.settings = run_settings(c, "ddpm")
    if case.configs["unet"].get("time_embedding_type") == "fourier":  # which knows no timestep 0
        case.configs["scheduler"]["timestep_spacing"] = "trailing"
    if case.pipeline == "PNDMPipeline":
        case.settings["steps"] = c.one([4, 5, 7])  # fewer fail
        case.configs["unet"]["sample_size"] = 16
    return case


def make_case(seed: int) -> Case:
    c = Chooser(seed)
    kind = c.random.choices(list(KINDS), KINDS.values())[0]
    if kind == "ddpm":
        return pixel_case(seed, c)
    unet, text = BASES[kind]
    case = Case(seed, kind, COMMANDS[kind], image=kind == "inpaint" or c.chance(0.35))
    case.mask = kind == "inpaint" or (case.image and c.chance(0.4))
    levels = c.one([1, 2, 3, 4, 4])
    case.configs = {
        "scheduler": scheduler_config(c, list(SCHEDULERS)),
        "unet": condition_unet(c, unet),
        "vae": vae_config(c, levels),
        "text": text_config(c, text),
    }
    if kind == "inpaint":
        case.configs["unet"]["in_channels"] = 9
    if kind == "sdxl":
        case.configs["text_2"] = text_config(c, TEXT_2_OF_XL)
        if c.chance(0.2):
            case.index["force_zeros_for_empty_prompt"] = c.one([True, False])
        if c.chance(0.1):
            case.index["requires_aesthetics_score"] = False
    elif c.chance(0.1):
        case.index["requires_safety_checker"] = c.one([True, False])
    case.settings = run_settings(c, kind)
    if (kind == "sdxl" or not case.image) and c.chance(0.15):
        case.settings["guidance_rescale"] = 0.7  # the other pipelines ignore it
    if case.image:
        case.settings["strength"] = c.one([1.0, 0.8, 0.5])
        case.settings["steps"] = c.one([2, 3, 5, 6])
        case.picture = c.one([(64, 64), (72, 56), (68, 60), (61, 75)])
        case.sized = case.mask and case.picture in [(64, 64), (72, 56)] and c.chance(0.6)
    elif kind != "sdxl" and levels > 2 and c.chance(0.2):
        case.configs["unet"]["sample_size"] = [8, 12]  # diffusers fails where there is a picture
    case.short = c.chance(0.3)
    if c.chance(0.25):
        case.swap = c.one(NAMES.values())
    if case.swap == NAMES.get(case.configs["scheduler"]["_class_name"]):
        case.swap = None  # to the program that is the checkpoint's own, not a new one by from_config
    own = case.configs["scheduler"]["_class_name"]
    if case.command == "sd15" and not case.swap and (own in OTHER_SCHEDULERS or NAMES[own] == "dpmsolver++"):
        case.swap = "dpmsolver++"  # which this command sets by itself, by from_config
    if "pndm" in (case.swap, NAMES.get(own)):
        case.settings["steps"] = max(case.settings["steps"], 4)
    family = "StableDiffusionXL" if kind == "sdxl" else "StableDiffusion"
    case.pipeline = f"{family}{'Inpaint' if case.mask else 'Img2Img' if case.image else ''}Pipeline"
    return case
