"""The shell backend: jobs on this machine, detached from the program that submits them.

There is no queue: a job starts at once, or, when it must wait for something, as soon as the process that submitted
it sees that it may. A supervisor (``hpc_connect.local.supervisor``) runs the jobs and outlives that process.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from typing import TYPE_CHECKING

from hpc_connect.backend import SpecBackend
from hpc_connect.capability import Capability
from hpc_connect.cluster import ClusterConfig
from hpc_connect.errors import SpecError, UnsupportedError
from hpc_connect.local import machine
from hpc_connect.script import DEFAULT_SHELL, interpreter, render

if TYPE_CHECKING:
    from hpc_connect.job import JobProcess
    from hpc_connect.local.session import Session
    from hpc_connect.process import HPCProcess
    from hpc_connect.quantities import Duration
    from hpc_connect.spec import JobSpec

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
        workdir = _folder(spec)
        session = self._session()
        plan = session.plan(spec, workdir)
        self._check_here(spec, workdir, waits=plan.waits)
        program = self._program(spec)
        return session.submit(plan, self._script(spec), program, key, rerun=rerun)

    def _check_here(self, spec: JobSpec, workdir: str, *, waits: bool) -> None:
        """Refuse what would fail on this machine."""
        if spec.nodes is not None and spec.nodes > 1:
            raise UnsupportedError("nodes", spec.nodes, f"backend {self.name!r} has one node: this machine")
        asked = max(spec.gpus or 0, spec.gpus_per_node or 0, (spec.gpus_per_task or 0) * (spec.tasks or 1))
        if asked > (self.config.gpus_per_node or 0):
            raise UnsupportedError("gpus", asked, f"this machine has {self.config.gpus_per_node}")
        if not os.path.isdir(workdir):
            raise SpecError("workdir", workdir, "is no folder on this machine")
        if spec.stdin is not None and not waits:  # a job that waits may read what another one writes
            _check_input(os.path.join(workdir, spec.stdin))
        program = self._program(spec)[0]
        if shutil.which(program) is None:
            field = "shell" if spec.script is None else "script"
            raise SpecError(field, program, "is no program on this machine")

    def _shell(self, spec: JobSpec) -> str:
        return spec.shell or self.config.shell or DEFAULT_SHELL

    def _program(self, spec: JobSpec) -> list[str]:
        """What runs the script: the shell, or the interpreter that the user's own script names."""
        return [self._shell(spec)] if spec.script is None else interpreter(spec.script)

    def _script(self, spec: JobSpec) -> str:
        lines = [f"#BASH {directive}" for directive in spec.directives or ()]
        return render(spec, shell=self._shell(spec), directives=lines)

    def explain(self, spec: JobSpec) -> str:
        """The script, and what runs it."""
        import shlex  # noqa: PLC0415 - slow to load

        self._refuse_unsupported(spec)
        program = [*self._program(spec), spec.script_path or "SCRIPT"]
        limit = "" if spec.time_limit is None else f", ended after {spec.time_limit.hours_minutes_seconds()}"
        return f"{self._script(spec)}\n# run detached, in a session of its own{limit}:\n# {shlex.join(program)}\n"

    # ------------------------------------------------------------------ finding jobs again

    def attach(self, native_id: str) -> HPCProcess:
        """A handle of a job on this machine, by our id or its native id ``PID:START``.

        Raises:
            SpecError: there is no such job in the store, nor a record of one.
        """
        return self._session().attach(native_id)

    def recover(self) -> list[HPCProcess]:
        """Handles of all jobs in the store that have not ended.

        A job whose submitting process has ended before it could start is started by this one; the claim
        in the record folder sees to it that nothing runs twice.
        """
        return self._session().recover()

    def _session(self) -> Session:
        from hpc_connect.local.session import Session  # noqa: PLC0415 - brings the engine, the store and all they need

        return Session(self, self.config)

    # ------------------------------------------------------------------ what a handle asks for

    def cancel_job(self, job: JobProcess, signal: int, grace: Duration) -> None:
        """See :class:`~hpc_connect.job.JobControl`, as for the verbs below."""
        self._session().verbs.cancel(job, signal, grace.total_seconds())

    def hold_job(self, job: JobProcess) -> None:
        """Only a job that waits in this process can be held."""
        self._session().verbs.hold(job)

    def release_job(self, job: JobProcess) -> None:
        """Let it start."""
        self._session().verbs.release(job)

    def suspend_job(self, job: JobProcess) -> None:
        """SIGSTOP to all its processes."""
        self._session().verbs.suspend(job)

    def resume_job(self, job: JobProcess) -> None:
        """SIGCONT to all its processes."""
        self._session().verbs.resume(job)

    def requeue_job(self, job: JobProcess) -> None:
        """Only the process that submitted it can."""
        self._session().verbs.requeue(job)

    def signal_job(self, job: JobProcess, signal: int) -> None:
        """To all its processes."""
        self._session().verbs.signal(job, signal)

    def follow_job(self, job: JobProcess) -> None:
        """Observe it from this process, a fork of the one that submitted it."""
        self._session().follow(job)

    def read_file(self, path: str, last: int | None = None) -> bytes:
        """What is there."""
        try:
            with open(path, "rb") as file:
                if last is not None:
                    file.seek(max(0, os.fstat(file.fileno()).st_size - last))
                return file.read()
        except OSError:
            return b""


def _folder(spec: JobSpec) -> str:
    """Where the job runs, as an absolute path."""
    if spec.workdir is not None and os.path.isabs(spec.workdir):
        return spec.workdir
    try:
        here = os.getcwd()
    except FileNotFoundError as error:
        raise SpecError(
            "workdir", spec.workdir, "the folder this program runs in is gone; name another"
        ) from error
    return here if spec.workdir is None else os.path.join(here, spec.workdir)


def _check_input(path: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise SpecError("stdin", path, f"cannot be read: {error.strerror}") from error
    if stat.S_ISDIR(mode) or stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        raise SpecError("stdin", path, "must be a file")
    if not os.access(path, os.R_OK):
        raise SpecError("stdin", path, "may not be read by this user")


BACKEND = ShellBackend
