"""The backend ``my-backend``: each job is a process of this machine, started at once.

A real one would hand the job to the API of a scheduler instead; everything else would stay as it is.
"""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import hpc_connect
from hpc_connect import Capability
from hpc_connect.backend import new_id
from hpc_connect.compact import spec_of
from hpc_connect.script import render

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# The fields of a job that this backend understands. What it does not understand it refuses, and never drops.
UNDERSTOOD = {"name", "commands", "script_path", "env", "stdout", "stderr", "tasks", "cpus_per_task"}


class MyProcess(hpc_connect.HPCProcess):
    """A job of ``my-backend``. From ``poll`` and ``cancel`` come waiting, futures, callbacks and ``await``."""

    polling_frequency = 0.1

    def __init__(self, job_id: str, process: subprocess.Popen[bytes], output_path: str) -> None:
        self.id = job_id
        self.native_id = str(process.pid)
        self.output_path = output_path
        self._process = process

    def poll(self) -> int | None:
        return self._process.poll()

    def cancel(self) -> None:
        if self.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)

    def output(self) -> str:
        with open(self.output_path, encoding="utf-8", errors="replace") as file:
            return file.read()


class MyBackend(hpc_connect.HPCBackend):
    """Runs each job at once, on this machine."""

    name = "my-backend"
    capabilities = frozenset({Capability.CANCEL, Capability.CPUS_PER_TASK})

    @staticmethod
    def matches(name: str | None) -> bool:
        return name == "my-backend"

    def submit(
        self,
        name: str,
        args: Sequence[str | Sequence[str]],
        scriptname: str | None = None,
        qtime: float | None = None,
        submit_flags: Sequence[str] | None = None,
        variables: Mapping[str, str | None] | None = None,
        output: str | None = None,
        error: str | None = None,
        nodes: int | None = None,
        cpus: int | None = None,
        gpus: int | None = None,
        **kwargs: Any,
    ) -> MyProcess:
        spec = spec_of(
            name, args, scriptname, qtime, submit_flags, variables, output, error, nodes, cpus, gpus, **kwargs
        )
        for field, value in spec.given().items():
            if field not in UNDERSTOOD:
                raise hpc_connect.UnsupportedError(
                    field, value, f"backend {self.name!r} cannot do this; leave it out"
                )
        script = render(spec, shell="/bin/sh")
        if spec.script_path is not None:
            with open(spec.script_path, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(script)
        job_id = new_id()
        stdout = os.path.abspath(spec.stdout or f"{name.replace('/', '_')[:60]}.{job_id}.out")
        stderr = os.path.abspath(spec.stderr or stdout)
        return MyProcess(job_id, _started(script, stdout, stderr), stdout)


def _started(script: str, stdout: str, stderr: str) -> subprocess.Popen[bytes]:
    for path in (stdout, stderr):
        os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(stdout, "wb") as out, open(stderr, "ab") as err:
        return subprocess.Popen(
            ["/bin/sh", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out if stderr == stdout else err,
            start_new_session=True,
        )


@hpc_connect.hookimpl
def hpc_connect_backend() -> type[hpc_connect.HPCBackend]:
    return MyBackend
