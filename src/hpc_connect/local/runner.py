"""Runs jobs through a supervisor and observes them: one for each record folder and process, shared by its backends.

What the supervisor tells arrives on the engine's thread; verbs may come from any.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hpc_connect.engine import engine
from hpc_connect.errors import UnsupportedError
from hpc_connect.local import process_tree
from hpc_connect.local.link import SupervisorLink
from hpc_connect.local.orders import write_script
from hpc_connect.local.tracking import Tracker
from hpc_connect.local.waiting import Waiting
from hpc_connect.records.line import read_ends
from hpc_connect.records.outcome import outcome
from hpc_connect.status import JobState, JobStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpc_connect.group import ProcessGroup
    from hpc_connect.job import JobProcess
    from hpc_connect.journal import Journal
    from hpc_connect.local.waiting import Conditions
    from hpc_connect.process import HPCProcess
    from hpc_connect.quantities import Duration
    from hpc_connect.records.folder import RecordFolder


class _Run:
    """A job in the supervisor's hands: its handle, what it was told, and what was asked of it since."""

    __slots__ = ("cancelled", "job", "order", "script")

    def __init__(self, job: JobProcess, order: dict[str, Any]) -> None:
        self.job = job
        self.order = order
        self.cancelled: tuple[int, Duration] | None = None
        self.script: str | None = None  # kept while it is to be started again


