"""What can be asked of a job on this machine, whoever runs it."""

from __future__ import annotations

import logging
import os
import signal as signals
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from hpc_connect.engine import engine
from hpc_connect.errors import StoreError, UnsupportedError
from hpc_connect.local import proc
from hpc_connect.local.signalling import Tree, send_signal
from hpc_connect.status import JobState

if TYPE_CHECKING:
    from hpc_connect.job import JobProcess
    from hpc_connect.local.runner import LocalRunner
    from hpc_connect.local.waiting import Waiting

_log = logging.getLogger("hpc_connect")

_STARTED = (JobState.RUNNING, JobState.SUSPENDED)


class Verbs:
    """The verbs of jobs in one record folder."""

    def __init__(self, runner: LocalRunner) -> None:
        self._runner = runner

    def cancel(self, job: JobProcess, signal: int, grace: float) -> None:
        """Ask for the end of a job: ``signal`` to all its processes, SIGKILL to what is left after the grace (seconds).

        Raises:
            UnsupportedError: it runs on another host.
        """
        if not self._note_request(job):
            return
        with self._runner.lock:
            waiting = self._runner.waiting.pop(job.id, None)
            run = self._runner.runs.get(job.id)
            if waiting is not None:
                waiting.drop()
            elif run is not None:
                run.cancelled = _ending(job, Tree(job.id), signal, grace)
                if run.sends:
                    self._runner.outbox.post(run.cancelled)
        if waiting is not None:
            engine().block(partial(self._runner.never_start, job))
        elif run is not None:
            self._runner.outbox.pump()
        else:
            self._cancel_elsewhere(job, signal, grace)

    def _note_request(self, job: JobProcess) -> bool:
        """Leave word for whoever sees it end, or would start it. False when the store knows that it has ended."""
        store = self._runner.store
        try:
            return store.find(job.id) is None or store.request_cancel(job.id)
        except StoreError:
            _log.exception("the request to cancel job %s is carried out, but not noted", job.id)
            return True

    def _cancel_elsewhere(self, job: JobProcess, signal: int, grace: float) -> None:
        """Another process has submitted it; it waits there, or its supervisor runs it."""
        if self._runner.withdraw(job):
            return
        tree = self._tree(job, "cancel")
        if tree.leader is None and not job.status.state.terminal:
            # Its supervisor has the claim, and is about to start it.
            job.add_status_callback(
                lambda job, status: (
                    self._end_elsewhere(job, signal, grace) if status.state in _STARTED else None
                )
            )
        self._end_elsewhere(job, signal, grace)

    def _end_elsewhere(self, job: JobProcess, signal: int, grace: float) -> None:
        """Have a supervisor of our own end it; the one that runs it records the end."""
        message = _ending(job, self._tree(job, "cancel"), signal, grace)
        self._runner.outbox.post({**message, "elsewhere": True})
        self._runner.outbox.pump()

    def hold(self, job: JobProcess) -> None:
        """Keep a waiting job from starting.

        Raises:
            UnsupportedError: it does not wait in this process (any more).
        """
        if not self._waiting(job, "hold").hold():
            self._refuse(job, "hold")

    def release(self, job: JobProcess) -> None:
        """Let a held job start.

        Raises:
            UnsupportedError: it does not wait in this process (any more).
        """
        if not self._waiting(job, "release").release():
            self._refuse(job, "release")

    def _waiting(self, job: JobProcess, verb: str) -> Waiting:
        return self._runner.waiting.get(job.id) or self._refuse(job, verb)

    def _refuse(self, job: JobProcess, verb: str) -> Any:
        where = (
            "waits in another process"
            if job.status.state in (JobState.QUEUED, JobState.HELD)
            else "does not wait"
        )
        raise UnsupportedError(verb, job.id, f"the job {where}: {job.status.describe()}")

    def suspend(self, job: JobProcess) -> None:
        """Stop all processes of a running job.

        Raises:
            UnsupportedError: it does not run, or on another host.
        """
        send_signal(self._running(job, "suspend"), signals.SIGSTOP)
        engine().call(self._tell, job, JobState.SUSPENDED)

    def resume(self, job: JobProcess) -> None:
        """Continue all processes of a stopped job.

        Raises:
            UnsupportedError: it does not run, or on another host.
        """
        send_signal(self._running(job, "resume"), signals.SIGCONT)
        engine().call(self._tell, job, JobState.RUNNING)

    def _tell(self, job: JobProcess, state: JobState) -> None:
        if job.status.state in _STARTED:
            self._runner.tell(job, replace(job.status, state=state, observed_at=datetime.now(UTC)))

    def signal(self, job: JobProcess, number: int) -> None:
        """Send a signal to all processes of a running job.

        Raises:
            UnsupportedError: it does not run, or on another host.
        """
        send_signal(self._running(job, "send_signal"), number)

    def requeue(self, job: JobProcess) -> None:
        """End a running job and start it again, as its next attempt.

        Raises:
            UnsupportedError: another process has submitted it, or it does not run.
        """
        with self._runner.lock:
            run = self._runner.runs.get(job.id)
            if run is None:
                allowed = "only the process that submitted it can; submit the job again"
                raise UnsupportedError("requeue", job.id, allowed)
            if job.status.state not in _STARTED or run.cancelled is not None:
                state = job.status.describe()
                raise UnsupportedError("requeue", job.id, f"it does not run, or is being cancelled: {state}")
            self._runner.outbox.post(_ending(job, Tree(job.id), signals.SIGKILL, 0, again=True))
        self._runner.outbox.pump()

    def _running(self, job: JobProcess, verb: str) -> Tree:
        tree = self._tree(job, verb)
        if tree.leader is None:
            raise UnsupportedError(verb, job.id, f"it does not run: {job.status.describe()}")
        return tree

    def _tree(self, job: JobProcess, verb: str) -> Tree:
        """Where to find the processes of a job; without a leader when none is known that could live."""
        start = self._runner.folder.find_start(job.id)
        if start is None:  # it has not started, or there was no room for its record
            pid, _, ticks = job.native_id.partition(":")
            return Tree(job.id, int(pid), ticks) if ticks else Tree(job.id)
        if start.host != os.uname().nodename:
            raise UnsupportedError(verb, job.id, f"it runs on {start.host}; do this there")
        return Tree(job.id, start.pid, start.ticks) if start.boot == proc.boot_id() else Tree(job.id)


def _ending(job: JobProcess, tree: Tree, signal: int, grace: float, *, again: bool = False) -> dict[str, Any]:
    """What the supervisor is told; of its own jobs it knows the processes itself."""
    return {
        "do": "end",
        "job": job.id,
        "leader": tree.leader,
        "ticks": tree.ticks,
        "signal": signal,
        "grace": grace,
        "again": again,
        "elsewhere": False,
    }
