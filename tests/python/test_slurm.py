"""Sweeps over several jobs: on a real Slurm, whose daemons run for this test, and by GNU parallel."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from conftest import PROGRAM, PROJECT

pytestmark = pytest.mark.full  # minutes, and the default run has 25 for all

SCRIPTS = PROJECT / "scripts" / "slurm"
CONFIG = """
ClusterName=test
SlurmctldHost={host}
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SchedulerType=sched/builtin
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
KillWait=2
MpiDefault=none
SlurmctldParameters=enable_configless
NodeName={host} CPUs=2 RealMemory=1000 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Slurm:
    """A cluster of this machine alone."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name in ("state", "spool"):
            (folder / name).mkdir(parents=True)
        config = folder / "slurm.conf"
        config.write_text(CONFIG.format(host=socket.gethostname().split(".")[0], ports=free_ports(2), folder=folder))
        self.variables = {**os.environ, "SLURM_CONF": str(config), "DIFFAPPLE": str(PROGRAM)}
        self.daemons = [
            subprocess.Popen([name, "-D"], env=self.variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for name in ("slurmctld", "slurmd")
        ]

    def run(self, *command, **options) -> str:
        result = subprocess.run(
            list(map(str, command)), env=self.variables, capture_output=True, text=True, timeout=60, **options
        )
        assert result.returncode == 0, result.stderr + self.logs()
        return result.stdout

    def wait(self, is_done, seconds: float, what: str):
        end = time.time() + seconds
        while not is_done():
            assert time.time() < end, f"waited for {what}\n{self.logs()}"
            time.sleep(0.3)

    def up(self) -> bool:
        result = subprocess.run(["sinfo", "-h", "-o", "%t"], env=self.variables, capture_output=True, text=True)
        return result.stdout.strip() == "idle"

    def logs(self) -> str:
        return "".join(path.read_text()[-3000:] for path in sorted(self.folder.glob("*.log")))

    def stop(self):
        for daemon in reversed(self.daemons):
            daemon.terminate()
        for daemon in self.daemons:
            daemon.wait(timeout=30)


@pytest.fixture
def slurm(tmp_path):
    if os.geteuid() != 0 or not all(map(shutil.which, ("slurmctld", "slurmd", "sbatch"))):
        pytest.skip("needs root, slurmctld and slurmd")
    cluster = Slurm(tmp_path / "slurm")
    try:
        cluster.wait(cluster.up, 60, "the node")
        yield cluster
    finally:
        cluster.stop()


def pictures(folder: Path) -> dict:
    found = [path for path in folder.rglob("*.png") if not path.name.startswith("sheet_")]
    return {path: path.stat().st_mtime_ns for path in found}


def test_an_array_whose_job_is_killed_ends_complete(slurm, diffapple, tiny):
    """Nothing is lost, nothing is made twice, and one sheet ends it."""
    folder = diffapple.folder
    sweep = ["ddpm", "--model", tiny, "--steps", 300, "--seed", "0..11", "--out", folder / "out"]
    home = {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    slurm.variables.update(home)
    print(slurm.run(SCRIPTS / "sweep.sh", 3, "--cpus-per-task=1", "--", *sweep, cwd=folder))
    slurm.wait(lambda: len(pictures(folder)) >= 2, 120, "the first pictures")
    # The program of the first part dies, as if memory had run out.
    (victim, *_) = subprocess.run(
        ["pgrep", "-f", f"{PROGRAM} ddpm .*{folder}/out --shard 1/3"], capture_output=True, text=True
    ).stdout.split()
    before = pictures(folder)
    os.kill(int(victim), signal.SIGKILL)
    slurm.wait(lambda: "PENDING" not in queue(slurm) and queue(slurm) == "", 400, "the end of all jobs")
    made = pictures(folder)
    assert len(made) == 12 and before.items() <= made.items()
    assert len(list(folder.rglob("sheet_*.png"))) == 1
    logs = "".join(path.read_text() for path in sorted(folder.glob("slurm-*.out")))
    assert "ended with 137; back into the queue" in logs and "made already" in logs, logs
    reports = diffapple.ok(*sweep, "--json").reports
    assert all(report["skipped"] for report in reports) and len(reports) == 12


def queue(slurm) -> str:
    return slurm.run("squeue", "-h", "-o", "%T %i %r").strip()


@pytest.mark.skipif(not shutil.which("parallel"), reason="needs GNU parallel")
def test_by_gnu_parallel(diffapple, tiny):
    """On this machine; others differ by their name alone."""
    sweep = ["ddpm", "--model", str(tiny), "--steps", "1", "--seed", "0..5", "--json"]
    result = subprocess.run(
        [SCRIPTS / "over_ssh.sh", "3", ":", *sweep], cwd=diffapple.folder, capture_output=True, text=True, timeout=100,
        env={**diffapple.variables(), "DIFFAPPLE": str(PROGRAM)},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    reports = [json.loads(line) for line in result.stdout.splitlines()]
    assert sorted(report["skipped"] for report in reports) == [False] * 6 + [True] * 6
    assert len(list(diffapple.folder.rglob("sheet_*.png"))) == 1


@pytest.mark.parametrize("script", ["sweep.sh", "over_ssh.sh"])
def test_wrong_calls(script):
    for arguments in ([], ["0", "--", "ddpm"], ["x"]):
        result = subprocess.run([SCRIPTS / script, *arguments], capture_output=True, text=True)
        assert result.returncode == 2 and "scripts/slurm/" in result.stderr
