#!/usr/bin/env python3
"""Times diffapple against its peers, interleaved in one run, on the same full-size model with random weights.

Peers: diffusers eager in NCHW and in channels_last, diffusers under torch.compile with frozen weights, OpenVINO with
the UNet (and the VAE's decoder) converted from torch, and stable-diffusion.cpp, with f32 weights beside fp32 and with
f16, its usual ones, beside bf16 (those of convolutions are f16 in both). Measured are, each contender in turn in every
repeat with a warm-up outside: a step of the denoising loop (with guidance for sd15 and sd2-inpaint), text encoding (for
sd2-inpaint with the picture's encoding) and VAE decoding to PNG bytes; and the whole job, from the start of the process
to the PNG on disk, with its peak memory. "diffapple/this" is the ratio of medians: below 1, diffapple is faster (or
smaller).

Run it alone on the machine, after scripts/setup.sh, with a Python that has the peers:

    python3 -m venv /tmp/peers
    /tmp/peers/bin/pip install torch diffusers transformers accelerate openvino
    /tmp/peers/bin/pip install --no-deps open_clip_torch  # CLIP's vocabulary
    CMAKE_ARGS=-DGGML_NATIVE=ON /tmp/peers/bin/pip install stable-diffusion-cpp-python  # built from source: minutes
    /tmp/peers/bin/python scripts/bench_peers.py --experiment sd15

The tests' Python, .venv/test/bin/python, has all but OpenVINO and stable-diffusion.cpp. A peer that is missing or fails
is left out, and a line says why. --checkpoint DIR keeps the random checkpoint for the next run (sd15 4 GB, sd2-inpaint
5 GB, sdxl-turbo 7 GB).
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from peers.experiments import DDPM, EXPERIMENTS, NEGATIVE_PROMPT, PROMPT, Skipped, grey_pictures

ROOT = Path(__file__).resolve().parent.parent
SDCPP = "stable-diffusion.cpp"
SDCPP_WEIGHTS = {"fp32": "f32", "bf16": "f16", "fp16": "f16"}
PEERS = ["channels_last", "contiguous", "compile", "openvino", SDCPP]


# --- run in processes of their own: the peers, and the making of a checkpoint


def make_checkpoint(experiment: str, size: str, folder: str) -> None:
    EXPERIMENTS[experiment].make_checkpoint(Path(folder), int(size))


def without_gradients(peer: str, inference_mode: bool):
    """torch's mode for a peer that uses it; the others do without the time and memory that importing it takes."""
    if peer == SDCPP:
        return contextlib.nullcontext()
    import torch

    return torch.inference_mode() if inference_mode else torch.no_grad()


def load(experiment: str, size: str, folder: str, dtype: str, peer: str, once: bool):
    """The experiment as the peer runs it, for one picture or for many."""
    if peer == SDCPP:
        from peers.sdcpp import StableDiffusionCpp

        return StableDiffusionCpp(EXPERIMENTS[experiment], folder, SDCPP_WEIGHTS[dtype], int(size), once)
    return EXPERIMENTS[experiment](folder, dtype, peer, int(size))


def serve(experiment: str, size: str, folder: str, dtype: str, peer: str) -> None:
    """Reads lines 'steps batch', answers with seconds of each stage as JSON."""
    with without_gradients(peer, peer not in ("compile", "openvino")):
        contender = load(experiment, size, folder, dtype, peer, once=False)
        print("ready", flush=True)
        for line in sys.stdin:
            print(json.dumps(contender.timings(*map(int, line.split()))), flush=True)


def do_job(experiment: str, size: str, folder: str, dtype: str, peer: str, steps: str, png: str) -> None:
    with without_gradients(peer, False):
        load(experiment, size, folder, dtype, peer, once=True).picture(int(steps)).save(png)


# --- the contenders, as the measuring process sees them


