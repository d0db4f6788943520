"""Follows jobs on this machine that another process's supervisor runs, or ran.

The kernel reports the end of a process through a pidfd; how it ended is in the record, which its supervisor writes a
moment later. What no descriptor reports is looked for, for all such jobs at once.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from hpc_connect.engine import engine
from hpc_connect.errors import EngineError, StoreError
from hpc_connect.evidence import SETTLED
from hpc_connect.local import proc
from hpc_connect.local.signalling import Tree, count_living
from hpc_connect.records.outcome import outcome
from hpc_connect.status import JobState, JobStatus

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from hpc_connect.job import JobProcess
    from hpc_connect.records.folder import Listing, RecordFolder
    from hpc_connect.records.line import EndRecord, StartRecord
    from hpc_connect.store import Store, StoredJob

_log = logging.getLogger("hpc_connect")

_PROMPT = 2.0  # seconds after the end of a process in which its record is looked for often
_PROMPT_INTERVAL = 0.05
_INTERVAL = 1.0  # seconds between looks for what no descriptor reports

NEVER_STARTED = "cancelled"
"""The reason in the end record of a job that was cancelled before anybody had claimed it."""

_ORPHAN = "the process that submitted it has ended; recover() takes it over"


@dataclass(slots=True)
class _Traces:
    """What one look found of a job.

    Attributes:
        start, end: its records.
        claimed: whether there is a start record, be it whole or not.
        ordered: whether nobody has claimed it yet.
        stored: what the store knows, None where it does not know the job.
        living: how many of its processes live though the first of them does not.
    """

    start: StartRecord | None
    end: EndRecord | None
    claimed: bool
    ordered: bool
    stored: StoredJob | None
    living: int = 0

    @property
    def runs(self) -> bool:
        """Whether its first process lives, as far as can be seen from this host."""
        start = self.start
        return start is not None and start.boot == proc.boot_id() and proc.runs(start.pid, start.ticks)

    @property
    def is_elsewhere(self) -> bool:
        """Whether it was started on another host, whose processes cannot be seen from here."""
        return self.start is not None and self.start.host != os.uname().nodename


@dataclass(slots=True)
class _Trail:
    """A job that is followed, and since when (on the engine's clock) nothing reports its end, or where it is."""

    job: JobProcess
    silent_since: float
    unknown_since: float | None = None
    looked: bool = False


class Tracker:
    """Looks for the start, the life and the end of jobs; on the engine's thread but for what reads files.

    Args:
        folder: where the records lie.
        store: where another process may have noted the end, and that it was asked for.
        tell: called with a job, its new status and its native id.
        grace_window: seconds after which a job of which nothing is heard is LOST.
    """

    def __init__(
        self,
        folder: RecordFolder,
        store: Store,
        tell: Callable[[JobProcess, JobStatus, str | None], None],
        grace_window: float,
    ) -> None:
        self._folder = folder
        self._store = store
        self._tell = tell
        self._grace_window = grace_window
        self._silent: dict[str, _Trail] = {}
        self._looking = False
        self._timer: asyncio.TimerHandle | None = None

    def follow(self, job: JobProcess) -> None:
        """Observe a job until its end, or until it is LOST."""
        self._silent[job.id] = _Trail(job, engine().now())
        self._look()

    def forget(self, job: JobProcess) -> None:
        """Look for it no more."""
        self._silent.pop(job.id, None)

    # ------------------------------------------------------------------ looking

    def _look(self) -> None:
        if self._silent and not self._looking:
            self._looking = True
            engine().block(partial(self._find, [*self._silent]), owed=False)

    def _find(self, names: list[str]) -> None:
        found: dict[str, _Traces] = {}
        try:
            listing = self._folder.listing()
            for name in names:
                found[name] = self._traces(name, listing)
            self._count_living(found)
        finally:
            with suppress(EngineError):  # whoever waits has been told
                engine().call(self._take, names, found)

    def _count_living(self, found: dict[str, _Traces]) -> None:
        gone = [name for name, it in found.items() if it.claimed and it.end is None and not it.runs]
        if gone:
            living = count_living([_tree(name, found[name].start) for name in gone])
            for name in gone:
                found[name].living = living[name]

    def _traces(self, name: str, listing: Listing) -> _Traces:
        claimed = f"{name}.start" in listing.live
        start = self._folder.find_start(name) if claimed else None
        end = self._folder.find_end(name) if claimed or name in listing.ended else None
        try:
            stored = self._store.find(name)
        except StoreError as error:
            _log.warning("job %s cannot be looked up: %s", name, error)
            stored = None
        return _Traces(start, end, claimed, f"{name}.order" in listing.live, stored)

    def _take(self, names: list[str], found: dict[str, _Traces]) -> None:
        self._looking = False
        for trail in [self._silent[name] for name in names if name in self._silent]:
            trail.looked = True
            traces = found.get(trail.job.id)
            if traces is not None and (trail.job.status.state in SETTLED or self._is_over(trail, traces)):
                del self._silent[trail.job.id]
        self._look_later()

    def _look_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = engine().now()
        if any(not trail.looked for trail in self._silent.values()):
            self._look()
        elif self._silent:
            prompt = any(now - trail.silent_since < _PROMPT for trail in self._silent.values())
            self._timer = engine().call_later(_PROMPT_INTERVAL if prompt else _INTERVAL, self._look)

    # ------------------------------------------------------------------ what follows

    def _is_over(self, trail: _Trail, traces: _Traces) -> bool:
        """Tell what was found; whether no more looks are needed."""
        job, stored, start = trail.job, traces.stored, traces.start
        if stored is not None and stored.state in SETTLED:
            self._tell(job, stored.status, stored.native_id)
            return True
        if traces.end is not None:
            native_id = traces.end.native
            self._tell(job, ended(traces.end, job.status, stored), None if native_id == "-" else native_id)
            return True
        if start is not None and (traces.is_elsewhere or traces.runs):
            self._running(trail, start, stored)
            return not traces.is_elsewhere and self._watch(job, start)
        if traces.ordered and stored is not None:
            self._waiting(trail, stored)
            return False
        return self._gone(trail, traces)

    def _running(self, trail: _Trail, start: StartRecord, stored: StoredJob | None) -> None:
        trail.unknown_since = None
        suspended = stored is not None and stored.state is JobState.SUSPENDED
        status = replace(
            trail.job.status,
            state=JobState.SUSPENDED if suspended else JobState.RUNNING,
            pending_reason="",
            message="",
            attempt=start.attempt,
            nodes=(start.host,),
            started_at=datetime.fromtimestamp(start.started, UTC),
            observed_at=datetime.now(UTC),
        )
        self._tell(trail.job, status, start.native)

    def _waiting(self, trail: _Trail, stored: StoredJob) -> None:
        """It has not started: what the process that submitted it notes in the store is all there is to see."""
        trail.unknown_since = None
        status = replace(stored.status, observed_at=datetime.now(UTC))
        if stored.sender.alive() is False:
            if stored.state is not JobState.SUBMITTING:
                status = replace(status, pending_reason=_ORPHAN)
            elif engine().now() - trail.silent_since > _PROMPT:  # its supervisor may be about to claim it
                status = replace(status, state=JobState.UNKNOWN, message=_ORPHAN)
        self._tell(trail.job, status, None)

    def _gone(self, trail: _Trail, traces: _Traces) -> bool:
        """No process, or none that can be found. A missing record is no evidence: it may come later."""
        now = engine().now()
        if now - trail.silent_since < _PROMPT:
            return False
        if trail.unknown_since is None or traces.living:
            trail.unknown_since = now
        if traces.living:
            message = f"its supervisor is gone, and nobody will know how it ends; {traces.living} of its processes live"
        elif traces.claimed:
            message = "its processes are gone and left no record of how it ended"
        else:
            message = "there is neither a record of it nor an order to start it"
        lost = now - trail.unknown_since > self._grace_window
        status = replace(
            trail.job.status,
            state=JobState.LOST if lost else JobState.UNKNOWN,
            pending_reason="",
            message=message,
            observed_at=datetime.now(UTC),
        )
        self._tell(trail.job, status, None)
        return lost

    def _watch(self, job: JobProcess, start: StartRecord) -> bool:
        """Have the kernel report the end of the process; False when it cannot."""
        try:
            descriptor = os.pidfd_open(start.pid)
        except OSError:  # it has ended meanwhile, or there are no descriptors left
            return False
        if not proc.runs(start.pid, start.ticks):
            os.close(descriptor)
            return False
        engine().watch(descriptor, self._reported, descriptor, job)
        return True

    def _reported(self, descriptor: int, job: JobProcess) -> None:
        engine().unwatch(descriptor)
        os.close(descriptor)
        self.follow(job)


def _tree(name: str, start: StartRecord | None) -> Tree:
    return Tree(name) if start is None else Tree(name, start.pid, start.ticks)


def ended(record: EndRecord, known: JobStatus, stored: StoredJob | None) -> JobStatus:
    """The status of a job with this end record, as far as the store knows who asked for the end."""
    if record.reason == NEVER_STARTED:
        return cancelled_before_start(known)
    return outcome(record, known, cancelled=stored is not None and stored.cancel_requested_at is not None)


def cancelled_before_start(known: JobStatus) -> JobStatus:
    """The status of a job that never will start."""
    now = datetime.now(UTC)
    return replace(
        known,
        state=JobState.CANCELLED,
        pending_reason="",
        message="before it started",
        ended_at=now,
        observed_at=now,
    )
