"""The experiments as diffusers runs them, for scripts/bench_peers.py: a class for each makes the full-size checkpoint with
random weights, loads it for one peer, times its stages and makes a picture."""

import io
import json
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
DATA = ROOT / "tests" / "data"
DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
PROMPT, NEGATIVE_PROMPT = "a cat, fat, with brown fur, with short legs", "low quality, bad quality"


class Skipped(Exception):
    """A contender that cannot take part, or has no time left."""


def torch_dtype(dtype: str, peer: str):
    """OpenVINO reads a model in fp32 and has a setting for the dtype in which it computes."""
    import torch

    return torch.float32 if peer == "openvino" else getattr(torch, DTYPES[dtype])


def arrange(module, peer: str):
    """The module in the peer's memory layout, compiled where the peer is torch.compile."""
    import torch

    if peer in ("channels_last", "compile"):
        module = module.to(memory_format=torch.channels_last)
    if peer == "compile":
        import torch._inductor.config

        torch._inductor.config.freezing = True
        module = torch.compile(module, dynamic=False)
    return module


def to_openvino(function, dtype: str, example: tuple):
    """A function of tensors with a tensor as its result, as OpenVINO computes it."""
    import openvino
    import torch

    class Plain(torch.nn.Module):
        def forward(self, *inputs):
            return function(*inputs)

    model = openvino.convert_model(Plain().eval(), example_input=example)
    precision = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}[dtype]
    options = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.compile_model(model, "CPU", options)
    return lambda *inputs: torch.from_numpy(compiled(tuple(x.float().numpy() for x in inputs))[0])


class Stopwatch:
    """Seconds of what is done inside `with`, in a dictionary."""

    def __init__(self):
        self.seconds = {}

    def __call__(self, name: str):
        self.name = name
        return self

    def __enter__(self):
        self.start = time.perf_counter()

    def __exit__(self, *_):
        self.seconds[self.name] = time.perf_counter() - self.start


class DDPM:
    """google/ddpm-cat-256."""

    command, size = "ddpm", 256

    @staticmethod
    def make_checkpoint(folder: Path, size: int) -> None:
        import torch
        from diffusers import UNet2DModel

        torch.manual_seed(0)
        config = UNet2DModel.load_config(DATA / "ddpm-cat-256")
        UNet2DModel.from_config({**config, "sample_size": size}).save_pretrained(folder)
        for name in ("model_index.json", "scheduler_config.json"):
            (folder / name).write_text((DATA / "ddpm-cat-256" / name).read_text())

    def __init__(self, folder: str, dtype: str, peer: str, size: int):
        import torch
        from diffusers import DDPMScheduler, UNet2DModel

        self.dtype, self.size = torch_dtype(dtype, peer), size
        unet = UNet2DModel.from_pretrained(folder, torch_dtype=self.dtype).eval()
        if peer == "openvino":
            unet.requires_grad_(False)  # tracing takes no constants that want a gradient
            self.unet = to_openvino(lambda x, t: unet(x, t, return_dict=False)[0], dtype,
                                    (torch.zeros(1, 3, size, size), torch.tensor(1.0)))
        else:
            arranged = arrange(unet, peer)
            self.unet = lambda x, t: arranged(x, t, return_dict=False)[0]
        self.scheduler = DDPMScheduler.from_pretrained(folder)

    def sample(self, steps: int, batch: int):
        import torch

        generator = torch.Generator().manual_seed(0)
        sample = torch.randn(batch, 3, self.size, self.size, generator=generator).to(self.dtype)
        self.scheduler.set_timesteps(steps)
        for t in self.scheduler.timesteps:
            sample = self.scheduler.step(self.unet(sample, t), t, sample, generator=generator).prev_sample
        return sample

    def timings(self, steps: int, batch: int) -> dict[str, float]:
        watch = Stopwatch()
        with watch("step"):
            self.sample(steps, batch)
        return {"step": watch.seconds["step"] / steps}

    def picture(self, steps: int):
        from diffusers.image_processor import VaeImageProcessor

        return VaeImageProcessor().postprocess(self.sample(steps, 1).float())[0]


def save_text_encoder(model, folder: Path) -> None:
    """With the published checkpoints' keys, which stable-diffusion.cpp reads; transformers 5 drops their text_model."""
    tensors = model.state_dict().items()
    model.save_pretrained(folder, state_dict={
        name if name.startswith("text_") else f"text_model.{name}": tensor for name, tensor in tensors
    })


