"""A slice of each part of the campaign (tests/campaign), of a few seconds; more of it: scripts/test.sh --full."""

import sys
from argparse import Namespace
from pathlib import Path

import pytest
from faults import needs_faults

sys.path.insert(0, str(Path(__file__).parents[1] / "campaign"))
pytestmark = needs_faults


def slice_of(runs: int) -> Namespace:
    return Namespace(runs=runs, minutes=0, sample=3, jobs=1)


def test_system_calls():
    import system_calls

    assert system_calls.run(slice_of(10), names=("ddpm",))


@pytest.mark.full
def test_allocations():
    import allocations

    assert allocations.run(slice_of(10), names=("ddpm",))


@pytest.mark.full
def test_kills():
    import kills

    assert kills.run(slice_of(5))


@pytest.mark.full
def test_soak():
    import soak

    assert soak.run(count=60)
