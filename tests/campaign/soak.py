"""Thousands of small pictures in one sweep, and in one --interactive: resident memory and descriptors stay flat."""

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from campaign import PROGRAM, Place, in_new_place

#: Growth of the resident memory from the first tenth to the end that is still flat, in bytes.
FLAT = 16 << 20


def resident(pid: int) -> int:
    return int(re.search(r"VmRSS:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1]) * 1024


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def watch(place: Place, title: str, arguments, count: int, prompts: bool) -> bool:
    """Runs the command and looks at it after every hundredth of its pictures."""
    place.clear()
    began = time.monotonic()
    process = subprocess.Popen(
        [str(PROGRAM), *arguments],
        cwd=place.folder,
        env=place.variables(),
        stdin=subprocess.PIPE if prompts else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    seen, every = [], max(1, count // 100)
    for made in range(count):
        if prompts:
            process.stdin.write(f"a cat of number {made}\n")
            process.stdin.flush()
        if not process.stdout.readline():
            break
        if made % every == every - 1 and made < count - 1:
            seen.append((resident(process.pid), descriptors(process.pid)))
    if prompts:
        process.stdin.close()
    rest = len(process.stdout.read().splitlines())
    code = process.wait()
    made = sum(1 for _ in place.out.rglob("*.png"))
    settled = seen[len(seen) // 10 :]
    growth = settled[-1][0] - settled[0][0]
    files = {number for _, number in settled}
    print(
        f"soak: {title}: {made} of {count} pictures, exit code {code}; resident memory {settled[0][0] >> 20} MiB after "
        f"a tenth, {settled[-1][0] >> 20} MiB at the end, most {max(r for r, _ in settled) >> 20} MiB; "
        f"descriptors {min(files)} to {max(files)} ({(time.monotonic() - began) / 60:.1f} min)",
        flush=True,
    )
    # A picture, its claim and a system file may be open at the moment of a look.
    return code == 0 and rest == 0 and made == count and growth < FLAT and max(files) <= min(files) + 4


def run(count: int) -> bool:
    with in_new_place() as place:
        sweep = ["ddpm", "--model", "tiny", "--steps", "1", "--seed", f"0..{count - 1}", "--sheet", "off"]
        lines = ["sd15", "--model", "small", "--steps", "1", "--interactive", "--width", "64", "--height", "64"]
        passed = [watch(place, "a sweep", sweep, count, False), watch(place, "--interactive", lines, count, True)]
    return all(passed)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pictures", type=int, default=10_000)
    sys.exit(0 if run(options.parse_args().pictures) else 1)
