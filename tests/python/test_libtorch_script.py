"""Which LibTorch scripts/lib/libtorch.sh takes: macOS wants newer ones than Linux."""

import subprocess

import pytest
from conftest import PROJECT


def make_torch(folder, version, library="libtorch_cpu.dylib"):
    """As far as the script looks."""
    header = folder / "include" / "torch" / "headeronly" / "version.h"
    header.parent.mkdir(parents=True)
    parts = zip(("MAJOR", "MINOR", "PATCH"), version.split("."))
    header.write_text("".join(f"#define TORCH_VERSION_{name} {number}\n" for name, number in parts))
    (folder / "include" / "ATen").mkdir()
    (folder / "include" / "ATen" / "ATen.h").touch()
    (folder / "lib").mkdir()
    (folder / "lib" / library).touch()
    return folder


def run(script, system, path=None):
    """`script` with what the libraries of scripts/ define, on a system of that name, in a copy without a build."""
    prelude = (
        f". {PROJECT}/scripts/lib/common.sh; . {PROJECT}/scripts/lib/venv.sh; . {PROJECT}/scripts/lib/libtorch.sh; "
        f'on_macos() {{ [ {system} = macos ]; }}; cache_entry() {{ :; }}; is_finished_venv() {{ false; }}; '
        'torch_of_python() { say "$fake_torch"; }; '
    )
    return subprocess.run(
        ["bash", "-c", prelude + script],
        env={"PATH": "/usr/bin:/bin", "fake_torch": str(path or "")},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("version, linux, macos", [
    ("2.10.0", False, False),
    ("2.11.0", True, False),
    ("2.12.1", True, False),
    ("2.13.0", True, True),
    ("2.14.1", True, True),
    ("2.15.0", False, False),
])
def test_supported_versions(tmp_path, version, linux, macos):
    torch = make_torch(tmp_path / "torch", version)
    for system, supported in (("linux", linux), ("macos", macos)):
        assert (run(f"is_supported_libtorch {torch}", system).returncode == 0) == supported
        given = run(f"find_libtorch {torch} '' .venv/torch", system)
        assert (given.returncode == 0) == supported
        assert supported or f"LibTorch {version} is not one of 2.1" in given.stderr


def test_an_older_torch_of_a_python_is_passed_over_with_a_line(tmp_path):
    torch = make_torch(tmp_path / "torch", "2.12.0")
    found = run("find_libtorch '' '' .venv/torch", "macos", torch)
    assert (found.returncode, found.stdout) == (0, "")
    assert f"Passed over: LibTorch 2.12.0 in {torch} is not one of 2.13 to 2.14" in found.stderr
    assert run("find_libtorch '' '' .venv/torch", "linux", torch).stdout.strip() == str(torch)


def test_the_wheel_that_is_installed():
    assert run("wheel_for ''", "macos").stdout.strip() == "torch==2.14.1"
    assert run("wheel_for cpu", "linux").stdout.strip() == "torch==2.13.0+cpu"
