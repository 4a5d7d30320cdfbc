"""What the parts of the campaign share: small checkpoints, runs of the program, and the judgement of what a run that was
disturbed left behind. Each part prints its counts as one line, and fails where an outcome is none of `GOOD`."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

import numpy as np
from PIL import Image

PROJECT = Path(__file__).parents[2]
sys.path.insert(0, str(PROJECT / "tests" / "python"))
os.environ["HF_HUB_OFFLINE"] = "1"
PROGRAM = Path(os.environ.get("DIFFAPPLE", PROJECT / "build" / "diffapple"))
FAULTS = PROGRAM.parent / "tests" / "libdiffapple_faults.so"

#: Outcomes that are as they should be; any other makes a part fail.
GOOD = ("clear errors", "right pictures", "interrupted", "ended before")
TIMEOUT = 300
UNTIL_SETTLED = 5.5  #: seconds: files that are younger are digested anew in each run


@dataclass
class Task:
    """A small run and what it must make: {path below the working folder: (id, pixels)}, and what stdout names."""

    name: str
    arguments: list[str]
    expected: dict = field(default_factory=dict)
    printed: list[str] = field(default_factory=list)


@dataclass
class Place:
    """A folder with small random checkpoints, in which one run is made at a time."""

    folder: Path
    tasks: dict[str, Task] = field(default_factory=dict)

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def variables(self, **more) -> dict:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "XDG_", "DIFFAPPLE_"))}
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

    def settle(self) -> None:
        """Makes every task once, so that the digests of its files are kept, and notes what it makes."""
        self.clear()
        for task in self.tasks.values():
            code, out, err = self.run(task.arguments)
            assert code == 0, err
            task.expected, task.printed = pictures(self), out.split()
            self.clear()


def make_place(folder: Path, names=("ddpm", "sd15")) -> Place:
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
    time.sleep(UNTIL_SETTLED)
    place.settle()
    return place


@contextmanager
def in_new_place(names=("ddpm", "sd15")):
    with tempfile.TemporaryDirectory(prefix="diffapple-campaign-") as folder:
        yield make_place(Path(folder) / "place", names)


def pictures(place: Place) -> dict:
    """{path: (id, pixels)} of all pictures; what cannot be read whole is (None, None). Contact sheets, which a run may
    leave out with a note, are among them only where they are broken."""
    found = {}
    for path in sorted(place.out.rglob("*.png")):
        is_sheet = path.name.startswith("sheet_")
        try:
            image = Image.open(path)
            image.load()
            value = None if is_sheet else (json.loads(image.text["diffapple"])["id"], np.asarray(image))
        except Exception:
            value = None, None
        if value:
            found[str(path.relative_to(place.folder))] = value
    return found


def leftovers(place: Place) -> list[Path]:
    return [path for path in place.folder.rglob("*.tmp") if path.name.startswith(".diffapple-")]


def is_same(one, other) -> bool:
    return one[0] is not None and one[0] == other[0] and np.array_equal(one[1], other[1])


def wrong_pictures(place: Place, task: Task) -> list[str]:
    """Those that are there and are not as they must be: under another name, cut off, with another id or pixels."""
    found = pictures(place)
    return [path for path in found if path not in task.expected or not is_same(found[path], task.expected[path])]


def judge(place: Place, task: Task, code: int | None, out: str, err: str) -> str:
    """What a disturbed run came to."""
    if code is None:
        return "hangs"
    if code < 0 or code >= 128:
        return "crashes"
    if wrong_pictures(place, task):
        return "wrong pictures"
    if code == 0:
        complete = pictures(place).keys() == task.expected.keys() and out.split() == task.printed
        return "right pictures" if complete else "wrong successes"
    if not set(out.split()) <= set(pictures(place)) | set(task.printed):
        return "wrong names"
    lines = err.splitlines()
    errors = [line for line in lines if line.startswith("diffapple: ") and not is_note(line)]
    return "clear errors" if len(errors) == 1 and lines[-1] == errors[0] and len(errors[0]) > 20 else "unclear errors"


def is_note(line: str) -> bool:
    return line.startswith(("diffapple: warning: ", "diffapple: note: "))


def recovers(place: Place, task: Task) -> bool:
    """Whether the same command, undisturbed, completes what is there and tidies up."""
    code, out, _ = place.run(task.arguments)
    return (
        code == 0
        and not wrong_pictures(place, task)
        and pictures(place).keys() == task.expected.keys()
        and not leftovers(place)
    )


class Counts:
    """Outcomes, with the first runs of each that must not be. They are printed now and then, for one who stops it."""

    every_minutes = 10

    def __init__(self, title: str):
        self.title, self.counter, self.began = title, Counter(), time.monotonic()
        self.printed_minutes = 0.0

    def minutes(self) -> float:
        return (time.monotonic() - self.began) / 60

    def add(self, outcome: str, what: str, detail: str = "") -> None:
        self.counter[outcome] += 1
        if outcome not in GOOD and self.counter[outcome] <= 50:
            print(f"{self.title}: {outcome}: {what}: {' | '.join(filter(None, detail.splitlines()[-3:]))[:300]}", flush=True)
        if self.minutes() - self.printed_minutes > self.every_minutes:
            self.printed_minutes = self.minutes()
            print(f"{self.title}: so far {self.texts()}", flush=True)

    def texts(self) -> str:
        return ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.counter.items()))

    def report(self, of: int) -> bool:
        """Prints the counts; whether all is well."""
        print(f"{self.title}: {self.counter.total()} of {of}: {self.texts()} ({self.minutes():.1f} min)", flush=True)
        return all(outcome in GOOD for outcome in self.counter)


def spread(items: list, start: int) -> list:
    """The items in an order of which every beginning is spread evenly over all of them; another one for each start."""
    size = 1
    while size < len(items):
        size *= 2
    bits = size.bit_length() - 1

    def mirrored(number: int) -> int:
        return int(f"{number:0{bits}b}"[::-1], 2) if bits else 0

    places = [(mirrored(number) + start * 7919) % size for number in range(size)]
    return [items[at] for at in places if at < len(items)]


def copies_of(place: Place, count: int) -> list[Place]:
    """The place and others like it: one for each run at a time."""
    places = [place]
    for number in range(1, count):
        copy = Place(place.folder.parent / f"copy{number}")
        shutil.copytree(place.folder, copy.folder, symlinks=True)
        copy.tasks = {name: Task(name, task.arguments) for name, task in place.tasks.items()}
        places.append(copy)
    time.sleep(UNTIL_SETTLED if count > 1 else 0)
    for each in places:
        each.settle()
    return places


def run_parts(place: Place, plan: list, options, disturb) -> None:
    """Calls disturb(place, item) for a beginning of the spread plan, in several places at a time."""
    began = time.monotonic()
    chosen = spread(plan, options.sample)[: options.runs or None]
    free = SimpleQueue()
    for copy in copies_of(place, options.jobs):
        free.put(copy)
    with ThreadPoolExecutor(options.jobs) as pool:

        def work(item) -> None:
            if options.minutes and time.monotonic() - began > 60 * options.minutes:
                return
            mine = free.get()
            try:
                disturb(mine, item)
            finally:
                free.put(mine)

        list(pool.map(work, chosen))


def parser(description: str) -> argparse.ArgumentParser:
    """The options of every part. Of all that it could do it does a sample, spread evenly."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--runs", type=int, default=0, help="at most so many; 0: no bound")
    options.add_argument("--minutes", type=float, default=0, help="begins nothing after so many; 0: no bound")
    options.add_argument("--sample", type=int, default=0, help="another number, another sample")
    options.add_argument("--jobs", type=int, default=2, help="so many at a time")
    return options
