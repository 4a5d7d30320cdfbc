"""The program is killed at random moments, in sweeps, sheets, replays and while it writes its cache: what is there is
whole, and the next run completes and tidies."""

import random
import sys
import time

from campaign import Counts, Place, in_new_place, judge, leftovers, parser, pictures, recovers, wrong_pictures


def commands(place: Place) -> list:
    """(name, arguments, cache) of what is killed. `replay` and `grid` work on the pictures that are there."""
    task = place.tasks["ddpm"]
    first = next(iter(task.expected))
    return [
        ("sweep", place.tasks["ddpm"].arguments, "warm"),
        ("sweep of sd15", place.tasks["sd15"].arguments, "warm"),
        ("cold cache", place.tasks["ddpm"].arguments, "cold"),
        ("sheet", ["grid", "--out", "out/sheet_all.png", *task.expected], "warm"),
        ("replay", ["replay", first, "--save", "out/again.png"], "warm"),
    ]


def duration(place: Place, arguments) -> float:
    began = time.monotonic()
    place.run(arguments)
    return time.monotonic() - began


def kill_once(place: Place, name: str, arguments, moment: float, counts: Counts) -> None:
    process = place.start(arguments)
    time.sleep(moment)
    process.kill()
    out, err = process.communicate()
    if process.returncode == 0:
        counts.add("right pictures", name)  # it had ended
        return
    task = place.tasks["sd15" if "sd15" in name else "ddpm"]
    (place.out / "again.png").unlink(missing_ok=True)
    whole = not wrong_pictures(place, task)
    counts.add("interrupted" if whole else "wrong pictures", f"{name} after {moment:.3f} s", err.decode())


def run(runs: int, seed: int) -> bool:
    counts, generator = Counts("kills"), random.Random(seed)
    with in_new_place() as place:
        for name, arguments, cache in commands(place):
            task = place.tasks["sd15" if "sd15" in name else "ddpm"]
            place.clear()
            if name in ("sheet", "replay"):
                place.run(task.arguments)
            longest = duration(place, arguments)
            (place.out / "again.png").unlink(missing_ok=True)
            for i in range(max(1, runs // 5)):
                if "sweep" in name or cache == "cold":
                    if i % 5 == 0:
                        place.clear(cache)
                kill_once(place, name, arguments, generator.uniform(0, longest), counts)
                if i % 10 == 9 and not recovers(place, task):
                    counts.add("not recovered", name)
            if not recovers(place, task):
                counts.add("not recovered", name)
    return counts.report()


if __name__ == "__main__":
    options = parser(__doc__, runs=1000).parse_args()
    sys.exit(0 if run(options.runs, options.random) else 1)
