#!/usr/bin/env python3
"""Times diffapple against its peers, interleaved in one run, on the same random weights of the full-size model.

Peers: diffusers eager in NCHW and in channels_last, diffusers under torch.compile with frozen weights, and OpenVINO
with the UNet converted from torch. (stable-diffusion.cpp cannot run DDPM; it joins with Stable Diffusion.) Two things
are measured: a step of the denoising loop, each contender in turn in every repeat, with a warm-up outside; and the
whole job, from the start of the process to the PNG on disk, with its peak memory. "diffapple/this" is the ratio of
medians: below 1, diffapple is faster (or smaller).

Run it alone on the machine, after scripts/setup.sh, with a Python that has the peers:

    python3 -m venv /tmp/peers && /tmp/peers/bin/pip install torch diffusers transformers accelerate openvino
    /tmp/peers/bin/python scripts/bench_peers.py

The tests' Python, .venv/test/bin/python, has all but OpenVINO. A peer that is missing or fails is left out, and a line
says why.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "tests" / "data" / "ddpm-cat-256"
DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
PEERS = ["channels_last", "contiguous", "compile", "openvino"]


class Skipped(Exception):
    """A contender that cannot take part, or has no time left."""


# --- the peers: run in processes of their own


def make_checkpoint(folder: Path, size: int) -> None:
    """A full-size google/ddpm-cat-256 with random weights: speed does not depend on their values."""
    import torch
    from diffusers import UNet2DModel

    torch.manual_seed(0)
    UNet2DModel.from_config({**UNet2DModel.load_config(CONFIG), "sample_size": size}).save_pretrained(folder)
    for name in ("model_index.json", "scheduler_config.json"):
        (folder / name).write_text((CONFIG / name).read_text())


def openvino_unet(unet, dtype: str):
    import openvino
    import torch

    class Plain(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.unet = unet

        def forward(self, sample, timestep):
            return self.unet(sample, timestep, return_dict=False)[0]

    size = unet.config.sample_size
    model = openvino.convert_model(Plain().eval(), example_input=(torch.zeros(1, 3, size, size), torch.tensor(1)))
    precision = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}[dtype]
    options = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.compile_model(model, "CPU", options)
    return lambda sample, t: torch.from_numpy(compiled((sample.float().numpy(), t.numpy()))[0])


def peer_unet(folder: str, dtype: str, peer: str):
    """The peer's UNet as a function of sample and timestep, and the dtype of its samples."""
    import torch
    from diffusers import UNet2DModel

    torch_dtype = torch.float32 if peer == "openvino" else getattr(torch, DTYPES[dtype])
    unet = UNet2DModel.from_pretrained(folder, torch_dtype=torch_dtype).eval()
    if peer == "openvino":
        return openvino_unet(unet, dtype), torch_dtype
    if peer != "contiguous":
        unet = unet.to(memory_format=torch.channels_last)
    if peer == "compile":
        import torch._inductor.config

        torch._inductor.config.freezing = True
        unet = torch.compile(unet, dynamic=False)
    return lambda sample, t: unet(sample, t, return_dict=False)[0], torch_dtype


class Peer:
    def __init__(self, folder: str, dtype: str, peer: str):
        from diffusers import DDPMScheduler

        self.unet, self.dtype = peer_unet(folder, dtype, peer)
        self.scheduler = DDPMScheduler.from_pretrained(folder)
        self.size = json.loads((Path(folder) / "config.json").read_text())["sample_size"]

    def sample(self, steps: int, batch: int):
        """Final sample and seconds of the loop."""
        import torch

        generator = torch.Generator().manual_seed(0)
        sample = torch.randn(batch, 3, self.size, self.size, generator=generator).to(self.dtype)
        self.scheduler.set_timesteps(steps)
        start = time.perf_counter()
        with torch.no_grad():
            for t in self.scheduler.timesteps:
                sample = self.scheduler.step(self.unet(sample, t), t, sample, generator=generator).prev_sample
        return sample, time.perf_counter() - start


def serve(folder: str, dtype: str, peer: str) -> None:
    """Reads lines 'steps batch', answers with seconds for that many steps."""
    contender = Peer(folder, dtype, peer)
    print("ready", flush=True)
    for line in sys.stdin:
        print(contender.sample(*map(int, line.split()))[1], flush=True)


def do_job(folder: str, dtype: str, peer: str, steps: str, png: str) -> None:
    from diffusers.image_processor import VaeImageProcessor

    sample, _ = Peer(folder, dtype, peer).sample(int(steps), 1)
    VaeImageProcessor().postprocess(sample.float())[0].save(png)


# --- the contenders, as the measuring process sees them


class Clock:
    """The time that is left: a process still running when it is up is ended."""

    def __init__(self, minutes: float):
        self.end = time.monotonic() + 60 * minutes

    def left(self) -> float:
        return max(0.0, self.end - time.monotonic())

    def guard(self, process: subprocess.Popen) -> threading.Timer:
        timer = threading.Timer(self.left(), process.kill)
        timer.daemon = True
        timer.start()
        return timer


