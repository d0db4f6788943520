"""``hpc-connect``, which is ``python -m hpc_connect`` too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import hpc_connect
from hpc_connect.cli.connect import main

if TYPE_CHECKING:
    from pathlib import Path

BACKEND = """
import hpc_connect

class Mine(hpc_connect.HPCBackend):
    name = "mine"
    matches = staticmethod("mine".__eq__)
    submit = None

@hpc_connect.hookimpl
def hpc_connect_backend():
    return Mine
"""


@pytest.fixture(autouse=True)
def no_site(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPC_CONNECT_SITE_CONFIG", os.devnull)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path with two packages: one that works, and one that cannot be imported."""
    for package, entry, text in (("good", "mine", BACKEND), ("bad", "bad", "raise OSError('two\\nlines')")):
        (tmp_path / f"installed_{package}.py").write_text(text)
        metadata = tmp_path / f"{package}-2.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 2.0\n")
        (metadata / "entry_points.txt").write_text(f"[hpc_connect]\n{entry} = installed_{package}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hpc_connect", *words], capture_output=True, text=True, check=False
    )


def listed(*words: str) -> dict[tuple[str, str], dict[str, Any]]:
    done = run(*words, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return {(info["name"], info["kind"]): info for info in json.loads(done.stdout)}


# ---------------------------------------------------------------- what there is


@pytest.mark.parametrize("words", [[], ["list"]])
def test_everything_is_listed_for_programs_with_where_it_comes_from_and_whether_it_can_be_used(
    site: Path, words: list[str]
) -> None:
    found = listed(*words)
    assert {("shell", "backend"), ("mpi", "launcher"), ("srun", "launcher")} <= found.keys()
    assert found["shell", "backend"] == {
        "name": "shell",
        "kind": "backend",
        "origin": "built in",
        "usable": True,
        "reason": "",
    }
    assert found["mine", "backend"]["origin"] == "good 2.0"
    assert found["bad", "plug-in"] == {
        "name": "bad",
        "kind": "plug-in",
        "origin": "bad 2.0",
        "usable": False,
        "reason": "OSError: two lines",
    }


def test_a_launcher_that_is_not_installed_is_listed_with_what_to_install(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = listed()["srun", "launcher"]
    assert not found["usable"]
    assert "install" in found["reason"]


def test_people_get_an_aligned_table_with_one_line_for_each(site: Path) -> None:
    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    head, *rows = done.stdout.splitlines()
    assert head.split("  ")[0] == "NAME"
    column = head.index("USABLE HERE")
    assert {row[column:].partition(":")[0] for row in rows} == {"yes", "no"}
    assert len(rows) == len(listed())
    [bad] = [row for row in rows if row.startswith("bad ")]
    assert bad[column:] == "no: OSError: two lines"


def test_a_configured_cluster_is_listed_with_what_configures_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hpc_connect.toml").write_text(
        'clusters.big.backend = "shell"\nclusters.lost.backend = "nothing"\nclusters.shell.node_count = 1\n'
    )
    found = listed()
    assert found["big", "backend"]["origin"] == f"shell as in {tmp_path / 'hpc_connect.toml'}"
    assert found["big", "backend"]["usable"]
    assert found["lost", "backend"]["reason"] == "there is no backend 'nothing'"
    assert found["shell", "backend"]["origin"] == "built in"


# ---------------------------------------------------------------- what is configured


def test_every_configured_value_is_printed_with_its_origin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('backend = "shell"\nclusters.big = { backend = "shell", grace_window = "2m" }\n')
    monkeypatch.setenv("HPC_CONNECT_LAUNCHER", "srun")
    assert main(["config", "--json", "--config-file", str(file)]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"key": "backend", "value": "shell", "origin": str(file)},
        {"key": "clusters.big.backend", "value": "shell", "origin": str(file)},
        {"key": "clusters.big.grace_window", "value": "2m", "origin": str(file)},
        {"key": "launch.launcher", "value": "srun", "origin": "environment variable HPC_CONNECT_LAUNCHER"},
    ]
    assert main(["config", "--config-file", str(file)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[:2] == [["KEY", "VALUE", "FROM"], ["backend", '"shell"', str(file)]]


def test_with_nothing_configured_there_is_nothing_but_the_head(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config"]) == 0
    assert capsys.readouterr().out == "KEY  VALUE  FROM\n"


def test_what_is_wrong_with_clusters_is_said_after_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "hpc_connect.toml"
    file.write_text(
        'clusters.a = { backend = "shell", node_count = 0 }\nclusters.b.backend = "nothing"\n'
        'clusters.c = { backend = "shell", colour = "red" }\nclusters.d = { backend = "shell", since = 2026-01-01 }\n'
    )
    assert main(["config", "--config-file", str(file)]) == 2
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 8
    said = shown.err.splitlines()
    assert said[0].startswith(f"hpc-connect: {file}: clusters.a.node_count=0: must be")
    assert said[1].startswith(f"hpc-connect: {file}: clusters.b.backend='nothing': unknown backend")
    assert said[2].startswith(f"hpc-connect: {file}: unknown key 'clusters.c.colour'")
    assert said[3].startswith(f"hpc-connect: {file}: unknown key 'clusters.d.since'")
    assert len(said) == 4


# ---------------------------------------------------------------- bad usage


@pytest.mark.parametrize(
    "words", [["--nothing"], ["nothing"], ["--js"], ["list", "more"], ["config", "--config-file"]]
)
def test_bad_usage_is_one_line_and_exit_code_2(words: list[str]) -> None:
    done = run(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("hpc-connect")
    assert "--help" in done.stderr


@pytest.mark.parametrize("words", [[], ["list"], ["config"]])
def test_a_bad_configuration_is_one_line_and_exit_code_2(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hpc_connect.toml").write_text("backend = \n")
    done = run(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert str(tmp_path / "hpc_connect.toml") in done.stderr


def test_the_version_is_that_of_the_package() -> None:
    assert run("--version").stdout == f"hpc_connect {hpc_connect.__version__}\n"


@pytest.mark.parametrize("words", [["--help"], ["list", "--help"], ["config", "--help"]])
def test_help_is_there(words: list[str]) -> None:
    done = run(*words)
    assert done.returncode == 0
    assert done.stdout.startswith("usage: hpc-connect")
