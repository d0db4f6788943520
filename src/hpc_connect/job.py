"""The handle that the engine gives out, and the handle of several jobs as one."""

from __future__ import annotations

import logging
import signal as signals
import threading
from typing import TYPE_CHECKING, Protocol

from hpc_connect.capability import Capability
from hpc_connect.engine import engine
from hpc_connect.errors import UnsupportedError
from hpc_connect.evidence import updated
from hpc_connect.notices import signal_number
from hpc_connect.process import Ending, HPCProcess
from hpc_connect.quantities import Duration
from hpc_connect.status import JobState, JobStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hpc_connect.errors import EngineError
    from hpc_connect.quantities import DurationLike

_log = logging.getLogger("hpc_connect")

DEFAULT_GRACE = Duration(seconds=10)


class JobControl(Protocol):
    """What a backend does for its handles. Each verb returns when the request was made."""

    @property
    def name(self) -> str:
        """Name of the backend."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Which verbs it has."""

    def cancel_job(self, job: JobProcess, signal: int, grace: Duration) -> None:
        """Ask for the end: ``signal``, and SIGKILL after ``grace``."""

    def hold_job(self, job: JobProcess) -> None:
        """Keep a queued job from starting."""

    def release_job(self, job: JobProcess) -> None:
        """Let a held job start."""

    def suspend_job(self, job: JobProcess) -> None:
        """Stop a running job for now."""

    def resume_job(self, job: JobProcess) -> None:
        """Continue a suspended job."""

    def requeue_job(self, job: JobProcess) -> None:
        """End a running job and start it again."""

    def signal_job(self, job: JobProcess, signal: int) -> None:
        """Send a signal to every process of a running job."""

    def follow_job(self, job: JobProcess) -> None:
        """Observe the job from this process, a fork of the one that did."""

    def read_file(self, path: str) -> bytes:
        """What a file that a job writes holds so far; empty when it is not there."""


class JobProcess(HPCProcess):
    """A job as its backend knows it. Its status is pushed by whoever observes it; reading it costs nothing.

    Attributes:
        id: our id, known before submission, used in the names of files.
        output_path, error_path: where its output goes; the same path when both go to one file.
    """

    __slots__ = (
        "__weakref__",
        "_control",
        "_ended",
        "_engine",
        "_native_id",
        "_status",
        "_watchers",
        "error_path",
        "id",
        "output_path",
    )

    def __init__(
        self,
        control: JobControl,
        job_id: str,
        status: JobStatus,
        *,
        native_id: str = "",
        output_path: str | None = None,
        error_path: str | None = None,
    ) -> None:
        self._control = control
        self._status = status
        self._native_id = native_id
        self._ended = Ending()
        self._engine = engine()
        self._watchers: list[Callable[[JobProcess, JobStatus], object]] | None = None
        self.id = job_id
        self.output_path = output_path
        self.error_path = error_path
        if status.state.terminal:
            self._ended.happen()

    def __repr__(self) -> str:
        return f"<job {self.id} on {self._control.name}: {self._status.describe()}>"

    # ------------------------------------------------------------------ what is known

    @property
    def native_id(self) -> str:  # type: ignore[override]
        """The scheduler's id; empty when it has none (yet).

        While the submission is under way this waits for its outcome, except on the engine's thread.
        """
        if not self._native_id and self._status.state is JobState.SUBMITTING and not engine().is_current():
            known = threading.Event()
            self.add_status_callback(lambda *_: known.set())
            if self._status.state is JobState.SUBMITTING:
                known.wait()
        return self._native_id

    @property
    def status(self) -> JobStatus:
        """What is known of the job, and since when."""
        return self._status

    def poll(self) -> int | None:
        """The exit code, minus the signal's number, or None while the job lives.

        Raises:
            JobLost, EngineError: nobody will ever tell.
        """
        if (failure := self._ending().failure) is not None:
            raise failure
        if self._status.state is JobState.LOST and (error := self._error()) is not None:
            raise error
        return self._status.returncode

    def output(self) -> str:
        """What the job has written to its standard output so far (and its standard error, if to the same file)."""
        return self._read(self.output_path)

    def error_output(self) -> str:
        """What the job has written to its standard error so far."""
        return self._read(self.error_path)

    def _read(self, path: str | None) -> str:
        return "" if path is None else self._control.read_file(path).decode(errors="replace")

    # ------------------------------------------------------------------ what can be asked of it

    def cancel(self, signal: int | str = signals.SIGTERM, grace: DurationLike = DEFAULT_GRACE) -> None:
        """Ask for the end of the job: a signal to all its processes, SIGKILL to what is left after the grace time.

        Returns when the request was made; CANCELLED comes with evidence. A job that has ended is left alone.

        Raises:
            UnsupportedError, SpecError: this backend cannot, or an argument cannot be accepted.
        """
        if self._can(Capability.CANCEL):
            self._control.cancel_job(self, signal_number(signal, "signal"), Duration.parse(grace, "grace"))

    def hold(self) -> None:
        """Keep the job from starting until :meth:`release`."""
        if self._can(Capability.HOLD):
            self._control.hold_job(self)

    def release(self) -> None:
        """Let a held job start."""
        if self._can(Capability.HOLD):
            self._control.release_job(self)

    def suspend(self) -> None:
        """Stop a running job for now."""
        if self._can(Capability.SUSPEND):
            self._control.suspend_job(self)

    def resume(self) -> None:
        """Continue a suspended job."""
        if self._can(Capability.SUSPEND):
            self._control.resume_job(self)

    def requeue(self) -> None:
        """End a running job and start it again, as its next attempt."""
        if self._can(Capability.REQUEUE):
            self._control.requeue_job(self)

    def send_signal(self, signal: int | str) -> None:
        """Send a signal to every process of a running job."""
        if self._can(Capability.SEND_SIGNAL):
            self._control.signal_job(self, signal_number(signal, "signal"))

    def _can(self, verb: Capability) -> bool:
        """Whether there is anything to do: not for a job that has ended."""
        if verb not in self._control.capabilities:
            raise UnsupportedError(verb, self.id, f"backend {self._control.name!r} cannot do this to a job")
        return not self._status.state.terminal

    def add_status_callback(self, function: Callable[[JobProcess, JobStatus], object]) -> None:
        """Call ``function(process, status)`` on the engine thread at every change of the status.

        It must not block. An error in it is logged and kept in ``callback_errors``.
        """
        if self._watchers is None:
            self._watchers = []
        self._watchers.append(function)

    # ------------------------------------------------------------------ for those who observe it

    def observe(self, status: JobStatus, native_id: str | None = None) -> None:
        """Take news, on the engine thread. An announced end is never reversed.

        News that contradicts the end is kept in ``status.disagreement`` and logged.
        """
        if native_id is not None:
            self._native_id = native_id
        known, self._status = self._status, updated(self._status, status)
        if self._status == known:
            return
        if self._status.disagreement != known.disagreement:
            _log.warning("job %s: %s; %s", self.id, known.describe(), self._status.disagreement)
        for watcher in self._watchers or ():
            self._run_callback(watcher, self, self._status)
        if self._status.state.terminal:
            self._watchers = None
            engine().unregister(self)
            self._ended.happen()

    def engine_failed(self, error: EngineError) -> None:
        """Raise in everybody who waits: nothing will be observed any more."""
        self._ended.happen(error)

    def _ending(self) -> Ending:
        if self._engine is not engine() and not self._status.state.terminal:
            # This is a fork of the process that observes the job; nobody here would ever hear of its end.
            self._engine = engine()
            self._ended = Ending()
            self._control.follow_job(self)
        return self._ended