class PeerProcess:
    def __init__(self, peer: str, folder: Path, dtype: str, clock: Clock):
        self.name = "OpenVINO" if peer == "openvino" else f"diffusers {peer}"
        self.arguments = [str(folder), dtype, peer]
        command = [sys.executable, __file__, "--serve", *self.arguments]
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True
        )
        self.timer = clock.guard(self.process)
        while (line := self.answer()) != "ready":
            pass  # what libraries print

    def answer(self) -> str:
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            lines = self.errors.read().strip().splitlines()
            raise Skipped(lines[-1] if lines else "no time left")
        return line.strip()

    def seconds_per_step(self, steps: int, batch: int) -> float:
        print(steps, batch, file=self.process.stdin, flush=True)
        return float(self.answer()) / steps

    def job(self, steps: int, folder: Path) -> list[str]:
        return [sys.executable, __file__, "--job", *self.arguments, str(steps), str(folder / "x.png")]

    def close(self) -> None:
        self.timer.cancel()
        self.process.kill()
        self.process.wait()


class Diffapple:
    name = "diffapple"

    def __init__(self, program: Path, folder: Path, dtype: str, clock: Clock):
        self.clock = clock
        self.command = [str(program), "ddpm", "--model", str(folder), "--dtype", dtype, "--json", "--quiet", "--force"]

    def seconds_per_step(self, steps: int, batch: int) -> float:
        """Two batches in one process, of which the first is the warm-up."""
        with tempfile.TemporaryDirectory() as out:
            options = ["--seed", "0,1", "--steps", str(steps), "--batch-size", str(batch), "--out", out]
            command = [*self.command, *options]
            run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=self.clock.left())
        return 1 / json.loads(run.stdout.splitlines()[-1])["it_per_s"]

    def job(self, steps: int, folder: Path) -> list[str]:
        return [*self.command, "--steps", str(steps), "--out", str(folder)]

    def close(self) -> None:
        pass


def run_job(contender, steps: int, clock: Clock) -> tuple[float, float]:
    """Seconds from the start of the process to its end, and its peak memory in GB."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        process = subprocess.Popen(
            contender.job(steps, Path(folder)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        timer = clock.guard(process)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        timer.cancel()
        if status != 0 or not list(Path(folder).rglob("*.png")):
            raise Skipped("its job failed, or no time was left")
    return seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


def measure(contenders: list, repeats: int, work) -> dict[str, list]:
    """work(contender) of every contender in turn, so often; one that fails takes no further part."""
    results = {contender: [] for contender in contenders}
    for _ in range(repeats):
        for contender in [c for c in contenders if c in results]:
            try:
                results[contender].append(work(contender))
            except (Skipped, BrokenPipeError, subprocess.SubprocessError) as error:
                print(f"  {contender.name}: left out: {error}", flush=True)
                del results[contender]
    return {contender.name: values for contender, values in results.items() if values}


def print_table(unit: str, results: dict[str, list[float]], digits: int = 2) -> None:
    medians = {name: statistics.median(values) for name, values in results.items()}
    for name, values in results.items():
        ratio = f"{medians['diffapple'] / medians[name]:5.2f}" if "diffapple" in medians else "    -"
        print(f"  {name:24} best {min(values):8.{digits}f}  median {medians[name]:8.{digits}f} {unit}"
              f"   diffapple/this {ratio}", flush=True)


def start_contenders(options, folder: Path, dtype: str, clock: Clock) -> list:
    contenders = [Diffapple(options.program, folder, dtype, clock)]
    for peer in options.peers.split(","):
        try:
            contenders.append(PeerProcess(peer, folder, dtype, clock))
        except Skipped as error:
            print(f"  {peer}: left out: {error}", flush=True)
    return contenders


def compare(options, folder: Path, dtype: str, clock: Clock) -> None:
    contenders = start_contenders(options, folder, dtype, clock)
    model = f"ddpm-cat-256 at {options.size}, {dtype}"
    for batch in map(int, options.batch_sizes.split(",")):
        print(f"{model}, batch {batch}: {options.repeats} repeats of {options.steps} steps", flush=True)
        measure(contenders, 1, lambda contender: contender.seconds_per_step(1, batch))  # warm-up
        steps = measure(contenders, options.repeats, lambda c: 1e3 * c.seconds_per_step(options.steps, batch))
        print_table("ms/step", steps, digits=0)
    for contender in contenders:
        contender.close()  # their memory is needed for the jobs
    print(f"{model}: from the start of the process to the PNG, {options.job_steps} steps", flush=True)
    jobs = measure(contenders, options.job_repeats, lambda contender: run_job(contender, options.job_steps, clock))
    print_table("s", {name: [seconds for seconds, _ in values] for name, values in jobs.items()})
    print_table("GB peak", {name: [peak for _, peak in values] for name, values in jobs.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, default=Path(os.environ.get("DIFFAPPLE", ROOT / "build" / "diffapple")))
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--dtypes", default="fp32,bf16")
    parser.add_argument("--batch-sizes", default="1")
    parser.add_argument("--size", type=int, default=256, help="width and height")
    parser.add_argument("--steps", type=int, default=2, help="steps per timing")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--job-steps", type=int, default=4)
    parser.add_argument("--job-repeats", type=int, default=2)
    parser.add_argument("--max-minutes", type=float, default=30, help="for each dtype; what is left then is left out")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--job", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(*options.serve)
    if options.job:
        return do_job(*options.job)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "ddpm-cat-256"
        make_checkpoint(folder, options.size)
        for dtype in options.dtypes.split(","):
            compare(options, folder, dtype, Clock(options.max_minutes))


if __name__ == "__main__":
    main()
