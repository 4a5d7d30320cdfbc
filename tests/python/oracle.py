"""The oracle: what diffusers makes of a checkpoint. `sample` is DDPMPipeline's loop, written out so that it also gives
the final latents, takes start noise and any size, and works in half precision; test_parity_ddpm.py checks that it is
the pipeline's loop, bit for bit. Noise is always drawn in fp32 from one CPU generator and then cast."""

import inspect
import warnings
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import diffusers
import numpy as np
import torch
from diffusers import DDPMPipeline, DDPMScheduler, SchedulerMixin, UNet2DModel

LATENTS_BAR = 1e-4  # of the largest absolute value
EQUAL_SHARE = 0.999  # of the 8-bit values; the rest may differ by 1
HALF_PRECISION_FACTOR = 1.2  # of diffusers' own distance to fp32
HALF_TYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}

diffusers.utils.logging.set_verbosity_error()

SCHEDULER_CLASSES = {
    "ddpm": diffusers.DDPMScheduler,
    "ddim": diffusers.DDIMScheduler,
    "pndm": diffusers.PNDMScheduler,
    "dpmsolver++": diffusers.DPMSolverMultistepScheduler,
    "dpmsolver++-single": diffusers.DPMSolverSinglestepScheduler,
    "euler": diffusers.EulerDiscreteScheduler,
    "euler-a": diffusers.EulerAncestralDiscreteScheduler,
    "heun": diffusers.HeunDiscreteScheduler,
    "lms": diffusers.LMSDiscreteScheduler,
    "unipc": diffusers.UniPCMultistepScheduler,
    "lcm": diffusers.LCMScheduler,
}


@dataclass
class Sampled:
    latents: torch.Tensor  # fp32, [N, C, H, W]
    pictures: list[np.ndarray]  # 8-bit, [H, W] or [H, W, C]


def load(checkpoint: Path) -> tuple[UNet2DModel, DDPMScheduler]:
    """The components of a checkpoint as diffusers loads them, the weights as fp32."""
    folder = component(checkpoint, "unet")
    names = [file.name for file in folder.glob("diffusion_pytorch_model*")]
    variant = None if any("fp16" not in name for name in names) else "fp16"
    safetensors = any("safetensors" in name for name in names)
    with warnings.catch_warnings(action="ignore"):
        unet = UNet2DModel.from_pretrained(folder, variant=variant, use_safetensors=safetensors)
    return unet.float().eval().requires_grad_(False), load_scheduler(checkpoint)


def load_scheduler(checkpoint: Path) -> DDPMScheduler:
    return DDPMScheduler.from_pretrained(component(checkpoint, "scheduler"))


def component(checkpoint: Path, name: str) -> Path:
    """A component's folder; the checkpoint's own in root layout."""
    return checkpoint / name if (checkpoint / name).is_dir() else checkpoint


def draw_fp32(shape, generator=None, device=None, dtype=None, layout=None):
    """In place of diffusers' randn_tensor, which draws in the model's type."""
    return torch.randn(tuple(shape), generator=generator).to(dtype)


@torch.inference_mode()
def sample(
    unet: UNet2DModel,
    scheduler: SchedulerMixin,
    seed: int = 0,
    steps: int = 10,
    batch: int = 1,
    size: tuple[int, int] | None = None,  # height, width
    latents: torch.Tensor | None = None,
) -> Sampled:
    """One batch in the UNet's dtype, with the scheduler's class and config."""
    generator = torch.Generator().manual_seed(seed)
    size = size or unet.config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    shape = (batch, unet.config.in_channels, height, width)
    scheduler = type(scheduler).from_config(scheduler.config)
    scheduler.set_timesteps(steps)
    takes_generator = "generator" in inspect.signature(scheduler.step).parameters
    extra = {"generator": generator} if takes_generator else {}
    with mock.patch(f"{type(scheduler).__module__}.randn_tensor", draw_fp32, create=True):
        image = draw_fp32(shape, generator, dtype=unet.dtype) if latents is None else latents.to(unet.dtype)
        image = image * scheduler.init_noise_sigma
        for t in scheduler.timesteps:
            output = unet(scheduler.scale_model_input(image, t), t).sample
            image = scheduler.step(output, t, image, **extra).prev_sample
    return Sampled(image.float(), to_pictures(image.float()))


def to_pictures(image: torch.Tensor) -> list[np.ndarray]:
    array = (image / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy()
    return [np.asarray(picture) for picture in DDPMPipeline.numpy_to_pil(array)]


def half_precision_twin(unet: UNet2DModel, dtype: torch.dtype) -> UNet2DModel:
    twin = UNet2DModel.from_config(unet.config).eval().requires_grad_(False)
    twin.load_state_dict(unet.state_dict())
    return twin.to(dtype)


def rms(difference: torch.Tensor) -> float:
    return difference.double().square().mean().sqrt().item()


def assert_half_precision(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> None:
    """The bar for half precision, over several runs' differences to fp32: ours and diffusers' own."""
    distance, own = (rms(torch.cat([d.flatten() for d in differences])) for differences in (ours, theirs))
    assert distance <= own * HALF_PRECISION_FACTOR, f"{distance / own:.2f} times diffusers' own distance to fp32"
    assert distance > own / 1000, "the run was not in half precision"


def assert_latents_equal(ours: torch.Tensor, expected: torch.Tensor) -> None:
    assert ours.shape == expected.shape
    assert torch.isfinite(expected).all(), "the oracle itself is not finite: this test shows nothing"
    relative = ((ours - expected).abs().max() / expected.abs().max()).item()
    assert relative <= LATENTS_BAR, f"latents are {relative:.2e} of the largest value apart"


def assert_pictures_equal(ours: list[np.ndarray], expected: list[np.ndarray]) -> None:
    """The bar for pictures, over all values of the list: at 16x16 one value is already more than a picture's 0.1 %."""
    assert [p.shape for p in ours] == [p.shape for p in expected]
    ours, expected = (np.concatenate([p.ravel() for p in pictures]).astype(int) for pictures in (ours, expected))
    different = np.abs(ours - expected)
    assert different.max() <= 1
    assert (different == 0).mean() >= EQUAL_SHARE, f"{(different > 0).sum()} of {different.size} values differ by 1"
