"""``hpc-launch --check``: what it makes of what the processes report. Real pairings are in tests/real/test_mpi.py."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from stand_ins import hpc_launch, stand_in

from hpc_connect.cli.check import MARK, explain, read_reports

if TYPE_CHECKING:
    from pathlib import Path


def report(
    rank: int | None, of: int | None, mpi: tuple[int, int] | None = None, **more: Any
) -> dict[str, Any]:
    found: dict[str, Any] = {"rank": rank, "size": of, "host": "h", "pid": 1, **more}
    if mpi is not None:
        found.update(mpi_rank=mpi[0], mpi_size=mpi[1], library="Open MPI v5.0.11")
    return found


MISSING = {"error": "ModuleNotFoundError: No module named 'mpi4py'"}


@pytest.mark.parametrize(
    ("reports", "good", "said"),
    [
        ([report(0, 2, (0, 2)), report(1, 2, (1, 2))], True, "They fit: 2 processes, one MPI world"),
        ([report(0, 1, (0, 1))], True, "They fit: 1 processes"),
        ([report(0, 2, (0, 1)), report(1, 2, (0, 1))], False, "They do not fit: 2 processes"),
        ([report(0, 2, (0, 2)), report(1, 2, (0, 2))], False, "some found one another"),
        ([report(0, 2, (0, 2))], False, "some found one another"),
        ([report(0, 2, (0, 2)), report(1, 2, error="OSError: no")], False, "OSError: no"),
        ([report(0, 2, library="MPICH"), report(1, 2, library="MPICH")], False, "MPI does not start in them"),
        ([report(0, 2, **MISSING), report(1, 2, **MISSING)], True, "Not shown"),
        (
            [report(0, 2, error="ImportError: libmpi.so"), report(1, 2, error="ImportError: x")],
            False,
            "libmpi.so",
        ),
        (
            [report(None, None, **MISSING), report(None, None, **MISSING)],
            False,
            "did not give them the ranks",
        ),
        ([], False, "No process reported"),
    ],
)
def test_reports_are_explained(reports: list[dict[str, Any]], good: bool, said: str) -> None:
    verdict, text = explain(reports, "/usr/bin/python3", "MPICH")
    assert verdict is good
    assert said in text


def test_a_wrong_pairing_names_launcher_and_library_and_what_to_do() -> None:
    _, text = explain([report(0, 2, (0, 1)), report(1, 2, (0, 1))], "/usr/bin/python3", "MPICH")
    assert "The launcher is MPICH" in text
    assert "Open MPI v5.0.11" in text
    assert "HPCC_LAUNCH_EXEC" in text


def test_what_was_not_shown_is_said() -> None:
    _, text = explain([report(0, 1, **MISSING)], "/usr/bin/python3", "MPICH")
    assert "The launcher works" in text
    assert "mpi4py is not installed for /usr/bin/python3" in text


def test_the_last_report_of_each_process_is_found_among_other_output() -> None:
    first, second, last = report(1, 2, pid=7), report(0, 2, pid=8), report(1, 2, (1, 2), pid=7)
    lines = [
        f"{MARK}{json.dumps(first)}",
        "noise",
        f"[0] {MARK}{json.dumps(second)}",
        f"{MARK}{{half",
        f"{MARK}3",
    ]
    assert read_reports("\n".join([*lines, f"{MARK}{json.dumps(last)}"])) == [second, last]


LAUNCH_TWO = """
while [ "$1" != "$PYTHON" ]; do shift; done
for rank in 0 1; do OMPI_COMM_WORLD_RANK=$rank OMPI_COMM_WORLD_SIZE=2 "$@" & done
wait
"""


def test_two_processes_are_launched_where_no_number_is_given(
    bin_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHON", sys.executable)
    stand_in(bin_folder, body='echo "$@" >&2' + LAUNCH_TWO, kind="openmpi")
    done = hpc_launch("--check")
    text = done.stdout.decode()
    assert " -n 2 " in text.splitlines()[0]
    assert text.count("launcher says rank") == 2
    assert "rank 0 of 2" in text
    assert "rank 1 of 2" in text


def test_a_launcher_that_fails_is_reported_with_the_end_of_its_errors(bin_folder: Path) -> None:
    stand_in(bin_folder, body="echo no such host >&2; exit 9")
    done = hpc_launch("--check", "-n", "3")
    assert done.returncode == 1
    assert "exit code 9" in done.stdout.decode()
    assert "no such host" in done.stdout.decode()


def test_several_programs_cannot_be_checked(bin_folder: Path) -> None:
    stand_in(bin_folder, "srun")
    assert hpc_launch("--check", "--backend=srun", "a", ":").returncode == 2
