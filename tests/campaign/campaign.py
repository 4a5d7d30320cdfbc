"""What the parts of the campaign share: small checkpoints, runs of the program, and the judgement of what a run that was
disturbed left behind. Each part prints its counts as one line and fails where one that must be 0 is not."""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

PROJECT = Path(__file__).parents[2]
sys.path.insert(0, str(PROJECT / "tests" / "python"))
os.environ["HF_HUB_OFFLINE"] = "1"
PROGRAM = Path(os.environ.get("DIFFAPPLE", PROJECT / "build" / "diffapple"))
FAULTS = PROGRAM.parent / "tests" / "libdiffapple_faults.so"

#: Outcomes that are as they should be; any other makes a part fail. LibTorch's oneDNN and cpuinfo use memory and files
#: without looking whether they got them: their crashes are counted apart.
GOOD = ("clear errors", "right pictures", "interrupted", "crashes inside LibTorch")
TIMEOUT = 120


@dataclass
class Task:
    """A small run and what it must make: {path below the working folder: (id, pixels)}."""

    name: str
    arguments: list[str]
    expected: dict = field(default_factory=dict)


@dataclass
class Place:
    """A folder with small random checkpoints, in which runs are made."""

    folder: Path
    tasks: dict[str, Task] = field(default_factory=dict)

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def variables(self, **more) -> dict:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "XDG_"))}
        home = {"HOME": str(self.folder / "home"), "XDG_CACHE_HOME": str(self.cache), "OMP_NUM_THREADS": "1"}
        return {**kept, **home, **more}

    def start(self, arguments, **variables) -> subprocess.Popen:
        return subprocess.Popen(
            [str(PROGRAM), *map(str, arguments)],
            cwd=self.folder,
            env=self.variables(**variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, arguments, **variables) -> tuple[int | None, str, str]:
        """Exit code (None: it did not end), stdout, stderr."""
        with self.start(arguments, **variables) as process:
            try:
                out, err = process.communicate(timeout=TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                return None, "", "did not end"
        return process.returncode, out.decode(errors="replace"), err.decode(errors="replace")

    def clear(self, cache: str = "warm") -> None:
        """Removes what runs have made; with a cold cache, that too."""
        shutil.rmtree(self.out, ignore_errors=True)
        if cache == "cold":
            shutil.rmtree(self.cache, ignore_errors=True)


def make_place(folder: Path, names=("ddpm", "sd15")) -> Place:
    """Checkpoints, and the tasks with what they make undisturbed. Its cache is warm: the weights are settled."""
    from checkpoints import TINY, make_checkpoint
    from sd_checkpoints import make_sd15

    place = Place(folder)
    (folder / "home").mkdir(parents=True)
    if "ddpm" in names:
        make_checkpoint(folder / "models" / "tiny", TINY)
        place.tasks["ddpm"] = Task("ddpm", ["ddpm", "--model", "tiny", "--steps", "2", "--seed", "0,1"])
    if "sd15" in names:
        make_sd15(folder / "models" / "small")
        options = ["--model", "small", "--steps", "2", "--seed", "0,1", "--prompt", "a cat"]
        place.tasks["sd15"] = Task("sd15", ["sd15", *options])
    time.sleep(5.5)  # a file that is younger is digested anew in each run
    for task in place.tasks.values():
        code, _, err = place.run(task.arguments)
        assert code == 0, err
        task.expected = pictures(place)
        place.clear()
    return place


def pictures(place: Place) -> dict:
    """{path: (id, pixels)} of all pictures but contact sheets; what cannot be read is (None, None)."""
    found = {}
    for path in sorted(place.out.rglob("*.png")):
        if path.name.startswith("sheet_"):
            continue
        try:
            image = Image.open(path)
            image.load()
            found[str(path.relative_to(place.folder))] = json.loads(image.text["diffapple"])["id"], np.asarray(image)
        except Exception:
            found[str(path.relative_to(place.folder))] = None, None
    return found


def leftovers(place: Place) -> list[Path]:
    return [path for path in place.folder.rglob("*.tmp") if path.name.startswith(".diffapple-")]


def wrong_pictures(place: Place, task: Task) -> list[str]:
    """Those that are there and are not as they must be: under another name, cut off, with another id or pixels."""
    wrong = []
    for path, (identity, image) in pictures(place).items():
        expected = task.expected.get(path)
        if not expected or identity != expected[0] or not np.array_equal(image, expected[1]):
            wrong.append(path)
    return wrong


def judge(place: Place, task: Task, code: int | None, out: str, err: str) -> str:
    """What a disturbed run came to."""
    if code is None:
        return "hangs"
    if code < 0 or code >= 128 and code != 130:
        return "crashes inside LibTorch" if "faults: crashed in lib" in err else "crashes"
    if wrong_pictures(place, task):
        return "wrong pictures"
    if code == 0:
        complete = pictures(place).keys() == task.expected.keys() and out.split() == list(task.expected)
        return "right pictures" if complete else "wrong successes"
    errors = [line for line in err.splitlines() if line.startswith("diffapple: ")]
    return "clear errors" if len(errors) == 1 and err.splitlines()[-1] == errors[0] else "unclear errors"


def recovers(place: Place, task: Task) -> bool:
    """Whether the same command, undisturbed, completes what is there and tidies up."""
    code, _, _ = place.run(task.arguments)
    return code == 0 and not wrong_pictures(place, task) and pictures(place).keys() == task.expected.keys() and not [
        path for path in leftovers(place) if place.out in path.parents
    ]


class Counts:
    """Outcomes, with the first runs of each that must not be."""

    def __init__(self, title: str):
        self.title, self.counter, self.shown = title, Counter(), Counter()
        self.began = time.monotonic()

    def add(self, outcome: str, what: str, detail: str = "") -> None:
        self.counter[outcome] += 1
        if outcome not in GOOD and self.shown[outcome] < 20:
            self.shown[outcome] += 1
            print(f"{self.title}: {outcome}: {what}: {' | '.join(detail.splitlines()[-2:])[:300]}", flush=True)

    def report(self) -> bool:
        """Prints the counts; whether all is well."""
        parts = [f"{count} {outcome}" for outcome, count in sorted(self.counter.items())]
        minutes = (time.monotonic() - self.began) / 60
        print(f"{self.title}: {sum(self.counter.values())} runs: {', '.join(parts)} ({minutes:.1f} min)", flush=True)
        return all(outcome in GOOD for outcome in self.counter)


def parser(description: str, runs: int) -> argparse.ArgumentParser:
    """The options of every part."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--runs", type=int, default=runs, help="how many runs, sampled evenly; 0: all")
    options.add_argument("--random", type=int, default=1, help="seed of the sample")
    return options


def sample(items: list, count: int, seed: int) -> list:
    """So many of them, spread evenly, and different ones for another seed; 0: all."""
    if count == 0 or count >= len(items):
        return items
    generator = random.Random(seed)
    step = len(items) / count
    return [items[int((i + generator.random()) * step)] for i in range(count)]


def in_new_place(names=("ddpm", "sd15")):
    """A place in a temporary folder, as a context."""

    class Context:
        def __enter__(self) -> Place:
            self.folder = Path(tempfile.mkdtemp(prefix="diffapple-campaign-"))
            return make_place(self.folder / "place", names)

        def __exit__(self, *_) -> None:
            shutil.rmtree(self.folder, ignore_errors=True)

    return Context()
