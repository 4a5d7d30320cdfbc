"""Several processes on one sweep: each picture is made once, whoever starts, ends or is killed in between."""

import signal
import time
from pathlib import Path

import pytest
from conftest import leftovers
from faults import needs_faults, with_fault
from test_sweeps import pictures, sheets, state

pytestmark = pytest.mark.full  # minutes, and the default run has 25 for all

SWEEP = ["--steps", "60,80", "--seed", "0..5", "--batch-size", 2, "--json"]


def results_of(processes) -> list:
    """(reports, stderr) of each; all must succeed."""
    import json

    results = []
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        results.append(([json.loads(line) for line in out.splitlines()], err))
    return results


def made_by(results) -> list[str]:
    return [report["path"] for reports, _ in results for report in reports if not report["skipped"]]


def wait_for_claim(folder: Path) -> Path:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if claims := list(folder.rglob(".diffapple-claim-*.tmp")):
            return claims[0]
        time.sleep(0.005)
    raise AssertionError("no process claims a batch")


@pytest.mark.parametrize("count", [2, 4])
def test_the_same_command_shares_a_sweep(diffapple, tiny, count):
    run = ["ddpm", "--model", tiny, *SWEEP]
    results = results_of([diffapple.start(*run) for _ in range(count)])
    assert len(made_by(results)) == 24 and len(set(made_by(results))) == 24, "every picture once, none twice"
    assert all(len(reports) == 24 for reports, _ in results), "each tells of all pictures"
    assert len(pictures(diffapple.folder / "out")) == 24 and len(sheets(diffapple.folder)) == 1
    assert leftovers(diffapple.folder) == []


def test_the_batch_of_a_killed_process_is_made_by_another(diffapple, tiny):
    run = ["ddpm", "--model", tiny, "--steps", 1000, "--batch-size", 8, "--seed", "0,1", "--json"]
    first = diffapple.start(*run)
    wait_for_claim(diffapple.folder)
    second = diffapple.start(*run)
    assert "waits for them" in second.stderr.readline(), "the second has made its batch, or is about to"
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=20)
    results = results_of([second])
    assert len(results[0][0]) == 16 and len(pictures(diffapple.folder / "out")) == 16
    diffapple.ok(*run)  # it may have been killed in a look at the second's batch: that claim is tidied
    assert leftovers(diffapple.folder) == []


def test_a_claim_left_over_is_none(diffapple, tiny):
    """Of a process that was killed, on this host or on another that shared the folder."""
    run = ["ddpm", "--model", tiny, "--steps", 1, "--seed", "0,1", "--json"]
    (report, _) = diffapple.ok(*run).reports
    path = diffapple.folder / report["path"]
    path.unlink()
    (path.parent / f".diffapple-claim-{report['id']}.tmp").write_text("of a process on another host")
    assert [r["skipped"] for r in diffapple.ok(*run, timeout=30).reports] == [False, True]
    assert leftovers(diffapple.folder) == []


def test_shards_still_share_with_the_same_shard(diffapple, tiny):
    run = ["ddpm", "--model", tiny, *SWEEP]
    shards = [[*run, "--shard", f"{part}/2"] for part in (1, 2, 1)]
    results = results_of([diffapple.start(*shard) for shard in shards])
    assert len(made_by(results)) == 24 and len(set(made_by(results))) == 24
    assert [len(reports) for reports, _ in results] == [12, 12, 12] and sheets(diffapple.folder) == []


def test_waiting_obeys_a_stop(diffapple, tiny):
    run = ["ddpm", "--model", tiny, "--steps", 1000, "--batch-size", 64, "--height", 64, "--seed", "0,1"]
    first, second = diffapple.start(*run), None
    try:
        wait_for_claim(diffapple.folder)
        second = diffapple.start(*run, "--quiet")
        time.sleep(3)
        for process in (second, first):
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=20)
            assert process.returncode == -signal.SIGTERM and "interrupted: 0 of 128" in err
    finally:
        for process in filter(None, (first, second)):
            process.kill()
    assert leftovers(diffapple.folder) == []


def test_forced_runs_make_everything_themselves(diffapple, tiny):
    run = ["ddpm", "--model", tiny, "--steps", 1, "--seed", "0,1", "--json", "--force"]
    diffapple.ok(*run)
    before = state(pictures(diffapple.folder / "out"))
    results = results_of([diffapple.start(*run) for _ in range(2)])
    assert len(made_by(results)) == 4 and state(pictures(diffapple.folder / "out")).keys() == before.keys()


@needs_faults
def test_without_locks_work_is_repeated_and_nothing_lost(diffapple, tiny):
    lockless = with_fault(diffapple, "flock:1:ENOLCK:always")
    run = ["ddpm", "--model", tiny, *SWEEP]
    results = results_of([lockless.start(*run) for _ in range(2)])
    assert len(pictures(diffapple.folder / "out")) == 24 and set(made_by(results)) <= {r["path"] for r in results[0][0]}
    assert leftovers(diffapple.folder) == []
