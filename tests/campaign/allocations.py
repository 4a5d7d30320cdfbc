"""Allocations of a small run fail once each (malloc and what stands on it, operator new too): a clear line, or a right
picture. Of allocations from the same place in the program (its call stack), the first is taken."""

import sys

from campaign import Counts, in_new_place, parser, run_parts
from system_calls import disturb, find_places


def run(options, names=("ddpm", "sd15")) -> bool:
    counts = Counts("allocations")
    with in_new_place(names) as place:
        plan = []
        for task in place.tasks.values():
            numbers = [number for name, number in find_places(place, task, "warm") if name == "malloc"]
            plan += [(task.name, "warm", f"allocations:{number}:ENOMEM:once") for number in numbers]
        run_parts(place, plan, options, lambda mine, item: disturb(mine, *item, counts))
    return counts.report(of=len(plan))


if __name__ == "__main__":
    sys.exit(0 if run(parser(__doc__).parse_args()) else 1)
