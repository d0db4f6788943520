"""Notes of the engine for the store, written in batches: one durable write for all that happened in a moment."""

from __future__ import annotations

import atexit
import logging
import threading
from typing import TYPE_CHECKING

from hpc_connect.engine import engine
from hpc_connect.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpc_connect.status import JobStatus
    from hpc_connect.store import Store

_log = logging.getLogger("hpc_connect")

_MOMENT = 0.02  # seconds; nobody waits for these notes, and what they say can be found out again


class Journal:
    """What was learned of jobs, on its way into the store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._lock = threading.Lock()
        self._statuses: dict[str, JobStatus] = {}
        self._native_ids: dict[str, str] = {}
        self._afterwards: list[Callable[[], None]] = []
        self._scheduled = False
        atexit.register(self.flush)

    def note(
        self,
        job_id: str,
        status: JobStatus,
        native_id: str | None = None,
        afterwards: Callable[[], None] | None = None,
    ) -> None:
        """Have a status stored soon, and something done when it is safely there."""
        with self._lock:
            self._statuses[job_id] = status
            if native_id is not None:
                self._native_ids[job_id] = native_id
            if afterwards is not None:
                self._afterwards.append(afterwards)
            if self._scheduled:
                return
            self._scheduled = True
        engine().call(engine().call_later, _MOMENT, self.flush)

    def flush(self) -> None:
        """Store now what was noted."""
        with self._lock:
            statuses, self._statuses = self._statuses, {}
            native_ids, self._native_ids = self._native_ids, {}
            afterwards, self._afterwards = self._afterwards, []
            self._scheduled = False
            if not statuses:
                return
            try:
                self.store.note_statuses(statuses, native_ids)
            except StoreError:
                # The records stay where they are, so whoever looks next finds the same out again.
                _log.exception("the store does not take the states of %d jobs", len(statuses))
                return
        for action in afterwards:
            action()