class Clock:
    """The time that is left: a process still running when it is up is ended."""

    def __init__(self, minutes: float):
        self.end = time.monotonic() + 60 * minutes

    def left(self) -> float:
        return max(0.0, self.end - time.monotonic())

    def share(self, parts: int) -> "Clock":
        """One of so many equal parts, so that a peer that takes long to convert leaves time to the others."""
        return Clock(self.left() / 60 / parts)

    def guard(self, process: subprocess.Popen) -> threading.Timer:
        timer = threading.Timer(self.left(), process.kill)
        timer.daemon = True
        timer.start()
        return timer


def name_of(peer: str, dtype: str) -> str:
    names = {"openvino": "OpenVINO", SDCPP: f"{SDCPP} {SDCPP_WEIGHTS[dtype]}"}
    return names.get(peer, f"diffusers {peer}")


class PeerProcess:
    def __init__(self, peer: str, options, folder: Path, dtype: str, clock: Clock):
        self.name = name_of(peer, dtype)
        self.arguments = [options.experiment, str(options.size), str(folder), dtype, peer]
        command = [sys.executable, __file__, "--serve", *self.arguments]
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True
        )
        self.timer = clock.share(1 + len(options.peers.split(","))).guard(self.process)
        while self.answer() != "ready":
            pass  # what libraries print
        self.timer.cancel()
        self.timer = clock.guard(self.process)

    def answer(self) -> str:
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            lines = self.errors.read().strip().splitlines()
            raise Skipped(lines[-1] if lines else "no time left")
        return line.strip()

    def timings(self, steps: int, batch: int) -> dict[str, float]:
        print(steps, batch, file=self.process.stdin, flush=True)
        while not (line := self.answer()).startswith("{"):
            pass  # what libraries print
        return json.loads(line)

    def job(self, steps: int, folder: Path) -> list[str]:
        return [sys.executable, __file__, "--job", *self.arguments, str(steps), str(folder / "x.png")]

    def close(self) -> None:
        self.timer.cancel()
        self.process.kill()
        self.process.wait()


class Diffapple:
    name = "diffapple"

    def __init__(self, options, folder: Path, dtype: str, clock: Clock):
        self.options, self.folder, self.dtype, self.clock = options, folder, dtype, clock

    def timings(self, steps: int, batch: int) -> dict[str, float]:
        """By `diffapple bench`, which warms up on its own; its random weights are not the peers', but their speed is."""
        size = str(self.options.size)
        command = [str(self.options.program), "bench", "--experiments", self.options.experiment, "--random"]
        command += ["--devices", "cpu", "--dtypes", self.dtype, "--sizes", size, "--batch-sizes", str(batch)]
        command += ["--steps", str(steps), "--repeats", "1", "--json", "-"]
        run = subprocess.run(command, check=True, capture_output=True, text=True, timeout=self.clock.left())
        (row,) = json.loads(run.stdout)["results"]
        if row["status"] != "measured":
            raise Skipped(row["note"])
        timings = {"step": row["ms_per_step"] / 1e3, "encode": row["encode_s"], "decode": row["decode_s"]}
        return {stage: seconds for stage, seconds in timings.items() if seconds is not None}

    def job(self, steps: int, folder: Path) -> list[str]:
        experiment = EXPERIMENTS[self.options.experiment]
        command = [str(self.options.program), self.options.experiment, "--model", str(self.folder)]
        command += ["--dtype", self.dtype, "--steps", str(steps), "--out", str(folder), "--quiet", "--force"]
        if experiment is DDPM:
            return command
        command += ["--prompt", PROMPT, "--width", str(self.options.size), "--height", str(self.options.size)]
        if experiment.guidance > 1:
            command += ["--negative-prompt", NEGATIVE_PROMPT]
        if experiment.inpaints:
            for name, picture in zip(("image", "mask"), grey_pictures(self.options.size)):
                picture.save(file := folder / f"{name}.bmp")
                command += [f"--{name}", str(file)]
        return command

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