class StableDiffusion:
    """What the three experiments share; a subclass says which model it is."""

    data: str
    command: str
    size, guidance, inpaints, storage = 512, 7.5, False, "float32"

    @classmethod
    def make_checkpoint(cls, folder: Path, size: int) -> None:
        import diffusers
        import torch
        import transformers

        sys.path.insert(0, str(ROOT / "tests" / "python"))
        from clip_vocabulary import END, write_tokenizer

        torch.manual_seed(0)
        torch.set_default_dtype(getattr(torch, cls.storage))
        index = json.loads((DATA / cls.data / "model_index.json").read_text())
        index = {key: value for key, value in index.items() if key not in ("safety_checker", "feature_extractor")}
        for name, entry in index.items():
            source, target = DATA / cls.data / name, folder / name
            if name.startswith("tokenizer"):
                write_tokenizer(target, "!" if cls.inpaints or name == "tokenizer_2" else END)
            elif name == "scheduler":
                target.mkdir(parents=True)
                (target / "scheduler_config.json").write_text((source / "scheduler_config.json").read_text())
            elif name.startswith("text_encoder"):
                config = transformers.CLIPTextConfig.from_pretrained(source)
                save_text_encoder(getattr(transformers, entry[1])(config), target)
            elif name in ("unet", "vae"):
                kind = getattr(diffusers, entry[1])
                kind.from_config(kind.load_config(source)).save_pretrained(target, max_shard_size="20GB")
        torch.set_default_dtype(torch.float32)
        index.update(_diffusers_version="0.42.1", requires_safety_checker=False)
        if "text_encoder_2" not in index:
            index.update(safety_checker=[None, None], feature_extractor=[None, None])
        (folder / "model_index.json").write_text(json.dumps(index))

    def __init__(self, folder: str, dtype: str, peer: str, size: int):
        import torch
        from diffusers import DiffusionPipeline

        self.dtype, self.size = torch_dtype(dtype, peer), size
        self.pipeline = pipeline = DiffusionPipeline.from_pretrained(folder, torch_dtype=self.dtype)
        pipeline.set_progress_bar_config(disable=True)
        if peer != "openvino":
            pipeline.unet = arrange(pipeline.unet, peer)
            pipeline.vae.decoder = arrange(pipeline.vae.decoder, peer)
            return
        unet, decoder, latent = pipeline.unet, pipeline.vae.decoder, size // pipeline.vae_scale_factor
        for module in (unet, decoder):
            module.requires_grad_(False)  # tracing takes no constants that want a gradient
        halves = 2 if self.guidance > 1 else 1
        example = (torch.zeros(halves, unet.config.in_channels, latent, latent), torch.tensor(1.0),
                   torch.zeros(halves, 77, unet.config.cross_attention_dim))
        added = ("text_embeds", "time_ids") if "text_encoder_2" in pipeline.components else ()
        if added:
            example += torch.zeros(halves, pipeline.text_encoder_2.config.projection_dim), torch.zeros(halves, 6)

        def predict(x, t, text, *conditions):
            return unet(x, t, text, added_cond_kwargs=dict(zip(added, conditions)), return_dict=False)[0]

        step = to_openvino(predict, dtype, example)
        decode = to_openvino(decoder.forward, dtype, (torch.zeros(1, 4, latent, latent),))
        unet.forward = lambda x, t, encoder_hidden_states, added_cond_kwargs=None, **_: (
            step(x, t, encoder_hidden_states, *(added_cond_kwargs[name] for name in added)),
        )
        decoder.forward = lambda latents, *_: decode(latents)

    def encode(self, batch: int):
        """What the UNet reads besides the latents: text, SDXL's added conditions, the masked picture."""
        import torch

        encoded = self.pipeline.encode_prompt(
            prompt=[PROMPT] * batch, device="cpu", num_images_per_prompt=1,
            do_classifier_free_guidance=self.guidance > 1, negative_prompt=[NEGATIVE_PROMPT] * batch,
        )
        text = torch.cat([encoded[1], encoded[0]]) if self.guidance > 1 else encoded[0]
        added = None
        if len(encoded) == 4:
            sizes = [self.size, self.size, 0, 0, self.size, self.size]
            added = dict(text_embeds=encoded[2], time_ids=torch.tensor([sizes] * batch, dtype=self.dtype))
        masked = None
        if self.inpaints:
            image = torch.zeros(1, 3, self.size, self.size, dtype=self.dtype)
            masked = self.pipeline.vae.encode(image).latent_dist.mean
        return text, added, masked

    def timings(self, steps: int, batch: int) -> dict[str, float]:
        import torch

        pipeline, watch = self.pipeline, Stopwatch()
        side = self.size // pipeline.vae_scale_factor
        latents = torch.randn(batch, 4, side, side).to(self.dtype)
        with watch("encode"):
            text, added, masked = self.encode(batch)
        with watch("step"):
            for t in [torch.tensor(float(500 - i)) for i in range(steps)]:
                x = latents
                if masked is not None:
                    x = torch.cat([x, torch.ones_like(x[:, :1]), masked.expand(batch, -1, -1, -1)], 1)
                if self.guidance > 1:
                    x = torch.cat([x, x])
                output = pipeline.unet(x, t, encoder_hidden_states=text, added_cond_kwargs=added, return_dict=False)[0]
                if self.guidance > 1:
                    negative, positive = output.chunk(2)
                    output = negative + self.guidance * (positive - negative)
                latents = latents - 0.01 * output.to(self.dtype)
        with watch("decode"):
            for latent in latents.split(1):
                picture = pipeline.vae.decode(latent / pipeline.vae.config.scaling_factor, return_dict=False)[0]
                pipeline.image_processor.postprocess(picture.float())[0].save(io.BytesIO(), "png")
        return {**watch.seconds, "step": watch.seconds["step"] / steps}

    def picture(self, steps: int):
        inputs = dict(prompt=PROMPT, num_inference_steps=steps, guidance_scale=self.guidance,
                      height=self.size, width=self.size)
        if self.guidance > 1:
            inputs["negative_prompt"] = NEGATIVE_PROMPT
        if self.inpaints:
            image, mask = grey_pictures(self.size)
            inputs.update(image=image, mask_image=mask)
        return self.pipeline(**inputs).images[0]


class SD15(StableDiffusion):
    data, command = "sd-v1-5", "sd15"


class SD2Inpaint(StableDiffusion):
    data, command, inpaints = "sd-v2-inpainting", "sd2-inpaint", True


class SDXLTurbo(StableDiffusion):
    data, command, guidance, storage = "sdxl-turbo", "sdxl-turbo", 0.0, "bfloat16"


EXPERIMENTS = {experiment.command: experiment for experiment in (DDPM, SD15, SD2Inpaint, SDXLTurbo)}


def grey_pictures(size: int):
    """A picture, and a mask that has all of it painted anew."""
    from PIL import Image

    return Image.new("RGB", (size, size), "grey"), Image.new("L", (size, size), "white")
