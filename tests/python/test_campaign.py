"""A slice of the campaign of tests/campaign, of a few seconds a part; all of it: scripts/test.sh --full."""

import sys
from pathlib import Path

import pytest
from faults import needs_faults

sys.path.insert(0, str(Path(__file__).parents[1] / "campaign"))
pytestmark = needs_faults


def test_system_calls():
    import system_calls

    assert system_calls.run(runs=16, seed=1, names=("ddpm",))


def test_allocations():
    import allocations

    assert allocations.run(runs=12, seed=1, names=("ddpm",))


def test_kills():
    import kills

    assert kills.run(runs=10, seed=1)


def test_soak():
    import soak

    assert soak.run(count=60)
