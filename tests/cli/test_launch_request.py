"""Which words of a command line are for ``hpc-launch`` itself, and what is known of the place."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from stand_ins import stand_in

from hpc_connect.cli.launch_request import Request, command
from hpc_connect.errors import LaunchError

if TYPE_CHECKING:
    from pathlib import Path


def test_its_own_options_come_first_or_between_the_portable_ones() -> None:
    request = Request("--backend mpi -n 4 --dry-run --tag-output --config-file=f --env=A=1 -x app -y".split())
    assert (request.backend, request.config_file, request.dry_run) == ("mpi", "f", True)
    assert request.words == "-n 4 --tag-output --env=A=1 -x app -y".split()
    assert request.counted


@pytest.mark.parametrize(
    "words",
    [
        "app --backend nccl --dry-run",
        "-n 4 app --config-file x --help",
        "-- --backend x",
        "-mca btl tcp --backend x app",
        "--hosts --dry-run app",
    ],
)
def test_words_of_the_program_and_values_are_left_alone(words: str) -> None:
    request = Request(words.split())
    assert (request.backend, request.config_file, request.dry_run, request.show) == (None, None, False, None)
    assert request.words == words.split()


def test_the_value_of_an_unknown_option_ends_the_search() -> None:
    """``-host time --dry-run app``: whether time is a value is for the launcher's table to say."""
    request = Request("-l --dry-run -host time --backend mpi app".split())
    assert request.dry_run
    assert request.words == "-l -host time --backend mpi app".split()


@pytest.mark.parametrize(
    ("words", "check", "counted"),
    [
        (["--check"], "", False),
        (["--check=/usr/bin/python3", "-n", "3"], "/usr/bin/python3", True),
        (["-n4", "--check"], "", True),
        (["-n", "3", "app"], None, True),
        (["app", "-n", "3", "--check"], None, False),
    ],
)
def test_a_check_may_name_a_python_and_a_number(words: list[str], check: str | None, counted: bool) -> None:
    request = Request(words)
    assert (request.check, request.counted) == (check, counted)


def test_where_a_scheduler_gave_the_hosts_its_slots_are_respected(
    bin_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(bin_folder, kind="openmpi")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert command(Request(["-n", "2", "app"])).argv[1:] == [
        "--map-by",
        "slot:OVERSUBSCRIBE",
        "-n",
        "2",
        "app",
    ]
    for variable in ("SLURM_JOB_ID", "PBS_NODEFILE", "PE_HOSTFILE", "LSB_JOBID"):
        with monkeypatch.context() as inside:
            inside.setenv(variable, "x")
            inside.setenv("HPC_CONNECT_LAUNCHER", "mpi")
            assert command(Request(["-n", "2", "app"])).argv[1:] == ["-n", "2", "app"], variable


def test_the_superuser_is_told_apart(bin_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(bin_folder, kind="openmpi")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert command(Request(["app"])).argv[1:] == ["--allow-run-as-root", "app"]


def test_nothing_to_launch_is_refused_before_anything_is_looked_for(bin_folder: Path) -> None:
    with pytest.raises(LaunchError, match="no program"):
        command(Request([]))
