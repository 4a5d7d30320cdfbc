"""Every system call of a sweep of two pictures fails: once; it and all later ones; it and all later ones of its kind; with
cold and with warm caches. No crash, one line for each failure, no wrong name, id or success, and the next run completes.

Of calls from the same place in the program (its call stack), the first is taken."""

import sys

from campaign import FAULTS, Counts, Place, Task, in_new_place, judge, leftovers, parser, recovers, run_parts

ERRORS = ["EIO", "ENOSPC", "EMFILE", "EINTR", "short"]
WHEN = ["once", "always", "only"]
TRANSFERS = ["read", "pread", "pread64", "write"]


def find_places(place: Place, task: Task, cache: str) -> list[tuple[str, int]]:
    """(name, number) of the first call or allocation from each place."""
    log = place.folder / "places.log"
    place.clear(cache)
    code, _, err = place.run(task.arguments, LD_PRELOAD=str(FAULTS), DIFFAPPLE_FAULT_PLACES=str(log))
    assert code == 0, err
    return [(name, int(number)) for name, number in map(str.split, log.read_text().splitlines())]


def disturb(place: Place, name: str, cache: str, fault: str, counts: Counts) -> None:
    """One run with a fault, and where it did not end well, one without."""
    task = place.tasks[name]
    place.clear(cache)
    code, out, err = place.run(task.arguments, LD_PRELOAD=str(FAULTS), DIFFAPPLE_FAULT=fault)
    outcome = judge(place, task, code, out, err)
    if (code != 0 or leftovers(place)) and not recovers(place, task):
        outcome = "not recovered"
    counts.add(outcome, f"{name}, {cache} cache, {fault}", err)


def faults_at(places: list[tuple[str, int]]) -> list[str]:
    calls = [(name, number) for name, number in places if name != "malloc"]
    errors = {name: ERRORS if name in TRANSFERS else ERRORS[:-1] for name, _ in calls}
    return [f"calls:{number}:{error}:{when}" for name, number in calls for error in errors[name] for when in WHEN]


def run(options, names=("ddpm", "sd15")) -> bool:
    counts = Counts("system calls")
    with in_new_place(names) as place:
        plan = []
        for task in place.tasks.values():
            for cache in ("warm", "cold"):
                plan += [(task.name, cache, fault) for fault in faults_at(find_places(place, task, cache))]
        run_parts(place, plan, options, lambda mine, item: disturb(mine, *item, counts))
    return counts.report(of=len(plan))


if __name__ == "__main__":
    sys.exit(0 if run(parser(__doc__).parse_args()) else 1)
