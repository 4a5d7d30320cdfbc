"""Fixtures of all Python tests: the program under test, run in an environment of its own."""

import json
import os
import pty
import select
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PROGRAM = Path(os.environ.get("DIFFAPPLE", PROJECT / "build" / "diffapple"))
STANDIN_MPS = Path(os.environ.get("DIFFAPPLE_STANDIN_MPS", PROGRAM.with_name("diffapple_standin_mps")))
os.environ["HF_HUB_OFFLINE"] = "1"  # the oracle reads local folders only
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the oracle's threads and the program's would wait for each other
pytest.register_assert_rewrite("refusals")  # its failures show values, as those of a test file

needs_standin_mps = pytest.mark.skipif(
    sys.platform == "darwin", reason="a Mac has mps itself; the stand-in is for Linux"
)


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def paths(self) -> list[Path]:
        return [Path(line) for line in self.out.splitlines()]

    @property
    def reports(self) -> list[dict]:
        return [json.loads(line) for line in self.out.split("\n") if line]  # splitlines() also splits at U+2028


@dataclass
class Diffapple:
    """Runs the program in `folder`, where neither models nor caches of this machine are found."""

    folder: Path
    program: Path = PROGRAM
    environment: dict = field(default_factory=dict)

    def command(self, *arguments) -> list[str]:
        return [str(self.program), *map(str, arguments)]

    def variables(self) -> dict:
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "XDG_"))}
        return {**kept, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), **self.environment}

    def start(self, *arguments, **options) -> subprocess.Popen:
        streams = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        return subprocess.Popen(
            self.command(*arguments), cwd=self.folder, env=self.variables(), **{**streams, "text": True, **options}
        )

    def __call__(self, *arguments, timeout: float = 120, **options) -> Result:
        with self.start(*arguments, **options) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return Result(process.returncode, out, err)

    def ok(self, *arguments, **options) -> Result:
        """A run that must succeed."""
        result = self(*arguments, **options)
        assert result.code == 0, result.err
        return result


@pytest.fixture
def diffapple(tmp_path) -> Diffapple:
    return Diffapple(tmp_path)


@pytest.fixture(scope="session")
def small(tmp_path_factory) -> Path:
    """A DDPM checkpoint with attention; to be read only."""
    from checkpoints import SMALL, make_checkpoint  # not at the top: diffusers reads HF_HUB_OFFLINE when imported

    return make_checkpoint(tmp_path_factory.mktemp("small") / "small", SMALL)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """The smallest DDPM checkpoint, for many steps; to be read only."""
    from checkpoints import TINY, make_checkpoint

    return make_checkpoint(tmp_path_factory.mktemp("tiny") / "tiny", TINY)


@pytest.fixture
def ddpm(diffapple, tiny):
    """`diffapple ddpm` with the tiny model, a step or more."""

    def run(*arguments, **options):
        return diffapple("ddpm", "--model", tiny, *arguments, **options)

    run.folder = diffapple.folder
    return run


@pytest.fixture
def model(small, diffapple) -> Path:
    """A checkpoint to break."""
    from checkpoints import copy_checkpoint

    return copy_checkpoint(small, diffapple.folder / "model")


@pytest.fixture
def refuses(diffapple, model):
    """Runs the broken checkpoint (a picture would take a second) and checks the refusal."""
    from refusals import assert_refused

    def run(*named: str, code: int = 1, arguments=(), timeout: float = 20, **options):
        result = diffapple("ddpm", "--model", model, "--steps", 2, *arguments, timeout=timeout, **options)
        assert_refused(diffapple, result, code, *named)

    return run


def one_line_error(result: Result, code: int, *parts: str) -> None:
    """Nothing on stdout, and one line on stderr that names `parts`."""
    assert (result.code, result.out) == (code, ""), result.err
    assert len(result.err.splitlines()) == 1, result.err
    for part in parts:
        assert part in result.err


def run_on_terminal(
    command: list[str], cwd: Path, env: dict, with_stdout: bool = False, stdin: bool = False
) -> tuple[int, str]:
    """Exit code and all that the program writes on a terminal that is its stderr (and its stdout, and its stdin)."""
    leader, follower = pty.openpty()
    stdout = follower if with_stdout else subprocess.DEVNULL
    with subprocess.Popen(
        command, cwd=cwd, env=env, stdin=follower if stdin else None, stdout=stdout, stderr=follower
    ) as process:
        os.close(follower)
        written = b""
        while select.select([leader], [], [], 60)[0]:
            try:
                block = os.read(leader, 65536)
            except OSError:  # Linux's end of a terminal
                break
            if not block:
                break
            written += block
    os.close(leader)
    return process.returncode, written.decode()


def leftovers(folder: Path) -> list[Path]:
    """Temporary files that a run left behind."""
    return [path for path in folder.rglob("*") if path.name.endswith(".tmp")]
