"""What the supervisor is told about one job: from the specification to paths, an environment and an argument vector."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from hpc_connect.job import DEFAULT_GRACE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpc_connect.spec import JobSpec

DEFAULT_NAME = "job"

# A job is no rank of the MPI program that may have submitted it, and not the job that may have either; what an
# enclosing batch job says of its nodes stays.
_RANK_VARIABLES = ("PMI_", "PMIX_", "PMI2_", "OMPI_", "PRTE_", "HYDI_", "HYDRA_", "MPI_LOCAL")
_JOB_VARIABLES = (
    "HPC_CONNECT_JOB_ID",
    "HPC_CONNECT_JOB_NAME",
    "HPC_CONNECT_ATTEMPT",
    "HPC_CONNECT_ARRAY_INDEX",
)
_MINIMAL_VARIABLES = ("HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "PATH")
_LONGEST_NAME = 200  # bytes of the job's name in the name of a file
_WORD = re.compile(r"\{(name|id|index)\}")


def environment(spec: JobSpec, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables a job starts with; what ``env`` sets is in its script, if that is ours."""
    inherit = True if spec.inherit_env is None else spec.inherit_env
    if inherit is True:
        found = {name: value for name, value in environ.items() if not name.startswith(_RANK_VARIABLES)}
    else:
        names = _MINIMAL_VARIABLES if inherit is False else (*_MINIMAL_VARIABLES, *inherit)
        found = {name: environ[name] for name in names if name in environ}
    for name in _JOB_VARIABLES:
        found.pop(name, None)
    if spec.script is not None:
        given = dict(spec.env or {})
        if spec.launcher is not None:
            given.setdefault("HPC_CONNECT_LAUNCHER", spec.launcher)
        found.update({name: value for name, value in given.items() if value is not None})
        for name in [name for name, value in given.items() if value is None]:
            found.pop(name, None)
    return found


def output_paths(spec: JobSpec, workdir: str, job_id: str, index: int | None) -> tuple[str, str]:
    """Where standard output and standard error go; the same path twice when both go to one file."""
    default = "{name}.{id}.out" if index is None else "{name}.{id}.{index}.out"
    name = _file_name(spec.name or DEFAULT_NAME)
    words = {"name": name, "id": job_id, "index": "" if index is None else str(index)}

    def path(pattern: str) -> str:
        return os.path.join(workdir, _WORD.sub(lambda word: words[word[1]], pattern))

    return path(spec.stdout or default), path(spec.stderr or spec.stdout or default)


def _file_name(name: str) -> str:
    return name.replace("/", "_").encode()[:_LONGEST_NAME].decode(errors="ignore")


def order(
    spec: JobSpec,
    *,
    job_id: str,
    index: int | None,
    argv: list[str],
    workdir: str,
    outputs: tuple[str, str],
    environ: Mapping[str, str],
    script_size: int,
) -> dict[str, Any]:
    """What is to be done for one job.

    Args:
        spec: what was asked for.
        job_id, index: our id of the submission, and the index in an array.
        argv: what runs the script.
        workdir: where, an absolute path.
        outputs: see :func:`output_paths`.
        environ: what the job starts with, see :func:`environment`.
        script_size: bytes in the script.
    """
    name = job_id if index is None else f"{job_id}.{index}"
    variables = {**environ, "HPC_CONNECT_JOB_ID": name, "HPC_CONNECT_ATTEMPT": "1"}
    variables["HPC_CONNECT_JOB_NAME"] = spec.name or DEFAULT_NAME
    if index is not None:
        variables["HPC_CONNECT_ARRAY_INDEX"] = str(index)
    warning = spec.signal_before_end
    return {
        "attempt": 1,
        "argv": argv,
        "script_size": script_size,
        "env": variables,
        "workdir": workdir,
        "stdin": None if spec.stdin is None else os.path.join(workdir, spec.stdin),
        "stdout": outputs[0],
        "stderr": None if outputs[0] == outputs[1] else outputs[1],
        "limit": None if spec.time_limit is None else spec.time_limit.total_seconds(),
        "grace": DEFAULT_GRACE.total_seconds(),
        "warn": None if warning is None else [warning.signal, warning.lead.total_seconds()],
    }
