"""A backend with no more than it must have, as the page on plug-ins shows it."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import Any

import hpc_connect
from hpc_connect.capability import Capability
from hpc_connect.compact import spec_of
from hpc_connect.script import render

UNDERSTOOD = {"name", "commands", "env", "tasks", "cpus_per_task"}


class MinimalProcess(hpc_connect.HPCProcess):
    polling_frequency = 0.02

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.id = self.native_id = str(process.pid)

    def poll(self) -> int | None:
        return self._process.poll()

    def cancel(self) -> None:
        if self.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)


class MinimalBackend(hpc_connect.HPCBackend):
    name = "minimal"
    capabilities = frozenset({Capability.CANCEL, Capability.CPUS_PER_TASK})

    @staticmethod
    def matches(name: str | None) -> bool:
        return name == "minimal"

    def submit(self, name: str, args: Any, *more: Any, **words: Any) -> hpc_connect.HPCProcess:
        spec = spec_of(name, args, *more, **words)
        self.refuse(spec)
        return self.start(render(spec, shell="/bin/sh"))

    def refuse(self, spec: hpc_connect.JobSpec) -> None:
        for field, value in spec.given().items():
            if field not in UNDERSTOOD:
                raise hpc_connect.UnsupportedError(field, value, "minimal cannot do this; leave it out")

    def start(self, script: str) -> hpc_connect.HPCProcess:
        return MinimalProcess(
            subprocess.Popen(["/bin/sh", "-c", script], stdin=subprocess.DEVNULL, start_new_session=True)
        )
