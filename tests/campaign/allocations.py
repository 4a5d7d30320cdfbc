"""Allocations of a small run fail once each (malloc and what stands on it, operator new too): a clear line, or a right
picture."""

import sys

from campaign import Counts, in_new_place, parser, sample
from system_calls import count_calls, disturb


def run(runs: int, seed: int, names=("ddpm", "sd15")) -> bool:
    counts = Counts("allocations")
    with in_new_place(names) as place:
        plan = []
        for task in place.tasks.values():
            allocations = count_calls(place, task, "warm", "allocations")
            print(f"allocations: {task.name}: {allocations} allocations", flush=True)
            plan += [(task, n) for n in sample(range(1, allocations + 1), runs // len(place.tasks), seed)]
        for task, number in plan:
            disturb(place, task, "warm", f"allocations:{number}:ENOMEM:once", counts)
    return counts.report()


if __name__ == "__main__":
    options = parser(__doc__, runs=1000).parse_args()
    sys.exit(0 if run(options.runs, options.random) else 1)
