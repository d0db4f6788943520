"""The supervisor of local jobs: a process of its own, one for each client, which outlives it.

It starts each job's script as the leader of a new session, enforces the time limit, and records the end as the
kernel reports it, so an exit code and a signal are never confused. The client sends orders through a socket and is
told what happened; when the client is gone, the supervisor stays until its last job has ended.

Why not one ``supervisor.sh`` for each job here: docs/decisions/0002-the-shell-backend.md.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import select
import signal as signals
import socket
import time
from functools import cached_property
from itertools import count

from hpc_connect.local import proc
from hpc_connect.local.claim import Claim
from hpc_connect.local.messages import Messages, pack
from hpc_connect.local.signalling import Endings, Tree, send_signal
from hpc_connect.local.spawning import spawn
from hpc_connect.records.folder import RecordFolder
from hpc_connect.records.line import EndRecord, StartRecord, format_end

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LAUNCH_FAILURE = 127
_FEW_TIMERS = 100
_LONGEST_SLEEP = 3600.0  # seconds


class _Job:
    """A job that runs, or whose processes are on their way out.

    Attributes:
        again: whether it is to be started once more when it has ended.
        reason: why it is ended, for the record.
        code: as waitstatus_to_exitcode gives it, None while its first process lives.
    """

    __slots__ = ("again", "claim", "code", "order", "reason", "start")

    def __init__(self, claim: Claim, order: dict[str, Any], start: StartRecord) -> None:
        self.claim = claim
        self.order = order
        self.start = start
        self.again = False
        self.reason = "-"
        self.code: int | None = None

    @property
    def tree(self) -> Tree:
        return Tree(self.claim.name, self.start.pid, self.start.ticks)


class Supervisor:
    """Carries out orders until the client is gone and the last job has ended."""

    def __init__(self, connection: socket.socket, folder: RecordFolder) -> None:
        connection.settimeout(0)
        self._connection: socket.socket | None = connection
        self._outgoing = bytearray()
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._folder = folder
        self._messages = Messages()
        self._jobs: dict[str, _Job] = {}
        self._leaders: dict[int, _Job] = {}
        self._timers: list[tuple[float, int, str, _Job]] = []
        self._serial = count()
        self._endings = Endings()
        self._host = os.uname().nodename

    @cached_property
    def _boot(self) -> str:
        return proc.boot_id()

    def run(self) -> None:
        """Serve until there is nothing left to serve."""
        wake, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signals.set_wakeup_fd(woken, warn_on_full_buffer=False)
        signals.signal(signals.SIGCHLD, lambda *_: None)
        self._poll.register(wake, select.POLLIN)
        while self._connection is not None or self._jobs or self._endings.due() is not None:
            for descriptor, event in self._poll.poll(self._until_something_is_due()):
                if descriptor == wake:
                    os.read(wake, 4096)
                elif event & ~select.POLLOUT:
                    self._take_orders()
            self._run_timers()
            self._reap()
            for name in self._endings.look():
                if name in self._jobs:
                    self._finish(self._jobs[name])
            self._send()

    # ------------------------------------------------------------------ the client

    def _take_orders(self) -> None:
        if self._connection is None:
            return
        try:
            data = self._connection.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop_client()
        for message in self._messages.feed(data):
            name = message["job"]
            if message["do"] == "start":
                self._start(name)
            elif name in self._jobs:
                self._end(self._jobs[name], message["signal"], message["grace"], again=message["again"])
            elif message["elsewhere"]:  # another supervisor's, which records the end
                tree = Tree(name, message["leader"], message["ticks"])
                self._endings.add(tree, message["signal"], message["grace"])

    def _drop_client(self) -> None:
        if self._connection is not None:
            self._poll.unregister(self._connection)
            self._connection.close()
            self._connection = None

    def _tell(self, news: str, name: str, **details: object) -> None:
        self._outgoing += pack({"news": news, "job": name, **details})

    def _send(self) -> None:
        """Send what the client can take now: one that is stopped must not hold up time limits and records."""
        if self._connection is None or not self._outgoing:
            return
        try:
            del self._outgoing[: self._connection.send(self._outgoing)]
        except BlockingIOError:
            pass
        except OSError:
            self._drop_client()
            return
        self._poll.modify(self._connection, select.POLLIN | (select.POLLOUT if self._outgoing else 0))

    # ------------------------------------------------------------------ starting

    def _start(self, name: str) -> None:
        try:
            claim = Claim.take(self._folder, name)
        except FileNotFoundError:
            self._tell("claimed", name)
            return
        except OSError as error:
            self._tell("failed", name, error=f"{self._folder.start(name)} cannot be made: {error.strerror}")
            return
        try:
            order = claim.read_order()
        except (OSError, ValueError, KeyError) as error:
            self._fail(claim, f"its order cannot be read: {error}")
            return
        self._launch(claim, order)

    def _launch(self, claim: Claim, order: dict[str, Any]) -> None:
        started = time.time()
        try:
            pid = spawn(order, self._folder.script(claim.name))
        except (OSError, ValueError) as error:
            self._fail(claim, str(error), order["attempt"])
            return
        start = self._start_record(claim.name, order["attempt"], pid, started)
        with contextlib.suppress(OSError):  # the claim stands all the same
            claim.note_start(start)
        job = _Job(claim, order, start)
        self._jobs[claim.name] = self._leaders[pid] = job
        self._set_timers(job)
        self._tell("started", claim.name, native=start.native, attempt=start.attempt, at=started)

    def _start_record(self, name: str, attempt: int, pid: int, started: float) -> StartRecord:
        job_id, _, index = name.partition(".")
        found = proc.stat(pid)  # one that has ended is still there: nobody has waited for it
        ticks = found.ticks if found is not None else "-"
        native = f"{pid}:{ticks}"
        return StartRecord(job_id, index or "-", native, attempt, pid, ticks, self._boot, self._host, started)

    def _fail(self, claim: Claim, problem: str, attempt: int = 1) -> None:
        start = self._start_record(claim.name, attempt, os.getpid(), time.time())._replace(native="-")
        self._record_end(claim, start, "exit", LAUNCH_FAILURE, "launch", problem)

    # ------------------------------------------------------------------ ending

    def _reap(self) -> None:
        while self._leaders:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            job = self._leaders.pop(pid)
            job.code = os.waitstatus_to_exitcode(status)
            if job.claim.name in self._endings:
                self._endings.hurry(job.claim.name)
            else:
                self._finish(job)

    def _end(self, job: _Job, signal: int, grace: float, *, again: bool = False) -> None:
        job.again = again
        self._endings.add(job.tree, signal, grace)

    def _finish(self, job: _Job) -> None:
        """A job is over when its first process has ended and, where it was to be ended, all others too."""
        if job.code is None:
            return
        del self._jobs[job.claim.name]
        if job.again and job.reason == "-":
            attempt = job.order["attempt"] + 1
            variables = {**job.order["env"], "HPC_CONNECT_ATTEMPT": str(attempt)}
            self._launch(job.claim, {**job.order, "attempt": attempt, "env": variables})
            return
        how, number = ("exit", job.code) if job.code >= 0 else ("signal", -job.code)
        self._record_end(job.claim, job.start, how, number, job.reason)

    def _record_end(
        self, claim: Claim, start: StartRecord, how: str, number: int, reason: str, message: str = ""
    ) -> None:
        ended = max(time.time(), start.started)  # a clock may be set back
        same = (start.id, start.array_index, start.native, start.attempt)
        record = EndRecord(*same, how, number, reason, start.host, start.started, ended)
        try:
            claim.note_end(record)
        except OSError as error:
            message = message or f"its end cannot be recorded: {error}"
        self._tell("ended", claim.name, record=format_end(record), message=message)

    # ------------------------------------------------------------------ time limits

    def _set_timers(self, job: _Job) -> None:
        limit, warning = job.order["limit"], job.order["warn"]
        if limit is None:
            return
        if len(self._timers) > _FEW_TIMERS + 4 * len(self._jobs):  # most are of jobs that have ended before
            self._timers = [timer for timer in self._timers if timer[3].code is None]
            heapq.heapify(self._timers)
        now = time.monotonic()
        if warning is not None:
            heapq.heappush(self._timers, (now + limit - warning[1], next(self._serial), "warn", job))
        heapq.heappush(self._timers, (now + limit, next(self._serial), "end", job))

    def _until_something_is_due(self) -> float | None:
        """In milliseconds, as poll(2) takes them, and no more of them than it takes."""
        while self._timers and self._timers[0][3].code is not None:
            heapq.heappop(self._timers)
        due = [self._timers[0][0]] if self._timers else []
        if (look := self._endings.due()) is not None:
            due.append(look)
        if not due:
            return None
        return min(max(0.0, min(due) - time.monotonic()), _LONGEST_SLEEP) * 1000

    def _run_timers(self) -> None:
        while self._timers and self._timers[0][0] <= time.monotonic():
            *_, step, job = heapq.heappop(self._timers)
            if job.code is not None:
                continue
            if step == "warn":
                send_signal(job.tree, job.order["warn"][0])
            else:
                job.reason = "timeout"
                self._end(job, signals.SIGTERM, job.order["grace"])


def main(folder: str) -> None:
    """Run as a process of its own, with the client at the other end of descriptor 0."""
    if os.fork():
        os._exit(0)  # the client waits for this one and is not the parent of the other
    connection = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
    for number in (signals.SIGHUP, signals.SIGINT, signals.SIGTERM):
        signals.signal(number, signals.SIG_IGN)
    try:
        Supervisor(connection, RecordFolder(folder)).run()
    except BaseException:
        import traceback  # noqa: PLC0415 - only when this must never happen happens

        with open(os.path.join(folder, f"supervisor-{os.getpid()}.failed"), "w", encoding="utf-8") as file:
            traceback.print_exc(file=file)
        raise
