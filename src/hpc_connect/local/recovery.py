"""Handles of jobs that were submitted before, by this process or by others, and the start of those nobody else will."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from hpc_connect.engine import engine
from hpc_connect.errors import SpecError
from hpc_connect.evidence import SETTLED
from hpc_connect.group import ProcessGroup
from hpc_connect.job import JobProcess
from hpc_connect.local.conditions import Requirements, Slots
from hpc_connect.spec import JobSpec
from hpc_connect.status import JobState, JobStatus, Reason

if TYPE_CHECKING:
    from hpc_connect.job import JobControl
    from hpc_connect.local.runner import LocalRunner
    from hpc_connect.process import HPCProcess
    from hpc_connect.store import StoredJob


class Recovery:
    """Finds jobs of one cluster again.

    Args:
        control: the backend whose handles these are; its name is the cluster's.
        runner: what runs and follows them.
    """

    def __init__(self, control: JobControl, runner: LocalRunner) -> None:
        self._control = control
        self._runner = runner
        self._store = runner.store

    # ------------------------------------------------------------------ finding

    def attach(self, job_id: str) -> HPCProcess:
        """A handle of a job by our id or its native id ``PID:START``.

        Raises:
            SpecError: there is no such job in the store, nor a record of one.
        """
        known = self._runner.handles.get(job_id)
        if known is not None:
            return known
        name, stored = self._found(job_id)
        if stored is None:
            if name is None:
                cluster = self._control.name
                raise SpecError(
                    "native_id", job_id, f"is no job of {cluster!r} that left a trace on this machine"
                )
            job = JobProcess(self._control, name, JobStatus(state=JobState.UNKNOWN), native_id=job_id)
            self._runner.follow(job)
            return job
        if stored.cluster != self._control.name:
            raise SpecError(
                "native_id", job_id, f"is a job of {stored.cluster!r}; get_backend({stored.cluster!r})"
            )
        return self.handle_of(stored)

    def _found(self, job_id: str) -> tuple[str | None, StoredJob | None]:
        """The name of a job, and what the store knows of it; None where that is nothing."""
        stored = self._store.find(job_id)
        if stored is None:
            self._runner.flush()
            stored = self._store.find_native(self._control.name, job_id)
        if stored is not None:
            return stored.id, stored
        name = self._runner.folder.find_native(job_id)
        if name is not None:
            return name, self._store.find(name)
        # Its record was there a moment ago, if who noted its end in the store has removed it meanwhile.
        return None, self._store.find_native(self._control.name, job_id)

    def depended_on(self, target: str) -> HPCProcess:
        """The handle of a job that another waits for.

        Raises:
            SpecError: there is no such job.
        """
        try:
            return self.attach(target)
        except SpecError as error:
            raise SpecError("dependencies", target, error.allowed) from error

    def handle_of(self, stored: StoredJob) -> HPCProcess:
        """A handle of a job in the store, or of an array: the one there is, or one that follows it."""
        elements = self._store.elements(stored.id)
        if not elements:
            return self._one(stored)
        known = self._runner.handles.get(stored.id)
        processes = [self._one(element) for element in elements]
        if isinstance(known, ProcessGroup) and known.processes == tuple(processes):
            return known
        group = ProcessGroup(stored.id, processes, [element.array_index or 0 for element in elements])
        if stored.state not in SETTLED:
            self._runner.watch_group(group)
        return group

    def _one(self, stored: StoredJob) -> JobProcess:
        """A handle of a job that is no array."""
        known = self._runner.handles.get(stored.id)
        if isinstance(known, JobProcess) and known.status.state is not JobState.LOST:
            return known
        status = stored.status
        if status.state is JobState.LOST:  # evidence may have turned up
            status = replace(status, state=JobState.UNKNOWN)
        job = JobProcess(
            self._control,
            stored.id,
            status,
            native_id=stored.native_id or "",
            output_path=stored.output_path,
            error_path=stored.error_path,
        )
        if status.state not in SETTLED:
            self._runner.follow(job, keep=stored.keep)
        return job

    # ------------------------------------------------------------------ taking over

    def recover(self) -> list[HPCProcess]:
        """Handles of all jobs in the store that have not ended.

        One that was not started, and whose submitting process has ended, is this process's from now on.
        """
        self._runner.flush()
        unfinished = self._store.unfinished(self._control.name)
        return [self._recovered(stored) for stored in unfinished if stored.array_id is None]

    def _recovered(self, stored: StoredJob) -> HPCProcess:
        handle = self.handle_of(stored)
        jobs = self._store.elements(stored.id) or [stored]
        unclaimed = [job for job in jobs if self._is_unclaimed(job)]
        # Who adopts an array has all of it: two processes would each count for themselves how many elements run.
        if not unclaimed or not self._store.adopt(stored.id):
            return handle
        try:
            spec = JobSpec.from_record(stored.spec or {})
            slots = Slots(spec.max_parallel) if spec.max_parallel else None
            requirements = Requirements(spec, self.depended_on, slots)
            earlier: list[HPCProcess] = []
            if requirements.is_singleton:
                name = stored.name
                earlier = self._runner.earlier(self._control.name, name, stored.sequence, self.depended_on)
        except SpecError as error:
            for job in unclaimed:
                self._runner.fail(self._one(job), Reason.DEPENDENCY, f"can never start: {error}")
            return handle
        if slots is not None and isinstance(handle, ProcessGroup):
            self._count_running(slots, handle, unclaimed)
        for job in unclaimed:
            if job is stored or self._store.adopt(job.id):
                held = job.state is JobState.HELD
                conditions = requirements.of(job.array_index, earlier, held=held)
                self._runner.take_over(self._one(job), conditions, keep=job.keep)
        return handle

    def _is_unclaimed(self, stored: StoredJob) -> bool:
        return stored.state not in SETTLED and os.path.exists(self._runner.folder.order(stored.id))

    def _count_running(self, slots: Slots, array: ProcessGroup, unclaimed: list[StoredJob]) -> None:
        """Elements that others have started count, too."""
        still_to_start = {job.array_index for job in unclaimed}
        for index, process in zip(array.indexes, array.processes, strict=True):
            if index not in still_to_start and not process.status.state.terminal:
                engine().call(slots.occupy)
                process.add_done_callback(lambda _: engine().call(slots.give_back))
