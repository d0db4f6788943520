"""Follows jobs on this machine that another process's supervisor runs, or ran.

The kernel reports the end of a process through a pidfd; how it ended is in the record, which its supervisor writes a
moment later. Everything here runs on the engine's thread.
"""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hpc_connect.engine import engine
from hpc_connect.local import process_tree
from hpc_connect.records.outcome import outcome
from hpc_connect.status import JobState

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpc_connect.job import JobProcess
    from hpc_connect.records.folder import RecordFolder
    from hpc_connect.records.line import StartRecord
    from hpc_connect.status import JobStatus
    from hpc_connect.store import Store

_PROMPT_LOOKS = 40
_PROMPT_INTERVAL = 0.05  # seconds: a record comes a moment after the end of the process
_INTERVAL = 1.0  # seconds between looks for what no descriptor reports


class Tracker:
    """Looks for the start, the life and the end of such jobs.

    Args:
        folder: where the records lie.
        store: where another process may have noted the end, and that it was asked for.
        tell: called with a job, its new status and its native id.
    """

    def __init__(
        self, folder: RecordFolder, store: Store, tell: Callable[[JobProcess, JobStatus, str | None], None]
    ) -> None:
        self._folder = folder
        self._store = store
        self._tell = tell

    def follow(self, job: JobProcess, grace_window: float) -> None:
        """Observe a job until its end, or until nothing was heard of it for the grace window (seconds)."""
        _Trail(self, job, grace_window).look()

    def end_of(self, job: JobProcess) -> JobStatus | None:
        """How the job ended, by its record, or by what another process stored after it read that."""
        stored = self._store.find(job.id)
        if stored is not None and stored.state.terminal and stored.state is not JobState.LOST:
            return stored.status
        attempt = max(job.status.attempt, stored.status.attempt if stored is not None else 1)
        record = self._folder.find_end(job.id, attempt)
        if record is None:
            return None
        cancelled = stored is not None and stored.cancel_requested_at is not None
        return outcome(record, job.status, cancelled=cancelled)


class _Trail:
    def __init__(self, tracker: Tracker, job: JobProcess, grace_window: float) -> None:
        self._tracker = tracker
        self._job = job
        self._grace_window = grace_window
        self._looks = 0
        self._gone_since: float | None = None

    def look(self) -> None:
        job = self._job
        if job.status.state.terminal:
            return
        end = self._tracker.end_of(job)
        if end is not None:
            self._tracker._tell(job, end, None)  # noqa: SLF001 - a trail is a part of its tracker
            return
        start = self._tracker._folder.find_start(job.id)  # noqa: SLF001
        if start is not None and self._watch(start):
            self._running(start)
        elif start is None and job.status.state in (JobState.QUEUED, JobState.HELD):
            self._queued_elsewhere()
        else:
            self._gone(start)

    def _running(self, start: StartRecord) -> None:
        self._gone_since = None
        status = replace(
            self._job.status,
            state=JobState.RUNNING,
            pending_reason="",
            attempt=start.attempt,
            nodes=(start.host,),
            started_at=datetime.fromtimestamp(start.started, UTC),
            observed_at=datetime.now(UTC),
        )
        self._tracker._tell(self._job, status, start.native)  # noqa: SLF001

    def _queued_elsewhere(self) -> None:
        """It waits in the process that submitted it; that one's notes in the store are all there is to see."""
        stored = self._tracker._store.find(self._job.id)  # noqa: SLF001
        if stored is not None:
            self._tracker._tell(self._job, stored.status, None)  # noqa: SLF001
        engine().call_later(_INTERVAL, self.look)

    def _gone(self, start: StartRecord | None) -> None:
        """Its process has ended, or was never seen. A missing record is no evidence: look again."""
        self._looks += 1
        now = engine().now()
        if self._gone_since is None:
            self._gone_since = now
        if self._looks <= _PROMPT_LOOKS:
            engine().call_later(_PROMPT_INTERVAL, self.look)
            return
        alive = [] if start is None else process_tree.members(start.pid, self._job.id)
        if alive:
            message = f"its supervisor is gone; {len(alive)} of its processes live"
            self._gone_since = now
        else:
            message = "its process is gone and left no record of how it ended"
        lost = now - self._gone_since > self._grace_window
        status = replace(
            self._job.status,
            state=JobState.LOST if lost else JobState.UNKNOWN,
            message=message,
            observed_at=datetime.now(UTC),
        )
        self._tracker._tell(self._job, status, None if start is None else start.native)  # noqa: SLF001
        if not lost:
            engine().call_later(_INTERVAL, self.look)

    def _watch(self, start: StartRecord) -> bool:
        """Whether the process lives; then its end will bring us back."""
        try:
            descriptor = os.pidfd_open(start.pid)
        except ProcessLookupError:
            return False
        if not process_tree.is_same(start.pid, start.ticks, start.boot):
            os.close(descriptor)
            return False
        engine().watch(descriptor, self._ended, descriptor)
        return True

    def _ended(self, descriptor: int) -> None:
        engine().unwatch(descriptor)
        os.close(descriptor)
        self.look()
