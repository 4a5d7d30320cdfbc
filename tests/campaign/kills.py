"""The program is killed (SIGKILL) at random moments, in sweeps, contact sheets, replays and while it writes its cache: what
is there is whole, and the same command completes and tidies."""

import json
import random
import sys
import time

from campaign import Counts, Place, in_new_place, leftovers, parser, pictures, run_parts, wrong_pictures
from PIL import Image

PLAN = 1000
#: What is killed: (its pictures' task, its arguments where they are not the task's, cache).
KINDS = {
    "sweep": ("ddpm", None, "warm"),
    "sweep of sd15": ("sd15", None, "warm"),
    "cold cache": ("ddpm", None, "cold"),
    "sheet": ("ddpm", ["grid", "--force", "--out", "saved/sheet.png"], "warm"),
    "replay": ("ddpm", ["replay", "--save", "saved/again.png"], "warm"),
}


def arguments_of(place: Place, kind: str) -> list[str]:
    task, arguments, _ = KINDS[kind]
    if not arguments:
        return place.tasks[task].arguments
    return arguments + list(place.tasks[task].expected)[: 1 if kind == "replay" else None]


def prepare(place: Place, kind: str, generator: random.Random) -> None:
    """Sweeps go on from what earlier kills left, or begin anew; what works on pictures finds them, and no earlier result."""
    (place.folder / "saved" / "again.png").unlink(missing_ok=True)
    name, arguments, cache = KINDS[kind]
    task = place.tasks[name]
    if not arguments and (cache == "cold" or generator.random() < 0.3 or pictures(place).keys() - task.expected.keys()):
        place.clear(cache)
    if arguments and pictures(place).keys() != task.expected.keys():
        place.clear()
        place.run(task.arguments)


def what_is_wrong(place: Place, kind: str) -> list[str]:
    wrong = wrong_pictures(place, place.tasks[KINDS[kind][0]])
    for path in (place.folder / "saved").glob("*.png"):
        try:
            Image.open(path).load()
        except Exception:
            wrong.append(path.name)
    cache = place.cache / "diffapple" / "sha256.json"
    try:
        json.loads(cache.read_text() if cache.exists() else "{}")
    except ValueError:
        wrong.append(cache.name)
    return wrong


def kill(place: Place, kind: str, fraction: float, seconds: float, counts: Counts) -> None:
    (place.folder / "saved").mkdir(exist_ok=True)
    prepare(place, kind, random.Random(fraction))
    process = place.start(arguments_of(place, kind))
    time.sleep(fraction * seconds)
    process.kill()
    _, err = process.communicate()
    outcome = "ended before" if process.returncode == 0 else "interrupted"
    if wrong := what_is_wrong(place, kind):
        outcome = "wrong files"
        err = f"{err.decode(errors='replace')}\n{wrong}"
    (place.folder / "saved" / "again.png").unlink(missing_ok=True)
    code, _, later = place.run(arguments_of(place, kind))
    if code != 0 or what_is_wrong(place, kind) or leftovers(place):
        outcome, err = "not recovered", f"{later}\n{code} {leftovers(place)}"
    counts.add(outcome, f"{kind} after {fraction * seconds:.3f} s", str(err))


def durations(place: Place) -> dict[str, float]:
    seconds = {}
    (place.folder / "saved").mkdir(exist_ok=True)
    for kind, (_, _, cache) in KINDS.items():
        prepare(place, kind, random.Random(0))
        place.clear(cache) if not KINDS[kind][1] else None
        began = time.monotonic()
        code, _, err = place.run(arguments_of(place, kind))
        assert code == 0, err
        seconds[kind] = time.monotonic() - began
    return seconds


def run(options) -> bool:
    counts, generator = Counts("kills"), random.Random(options.sample)
    with in_new_place() as place:
        seconds = durations(place)
        plan = [(list(KINDS)[i % len(KINDS)], generator.random()) for i in range(PLAN)]
        run_parts(place, plan, options, lambda mine, item: kill(mine, *item, seconds[item[0]], counts))
    return counts.report(of=len(plan))


if __name__ == "__main__":
    sys.exit(0 if run(parser(__doc__).parse_args()) else 1)
