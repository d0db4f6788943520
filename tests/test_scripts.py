"""The scripts that set things up, as far as that can be seen without setting anything up."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = ("scripts/demo", "scripts/test", "benchmarks/run")
SHELL_SCRIPTS = (
    *COMMANDS,
    "scripts/environment.sh",
    ".ci/run",
    "examples/my_plugin/src/my_plugin/mylaunch",
)


def run(*argv: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv, env={**os.environ, **variables}, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the scripts need of a checkout that has no virtual environment yet."""
    root = tmp_path / "a checkout"
    shutil.copytree(ROOT / "scripts", root / "scripts")
    shutil.copy(ROOT / "pyproject.toml", root)
    return root


def stub(folder: Path, name: str, text: str) -> str:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.real
@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize("script", SHELL_SCRIPTS)
def test_shellcheck_finds_nothing(script: str) -> None:
    done = run("shellcheck", "--external-sources", ROOT / script)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_a_script_does_and_does_nothing(command: str) -> None:
    done = run(ROOT / command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] in (ROOT / command).read_text()
    assert "==>" not in done.stdout


def test_ci_runs_the_gate_and_nothing_else() -> None:
    assert (
        run("bash", ROOT / ".ci" / "run", "--help").stdout == run(ROOT / "scripts" / "test", "--help").stdout
    )


def test_the_demo_takes_no_arguments(checkout: Path) -> None:
    done = run(checkout / "scripts" / "demo", "fast")
    assert (done.returncode, done.stderr) == (1, "demo: takes no arguments\n")


@pytest.mark.parametrize("command", ["demo", "test"])
def test_without_a_python_that_is_new_enough_that_is_said_and_nothing_is_made(
    command: str, checkout: Path
) -> None:
    old = stub(checkout / "bin", "python3.9", "exit 1")
    done = run(checkout / "scripts" / command, PYTHON=old)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"{command}: Python 3.11 or later is needed, and none of these is one: {old} "
        f"(PYTHON=/path/to/python names another)\n"
    )
    assert not (checkout / ".venv").exists()


def test_a_python_without_venv_is_named_with_what_to_install(checkout: Path) -> None:
    bare = stub(checkout / "bin", "python3", "case $2 in *ensurepip*) exit 1 ;; esac")
    done = run(checkout / "scripts" / "demo", PYTHON=bare)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"demo: {bare} cannot make virtual environments")
    assert done.stderr.endswith("apt-get install python3-venv\n")


def test_what_a_command_prints_is_shown_when_it_fails(checkout: Path) -> None:
    broken = stub(
        checkout / "bin",
        "python3",
        'case $1 in --version) echo Python 3.99 ;; -m) echo "no room"; exit 1 ;; esac',
    )
    done = run(checkout / "scripts" / "demo", PYTHON=broken)
    assert done.returncode == 1
    assert done.stdout == "==> making the virtual environment .venv with Python 3.99\n"
    assert done.stderr == f"no room\ndemo: this failed: {broken} -m venv --clear {checkout}/.venv\n"
