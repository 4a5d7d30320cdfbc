"""Runs of the program in which a system call or an allocation fails: tests/campaign/faults.c, loaded before it."""

import sys
from pathlib import Path

import pytest
from conftest import PROGRAM, Diffapple

LIBRARY = PROGRAM.parent / "tests" / "libdiffapple_faults.so"
needs_faults = pytest.mark.skipif(sys.platform != "linux", reason="faults are put in by LD_PRELOAD, on Linux")


def with_fault(diffapple: Diffapple, fault: str = "", log: Path | None = None, **variables) -> Diffapple:
    """The same program in the same folder, with a fault as faults.c reads it."""
    environment = {**diffapple.environment, "LD_PRELOAD": str(LIBRARY), **variables}
    if fault:
        environment["DIFFAPPLE_FAULT"] = fault
    if log:
        environment["DIFFAPPLE_FAULT_LOG"] = str(log)
    return Diffapple(diffapple.folder, diffapple.program, environment)
