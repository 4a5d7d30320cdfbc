"""Every system call of a sweep of two pictures fails: once, it and all later ones, it and all of its kind; with cold and
with warm caches. No crash, one line for each failure, no wrong name, id or success, and the next run completes."""

import sys

from campaign import FAULTS, Counts, Place, Task, in_new_place, judge, leftovers, parser, recovers, sample

ERRORS = ["EIO", "ENOSPC", "EMFILE", "EINTR", "short"]
WHEN = ["once", "always", "only"]


def count_calls(place: Place, task: Task, cache: str, kind: str = "calls") -> int:
    log = place.folder / "faults.log"
    log.unlink(missing_ok=True)
    place.clear(cache)
    code, _, err = place.run(task.arguments, LD_PRELOAD=str(FAULTS), DIFFAPPLE_FAULT_LOG=str(log))
    assert code == 0, err
    words = log.read_text().split()
    return int(words[words.index(kind) + 1])


def disturb(place: Place, task: Task, cache: str, fault: str, counts: Counts) -> None:
    """One run with a fault, and where it did not end well, one without."""
    place.clear(cache)
    code, out, err = place.run(task.arguments, LD_PRELOAD=str(FAULTS), DIFFAPPLE_FAULT=fault)
    outcome = judge(place, task, code, out, err)
    if (code != 0 or leftovers(place)) and outcome in ("clear errors", "right pictures"):
        outcome = outcome if recovers(place, task) else "not recovered"
    counts.add(outcome, f"{task.name}, {cache} cache, {fault}", err)


def run(runs: int, seed: int, names=("ddpm", "sd15")) -> bool:
    counts = Counts("system calls")
    with in_new_place(names) as place:
        plan = []
        for task in place.tasks.values():
            for cache in ("warm", "cold"):
                calls = count_calls(place, task, cache)
                print(f"system calls: {task.name}, {cache} cache: {calls} calls", flush=True)
                faults = [f"calls:{n}:{e}:{w}" for n in range(1, calls + 1) for e in ERRORS for w in WHEN]
                plan += [(task, cache, fault) for fault in faults]
        print(f"system calls: {len(plan)} faults in all", flush=True)
        for task, cache, fault in sample(plan, runs, seed):
            disturb(place, task, cache, fault, counts)
    return counts.report()


if __name__ == "__main__":
    options = parser(__doc__, runs=1000).parse_args()
    sys.exit(0 if run(options.runs, options.random) else 1)
