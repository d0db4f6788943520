"""One submission to this machine: its files, what the store is told, and its start."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hpc_connect import config as configuration
from hpc_connect.backend import new_id
from hpc_connect.dependency import Dependency
from hpc_connect.errors import SpecError
from hpc_connect.group import ProcessGroup
from hpc_connect.job import JobProcess
from hpc_connect.local import orders
from hpc_connect.local.waiting import Conditions, Slots
from hpc_connect.status import JobState, JobStatus
from hpc_connect.store import Intent

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpc_connect.job import JobControl
    from hpc_connect.local.runner import LocalRunner
    from hpc_connect.process import HPCProcess
    from hpc_connect.spec import JobSpec
    from hpc_connect.store import StoredJob


_SINGLETON = Dependency("singleton")


class Plan:
    """A specification with an absolute ``workdir``, on its way to one job or to an array of them.

    Args:
        control: the backend whose handles these are.
        runner: what runs them.
        spec: what was asked for.
        shell: what runs its commands.
        find: gives the handle of a job that is depended on, by its id.
        job_id: our id; a new one if not given.
        slots: shared by elements of an array that are planned one by one.
    """

    def __init__(
        self,
        control: JobControl,
        runner: LocalRunner,
        spec: JobSpec,
        shell: str,
        find: Callable[[str], HPCProcess],
        *,
        job_id: str | None = None,
        slots: Slots | None = None,
    ) -> None:
        self.id = job_id or new_id()
        self._control = control
        self._runner = runner
        self._spec = spec
        self._workdir = spec.workdir or os.curdir
        self._program = orders.program(spec, shell)
        self._find = find
        self._written_before: set[str] = set()
        self._slots = Slots(spec.max_parallel) if slots is None and spec.max_parallel else slots
        indexes: list[int | None] = [None] if spec.array is None else list(spec.array)
        self._others = {dependency: self._other(dependency) for dependency in self._dependencies}
        self._outputs = {index: orders.output_paths(spec, self._workdir, self.id, index) for index in indexes}
        for index in indexes:
            self._conditions(index)  # what can never hold is refused now

    # ------------------------------------------------------------------ files

    def write_files(self, script: str) -> None:
        """Write the script for each job, and see that the outputs can be written.

        Raises:
            SpecError: one of them cannot be.
        """
        for stdout, stderr in self._outputs.values():
            if orders.check_output(stdout, "stdout"):
                self._written_before.add(stdout)
            if stderr != stdout and orders.check_output(stderr, "stderr"):
                self._written_before.add(stderr)
        try:
            if self._spec.script_path is not None:
                path = os.path.join(self._workdir, self._spec.script_path)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                orders.write_script(path, script, 0o777)
        except OSError as error:
            raise SpecError(
                "script_path", self._spec.script_path, f"cannot be written: {error.strerror}"
            ) from error
        for index in self._outputs:
            path = self._runner.folder.script(self._name(index))
            try:
                orders.write_script(path, script, 0o700)
            except OSError as error:
                self.remove_files()
                raise SpecError(
                    "script", path, f"cannot be written: {error.strerror}; set work_dir"
                ) from error

    def remove_files(self) -> None:
        """Remove the scripts again: nothing was sent."""
        for index in self._outputs:
            with contextlib.suppress(OSError):
                os.unlink(self._runner.folder.script(self._name(index)))

    # ------------------------------------------------------------------ the store

    def intents(self, key: str | None) -> list[Intent]:
        """What the store is told: for an array one intent for all of it, then one for each job."""
        common: dict[str, Any] = {
            "cluster": self._control.name,
            "backend": "shell",
            "name": self._spec.name or orders.DEFAULT_NAME,
            "spec": self._spec,
            "keep": bool(self._spec.keep),
        }
        intents = []
        if self._spec.array is not None:
            intents.append(Intent(id=self.id, key=key, sending=False, status=_new(JobState.QUEUED), **common))
            common["array_id"], key = self.id, None
        for index, (stdout, stderr) in self._outputs.items():
            waits = self._waits(index)
            status = _new(JobState.QUEUED if waits else JobState.SUBMITTING)
            intent = Intent(
                id=self._name(index),
                key=key,
                array_index=index,
                output_path=stdout,
                error_path=stderr,
                sending=not waits,
                status=status,
                **common,
            )
            intents.append(intent)
        return intents

    # ------------------------------------------------------------------ starting

    def start(self, sequence: int) -> HPCProcess:
        """Start what may start. The intents are in the store, the first of them with this sequence number."""
        for path in self._written_before:
            orders.empty_output(path)
        singletons = self._earlier_of_this_name(sequence)
        jobs = []
        for index, outputs in self._outputs.items():
            state = JobState.QUEUED if self._waits(index) else JobState.SUBMITTING
            jobs.append(self._start_one(index, outputs, _new(state), singletons))
        if self._spec.array is None:
            return jobs[0]
        group = ProcessGroup(self.id, jobs, self._spec.array)
        self._runner.watch_group(group)
        return group

    def start_again(self, stored: StoredJob) -> JobProcess:
        """Start one job whose submitting process ended before it could."""
        array = None if stored.array_id is None else self._runner.journal.store.find(stored.array_id)
        outputs = (stored.output_path or os.devnull, stored.error_path or os.devnull)
        singletons = self._earlier_of_this_name((array or stored).sequence)
        status = replace(stored.status, state=JobState.QUEUED)
        return self._start_one(stored.array_index, outputs, status, singletons)

    def _start_one(
        self, index: int | None, outputs: tuple[str, str], status: JobStatus, singletons: list[HPCProcess]
    ) -> JobProcess:
        name = self._name(index)
        job = JobProcess(self._control, name, status, output_path=outputs[0], error_path=outputs[1])
        order = orders.order(
            self._spec,
            job_id=self.id,
            index=index,
            attempt=status.attempt,
            script=self._runner.folder.script(name),
            argv=self._program,
            workdir=self._workdir,
            outputs=outputs,
            environ=configuration.all_variables(),
        )
        conditions = self._conditions(index)
        conditions.dependencies += [(_SINGLETON, other) for other in singletons]
        self._runner.start(job, order, conditions)
        return job

    # ------------------------------------------------------------------ conditions

    @property
    def _dependencies(self) -> list[Dependency]:
        """Those that name a job; ``singleton`` goes by the order in the store instead."""
        return [dependency for dependency in self._spec.dependencies or () if dependency.target]

    def _other(self, dependency: Dependency) -> HPCProcess:
        other = self._find(dependency.target)
        if dependency.kind == "aftercorr" and not isinstance(other, ProcessGroup):
            raise SpecError("dependencies", dependency, f"aftercorr needs an array, which {other.id} is not")
        return other

    def _conditions(self, index: int | None) -> Conditions:
        found = []
        for dependency, other in self._others.items():
            if dependency.kind == "aftercorr" and isinstance(other, ProcessGroup):
                if index not in other.indexes:
                    raise SpecError(
                        "dependencies", dependency, f"{other.id} has no element with index {index}"
                    )
                found.append((dependency, other[index]))
            else:
                found.append((dependency, other))
        return Conditions(
            held=bool(self._spec.hold),
            begin=self._spec.begin,
            dependencies=found,
            any_of_them=self._spec.dependency_mode == "any",
            slots=self._slots,
        )

    def _waits(self, index: int | None) -> bool:
        return bool(self._conditions(index)) or _SINGLETON in (self._spec.dependencies or ())

    def _earlier_of_this_name(self, sequence: int) -> list[HPCProcess]:
        """The jobs that a singleton comes after: all live ones of its name that the store took before it."""
        if _SINGLETON not in (self._spec.dependencies or ()):
            return []
        name = self._spec.name or orders.DEFAULT_NAME
        earlier = self._runner.journal.store.named(self._control.name, name, live=True)
        return [self._find(job.id) for job in earlier if job.sequence < sequence and job.array_id is None]

    def _name(self, index: int | None) -> str:
        return self.id if index is None else f"{self.id}.{index}"


def _new(state: JobState) -> JobStatus:
    return JobStatus(state=state, submitted_at=datetime.now(UTC))
