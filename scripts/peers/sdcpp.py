"""stable-diffusion.cpp as a peer of scripts/bench_peers.py, through the C interface of its Python package: the class
that the package has keeps all weights to the end, while the library's default is to free them after their last use."""

import ctypes
import io
import json
import time
from pathlib import Path

import stable_diffusion_cpp as sd
from PIL import Image
from stable_diffusion_cpp.stable_diffusion_cpp import _lib as library

from peers.experiments import NEGATIVE_PROMPT, PROMPT, Skipped, StableDiffusion, grey_pictures

WEIGHTS = {"f32": sd.GGMLType.SD_TYPE_F32, "f16": sd.GGMLType.SD_TYPE_F16}
LAST_LINES = {"encode": b"get_learned_condition completed", "step": b"latent images completed"}  # of a stage in the log
ERROR = 3  # a level of the log


def with_defaults(kind: type, initialise: str):
    """A structure of the library's parameters, filled in by it."""
    parameters = kind()
    getattr(library, initialise)(ctypes.byref(parameters))
    return parameters


def to_image(picture) -> sd.sd_image_t:
    data = (ctypes.c_uint8 * len(picture.tobytes())).from_buffer_copy(picture.tobytes())
    return sd.sd_image_t(*picture.size, len(picture.getbands()), ctypes.cast(data, ctypes.POINTER(ctypes.c_uint8)))


def to_picture(image: sd.sd_image_t):
    size = image.width, image.height
    return Image.frombytes("RGB", size, ctypes.string_at(image.data, 3 * image.width * image.height))


class StableDiffusionCpp:
    """Samples by the library's default, Euler a, which evaluates the UNet once a step; a batch is one picture after the
    other. `once` frees the weights of each component after its use, as the library's own program does."""

    def __init__(self, experiment: type, folder: str, weights: str, size: int, once: bool):
        if not issubclass(experiment, StableDiffusion):
            raise Skipped("it has no such model")
        self.experiment, self.folder, self.size, self.ends, self.errors = experiment, Path(folder), size, {}, []
        self.callbacks = sd.sd_log_callback(self.log), sd.sd_progress_callback(lambda *_: None)
        sd.sd_set_log_callback(self.callbacks[0], None)
        sd.sd_set_progress_callback(self.callbacks[1], None)
        parameters = with_defaults(sd.sd_ctx_params_t, "sd_ctx_params_init")
        parameters.model_path, parameters.wtype = folder.encode(), WEIGHTS[weights]
        second_encoder = self.folder / "text_encoder_2" / "model.safetensors"
        if second_encoder.exists():  # it reads the rest of the folder by itself, this under a wrong name
            parameters.clip_g_path = str(second_encoder).encode()
        parameters.vae_decode_only, parameters.free_params_immediately = not experiment.inpaints, once
        self.context = self.made(sd.new_sd_ctx(ctypes.byref(parameters)))

    def log(self, level: int, line: bytes, _) -> None:
        self.ends.update({stage: time.perf_counter() for stage, last in LAST_LINES.items() if last in line})
        if level == ERROR:
            self.errors.append(line.decode(errors="replace").strip())

    def made(self, pointer):
        if not pointer:
            raise Skipped(self.errors[-1] if self.errors else "it does not say why")
        return pointer

    def pictures(self, steps: int, batch: int) -> list:
        request = with_defaults(sd.sd_img_gen_params_t, "sd_img_gen_params_init")
        request.prompt, request.negative_prompt = PROMPT.encode(), NEGATIVE_PROMPT.encode()
        request.width = request.height = self.size
        request.sample_params.sample_steps, request.batch_count = steps, batch
        request.sample_params.guidance.txt_cfg = max(1.0, self.experiment.guidance)
        if self.experiment.inpaints:
            request.strength = 1.0
            request.init_image, request.mask_image = map(to_image, grey_pictures(self.size))
        return list(map(to_picture, self.made(sd.generate_image(self.context, ctypes.byref(request)))[:batch]))

    def timings(self, steps: int, batch: int) -> dict[str, float]:
        start = time.perf_counter()
        for picture in self.pictures(steps, batch):
            picture.save(io.BytesIO(), "png")
        encoded, sampled = self.ends["encode"], self.ends["step"]
        return {"encode": encoded - start, "step": (sampled - encoded) / steps, "decode": time.perf_counter() - sampled}

    def picture(self, steps: int):
        """As many evaluations of the UNet as the checkpoint's scheduler would make: PNDM makes one more than steps."""
        scheduler = json.loads((self.folder / "scheduler" / "scheduler_config.json").read_text())["_class_name"]
        return self.pictures(steps + (scheduler == "PNDMScheduler"), 1)[0]
