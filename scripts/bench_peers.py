"""Times diffapple against its peers, interleaved in one run, on the same random weights of the full-size model.

Peers: diffusers eager in NCHW and in channels_last. Each repeat runs every contender in turn; warm-up is outside; the
minimum and the median are printed, and the ratio of medians diffapple / peer (below 1: diffapple is faster). Run it
alone on the machine, with the tests' Python: .venv/test/bin/python scripts/bench_peers.py
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "tests" / "data" / "ddpm-cat-256"
DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def make_checkpoint(folder: Path) -> None:
    """A full-size google/ddpm-cat-256 with random weights: speed does not depend on their values."""
    import torch
    from diffusers import UNet2DModel

    torch.manual_seed(0)
    UNet2DModel.from_config(UNet2DModel.load_config(CONFIG)).save_pretrained(folder)
    for name in ("model_index.json", "scheduler_config.json"):
        (folder / name).write_text((CONFIG / name).read_text())


def diffusers_worker(folder: str, dtype: str, layout: str) -> None:
    """Serves timings: reads 'steps batch' lines, answers with seconds for that many steps."""
    import torch
    from diffusers import DDPMScheduler, UNet2DModel

    torch_dtype = getattr(torch, DTYPES[dtype])
    unet = UNet2DModel.from_pretrained(folder, torch_dtype=torch_dtype).eval()
    if layout == "channels_last":
        unet = unet.to(memory_format=torch.channels_last)
    scheduler = DDPMScheduler.from_pretrained(folder)
    size = unet.config.sample_size
    print("ready", flush=True)
    for line in sys.stdin:
        steps, batch = map(int, line.split())
        generator = torch.Generator().manual_seed(0)
        sample = torch.randn(batch, 3, size, size, generator=generator).to(torch_dtype)
        scheduler.set_timesteps(steps)
        start = time.perf_counter()
        with torch.inference_mode():
            for t in scheduler.timesteps:
                sample = scheduler.step(unet(sample, t).sample, t, sample, generator=generator).prev_sample
        print(time.perf_counter() - start, flush=True)


class Diffusers:
    def __init__(self, folder: Path, dtype: str, layout: str):
        self.name = f"diffusers {layout}"
        command = [sys.executable, __file__, "--worker", str(folder), dtype, layout]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n", "the diffusers worker did not start"
        self.seconds_per_step(1, 1)  # warm-up

    def seconds_per_step(self, steps: int, batch: int) -> float:
        self.process.stdin.write(f"{steps} {batch}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline()) / steps

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


class Diffapple:
    name = "diffapple"

    def __init__(self, program: Path, folder: Path, dtype: str):
        self.command = [str(program), "ddpm", "--model", str(folder), "--dtype", dtype, "--json", "--quiet", "--force"]

    def seconds_per_step(self, steps: int, batch: int) -> float:
        """Two batches in one process, of which the first is the warm-up."""
        with tempfile.TemporaryDirectory() as out:
            command = [*self.command, "--seed", "0,1", "--steps", str(steps), "--batch-size", str(batch), "--out", out]
            lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
        return 1 / json.loads(lines[-1])["it_per_s"]

    def close(self) -> None:
        pass


def compare(contenders: list, steps: int, batch: int, repeats: int) -> None:
    times = {contender.name: [] for contender in contenders}
    for _ in range(repeats):
        for contender in contenders:
            times[contender.name].append(contender.seconds_per_step(steps, batch))
    own = statistics.median(times["diffapple"])
    for name, seconds in times.items():
        median = statistics.median(seconds)
        print(f"  {name:28} min {min(seconds) * 1e3:8.0f}  median {median * 1e3:8.0f} ms/step"
              f"   diffapple/this {own / median:.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", type=Path, default=Path(os.environ.get("DIFFAPPLE", ROOT / "build" / "diffapple")))
    parser.add_argument("--dtypes", default="fp32,bf16")
    parser.add_argument("--batch-sizes", default="1")
    parser.add_argument("--steps", type=int, default=2, help="steps per timing")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return diffusers_worker(*arguments.worker)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "ddpm-cat-256"
        make_checkpoint(folder)
        for dtype in arguments.dtypes.split(","):
            contenders = [Diffapple(arguments.program, folder, dtype), Diffusers(folder, dtype, "channels_last"),
                          Diffusers(folder, dtype, "contiguous")]
            for batch in map(int, arguments.batch_sizes.split(",")):
                print(f"ddpm-cat-256, {dtype}, batch {batch}, {arguments.repeats} repeats of {arguments.steps} steps",
                      flush=True)
                compare(contenders, arguments.steps, batch, arguments.repeats)
            for contender in contenders:
                contender.close()


if __name__ == "__main__":
    main()
