"""Notes of the engine for the store, written in batches: one durable write for all that happened in a moment."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from typing import TYPE_CHECKING

from hpc_connect.engine import engine
from hpc_connect.errors import StoreError
from hpc_connect.evidence import SETTLED

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpc_connect.status import JobStatus
    from hpc_connect.store import Store

_log = logging.getLogger("hpc_connect")

_MOMENT = 0.02  # seconds; nobody waits for these notes, and what they say can be found out again


class Journal:
    """What was learned of jobs, on its way into the store.

    Args:
        store: where it goes.
        settled: called with our id of each job whose end is safely in the store, not on the engine's thread.
    """

    def __init__(self, store: Store, settled: Callable[[str], None]) -> None:
        self.store = store
        self._settled = settled
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._statuses: dict[str, JobStatus] = {}
        self._native_ids: dict[str, str] = {}
        self._scheduled = False
        self._process = os.getpid()
        atexit.register(self._flush_at_exit)

    def note(self, job_id: str, status: JobStatus, native_id: str | None = None) -> None:
        """Have a status stored soon, and perhaps the native id."""
        with self._lock:
            self._statuses[job_id] = status
            if native_id is not None:
                self._native_ids[job_id] = native_id
            if self._scheduled:
                return
            self._scheduled = True
        engine().call(engine().call_later, _MOMENT, engine().block, self.flush)

    def flush(self) -> None:
        """Store now what was noted."""
        with self._writing:
            with self._lock:
                statuses, self._statuses = self._statuses, {}
                native_ids, self._native_ids = self._native_ids, {}
                self._scheduled = False
            if not statuses:
                return
            try:
                stored = self.store.note_statuses(statuses, native_ids)
            except StoreError:
                # The records stay where they are, so whoever looks next finds the same out again.
                _log.exception("the store does not take the states of %d jobs", len(statuses))
                return
            for job_id, status in stored.items():
                if status.state in SETTLED:
                    self._settled(job_id)

    def _flush_at_exit(self) -> None:
        if os.getpid() == self._process:  # a fork has neither the engine's news nor, perhaps, its locks
            self.flush()
