"""Which launchers are installed, looked for as a shell looks for programs."""

from __future__ import annotations

import os
import sys

from hpc_connect import config
from hpc_connect.errors import LaunchError

INSTALL = (
    "install an MPI, for example with: pip install 'hpc_connect[mpi]', or on Debian: apt-get install openmpi-bin, "
    "or on a cluster: module load its MPI; then it is found on PATH"
)


def whereabouts(*names: str) -> str | None:
    """The path of the first of these programs that is there: on ``PATH``, else beside the running Python.

    The latter is for those who call ``.venv/bin/hpc-launch`` without activating the environment.
    """
    path = config.variable("PATH") or os.defpath
    folders = [folder or os.curdir for folder in path.split(os.pathsep)]
    folders += [os.path.dirname(sys.executable)] if sys.executable else []
    for name in names:
        candidates = [name] if os.path.dirname(name) else [os.path.join(folder, name) for folder in folders]
        for candidate in candidates:
            if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
                return candidate
    return None


def what_is_there(executable: str | None = None) -> str:
    """The name of the launcher to use where nobody named one.

    Args:
        executable: the program that is configured to be run; it tells which launcher is meant.

    Raises:
        LaunchError: no launcher is installed; the message says what to install.
    """
    if executable is not None:
        return "srun" if os.path.basename(executable) == "srun" else "mpi"
    if config.variable("SLURM_JOB_ID") and whereabouts("srun"):
        return "srun"
    if whereabouts("mpiexec", "mpirun"):
        return "mpi"
    if whereabouts("srun"):
        return "srun"
    raise LaunchError(f"no launcher (mpiexec, mpirun or srun) was found; {INSTALL}")