class ProcessGroup(HPCProcess):
    """Several jobs as one: an array, or what ``submitn`` gives.

    ``returncode`` is 0 if all are 0, else the first that is not, in order, and None until all have ended.

    Attributes:
        processes: the handles, in order.
        indexes: the array index of each; 0, 1, 2 … for jobs that are no array.
    """

    def __init__(
        self, job_id: str, processes: Sequence[HPCProcess], indexes: Sequence[int] | None = None
    ) -> None:
        self.id = job_id
        self.processes = tuple(processes)
        self.indexes = tuple(indexes if indexes is not None else range(len(self.processes)))
        self._all_ended = Ending()
        self._living = len(self.processes)
        self._count = threading.Lock()
        for process in self.processes:
            process._ending().tell(self._one_ended)  # noqa: SLF001 - the latch is shared by all handles

    def __repr__(self) -> str:
        return f"<{len(self.processes)} jobs {self.id}: {self.status.describe()}>"

    def __getitem__(self, index: int) -> HPCProcess:
        """The handle of one index."""
        return self.processes[self.indexes.index(index)]

    @property
    def statuses(self) -> dict[int, JobStatus]:
        """The status of each, by index."""
        return {index: process.status for index, process in zip(self.indexes, self.processes, strict=True)}

    @property
    def status(self) -> JobStatus:
        """Of all: the liveliest state while any lives, then the first end that is not well, else COMPLETED."""
        statuses = [process.status for process in self.processes]
        living = [status for status in statuses if not status.state.terminal]
        if living:
            return min(living, key=lambda status: _LIVELINESS.index(status.state))
        return next((status for status in statuses if status.state is not JobState.COMPLETED), statuses[0])

    def poll(self) -> int | None:
        """0 if all are 0, else the first other code by order; None until all have ended."""
        codes = [process.poll() for process in self.processes]
        if any(code is None for code in codes):
            return None
        return next((code for code in codes if code), 0)

    def output(self) -> str:
        """What they have written, one after the other."""
        return "".join(process.output() for process in self.processes)

    def cancel(self) -> None:
        """Ask for the end of all that live."""
        for process in self.processes:
            process.cancel()

    def hold(self) -> None:
        """Keep those that are queued from starting."""
        self._each("hold")

    def release(self) -> None:
        """Let those that are held start."""
        self._each("release")

    def suspend(self) -> None:
        """Stop those that run for now."""
        self._each("suspend")

    def resume(self) -> None:
        """Continue those that are suspended."""
        self._each("resume")

    def requeue(self) -> None:
        """End those that run and start them again."""
        self._each("requeue")

    def send_signal(self, signal: int | str) -> None:
        """Send a signal to every process of those that run."""
        self._each("send_signal", signal)

    def _each(self, verb: str, *arguments: object) -> None:
        for process in self.processes:
            getattr(process, verb)(*arguments)

    def _one_ended(self) -> None:
        with self._count:
            self._living -= 1
            last = self._living == 0
        if last:
            failures = (process._ending().failure for process in self.processes)  # noqa: SLF001
            self._all_ended.happen(next((failure for failure in failures if failure is not None), None))

    def _ending(self) -> Ending:
        return self._all_ended


_LIVELINESS = (
    JobState.RUNNING,
    JobState.SUSPENDED,
    JobState.UNKNOWN,
    JobState.QUEUED,
    JobState.HELD,
    JobState.SUBMITTING,
    JobState.NEW,
)
