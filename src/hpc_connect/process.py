"""The handle of a job: used like ``subprocess.Popen``, and also awaited, or turned into a future.

``HPCProcess`` is what every backend gives out; a plug-in's own needs no more than ``poll`` and ``cancel``.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from hpc_connect.ending import PolledEnding
from hpc_connect.engine import engine
from hpc_connect.errors import (
    EngineError,
    HPCConnectError,
    JobCancelled,
    JobFailed,
    JobLost,
    UnsupportedError,
)
from hpc_connect.status import JobState, JobStatus, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from hpc_connect.ending import Ending

_log = logging.getLogger("hpc_connect")

TAIL_CHARACTERS = 4000
_TAIL_LINES = 20


class HPCProcess(ABC):
    """A job that was submitted.

    A subclass must give :meth:`poll` and :meth:`cancel`; then the engine asks ``poll`` every
    ``polling_frequency`` seconds as long as somebody waits, in one thread for all jobs of the class. When it raises
    ``OSError`` or ``TransportError``, it is asked again, until that has lasted for the grace window; whatever else it
    raises ends the waiting with an error.

    Attributes:
        id: our id, known before submission.
        native_id: the scheduler's id, an opaque string; empty when there is none.
        polling_frequency: seconds between two looks of the engine.
        grace_window: seconds for which ``poll`` may be unable to ask before those who wait are told.
    """

    __slots__ = ("_latch",)

    id: str = ""
    native_id: str = ""
    polling_frequency: float = 1.0
    grace_window: float = 300.0

    _latch: Ending

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

    # ------------------------------------------------------------------ waiting

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the job.

        Args:
            timeout: seconds; None waits as long as it takes, 0 only looks.

        Returns:
            The exit code, or minus the number of the signal that ended the job.

        Raises:
            TimeoutError: it has not ended in time; the job is left alone.
            JobLost: nothing can tell how it ended.
            EngineError: nobody would ever tell: the engine has failed, or ``poll`` does; or this is a callback, which
                must not wait.
        """
        if timeout is not None and timeout <= 0:
            code = self.poll()
        elif self._ending().wait(timeout):
            return self._code()
        else:
            code = None
        if code is None:
            raise TimeoutError(f"job {self.id} has not ended within {timeout} s; it goes on")
        return code

    def result(self, timeout: float | None = None) -> int:
        """Wait for the end of the job, and insist that it went well.

        Returns:
            0.

        Raises:
            JobFailed, JobCancelled, JobLost: it did not; the error holds the status and the end of the output.
            TimeoutError, EngineError: as :meth:`wait`.
        """
        self.wait(timeout)
        if (error := self._outcome()) is not None:
            raise error
        return 0

    def add_done_callback(self, function: Callable[[Any], object]) -> None:
        """Call ``function(process)`` once when the job has ended, at once if it has.

        It is called as well when nobody can tell any more how it ends; ``wait`` then says why. It runs on the
        engine thread (at once: on the caller's) and must not block. An error in it is logged and kept in
        ``callback_errors``.
        """
        self._ending().tell(partial(self._run_callback, function, self))

    @property
    def callback_errors(self) -> list[BaseException]:
        """What callbacks of this job have raised."""
        return self._ending().errors

    def as_future(self) -> Future[int]:
        """A future with the outcome of :meth:`result`; a cancelled job gives a cancelled future.

        Cancelling the future leaves the job alone.
        """
        future = _JobFuture(self)
        forget = self._tell_outcome(future.settle)
        future.add_done_callback(lambda _: forget())
        return future

    def __await__(self) -> Generator[Any, None, int]:
        """The outcome of :meth:`result`, for asyncio. Cancelling the task leaves the job alone."""
        if not self._ending().happened:
            self._ending().refuse_engine_thread()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()

        def finish(error: HPCConnectError | None) -> None:
            if not future.done():
                future.set_exception(error) if error is not None else future.set_result(0)

        def settle(error: HPCConnectError | None) -> None:
            try:
                loop.call_soon_threadsafe(finish, error)
            except RuntimeError:
                _log.debug("the event loop that awaited job %s is closed", self.id)

        forget = self._tell_outcome(settle)
        try:
            return (yield from future)
        finally:
            forget()

    # ------------------------------------------------------------------ what not every backend can do

    def hold(self) -> None:
        """Keep a queued job from starting until :meth:`release`."""
        self._refuse("hold")

    def release(self) -> None:
        """Let a held job start."""
        self._refuse("release")

    def suspend(self) -> None:
        """Stop a running job for now."""
        self._refuse("suspend")

    def resume(self) -> None:
        """Continue a suspended job."""
        self._refuse("resume")

    def requeue(self) -> None:
        """End a running job and start it again, as its next attempt."""
        self._refuse("requeue")

    def send_signal(self, signal: int | str) -> None:
        """Send a signal to every process of a running job."""
        self._refuse("send_signal")

    def _refuse(self, verb: str) -> NoReturn:
        raise UnsupportedError(verb, self.id, f"{type(self).__name__} cannot do this to a job")

    # ------------------------------------------------------------------ how it works

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"the handle of job {self.id} cannot be copied or pickled; "
            f"give its id to the other process, which calls attach({self.id!r}) of its own backend"
        )

    def _ending(self) -> Ending:
        """What those who wait hang on; in a forked child another one, as no news reach that of the parent."""
        latch: Ending | None = getattr(self, "_latch", None)
        if latch is None or latch.engine is not engine():
            with engine().making:
                latch = getattr(self, "_latch", None)
                if latch is None or latch.engine is not engine():
                    latch = self._latch = self._new_ending()
        return latch

    def _new_ending(self) -> Ending:
        return PolledEnding(self)

    def _code(self) -> int:
        """The return code of a job that has ended."""
        if (failure := self._ending().failure) is not None:
            raise failure.with_traceback(None)
        code = self.poll()
        if code is None:
            raise EngineError(f"job {self.id} has ended, but its poll() now says that it lives")
        return code

    def _went_well(self) -> bool:
        """Whether that is known without asking anybody."""
        return False

    def _outcome(self) -> HPCConnectError | None:
        """The error that tells the end of the job, None if it went well."""
        try:
            status = self.status
        except HPCConnectError as error:
            return error
        except Exception as error:  # noqa: BLE001 - whatever a plug-in raises, a future must be settled
            failure = EngineError(f"nobody can tell how job {self.id} has ended: {error!r}")
            failure.__cause__ = error
            return failure
        if status.state is JobState.COMPLETED:
            return None
        kinds = {JobState.CANCELLED: JobCancelled, JobState.LOST: JobLost}
        return kinds.get(status.state, JobFailed)(self.id, status, self._output_tail())

    def _output_tail(self) -> str:
        try:
            return self._read_tail()
        except Exception as error:  # noqa: BLE001 - what the job did matters more
            return f"(its output cannot be read: {error})"

    def _read_tail(self) -> str:
        return tail_of(self.output())

    def _tell_outcome(self, listener: Callable[[HPCConnectError | None], object]) -> Callable[[], None]:
        """Tell ``listener`` what :meth:`result` would raise; what it gives back, called, takes that back."""
        ending = self._ending()

        def ended() -> None:
            if ending.failure is not None or self._went_well():
                listener(ending.failure)
            else:  # reading the output may block, and so may a plug-in's poll
                engine().block(lambda: listener(self._outcome()), owed=False)

        ending.tell(ended)
        return partial(ending.forget, ended)

    def _run_callback(self, function: Callable[..., object], *arguments: object) -> None:
        try:
            function(*arguments)
        except BaseException as error:  # noqa: BLE001 - the user's error must not end the engine
            _log.exception("a callback of job %s failed", self.id)
            self._ending().errors.append(error)


class _JobFuture(Future[int]):
    """Stays pending until the job has ended, so that it can be cancelled, but says when the job runs."""

    def __init__(self, process: HPCProcess) -> None:
        super().__init__()
        self._process = process
        self.add_done_callback(lambda _: self.cancelled() and self.set_running_or_notify_cancel())

    def running(self) -> bool:
        return not self.done() and self._process.status.state in (JobState.RUNNING, JobState.SUSPENDED)

    def settle(self, error: HPCConnectError | None) -> None:
        if isinstance(error, JobCancelled):
            self.cancel()
            return
        with suppress(InvalidStateError):  # somebody has just cancelled it
            self.set_exception(error) if error is not None else self.set_result(0)


def tail_of(output: str) -> str:
    """The end of a text, for an error message."""
    return "\n".join(output[-TAIL_CHARACTERS:].splitlines()[-_TAIL_LINES:])
