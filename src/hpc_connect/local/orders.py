"""What the supervisor is told about one job: from the specification to paths, an environment and an argument vector."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING, Any

from hpc_connect.errors import SpecError
from hpc_connect.job import DEFAULT_GRACE
from hpc_connect.script import interpreter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpc_connect.spec import JobSpec

DEFAULT_NAME = "job"

# A job is no rank of the MPI program that may have submitted it; what an enclosing batch job says of its nodes stays.
_RANK_VARIABLES = ("PMI_", "PMIX_", "PMI2_", "OMPI_", "PRTE_", "HYDI_", "HYDRA_", "MPI_LOCAL")
_MINIMAL_VARIABLES = ("HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "PATH")
_LONGEST_NAME = 200  # bytes of the job's name in the name of a file


def environment(spec: JobSpec, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables a job starts with; what ``env`` sets is in its script, if that is ours."""
    inherit = True if spec.inherit_env is None else spec.inherit_env
    if inherit is True:
        found = {name: value for name, value in environ.items() if not name.startswith(_RANK_VARIABLES)}
    else:
        names = _MINIMAL_VARIABLES if inherit is False else (*_MINIMAL_VARIABLES, *inherit)
        found = {name: environ[name] for name in names if name in environ}
    if spec.script is not None:
        for name, value in (spec.env or {}).items():
            if value is None:
                found.pop(name, None)
            else:
                found[name] = value
        if spec.launcher is not None:
            found.setdefault("HPC_CONNECT_LAUNCHER", spec.launcher)
    return found


def output_paths(spec: JobSpec, workdir: str, job_id: str, index: int | None) -> tuple[str, str]:
    """Where standard output and standard error go; the same path twice when both go to one file."""
    name = _file_name(spec.name or DEFAULT_NAME)
    default = "{name}.{id}.out" if index is None else "{name}.{id}.{index}.out"
    patterns = (spec.stdout or default, spec.stderr or spec.stdout or default)
    words = {"{name}": name, "{id}": job_id, "{index}": "" if index is None else str(index)}

    def path(pattern: str) -> str:
        for word, value in words.items():
            pattern = pattern.replace(word, value)
        return os.path.normpath(os.path.join(workdir, pattern))

    return path(patterns[0]), path(patterns[1])


def _file_name(name: str) -> str:
    return name.replace("/", "_").encode()[:_LONGEST_NAME].decode(errors="ignore")


def check_output(path: str, field: str) -> bool:
    """Make the folders above an output file, and see that it can be written.

    Returns:
        Whether there was something before.

    Raises:
        SpecError: that cannot be done.
    """
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.isdir(path):
            raise IsADirectoryError(errno.EISDIR, "is a folder")
        existed = os.path.exists(path)
        _open_regular(path, os.O_CREAT)
    except OSError as error:
        raise SpecError(field, path, f"cannot be written: {error.strerror}") from error
    return existed


def empty_output(path: str) -> None:
    """Cut a file to nothing: a job does not write behind what an earlier one wrote."""
    with contextlib.suppress(OSError):
        _open_regular(path, os.O_TRUNC)


def _open_regular(path: str, flags: int) -> None:
    """Open and close a file; not a device or a pipe, where opening is an act of its own."""
    if not os.path.exists(path) or stat.S_ISREG(os.stat(path).st_mode):
        os.close(os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags, 0o666))


def write_script(path: str, text: str, mode: int) -> None:
    """Write a script whole, with the bytes that ``surrogateescape`` stands for.

    Raises:
        OSError: it cannot be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with open(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        file.write(text)


def order(
    spec: JobSpec,
    *,
    job_id: str,
    index: int | None,
    attempt: int,
    script: str,
    argv: list[str],
    workdir: str,
    outputs: tuple[str, str],
    environ: Mapping[str, str],
) -> dict[str, Any]:
    """The message that starts a job."""
    name = job_id if index is None else f"{job_id}.{index}"
    variables = {
        **environment(spec, environ),
        "HPC_CONNECT_JOB_ID": name,
        "HPC_CONNECT_ATTEMPT": str(attempt),
    }
    variables["HPC_CONNECT_JOB_NAME"] = spec.name or DEFAULT_NAME
    if index is not None:
        variables["HPC_CONNECT_ARRAY_INDEX"] = str(index)
    warning = spec.signal_before_end
    return {
        "name": name,
        "id": job_id,
        "array_index": "-" if index is None else str(index),
        "attempt": attempt,
        "argv": [*argv, script],
        "env": variables,
        "workdir": workdir,
        "stdin": None if spec.stdin is None else os.path.join(workdir, spec.stdin),
        "stdout": outputs[0],
        "stderr": None if outputs[0] == outputs[1] else outputs[1],
        "limit": None if spec.time_limit is None else spec.time_limit.total_seconds(),
        "grace": DEFAULT_GRACE.total_seconds(),
        "warn": None if warning is None else [warning.signal, warning.lead.total_seconds()],
        "clean": [script],
        "keep": bool(spec.keep),
    }


def program(spec: JobSpec, shell: str) -> list[str]:
    """What runs the script: the shell, or the interpreter that the user's own script names."""
    return [shell] if spec.script is None else interpreter(spec.script)
