"""The handle that the library's own backends give out: its status is pushed by whoever observes the job."""

from __future__ import annotations

import logging
import signal as signals
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from hpc_connect.capability import Capability
from hpc_connect.ending import Ending
from hpc_connect.engine import engine
from hpc_connect.errors import UnsupportedError
from hpc_connect.evidence import updated
from hpc_connect.notices import signal_number
from hpc_connect.process import TAIL_CHARACTERS, HPCProcess, tail_of
from hpc_connect.quantities import Duration
from hpc_connect.status import JobState, JobStatus

if TYPE_CHECKING:
    from collections.abc import Callable

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

    def read_file(self, path: str, last: int | None = None) -> bytes:
        """What a file that a job writes holds so far, or only its last bytes; empty when it is not there."""


class JobProcess(HPCProcess):
    """A job as its backend knows it. Its status is pushed by whoever observes it; reading it costs nothing.

    Attributes:
        id: our id, known before submission, used in the names of files.
        output_path, error_path: where its output goes; the same path when both go to one file.
    """

    __slots__ = (
        "__weakref__",
        "_control",
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
        self._watchers: tuple[Callable[[JobProcess, JobStatus], object], ...] = ()
        self.id = job_id
        self.output_path = output_path
        self.error_path = error_path
        self._latch = Ending()
        if status.state.terminal:
            self._latch.happen()

    def __repr__(self) -> str:
        return f"<job {self.id} on {self._control.name}: {self._status.describe()}>"

    # ------------------------------------------------------------------ what is known

    @property
    def native_id(self) -> str:  # type: ignore[override]  # the base class has a plain attribute
        """The scheduler's id; empty when it has none (yet).

        While the submission is under way this waits for its outcome, except on the engine's thread.

        Raises:
            EngineError: nobody will ever tell.
        """
        if not self._native_id and self._is_being_submitted() and not engine().is_current():
            self._wait_for_submission()
        return self._native_id

    def _is_being_submitted(self) -> bool:
        return self.status.state is JobState.SUBMITTING

    def _wait_for_submission(self) -> None:
        ending = self._ending()
        known = threading.Event()
        self.add_status_callback(lambda *_: None if self._is_being_submitted() else known.set())
        ending.tell(known.set)
        try:
            if self._is_being_submitted():
                known.wait()
        finally:
            ending.forget(known.set)
        if ending.failure is not None:
            raise ending.failure.with_traceback(None)

    @property
    def status(self) -> JobStatus:
        """What is known of the job, and since when."""
        self._ending()
        return self._status

    @property
    def returncode(self) -> int | None:
        """The exit code, minus the signal's number, or None: it lives, or nobody knows."""
        return self.status.returncode

    def poll(self) -> int | None:
        """The exit code, minus the signal's number, or None while the job lives.

        Raises:
            JobLost, EngineError: nobody will ever tell.
        """
        status = self.status
        if status.state is JobState.LOST and (lost := self._outcome()) is not None:
            raise lost
        if not status.state.terminal:
            self._latch.engine.check()
        return status.returncode

    def output(self) -> str:
        """What the job has written to its standard output so far (and its standard error, if to the same file)."""
        return self._read(self.output_path)

    def error_output(self) -> str:
        """What the job has written to its standard error so far."""
        return self._read(self.error_path)

    def _read(self, path: str | None, last: int | None = None) -> str:
        return "" if path is None else self._control.read_file(path, last).decode(errors="replace")

    def _went_well(self) -> bool:
        return self._status.state is JobState.COMPLETED

    def _read_tail(self) -> str:
        paths = dict.fromkeys((self.output_path, self.error_path))
        tails = [tail_of(self._read(path, 4 * TAIL_CHARACTERS)) for path in paths]
        return "\n".join(tail for tail in tails if tail)

    # ------------------------------------------------------------------ what can be asked of it

    def cancel(self, signal: int | str = signals.SIGTERM, grace: DurationLike = DEFAULT_GRACE) -> None:
        """Ask for the end of the job: a signal to all its processes, SIGKILL to what is left after the grace time.

        Returns when the request was made; CANCELLED comes with evidence. A job that has ended is left alone.

        Raises:
            UnsupportedError, SpecError: this backend cannot, or an argument cannot be accepted.
        """
        self._require(Capability.CANCEL, "cancel")
        number, patience = signal_number(signal, "signal"), Duration.parse(grace, "grace")
        if not self.status.state.terminal:
            self._control.cancel_job(self, number, patience)

    def hold(self) -> None:
        """Keep the job from starting until :meth:`release`."""
        self._require_alive(Capability.HOLD, "hold")
        self._control.hold_job(self)

    def release(self) -> None:
        """Let a held job start."""
        self._require_alive(Capability.HOLD, "release")
        self._control.release_job(self)

    def suspend(self) -> None:
        """Stop a running job for now."""
        self._require_alive(Capability.SUSPEND, "suspend")
        self._control.suspend_job(self)

    def resume(self) -> None:
        """Continue a suspended job."""
        self._require_alive(Capability.SUSPEND, "resume")
        self._control.resume_job(self)

    def requeue(self) -> None:
        """End a running job and start it again, as its next attempt."""
        self._require_alive(Capability.REQUEUE, "requeue")
        self._control.requeue_job(self)

    def send_signal(self, signal: int | str) -> None:
        """Send a signal to every process of a running job. A job that has ended is left alone."""
        self._require(Capability.SEND_SIGNAL, "send_signal")
        number = signal_number(signal, "signal")
        if not self.status.state.terminal:
            self._control.signal_job(self, number)

    def _require(self, capability: Capability, verb: str) -> None:
        if capability not in self._control.capabilities:
            raise UnsupportedError(verb, self.id, f"backend {self._control.name!r} cannot do this to a job")

    def _require_alive(self, capability: Capability, verb: str) -> None:
        self._require(capability, verb)
        if self.status.state.terminal:
            raise UnsupportedError(verb, self.id, f"the job has ended: {self._status.describe()}")

    def add_status_callback(self, function: Callable[[JobProcess, JobStatus], object]) -> None:
        """Call ``function(process, status)`` on the engine thread at every change of the status, until the end.

        Not for the status it has already: read that after this call. It must not block. An error in it is
        logged and kept in ``callback_errors``.
        """
        with self._ending().lock:
            self._watchers = (*self._watchers, function)

    # ------------------------------------------------------------------ for those who observe it

    def observe(self, status: JobStatus, native_id: str | None = None) -> None:
        """Take news, on the engine thread. An announced end is never reversed.

        News that contradicts the end is kept in ``status.disagreement`` and logged. Who waited for a LOST
        job was told so; when it is seen alive again, it can be waited for anew.
        """
        if native_id is not None:
            self._native_id = native_id
        known, self._status = self._status, updated(self._status, status)
        if self._status == known:
            return
        if self._status.disagreement != known.disagreement:
            _log.warning("job %s: %s; %s", self.id, known.describe(), self._status.disagreement)
        if known.state.terminal and not self._status.state.terminal:
            self._latch = Ending()
            engine().register(self)
        for watcher in self._watchers:
            self._run_callback(watcher, self, self._status)
        if self._status.state.terminal:
            with self._latch.lock:
                self._watchers = ()
            engine().unregister(self)
            self._latch.happen()

    def engine_failed(self, error: EngineError) -> None:
        """Raise in everybody who waits: nothing will be observed any more."""
        self._status = replace(self._status, query_error=str(error))
        self._latch.happen(error)

    def _new_ending(self) -> Ending:
        """This is a fork of the process that observes the job: nobody here would ever hear of its end."""
        before, self._latch = self._latch, Ending()
        if self._status.state.terminal:
            self._latch.happen()
            return self._latch
        try:
            self._control.follow_job(self)
        except BaseException:
            self._latch = before  # the next who waits tries again
            raise
        return self._latch