def print_table(what: str, results: dict[str, list[float]]) -> None:
    medians = {name: statistics.median(values) for name, values in results.items()}
    for name, values in results.items():
        ratio = f"{medians['diffapple'] / medians[name]:5.2f}" if "diffapple" in medians else "    -"
        print(f"  {what:14} {name:24} best {min(values):8.3f}  median {medians[name]:8.3f}"
              f"   diffapple/this {ratio}", flush=True)


def start_contenders(options, folder: Path, dtype: str, clock: Clock) -> list:
    contenders = [Diffapple(options, folder, dtype, clock)]
    for peer in filter(None, options.peers.split(",")):
        try:
            contenders.append(PeerProcess(peer, options, folder, dtype, clock))
        except Skipped as error:
            print(f"  {peer}: left out: {error}", flush=True)
    return contenders


def compare(options, folder: Path, dtype: str, clock: Clock) -> None:
    contenders = start_contenders(options, folder, dtype, clock)
    model = f"{options.experiment} at {options.size}, {dtype}"
    for batch in map(int, options.batch_sizes.split(",")):
        print(f"{model}, batch {batch}: {options.repeats} repeats of {options.steps} steps", flush=True)
        peers = [contender for contender in contenders if isinstance(contender, PeerProcess)]
        measure(peers, 1, lambda peer: peer.timings(1, batch))  # warm-up
        timings = measure(contenders, options.repeats, lambda contender: contender.timings(options.steps, batch))
        for stage in ("step", "encode", "decode"):
            of_stage = {name: [t[stage] for t in all_of if stage in t] for name, all_of in timings.items()}
            print_table(f"{stage}, s", {name: values for name, values in of_stage.items() if values})
    for contender in contenders:
        contender.close()  # their memory is needed for the jobs
    print(f"{model}: from the start of the process to the PNG, {options.job_steps} steps", flush=True)
    jobs = measure(contenders, options.job_repeats, lambda contender: run_job(contender, options.job_steps, clock))
    print_table("job, s", {name: [seconds for seconds, _ in values] for name, values in jobs.items()})
    print_table("job, GB peak", {name: [peak for _, peak in values] for name, values in jobs.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", choices=EXPERIMENTS, default="ddpm")
    parser.add_argument("--program", type=Path, default=Path(os.environ.get("DIFFAPPLE", ROOT / "build" / "diffapple")))
    parser.add_argument("--checkpoint", type=Path, help="made there if there is none, and kept")
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--dtypes", default="fp32,bf16")
    parser.add_argument("--batch-sizes", default="1")
    parser.add_argument("--size", type=int, help="width and height [ddpm 256, others 512]")
    parser.add_argument("--steps", type=int, default=2, help="steps per timing")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--job-steps", type=int, default=4)
    parser.add_argument("--job-repeats", type=int, default=2)
    parser.add_argument("--max-minutes", type=float, default=30, help="for each dtype; what is left then is left out")
    parser.add_argument("--serve", nargs=5, help=argparse.SUPPRESS)
    parser.add_argument("--job", nargs=7, help=argparse.SUPPRESS)
    parser.add_argument("--make", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(*options.serve)
    if options.job:
        return do_job(*options.job)
    if options.make:
        return make_checkpoint(*options.make)
    experiment = EXPERIMENTS[options.experiment]
    options.size = options.size or experiment.size
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.checkpoint or Path(temporary) / options.experiment
        if not (folder / "model_index.json").exists():
            # In a process of its own: a child's peak memory, as Linux reports it, starts with what its parent holds.
            make = [sys.executable, __file__, "--make", options.experiment, str(options.size), str(folder)]
            subprocess.run(make, check=True)
        for dtype in options.dtypes.split(","):
            compare(options, folder, dtype, Clock(options.max_minutes))


if __name__ == "__main__":
    main()
