"""``hpc-launch --check``: do launcher and MPI library fit together?

A launcher tells its processes their ranks in the words of its own family. A library of another family does not
understand them, and each process takes itself for the only one: N programs that all succeed, each with a world
of size 1. So a small program is launched that says what it was told, and what an MPI library makes of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from hpc_connect.cli.launch_request import command
from hpc_connect.errors import LaunchError

if TYPE_CHECKING:
    from hpc_connect.cli.launch_request import Request

MARK = "hpc-launch-check "
_REMEDY = """\
Either use the launcher that belongs to this library: put it first on PATH, or name it in HPCC_LAUNCH_EXEC
(under srun: choose another --mpi, see srun --mpi=list). Or install mpi4py for the launcher's MPI:
pip install --no-binary mpi4py mpi4py, with the mpicc of that MPI on PATH."""
_PROCESSES = 2
_SECONDS = 60

PROBE = f"""
import json, os, platform, sys
def told(*names):
    return next((int(os.environ[name]) for name in names if os.environ.get(name, '').isdigit()), None)
def say():
    os.write(1, ({MARK!r} + json.dumps(seen) + chr(10)).encode())
seen = {{
    'rank': told('OMPI_COMM_WORLD_RANK', 'PMI_RANK', 'PMIX_RANK', 'SLURM_PROCID'),
    'size': told('OMPI_COMM_WORLD_SIZE', 'PMI_SIZE', 'SLURM_STEP_NUM_TASKS', 'SLURM_NTASKS'),
    'host': platform.node(), 'pid': os.getpid(),
}}
try:
    import mpi4py
    mpi4py.rc(initialize=False)
    from mpi4py import MPI
    seen['library'] = MPI.Get_library_version().splitlines()[0].partition(',')[0]
    say()  # the library may end the process rather than start
    MPI.Init()
    world = MPI.COMM_WORLD
    seen.update(mpi_rank=world.Get_rank(), mpi_size=world.Get_size(), met=world.allreduce(1))
    MPI.Finalize()
except Exception as error:
    seen['error'] = type(error).__name__ + ': ' + ' '.join(str(error).split())
say()
"""
"""What each process runs; for any Python 3, with or without mpi4py."""


def check(request: Request) -> int:
    """Launch the probe and explain what it shows.

    Returns:
        0 when nothing is wrong, 1 when something is.

    Raises:
        HPCConnectError: the probe cannot be launched at all.
    """
    if not request.counted:
        request.words[:0] = ["-n", str(_PROCESSES)]
    python = request.check or sys.executable
    request.words += [python, "-c", PROBE]
    found = command(request)
    if found.file is not None:
        raise LaunchError("--check is for a single program: leave out the ':'")
    print(f"launching: {' '.join(found.argv[:-2])} -c <a program that reports its rank>")
    code, output, errors = _run(found.argv)
    reports = read_reports(output)
    for report in reports:
        print(_line(report))
    good, explanation = explain(reports, python, found.launcher)
    if code != 0:
        good = False
        explanation += f"\nThe launcher ended with exit code {code}."
    print(explanation)
    if not good and errors.strip():
        print("--- end of its error output ---", *errors.strip().splitlines()[-12:], sep="\n")
    return 0 if good else 1


def _run(argv: list[str]) -> tuple[int, str, str]:
    """Run the launcher; when it takes too long, tell it to end, and after a while make it."""
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        process.terminate()
        try:
            output, errors = process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            output, errors = process.communicate()
        errors += f"\nhpc-launch: ended after {_SECONDS} s\n"
    return process.returncode, output, errors


def read_reports(output: str) -> list[dict[str, Any]]:
    """The last report of each process, in the order of the ranks that the launcher gave."""
    reports: dict[tuple[str, int], dict[str, Any]] = {}
    for line in output.splitlines():
        _, mark, text = line.partition(MARK)
        if mark:
            try:
                report = json.loads(text)
                reports[report["host"], report["pid"]] = report
            except (ValueError, LookupError, TypeError):
                continue  # two lines that were printed at once
    return sorted(reports.values(), key=lambda report: (report["rank"] is None, report["rank"]))


def _line(report: dict[str, Any]) -> str:
    text = f"  process {report['pid']} on {report['host']}: launcher says rank {report['rank']} of {report['size']}"
    if "mpi_size" in report:
        text += f", MPI says rank {report['mpi_rank']} of {report['mpi_size']}"
    return text


def explain(reports: list[dict[str, Any]], python: str, launcher: str) -> tuple[bool, str]:
    """Whether all is well, and what was shown, what was not, and what to do.

    Args:
        reports: what the processes reported.
        python: the interpreter they ran in.
        launcher: name of the launcher's kind.
    """
    if not reports:
        return False, "No process reported anything: the launcher could not start them."
    count = len(reports)
    sizes = {report.get("mpi_size") for report in reports}
    library = next((report["library"] for report in reports if "library" in report), None)
    if library is None:
        return _without_library(reports, python)
    pair = f"The launcher is {launcher}; the library that {python} loads is: {library}"
    if sizes == {None}:
        return False, (
            f"They do not fit: {count} processes were started, but MPI does not start in them.\n{pair}\n{_REMEDY}"
        )
    if sizes == {count} and {report["mpi_rank"] for report in reports} == set(range(count)):
        return True, f"They fit: {count} processes, one MPI world. Launcher: {launcher}; library: {library}"
    if sizes == {1}:
        return False, (
            f"They do not fit: {count} processes were started, and each takes itself for the only one (an MPI "
            f"world of size 1).\n{pair}\n{_REMEDY}"
        )
    problems = sorted({report["error"] for report in reports if "error" in report})
    return False, (
        f"{count} processes reported worlds of sizes {', '.join(sorted(map(str, sizes)))}: some found one "
        f"another, others did not.\n{pair}" + "".join(f"\n{problem}" for problem in problems)
    )


def _without_library(reports: list[dict[str, Any]], python: str) -> tuple[bool, str]:
    """Only the launcher can be judged."""
    count = len(reports)
    problem = reports[0].get("error", "")
    missing = problem.startswith("ModuleNotFoundError")
    what = (
        f"mpi4py is not installed for {python}" if missing else f"mpi4py does not work in {python}: {problem}"
    )
    if {report["rank"] for report in reports} != set(range(count)):
        return False, (
            f"The launcher started {count} processes, but did not give them the ranks 0 to {count - 1} in any way "
            f"that is known here.\nNo MPI library was asked: {what}."
        )
    return missing, (
        f"The launcher works: {count} processes with the ranks 0 to {count - 1}.\n"
        f"Not shown: whether an MPI library joins them to one world, because {what}.\n"
        f"To show it: pip install mpi4py there, or name another Python with --check=PYTHON."
    )
