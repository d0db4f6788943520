"""Jobs that may not start yet: held, not before a time, after other jobs, or not too many at once.

All of this lives in the process that submitted them: when it ends, they wait until ``recover()`` takes them over.
"""

from __future__ import annotations

import weakref
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hpc_connect.engine import engine
from hpc_connect.errors import EngineError
from hpc_connect.job import JobProcess
from hpc_connect.status import JobState, JobStatus, Reason

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from threading import RLock

    from hpc_connect.local.conditions import Conditions
    from hpc_connect.process import HPCProcess

_LONGEST_SLEEP = 3600.0  # seconds; a clock that was set is noticed after that


class Waiting:
    """One job that waits, until it is started, cancelled, or can never start.

    ``hold``, ``release`` and ``drop`` may be called from any thread; all else happens on the engine's.

    Args:
        job: its handle.
        conditions: what it waits for.
        start: called, with the lock, when it may start; the waiting is over then.
        tell: called with the job and a new status.
        lock: held whenever it is decided what becomes of the job.
    """

    def __init__(
        self,
        job: JobProcess,
        conditions: Conditions,
        start: Callable[[JobProcess], None],
        tell: Callable[[JobProcess, JobStatus], None],
        lock: RLock,
    ) -> None:
        self.job = job
        self._conditions = conditions
        self._start = start
        self._tell = tell
        self._lock = lock
        self._over = False
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Listen to everything it waits for, and look for the first time."""
        # A job that others wait for may live long: of those that wait no more it keeps only this.
        listener = _Listener(self)
        for dependency, other in self._conditions.dependencies:
            other.add_done_callback(listener)
            if dependency.kind == "afterstart" and isinstance(other, JobProcess):
                other.add_status_callback(listener)
        self.look()

    def hold(self) -> bool:
        """Do not start until released. False when it is too late."""
        with self._lock:
            self._conditions.held = True
            return self._look_soon()

    def release(self) -> bool:
        """Start as soon as everything else allows it. False when it has started."""
        with self._lock:
            self._conditions.held = False
            return self._look_soon()

    def _look_soon(self) -> bool:
        if not self._over:
            engine().call(self.look)
        return not self._over

    def drop(self) -> bool:
        """Let it never start. False when it is too late."""
        with self._lock:
            waited, self._over = not self._over, True
            return waited

    def look(self) -> None:
        """Start it, say why it waits, or say that it never will start."""
        with self._lock:
            if self._over:
                return
            status = self._why_not()
            if status is None:
                self._over = True
                self._start(self.job)
            elif status.state.terminal:
                self._over = True
        if status is not None:
            self._tell(self.job, status)

    def _why_not(self) -> JobStatus | None:
        """What to say of a job that must wait, or never can start; None takes the slot that it needs."""
        conditions, now = self._conditions, datetime.now(UTC)
        never, reason = conditions.verdict()
        if never:
            return self._never(reason)
        if conditions.held:
            return self._waits(JobState.HELD, "held by its user; release() lets it start")
        if reason:
            return self._waits(JobState.QUEUED, reason)
        if conditions.begin is not None and conditions.begin > now:
            self._look_later((conditions.begin - now).total_seconds())
            return self._waits(
                JobState.QUEUED, f"not before {conditions.begin.isoformat(timespec='seconds')}"
            )
        slots = conditions.slots
        if slots is None:
            return None
        if not slots.take():
            slots.when_free(self.look)
            return self._waits(JobState.QUEUED, "as many elements of the array run as max_parallel allows")
        self.job.add_done_callback(lambda _: _on_engine(slots.give_back))
        return None

    def _look_later(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = engine().call_later(min(seconds, _LONGEST_SLEEP), self.look)

    def _waits(self, state: JobState, reason: str) -> JobStatus:
        return replace(self.job.status, state=state, pending_reason=reason, observed_at=datetime.now(UTC))

    def _never(self, reason: str) -> JobStatus:
        now = datetime.now(UTC)
        return replace(
            self.job.status,
            state=JobState.FAILED,
            reason=Reason.DEPENDENCY,
            pending_reason="",
            message=f"can never start: {reason}",
            ended_at=now,
            observed_at=now,
        )


class _Listener:
    """Has a job that waits look again; keeps nothing of it alive."""

    def __init__(self, waiting: Waiting) -> None:
        self._waiting = weakref.ref(waiting)

    def __call__(self, *_: HPCProcess | JobStatus) -> None:
        waiting = self._waiting()
        if waiting is not None:
            _on_engine(waiting.look)


def _on_engine(function: Callable[[], None]) -> None:
    with suppress(EngineError):  # whoever waits has been told
        engine().call(function)
