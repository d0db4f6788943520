"""Runs jobs through a supervisor: one for each record folder and process, shared by its backends.

What the supervisor tells arrives on the engine's thread; verbs may come from any. What blocks happens on neither.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from hpc_connect.engine import engine
from hpc_connect.errors import StoreError, SubmitError
from hpc_connect.evidence import updated
from hpc_connect.journal import Journal
from hpc_connect.local.outbox import Outbox
from hpc_connect.local.tracking import Tracker, cancelled_before_start
from hpc_connect.local.waiting import Waiting
from hpc_connect.local.withdrawal import withdraw
from hpc_connect.records.line import EndRecord, read_ends
from hpc_connect.records.outcome import outcome
from hpc_connect.status import JobState, JobStatus, Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpc_connect.group import ProcessGroup
    from hpc_connect.job import JobProcess
    from hpc_connect.local.conditions import Conditions
    from hpc_connect.process import HPCProcess
    from hpc_connect.records.folder import RecordFolder
    from hpc_connect.store import Store

_log = logging.getLogger("hpc_connect")

_MOST_SENDS = 3  # to supervisors that end before they take the order
_STORE_PAUSE = 5.0  # seconds until a store that could not be written is tried again
_CLAIM_INTERVAL = 1.0  # seconds between looks whether somebody else has taken a job that waits here


class Run:
    """A job in the supervisor's hands, or on its way there.

    Attributes:
        sends: how often its order was sent; 0 as long as the store has not been told.
        cancelled: what the supervisor is told of its end, when that was asked for.
    """

    __slots__ = ("cancelled", "job", "sends")

    def __init__(self, job: JobProcess) -> None:
        self.job = job
        self.sends = 0
        self.cancelled: dict[str, Any] | None = None


class LocalRunner:
    """All jobs that this process has on one record folder.

    Attributes:
        folder: where the records lie.
        store: the journal of submissions.
        handles: of all jobs that somebody holds, by our id.
        lock: held for a moment, whenever it is decided what becomes of a job.
        outbox: what the supervisor is told.
        runs: jobs that the supervisor has, or will have in a moment.
        waiting: jobs that may not start yet. A job that is in neither is another process's, or has ended.
    """

    def __init__(self, folder: RecordFolder, store: Store, grace_window: float) -> None:
        self.folder = folder
        self.store = store
        self.handles: weakref.WeakValueDictionary[str, HPCProcess] = weakref.WeakValueDictionary()
        self.lock = threading.RLock()
        self.outbox = Outbox(folder.path, self._take_news, self._start_over, self._cannot_start)
        self.runs: dict[str, Run] = {}
        self.waiting: dict[str, Waiting] = {}
        self._journal = Journal(store, self._forget_records)
        self._tracker = Tracker(folder, store, self.tell, grace_window)
        self._kept: set[str] = set()
        self._watches_claims = False

    # ------------------------------------------------------------------ jobs

    def start(self, job: JobProcess, *, keep: bool) -> None:
        """Start a job that the store knows to be sent."""
        self._take_on(job, keep)
        with self.lock:
            run = self.runs[job.id] = Run(job)
            self._send(run)
        self.outbox.pump()

    def start_later(self, job: JobProcess, conditions: Conditions, *, keep: bool) -> None:
        """Start a job when its conditions hold."""
        self._take_on(job, keep)
        waiting = Waiting(job, conditions, self._may_start, self._tell_waiting, self.lock)
        self.waiting[job.id] = waiting
        engine().call(waiting.begin)
        engine().call(self._watch_claims)

    def take_over(self, job: JobProcess, conditions: Conditions, *, keep: bool) -> None:
        """Start a job that was only followed here so far, when its conditions hold."""
        engine().call(self._tracker.forget, job)
        self.start_later(job, conditions, keep=keep)

    def follow(self, job: JobProcess, *, keep: bool = False) -> None:
        """Observe a job that another process's supervisor runs."""
        self._take_on(job, keep)
        engine().call(self._tracker.follow, job)

    def watch_group(self, group: ProcessGroup) -> None:
        """Note the end of an array in the store, too."""
        self.handles[group.id] = group
        group.add_done_callback(lambda group: self._journal.note(group.id, group.status))

    def earlier(
        self, cluster: str, name: str, sequence: int, find: Callable[[str], HPCProcess]
    ) -> list[HPCProcess]:
        """The jobs that a singleton comes after: all live ones of its name that the store took before it."""
        live = self.store.named(cluster, name, live=True)
        return [find(job.id) for job in live if job.sequence < sequence and job.array_id is None]

    def _take_on(self, job: JobProcess, keep: bool) -> None:
        self.handles[job.id] = job
        if keep:
            self._kept.add(job.id)
        engine().register(job)

    # ------------------------------------------------------------------ on the way to the supervisor

    def _may_start(self, job: JobProcess) -> None:
        """Its conditions hold; called with the lock."""
        del self.waiting[job.id]
        run = self.runs[job.id] = Run(job)
        engine().block(partial(self._launch, run))

    def _launch(self, run: Run) -> None:
        job = run.job
        try:
            wanted = self.store.note_sending(job.id)
        except StoreError as error:
            status = replace(
                job.status, pending_reason=f"{error}; it is tried again", observed_at=datetime.now(UTC)
            )
            engine().call(self.tell, job, status)
            engine().call(engine().call_later, _STORE_PAUSE, engine().block, partial(self._launch, run))
            return
        with self.lock:
            wanted = wanted and run.cancelled is None
            if wanted:
                self._send(run)
            else:
                del self.runs[job.id]
        if wanted:
            self.outbox.pump()
        else:
            self.never_start(job)

    def _send(self, run: Run) -> None:
        run.sends += 1
        self.outbox.post({"do": "start", "job": run.job.id})
        if run.cancelled is not None:
            self.outbox.post(run.cancelled)

    def never_start(self, job: JobProcess) -> None:
        """Cancel a job of this process that was not sent; it may block."""
        if not self.withdraw(job):
            engine().call(self._tracker.follow, job)

    def withdraw(self, job: JobProcess) -> bool:
        """Cancel a job that nobody has claimed. False when somebody has."""
        try:
            withdrawn = withdraw(self.folder, job.id, job.status.attempt)
        except OSError:
            # Nobody starts it all the same: the store knows that its end was asked for.
            _log.exception("the order of job %s cannot be removed", job.id)
            withdrawn = True
        if withdrawn:
            engine().call(self.tell, job, cancelled_before_start(job.status))
        return withdrawn

    def _start_over(self) -> None:
        """The supervisor is gone. What it had started goes on without it; what it had not is for another."""
        with self.lock:
            self.outbox.clear()
            for run in [run for run in self.runs.values() if run.sends]:
                if not os.path.exists(self.folder.order(run.job.id)):
                    self._let_go(run)
                elif run.sends < _MOST_SENDS:
                    self._send(run)
                else:
                    del self.runs[run.job.id]
                    problem = (
                        f"{run.sends} supervisors have ended before they took it; see {self.folder.path}"
                    )
                    self.fail(run.job, Reason.SUBMIT, problem)
        self.outbox.pump()

    def _let_go(self, run: Run) -> None:
        """The supervisor that had the claim on this job is gone."""
        name = run.job.id
        del self.runs[name]
        engine().call(self._tracker.follow, run.job)
        if run.cancelled is not None:
            start = self.folder.find_start(name)
            tree = {"leader": start.pid, "ticks": start.ticks} if start is not None else {}
            self.outbox.post({**run.cancelled, **tree, "elsewhere": True})

    def _cannot_start(self, error: SubmitError, messages: list[dict[str, Any]]) -> None:
        """There is no supervisor, and no other starts."""
        for message in messages:
            run = self.runs.pop(message["job"], None)
            if run is not None:
                self.fail(run.job, Reason.SUBMIT, str(error))

    # ------------------------------------------------------------------ jobs that wait

    def _tell_waiting(self, job: JobProcess, status: JobStatus) -> None:
        if status.state.terminal:
            self.waiting.pop(job.id, None)
        self.tell(job, status)

    def _watch_claims(self) -> None:
        """Another process may cancel a job that waits here: it takes the claim, so that we never can."""
        if self.waiting and not self._watches_claims:
            self._watches_claims = True
            engine().call_later(_CLAIM_INTERVAL, engine().block, self._look_for_claims)

    def _look_for_claims(self) -> None:
        names = [*self.waiting]
        live = self.folder.listing().live
        engine().call(self._give_up, [name for name in names if f"{name}.order" not in live])

    def _give_up(self, names: list[str]) -> None:
        self._watches_claims = False
        for name in names:
            waiting = self.waiting.pop(name, None)
            if waiting is not None and waiting.drop():
                self._tracker.follow(waiting.job)
        self._watch_claims()

    # ------------------------------------------------------------------ news

    def tell(self, job: JobProcess, status: JobStatus, native_id: str | None = None) -> None:
        """Pass news of a job on to its handle and to the store; on the engine's thread."""
        # Noted first: a program that ends as soon as it has heard of the end leaves nothing to be found out again.
        if native_id is not None or updated(job.status, status) != job.status:
            self._journal.note(job.id, status, native_id)
        job.observe(status, native_id)

    def flush(self) -> None:
        """Have the store know what this process knows."""
        self._journal.flush()

    def _forget_records(self, name: str) -> None:
        """The store knows the end of this job, so no record is needed any more."""
        if name in self._kept:
            self._kept.discard(name)
        else:
            self.folder.clear(name)

    def _take_news(self, message: dict[str, Any]) -> None:
        run = self.runs.get(message["job"])
        if run is None:
            return
        if message["news"] == "started":
            self._started(run.job, message["native"], message["attempt"], message["at"])
            return
        del self.runs[run.job.id]
        if message["news"] == "ended":
            (end,) = read_ends(message["record"])
            self._ended(run, end, message["message"])
        elif message["news"] == "claimed":
            # By another supervisor that was given the same job, or by who has cancelled it. It runs once.
            self._tracker.follow(run.job)
        else:
            self.fail(run.job, Reason.SUBMIT, message["error"])

    def _started(self, job: JobProcess, native_id: str, attempt: int, at: float) -> None:
        status = replace(
            job.status,
            state=JobState.RUNNING,
            pending_reason="",
            attempt=attempt,
            nodes=(os.uname().nodename,),
            started_at=datetime.fromtimestamp(at, UTC),
            observed_at=datetime.now(UTC),
        )
        self.tell(job, status, native_id)

    def _ended(self, run: Run, end: EndRecord, message: str) -> None:
        known = run.cancelled is not None
        if known or (end.how == "exit" and end.number == 0):
            self.tell(run.job, outcome(end, run.job.status, cancelled=known, message=message))
        else:
            engine().block(partial(self._ended_badly, run.job, end, message))

    def _ended_badly(self, job: JobProcess, end: EndRecord, message: str) -> None:
        """Perhaps another process has asked for it, and ended it."""
        try:
            cancelled = self.store.cancel_requested(job.id) is not None
        except StoreError:
            _log.exception("nobody knows whether somebody asked for the end of job %s", job.id)
            cancelled = False
        engine().call(self.tell, job, outcome(end, job.status, cancelled=cancelled, message=message))

    def fail(self, job: JobProcess, reason: Reason, message: str) -> None:
        """Say that a job that was not started never will be."""
        now = datetime.now(UTC)
        status = replace(
            job.status,
            state=JobState.FAILED,
            reason=reason,
            pending_reason="",
            message=message,
            ended_at=now,
            observed_at=now,
        )
        engine().call(self.tell, job, status)
