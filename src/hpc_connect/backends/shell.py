"""The shell backend: jobs on this machine, detached from the program that submits them.

There is no queue: a job starts at once, or, when it must wait for something, as soon as the process that submitted
it sees that it may. A supervisor (``hpc_connect.local.supervisor``) runs the jobs and outlives that process.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from typing import TYPE_CHECKING

from hpc_connect import config as configuration
from hpc_connect.backend import SpecBackend
from hpc_connect.capability import Capability
from hpc_connect.cluster import ClusterConfig
from hpc_connect.engine import engine
from hpc_connect.errors import HPCConnectError, SpecError, SubmitError, UnsupportedError
from hpc_connect.group import ProcessGroup
from hpc_connect.job import JobProcess
from hpc_connect.journal import Journal
from hpc_connect.local import machine, orders
from hpc_connect.local.plan import Plan
from hpc_connect.local.runner import LocalRunner
from hpc_connect.local.waiting import Slots
from hpc_connect.records.folder import RecordFolder
from hpc_connect.script import DEFAULT_SHELL, render
from hpc_connect.spec import JobSpec
from hpc_connect.status import JobState, JobStatus
from hpc_connect.store import Store

if TYPE_CHECKING:
    from hpc_connect.process import HPCProcess
    from hpc_connect.quantities import Duration
    from hpc_connect.store import StoredJob

_CAPABILITIES = frozenset(
    {
        Capability.CANCEL,
        Capability.HOLD,
        Capability.SUSPEND,
        Capability.REQUEUE,
        Capability.SEND_SIGNAL,
        Capability.ATTACH,
        Capability.RECOVER,
        Capability.KEY,
        Capability.AFTERSTART,
        Capability.AFTERANY,
        Capability.AFTEROK,
        Capability.AFTERNOTOK,
        Capability.AFTERCORR,
        Capability.SINGLETON,
        Capability.ANY_DEPENDENCY,
        Capability.ARRAY,
        Capability.STDIN,
        Capability.WORKDIR,
        Capability.INHERIT_ENV,
        Capability.SCRIPT,
        Capability.TASKS,
        Capability.TASKS_PER_NODE,
        Capability.CPUS_PER_TASK,
        Capability.NODES,
        Capability.GPUS,
        Capability.GPUS_PER_NODE,
        Capability.GPUS_PER_TASK,
        Capability.TIME_LIMIT,
        Capability.SIGNAL_BEFORE_END,
        Capability.BEGIN,
        Capability.NO_REQUEUE,
    }
)


class ShellBackend(SpecBackend):
    """Runs jobs on this machine. One node; CPUs are not allotted, so jobs may ask for more than there are."""

    name = "shell"
    capabilities = _CAPABILITIES
    default_polling_frequency = 1.0

    def __init__(self, config: ClusterConfig | None = None) -> None:
        known = config or ClusterConfig(name=self.name, backend=self.name)
        super().__init__(known.discovered(1, machine.cpus(), machine.gpus()))

    @staticmethod
    def matches(name: str | None) -> bool:
        """Whether this backend goes by ``name``."""
        return name == "shell"

    @classmethod
    def unusable_here(cls) -> str:
        """Why it cannot be used on this machine; empty when it can."""
        if not sys.platform.startswith("linux"):
            return "it needs Linux: jobs are followed through /proc and pidfd_open(2)"
        return ""

    # ------------------------------------------------------------------ submitting

    def submit_spec(self, spec: JobSpec, *, key: str | None = None, rerun: bool = False) -> HPCProcess:
        """See :meth:`~hpc_connect.backend.HPCBackend.submit_spec`.

        Dependencies, arrays with ``max_parallel``, ``hold`` and ``begin`` live in this process: when it
        ends first, such jobs wait until :meth:`recover` is called in another.
        """
        self._refuse_unsupported(spec, key)
        spec = spec.located(os.path.abspath(spec.workdir or os.curdir))
        self._check_here(spec)
        runner = self._runner()
        plan = Plan(self, runner, spec, self._shell(spec), self._find)
        plan.write_files(self._script(spec))
        try:
            stored = runner.journal.store.intend_many(plan.intents(key), rerun=rerun)[0]
        except HPCConnectError:
            plan.remove_files()
            raise
        if stored.id != plan.id:  # somebody has used the key before
            plan.remove_files()
            return self._handle_of(stored)
        return plan.start(stored.sequence)

    def _check_here(self, spec: JobSpec) -> None:
        """Refuse what would fail on this machine."""
        workdir = spec.workdir or os.curdir
        if spec.nodes is not None and spec.nodes > 1:
            raise UnsupportedError("nodes", spec.nodes, f"backend {self.name!r} has one node: this machine")
        asked = max(spec.gpus or 0, spec.gpus_per_node or 0, (spec.gpus_per_task or 0) * (spec.tasks or 1))
        if asked > (self.config.gpus_per_node or 0):
            raise UnsupportedError("gpus", asked, f"this machine has {self.config.gpus_per_node}")
        if not os.path.isdir(workdir):
            raise SpecError("workdir", workdir, "is no folder on this machine")
        if spec.stdin is not None and not os.access(os.path.join(workdir, spec.stdin), os.R_OK):
            raise SpecError("stdin", spec.stdin, "cannot be read")
        program = orders.program(spec, self._shell(spec))[0]
        if shutil.which(program) is None:
            field = "shell" if spec.script is None else "script"
            raise SpecError(field, program, "is no program on this machine")

    def _shell(self, spec: JobSpec) -> str:
        return spec.shell or self.config.shell or DEFAULT_SHELL

    def _script(self, spec: JobSpec) -> str:
        lines = [f"#BASH {directive}" for directive in spec.directives or ()]
        return render(spec, shell=self._shell(spec), directives=lines)

    def explain(self, spec: JobSpec) -> str:
        """The script, and what runs it."""
        self._refuse_unsupported(spec)
        program = [*orders.program(spec, self._shell(spec)), spec.script_path or "SCRIPT"]
        limit = "" if spec.time_limit is None else f", ended after {spec.time_limit.hours_minutes_seconds()}"
        return f"{self._script(spec)}\n# run detached, in a session of its own{limit}:\n# {shlex.join(program)}\n"

    # ------------------------------------------------------------------ finding jobs again

    def attach(self, native_id: str) -> HPCProcess:
        """A handle of a job on this machine, by our id or its native id ``PID:START``.

        Raises:
            SpecError: there is no such job in the store, nor a record of one.
        """
        runner = self._runner()
        known = runner.handles.get(native_id)
        if known is not None:
            return known
        store = runner.journal.store
        stored = store.find(native_id) or store.find_native(self.name, native_id)
        if stored is not None:
            return self._handle_of(stored)
        start = runner.folder.find_native(native_id)
        if start is None:
            raise SpecError(
                "native_id", native_id, f"is no job of {self.name!r} that left a trace on this machine"
            )
        job = JobProcess(self, start.name, JobStatus(state=JobState.UNKNOWN), native_id=native_id)
        runner.follow(job)
        return job

    def recover(self) -> list[HPCProcess]:
        """Handles of all jobs in the store that have not ended.

        A job whose submitting process has ended before it could start is started by this one; the claim
        in the record folder sees to it that nothing runs twice.
        """
        stored = self._runner().journal.store.unfinished(self.name)
        return [self._taken_over(job) for job in stored if job.array_id is None]

    def _taken_over(self, stored: StoredJob, slots: Slots | None = None) -> HPCProcess:
        """A handle of a job that has not ended, which is started if nobody else ever will."""
        runner = self._runner()
        known = runner.handles.get(stored.id)
        if known is not None:
            return known
        elements = runner.journal.store.elements(stored.id)
        if elements:
            spec = JobSpec.from_record(stored.spec or {})
            slots = Slots(spec.max_parallel) if spec.max_parallel else None
            return self._group(stored, [self._taken_over(element, slots) for element in elements], elements)
        started = runner.folder.find_start(stored.id) or runner.folder.find_end(
            stored.id, stored.status.attempt
        )
        if started or not runner.journal.store.adopt(stored.id):
            job = self._handle_of(stored)
            if slots is not None and job.poll() is None and slots.take():
                job.add_done_callback(lambda _: engine().call(slots.give_back))
            return job
        array = stored if stored.array_id is None else runner.journal.store.find(stored.array_id)
        spec = JobSpec.from_record((array or stored).spec or {})
        plan = Plan(
            self,
            runner,
            spec,
            self._shell(spec),
            self._find,
            job_id=stored.array_id or stored.id,
            slots=slots,
        )
        return plan.start_again(stored)

    def _handle_of(self, stored: StoredJob) -> HPCProcess:
        """A handle of a job in the store: the one there is, or one that follows it."""
        runner = self._runner()
        known = runner.handles.get(stored.id)
        if known is not None:
            return known
        elements = runner.journal.store.elements(stored.id)
        if elements:
            return self._group(stored, [self._handle_of(element) for element in elements], elements)
        job = JobProcess(
            self,
            stored.id,
            stored.status,
            native_id=stored.native_id or "",
            output_path=stored.output_path,
            error_path=stored.error_path,
        )
        if not stored.status.state.terminal or stored.status.state is JobState.LOST:
            runner.follow(job, keep=stored.keep)
        return job

    def _group(
        self, array: StoredJob, processes: list[HPCProcess], elements: list[StoredJob]
    ) -> ProcessGroup:
        indexes = [element.array_index or 0 for element in elements]
        group = ProcessGroup(array.id, processes, indexes)
        self._runner().watch_group(group)
        return group

    def _find(self, target: str) -> HPCProcess:
        try:
            return self.attach(target)
        except SpecError as error:
            raise SpecError("dependencies", target, error.allowed) from error

    def _runner(self) -> LocalRunner:
        """What runs the jobs of this cluster in this process; made when it is first needed."""
        folder = os.path.expanduser(
            self.config.work_dir or os.path.join(configuration.data_folder(), self.name)
        )
        state = os.path.join(configuration.state_folder(), "jobs.sqlite3")
        return engine().service(("local runner", folder, state), lambda: self._new_runner(folder, state))

    def _new_runner(self, folder: str, state: str) -> LocalRunner:
        records = RecordFolder(folder)
        try:
            records.make()
        except OSError as error:
            advice = f"set work_dir of cluster {self.name!r}"
            problem = f"the record folder {folder} cannot be made: {error.strerror}; {advice}"
            raise SubmitError(problem) from error
        return LocalRunner(records, Journal(Store(state)), self.config.grace_window.total_seconds())

    # ------------------------------------------------------------------ what a handle asks for

    def cancel_job(self, job: JobProcess, signal: int, grace: Duration) -> None:
        """See :class:`~hpc_connect.job.JobControl`, as for the verbs below."""
        self._runner().cancel(job, signal, grace)

    def hold_job(self, job: JobProcess) -> None:
        """Only a job that waits in this process can be held."""
        self._runner().hold(job)

    def release_job(self, job: JobProcess) -> None:
        """Let it start."""
        self._runner().release(job)

    def suspend_job(self, job: JobProcess) -> None:
        """SIGSTOP to all its processes."""
        self._runner().suspend(job)

    def resume_job(self, job: JobProcess) -> None:
        """SIGCONT to all its processes."""
        self._runner().resume(job)

    def requeue_job(self, job: JobProcess) -> None:
        """Only the process that submitted it can."""
        self._runner().requeue(job)

    def signal_job(self, job: JobProcess, signal: int) -> None:
        """To all its processes."""
        self._runner().signal(job, signal)

    def follow_job(self, job: JobProcess) -> None:
        """Observe it from this process, a fork of the one that submitted it."""
        self._runner().follow(job)

    def read_file(self, path: str, last: int | None = None) -> bytes:
        """What is there."""
        try:
            with open(path, "rb") as file:
                if last is not None:
                    file.seek(max(0, os.fstat(file.fileno()).st_size - last))
                return file.read()
        except OSError:
            return b""


BACKEND = ShellBackend