class LocalRunner:
    """All jobs that this process has on one record folder."""

    def __init__(self, folder: RecordFolder, journal: Journal, grace_window: float) -> None:
        self.folder = folder
        self.journal = journal
        self.handles: weakref.WeakValueDictionary[str, HPCProcess] = weakref.WeakValueDictionary()
        self._grace_window = grace_window
        self._tracker = Tracker(folder, journal.store, self.tell)
        self._lock = threading.RLock()
        self._link: SupervisorLink | None = None
        self._runs: dict[str, _Run] = {}
        self._waiting: dict[str, Waiting] = {}
        self._kept: set[str] = set()

    # ------------------------------------------------------------------ starting

    def start(self, job: JobProcess, order: dict[str, Any], conditions: Conditions) -> None:
        """Start a job now, or when its conditions hold."""
        self.handles[job.id] = job
        if order["keep"]:
            self._kept.add(job.id)
        engine().register(job)
        if not conditions:
            self._send(job, order)
            return
        waiting = Waiting(job, conditions, lambda: self._stop_waiting(job, order), self._tell_waiting)
        self._waiting[job.id] = waiting
        engine().call(waiting.begin)

    def _stop_waiting(self, job: JobProcess, order: dict[str, Any]) -> None:
        del self._waiting[job.id]
        if not self.journal.store.note_sending(job.id):
            self._cancelled_before_start(job)
            return
        self.tell(job, replace(job.status, state=JobState.SUBMITTING, pending_reason=""), None)
        self._send(job, order)

    def _send(self, job: JobProcess, order: dict[str, Any]) -> None:
        with self._lock:
            self._runs[job.id] = _Run(job, order)
            if self._link is None:
                self._link = SupervisorLink(self.folder.path, self._take_news, self._supervisor_lost)
            self._link.send(order)

    def follow(self, job: JobProcess, *, keep: bool = False) -> None:
        """Observe a job that another process's supervisor runs."""
        self.handles[job.id] = job
        if keep:
            self._kept.add(job.id)
        engine().register(job)
        engine().call(self._tracker.follow, job, self._grace_window)

    def watch_group(self, group: ProcessGroup) -> None:
        """Note the end of an array in the store, too."""
        self.handles[group.id] = group
        group.add_done_callback(lambda group: self.journal.note(group.id, group.status))

    # ------------------------------------------------------------------ news

    def tell(self, job: JobProcess, status: JobStatus, native_id: str | None) -> None:
        """Pass news of a job on to its handle and to the store; on the engine's thread."""
        job.observe(status, native_id)
        self.journal.note(job.id, job.status, native_id, self._afterwards(job))

    def _afterwards(self, job: JobProcess) -> Callable[[], None] | None:
        """What to do when the store has the status: of an end it knows, no record is needed any more."""
        name = job.id
        if not job.status.state.terminal or job.status.state is JobState.LOST or name in self._kept:
            return None
        return lambda: self.folder.clear(name)

    def _tell_waiting(self, job: JobProcess, status: JobStatus) -> None:
        if status.state.terminal:
            self._waiting.pop(job.id, None)
        self.tell(job, status, None)

    def _take_news(self, message: dict[str, Any]) -> None:
        name = message.get("started") or message.get("ended") or message["refused"]
        run = self._runs.get(name)
        if run is None:
            return
        if "started" in message:
            self._started(run, message["native"], message["at"])
        elif "ended" in message:
            self._ended(run, message["record"], message["message"])
        else:
            # Somebody else has the claim: another supervisor that was given the same job. It runs once.
            del self._runs[name]
            self.follow(run.job)

    def _started(self, run: _Run, native_id: str, at: float) -> None:
        status = replace(
            run.job.status,
            state=JobState.RUNNING,
            attempt=run.order["attempt"],
            nodes=(os.uname().nodename,),
            started_at=datetime.fromtimestamp(at, UTC),
            observed_at=datetime.now(UTC),
        )
        self.tell(run.job, status, native_id)
        if run.cancelled is not None:
            self._end(run, *run.cancelled)

    def _ended(self, run: _Run, record: str, message: str) -> None:
        (end,) = read_ends(record)
        if run.script is not None and run.cancelled is None:
            self._start_again(run)
            return
        del self._runs[run.job.id]
        ends_well = end.how == "exit" and end.number == 0
        cancelled = run.cancelled is not None or (not ends_well and self._cancelled_elsewhere(run.job))
        self.tell(run.job, outcome(end, run.job.status, cancelled=cancelled, message=message), None)

    def _cancelled_elsewhere(self, job: JobProcess) -> bool:
        return self.journal.store.cancel_requested(job.id) is not None

    def _supervisor_lost(self) -> None:
        """What it had started goes on without it; what it had not can be given to another."""
        with self._lock:
            self._link = None
            runs, self._runs = self._runs, {}
        for run in runs.values():
            if os.path.exists(self.folder.start(run.job.id)) or self._tracker.end_of(run.job):
                self._tracker.follow(run.job, self._grace_window)
            else:
                self._send(run.job, run.order)

    # ------------------------------------------------------------------ verbs

    def cancel(self, job: JobProcess, signal: int, grace: Duration) -> None:
        """Ask for the end of a job."""
        if not self.journal.store.request_cancel(job.id):
            return
        with self._lock:
            run = self._runs.get(job.id)
            if run is not None:
                run.cancelled = (signal, grace)
                if job.status.state is not JobState.SUBMITTING:
                    self._end(run, signal, grace)
                return
        if job.id in self._waiting:
            engine().call(self._cancel_waiting, job)
        else:
            self._end_leader(job, signal, grace)

    def _cancel_waiting(self, job: JobProcess) -> None:
        waiting = self._waiting.pop(job.id, None)
        if waiting is None:  # it was started in the meantime
            return
        waiting.drop()
        self._cancelled_before_start(job)

    def _cancelled_before_start(self, job: JobProcess) -> None:
        status = replace(
            job.status,
            state=JobState.CANCELLED,
            pending_reason="",
            message="before it started",
            observed_at=datetime.now(UTC),
        )
        self.tell(job, status, None)

    def _end(self, run: _Run, signal: int, grace: Duration) -> None:
        self._end_leader(run.job, signal, grace)

    def _end_leader(self, job: JobProcess, signal: int, grace: Duration) -> None:
        leader = self.leader(job)
        engine().block(lambda: process_tree.end(leader, job.id, signal, grace.total_seconds()))

    def leader(self, job: JobProcess) -> int:
        """The process that the job was started as.

        Raises:
            UnsupportedError: it has none (yet).
        """
        pid = job.native_id.partition(":")[0]
        if not pid:
            raise UnsupportedError(
                "native_id", job.native_id, f"job {job.id} is {job.status.describe()}, not running"
            )
        return int(pid)

    def hold(self, job: JobProcess) -> None:
        """Keep a waiting job from starting."""
        engine().call(self._waiting_of(job, "hold").hold)

    def release(self, job: JobProcess) -> None:
        """Let a held job start."""
        engine().call(self._waiting_of(job, "release").release)

    def _waiting_of(self, job: JobProcess, verb: str) -> Waiting:
        try:
            return self._waiting[job.id]
        except KeyError:
            where = "is not waiting in this process" if job.status.state is JobState.QUEUED else "has started"
            raise UnsupportedError(verb, job.id, f"it {where}: {job.status.describe()}") from None

    def suspend(self, job: JobProcess) -> None:
        """Stop all processes of a running job."""
        self.signal(job, process_tree.STOP)
        engine().call(self._tell_live, job, JobState.SUSPENDED)

    def resume(self, job: JobProcess) -> None:
        """Continue all processes of a stopped job."""
        self.signal(job, process_tree.CONTINUE)
        engine().call(self._tell_live, job, JobState.RUNNING)

    def _tell_live(self, job: JobProcess, state: JobState) -> None:
        if job.status.state in (JobState.RUNNING, JobState.SUSPENDED):
            self.tell(job, replace(job.status, state=state, observed_at=datetime.now(UTC)), None)

    def signal(self, job: JobProcess, number: int) -> None:
        """Send a signal to all processes of a running job."""
        process_tree.send_signal(self.leader(job), job.id, number)

    def requeue(self, job: JobProcess) -> None:
        """End a running job and start it again, as its next attempt."""
        run = self._runs.get(job.id)
        if run is None:
            raise UnsupportedError(
                "requeue", job.id, "only the process that submitted it can; submit it again there"
            )
        leader = self.leader(job)
        with open(run.order["argv"][-1], encoding="utf-8", errors="surrogateescape", newline="") as file:
            run.script = file.read()
        engine().block(lambda: process_tree.end(leader, job.id, process_tree.KILL, 0))

    def _start_again(self, run: _Run) -> None:
        """The attempt that was ended leaves no trace but its number: its record would be taken for a second claim."""
        attempt = run.order["attempt"] + 1
        script, run.script = run.script or "", None
        with contextlib.suppress(OSError):
            os.unlink(self.folder.end(run.job.id))
        write_script(run.order["argv"][-1], script, 0o700)
        variables = {**run.order["env"], "HPC_CONNECT_ATTEMPT": str(attempt)}
        order = {**run.order, "attempt": attempt, "env": variables}
        status = JobStatus(
            state=JobState.QUEUED,
            attempt=attempt,
            submitted_at=run.job.status.submitted_at,
            observed_at=datetime.now(UTC),
        )
        self.tell(run.job, status, None)
        self._send(run.job, order)
