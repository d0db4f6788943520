"""One submission to this machine: its files, what the store is told, and its start."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hpc_connect import config as configuration
from hpc_connect.backend import new_id
from hpc_connect.group import ProcessGroup
from hpc_connect.job import JobProcess
from hpc_connect.local import orders
from hpc_connect.local.conditions import Requirements, Slots
from hpc_connect.local.files import Files
from hpc_connect.status import JobState, JobStatus
from hpc_connect.store import Intent

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpc_connect.job import JobControl
    from hpc_connect.local.runner import LocalRunner
    from hpc_connect.process import HPCProcess
    from hpc_connect.spec import JobSpec


class Plan:
    """A specification on its way to one job or to an array of them.

    Args:
        control: the backend whose handles these are.
        runner: what runs them.
        spec: what was asked for.
        workdir: where they run, an absolute path.
        find: gives the handle of a job that is depended on, by its id.

    Raises:
        SpecError: it depends on something that can never hold.
    """

    def __init__(
        self,
        control: JobControl,
        runner: LocalRunner,
        spec: JobSpec,
        workdir: str,
        find: Callable[[str], HPCProcess],
    ) -> None:
        self.id = new_id()
        self._control = control
        self._runner = runner
        self._spec = spec
        self._workdir = workdir
        self._files = Files(self.id)
        self._requirements = Requirements(spec, find, Slots(spec.max_parallel) if spec.max_parallel else None)
        self._find = find
        indexes: list[int | None] = [None] if spec.array is None else [*sorted(spec.array)]
        self._outputs = {index: orders.output_paths(spec, workdir, self.id, index) for index in indexes}
        state = JobState.QUEUED if self._requirements else JobState.SUBMITTING
        self._status = JobStatus(state=JobState.HELD if spec.hold else state, submitted_at=datetime.now(UTC))

    @property
    def waits(self) -> bool:
        """Whether the jobs must wait for something before they start."""
        return bool(self._requirements)

    # ------------------------------------------------------------------ files

    def write_files(self, script: str, program: list[str]) -> None:
        """Write script and order of each job, and see that the outputs can be written. After an error nothing is left.

        Args:
            script: text of the script.
            program: what runs it.

        Raises:
            SpecError: a file that the user named cannot be written.
            SubmitError: one of ours cannot be.
        """
        data = script.encode(errors="surrogateescape")
        environ = orders.environment(self._spec, configuration.all_variables())
        try:
            for stdout, stderr in self._outputs.values():
                self._files.prepare_output(stdout, "stdout")
                if stderr != stdout:
                    self._files.prepare_output(stderr, "stderr")
            if self._spec.script_path is not None:
                self._files.write_user_script(os.path.join(self._workdir, self._spec.script_path), data)
            for index, outputs in self._outputs.items():
                order = orders.order(
                    self._spec,
                    job_id=self.id,
                    index=index,
                    argv=program,
                    workdir=self._workdir,
                    outputs=outputs,
                    environ=environ,
                    script_size=len(data),
                )
                self._files.write_own(self._runner.folder.script(self._name(index)), data, 0o700)
                self._files.write_own(
                    self._runner.folder.order(self._name(index)), json.dumps(order).encode(), 0o600
                )
        except BaseException:
            self.remove_files()
            raise

    def remove_files(self) -> None:
        """Remove them again: nothing comes of the submission."""
        self._files.take_back()

    # ------------------------------------------------------------------ the store

    def intents(self, key: str | None) -> list[Intent]:
        """What the store is told: for an array one intent for all of it, then one for each job."""
        common: dict[str, Any] = {
            "cluster": self._control.name,
            "backend": "shell",
            "name": self._spec.name or orders.DEFAULT_NAME,
            "spec": self._spec,
            "keep": bool(self._spec.keep),
            "sending": not self.waits,
            "status": self._status,
        }
        intents = []
        if self._spec.array is not None:
            intents.append(Intent(id=self.id, key=key, **{**common, "sending": False}))
            common["array_id"], key = self.id, None
        for index, (stdout, stderr) in self._outputs.items():
            name = self._name(index)
            intents.append(
                Intent(id=name, key=key, array_index=index, output_path=stdout, error_path=stderr, **common)
            )
        return intents

    # ------------------------------------------------------------------ starting

    def start(self, sequence: int) -> HPCProcess:
        """Start what may start. The intents are in the store, the first of them with this sequence number."""
        earlier: list[HPCProcess] = []
        if self._requirements.is_singleton:
            name = self._spec.name or orders.DEFAULT_NAME
            earlier = self._runner.earlier(self._control.name, name, sequence, self._find)
        jobs = []
        for index, (stdout, stderr) in self._outputs.items():
            job = JobProcess(
                self._control, self._name(index), self._status, output_path=stdout, error_path=stderr
            )
            jobs.append(job)
            keep = bool(self._spec.keep)
            if self.waits:
                self._runner.start_later(job, self._requirements.of(index, earlier), keep=keep)
            else:
                self._runner.start(job, keep=keep)
        if self._spec.array is None:
            return jobs[0]
        group = ProcessGroup(self.id, jobs, sorted(self._spec.array))
        self._runner.watch_group(group)
        return group

    def _name(self, index: int | None) -> str:
        return self.id if index is None else f"{self.id}.{index}"
