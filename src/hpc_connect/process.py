"""The handle of a job: used like ``subprocess.Popen``, and also awaited, or turned into a future.

``HPCProcess`` is what every backend gives out; a plug-in's own needs no more than ``poll`` and ``cancel``.
``JobProcess`` is the engine's: its status is pushed by whoever observes the job, and never asked for by waiting.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from abc import ABC, abstractmethod
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from hpc_connect.engine import engine
from hpc_connect.errors import EngineError, JobCancelled, JobFailed, JobLost
from hpc_connect.status import JobState, JobStatus, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

_log = logging.getLogger("hpc_connect")


class HPCProcess(ABC):
    """A job that was submitted.

    A subclass must give :meth:`poll` and :meth:`cancel`; then the engine asks ``poll`` every
    ``polling_frequency`` seconds as long as somebody waits, in one thread for all jobs.

    Attributes:
        id: our id, known before submission.
        native_id: the scheduler's id, an opaque string; empty when there is none.
        polling_frequency: seconds between two looks of the engine.
    """

    __slots__ = ()

    id: str = ""
    native_id: str = ""
    polling_frequency: float = 1.0

    @abstractmethod
    def poll(self) -> int | None:
        """The exit code of the job, minus the number of the signal that ended it, or None while it lives."""

    @abstractmethod
    def cancel(self) -> None:
        """Ask for the end of the job; returns when the request was made, not when the job has ended."""

    @property
    def jobid(self) -> str:
        """The same as ``native_id``."""
        return self.native_id

    @property
    def returncode(self) -> int | None:
        """What :meth:`poll` says."""
        return self.poll()

    @property
    def status(self) -> JobStatus:
        """What is known of the job."""
        code = self.poll()
        if code is None:
            return JobStatus(state=JobState.RUNNING)
        if code == 0:
            return JobStatus(state=JobState.COMPLETED, exit_code=0)
        if code < 0:
            return JobStatus(state=JobState.FAILED, reason=Reason.SIGNAL, signal=-code)
        return JobStatus(state=JobState.FAILED, reason=Reason.EXIT, exit_code=code)

    def output(self) -> str:
        """What the job has written so far, as far as this backend can read it."""
        return ""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the job.

        Args:
            timeout: seconds; None waits as long as it takes.

        Returns:
            The exit code, or minus the number of the signal that ended the job.

        Raises:
            TimeoutError: it has not ended in time; the job is left alone.
            JobLost: nothing can tell how it ended.
            EngineError: the engine has failed, so nobody would tell.
        """
        ended = threading.Event()
        if self.poll() is None:
            self._ending().tell(ended.set)
            if not ended.wait(timeout):
                raise TimeoutError(f"job {self.id} has not ended within {timeout} s; it goes on")
        return self._verdict()

    def result(self, timeout: float | None = None) -> int:
        """Wait for the end of the job, and insist that it went well.

        Returns:
            0.

        Raises:
            JobFailed, JobCancelled, JobLost: it did not; the error holds the status and the end of the output.
            TimeoutError, EngineError: as :meth:`wait`.
        """
        self.wait(timeout)
        if (error := self._error()) is not None:
            raise error
        return 0

    def add_done_callback(self, function: Callable[[Any], object]) -> None:
        """Call ``function(process)`` once when the job has ended, at once if it has.

        It runs on the engine thread (at once: on the caller's) and must not block. An error in it is
        logged and kept in ``callback_errors``.
        """
        self._ending().tell(lambda: self._run_callback(function, self))

    @property
    def callback_errors(self) -> list[Exception]:
        """What callbacks of this job have raised."""
        return self._ending().errors

    def as_future(self) -> Future[int]:
        """A future with the outcome of :meth:`result`; a cancelled job gives a cancelled future.

        Cancelling the future leaves the job alone.
        """
        future: Future[int] = Future()

        def settle() -> None:
            error = self._outcome_error()
            if isinstance(error, JobCancelled):
                future.cancel()
                future.set_running_or_notify_cancel()
            elif future.set_running_or_notify_cancel():
                future.set_exception(error) if error is not None else future.set_result(0)

        self._ending().tell(settle)
        return future

    def __await__(self) -> Generator[Any, None, int]:
        """The outcome of :meth:`result`, for asyncio. Cancelling the task leaves the job alone."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()

        def finish(error: BaseException | None) -> None:
            if not future.done():
                future.set_exception(error) if error is not None else future.set_result(0)

        def settle() -> None:
            try:
                loop.call_soon_threadsafe(finish, self._outcome_error())
            except RuntimeError:
                _log.debug("the event loop that awaited job %s is closed", self.id)

        self._ending().tell(settle)
        return future.__await__()

    # ------------------------------------------------------------------ how it works

    def _ending(self) -> Ending:
        """The latch that waiters hang on. Here: one that asks :meth:`poll`; made when first needed."""
        ending: Ending | None = self.__dict__.get("_polled_ending")
        if ending is None:
            ending = self.__dict__["_polled_ending"] = _PolledEnding(self)
        return ending

    def _verdict(self) -> int:
        code = self.poll()
        if code is None:
            raise self._ending().failure or EngineError(f"job {self.id} has no end")
        return code

    def _error(self) -> Exception | None:
        """The error that tells the end of the job, None if it went well."""
        status = self.status
        if status.state is JobState.COMPLETED:
            return None
        kinds = {JobState.CANCELLED: JobCancelled, JobState.LOST: JobLost}
        return kinds.get(status.state, JobFailed)(self.id, status, tail_of(self.output()))

    def _outcome_error(self) -> Exception | None:
        return self._ending().failure or self._error()

    def _run_callback(self, function: Callable[..., object], *arguments: object) -> None:
        try:
            function(*arguments)
        except Exception as error:  # noqa: BLE001 - the user's error must not end the engine
            _log.exception("a callback of job %s failed", self.id)
            self._ending().errors.append(error)


class Ending:
    """The end of one job, as those who wait see it: it happens once, and late comers are told at once."""

    __slots__ = ("_listeners", "_lock", "errors", "failure", "happened")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], object]] = []
        self.happened = False
        self.failure: Exception | None = None
        self.errors: list[Exception] = []

    def tell(self, listener: Callable[[], object]) -> None:
        """Call ``listener`` when it happens. It must not raise."""
        with self._lock:
            if not self.happened:
                self._listeners.append(listener)
                return
        listener()

    def happen(self, failure: Exception | None = None) -> None:
        """Let it happen; a second time changes nothing."""
        with self._lock:
            if self.happened:
                return
            self.happened = True
            self.failure = failure
            listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener()


class _PolledEnding(Ending):
    """The end of a process that has only ``poll``: asked on the engine's thread, as long as somebody waits."""

    __slots__ = ("_process",)

    def __init__(self, process: HPCProcess) -> None:
        super().__init__()
        self._process = process
        engine().register(self)
        engine().call(self._look)

    def engine_failed(self, error: EngineError) -> None:
        self.happen(error)

    def _look(self) -> None:
        # A plug-in's poll() may block; the engine must not.
        engine().block(self._ask)

    def _ask(self) -> None:
        try:
            ended = self._process.poll() is not None
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            self._end(error)
            return
        if ended:
            self._end(None)
        else:
            engine().call(self._look_later)

    def _look_later(self) -> None:
        engine().call_later(self._process.polling_frequency, self._look)

    def _end(self, failure: Exception | None) -> None:
        engine().unregister(self)
        engine().call(self.happen, failure)


def tail_of(output: str, lines: int = 20, characters: int = 4000) -> str:
    """The end of a text, for an error message."""
    return "\n".join(output[-characters:].splitlines()[-lines:])


def as_completed(processes: Iterable[HPCProcess], timeout: float | None = None) -> Iterator[HPCProcess]:
    """Give the processes in the order in which they end.

    Args:
        processes: any mix of handles, of any backends.
        timeout: seconds for all of them.

    Raises:
        TimeoutError: some have not ended in time; they are left alone.
    """
    waiting = list(processes)
    ended: queue.SimpleQueue[HPCProcess] = queue.SimpleQueue()
    for process in waiting:
        process._ending().tell(lambda process=process: ended.put(process))  # type: ignore[misc]  # noqa: SLF001
    deadline = None if timeout is None else time.monotonic() + timeout
    for count in range(len(waiting)):
        try:
            yield ended.get(timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise TimeoutError(
                f"{len(waiting) - count} of {len(waiting)} jobs have not ended within {timeout} s"
            ) from None
