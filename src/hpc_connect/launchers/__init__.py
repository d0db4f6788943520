"""The launchers that come with hpc_connect: one file each, named as the launcher, its class called LAUNCHER."""

from __future__ import annotations

import os

from hpc_connect import config
from hpc_connect.errors import LaunchError
from hpc_connect.launcher import INSTALL, whereabouts


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
