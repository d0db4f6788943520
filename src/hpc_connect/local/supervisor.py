"""The supervisor of local jobs: a process of its own, one for each client, which outlives it.

It starts each job's script as the leader of a new session, enforces the time limit, and records the end as the
kernel reports it, so an exit code and a signal are never confused. The client sends orders through a socket and is
told what happened; when the client is gone, the supervisor stays until its last job has ended.

Why not one ``supervisor.sh`` for each job here: docs/decisions/0002-the-shell-backend.md.
"""

from __future__ import annotations

import contextlib
import errno
import heapq
import json
import os
import select
import signal as signals
import socket
import struct
import sys
import time

from hpc_connect.records.folder import RecordFolder
from hpc_connect.records.line import EndRecord, StartRecord, format_end, format_start, name_of_end

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LENGTH = struct.Struct("!I")
LAUNCH_FAILURE = 127


def pack(message: dict[str, Any]) -> bytes:
    """A message as bytes: its length, then JSON."""
    body = json.dumps(message).encode("ascii")
    return _LENGTH.pack(len(body)) + body


class Messages:
    """Takes bytes as they come, gives whole messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The messages that are complete with these bytes."""
        self._buffer += data
        found = []
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                break
            found.append(json.loads(self._buffer[_LENGTH.size : end]))
            del self._buffer[:end]
        return found


class _Job:
    """A job that runs: its order, its process, and when it started."""

    __slots__ = ("order", "pid", "record", "timed_out")

    def __init__(self, order: dict[str, Any], pid: int, record: StartRecord) -> None:
        self.order = order
        self.pid = pid
        self.record = record
        self.timed_out = False


class Supervisor:
    """Runs orders until the client is gone and the last job has ended."""

    def __init__(self, connection: socket.socket, folder: RecordFolder) -> None:
        connection.settimeout(0)
        self._connection: socket.socket | None = connection
        self._outgoing = bytearray()
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._folder = folder
        self._messages = Messages()
        self._jobs: dict[int, _Job] = {}
        self._timers: list[tuple[float, int, str]] = []  # (when, pid, step)
        self._boot = _first_line("/proc/sys/kernel/random/boot_id")
        self._host = os.uname().nodename

    def run(self) -> None:
        """Serve until there is nothing left to serve."""
        wake, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signals.set_wakeup_fd(woken, warn_on_full_buffer=False)
        signals.signal(signals.SIGCHLD, lambda *_: None)
        self._poll.register(wake, select.POLLIN)
        while self._connection is not None or self._jobs:
            for descriptor, event in self._poll.poll(self._until_next_timer()):
                if descriptor == wake:
                    os.read(wake, 4096)
                elif event & ~select.POLLOUT:
                    self._take_orders()
            self._run_timers()
            self._reap()
            self._send()

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
        for order in self._messages.feed(data):
            self._start(order)

    def _drop_client(self) -> None:
        if self._connection is not None:
            self._poll.unregister(self._connection)
            self._connection.close()
            self._connection = None

    def _tell(self, message: dict[str, Any]) -> None:
        self._outgoing += pack(message)

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

    def _start(self, order: dict[str, Any]) -> None:
        name = order["name"]
        try:
            # The claim: whoever creates the start record runs the job, and nobody else ever does.
            if os.path.exists(self._folder.end(name)):
                raise FileExistsError(errno.EEXIST, "it has ended already")
            claim = os.open(
                self._folder.start(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
            )
        except OSError as error:
            self._tell(
                {"refused": name, "error": f"cannot claim {self._folder.start(name)}: {error.strerror}"}
            )
            return
        started = time.time()
        try:
            pid = _spawn(order)
        except (OSError, ValueError) as error:
            os.close(claim)
            start = self._start_record(order, os.getpid(), started)
            self._record_end(order, start, ("exit", LAUNCH_FAILURE), "launch", str(error))
            return
        record = self._start_record(order, pid, started)
        with contextlib.suppress(OSError):  # a full disk: the claim stands all the same
            os.write(claim, format_start(record).encode())
        os.close(claim)
        self._jobs[pid] = _Job(order, pid, record)
        self._set_timers(order, pid)
        self._tell({"started": name, "native": record.native, "at": started})

    def _start_record(self, order: dict[str, Any], pid: int, started: float) -> StartRecord:
        ticks = _start_ticks(pid)
        return StartRecord(
            order["id"],
            order["array_index"],
            f"{pid}:{ticks}",
            order["attempt"],
            pid,
            ticks,
            self._boot,
            self._host,
            started,
        )

    def _reap(self) -> None:
        while self._jobs:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            job = self._jobs.pop(pid, None)
            if job is None:
                continue
            code = os.waitstatus_to_exitcode(status)
            how = ("exit", code) if code >= 0 else ("signal", -code)
            self._record_end(job.order, job.record, how, "timeout" if job.timed_out else "-")

    def _record_end(
        self, order: dict[str, Any], start: StartRecord, how: tuple[str, int], reason: str, message: str = ""
    ) -> None:
        name = order["name"]
        record = EndRecord(
            start.id,
            start.array_index,
            start.native,
            start.attempt,
            *how,
            reason,
            start.host,
            start.started,
            time.time(),
        )
        try:
            _append(self._folder.end(name), format_end(record))
        except OSError:
            # The disk is full, but a name needs no room on it.
            _append(self._folder.end(name_of_end(name, record)), "")
        for path in (self._folder.start(name), *order["clean"]):
            with contextlib.suppress(OSError):
                os.unlink(path)
        self._tell({"ended": name, "record": format_end(record), "message": message})

    def _set_timers(self, order: dict[str, Any], pid: int) -> None:
        limit = order["limit"]
        if limit is None:
            return
        now = time.monotonic()
        if order["warn"]:
            heapq.heappush(self._timers, (now + limit - order["warn"][1], pid, "warn"))
        heapq.heappush(self._timers, (now + limit, pid, "end"))
        heapq.heappush(self._timers, (now + limit + order["grace"], pid, "kill"))

    def _until_next_timer(self) -> float | None:
        while self._timers and self._timers[0][1] not in self._jobs:
            heapq.heappop(self._timers)
        return max(0.0, (self._timers[0][0] - time.monotonic()) * 1000) if self._timers else None

    def _run_timers(self) -> None:
        while self._timers and self._timers[0][0] <= time.monotonic():
            _, pid, step = heapq.heappop(self._timers)
            if pid in self._jobs:
                self._take_step(self._jobs[pid], step)

    def _take_step(self, job: _Job, step: str) -> None:
        from hpc_connect.local import process_tree  # noqa: PLC0415 - psutil is loaded only where a time limit has passed

        name = job.order["name"]
        if step == "warn":
            process_tree.send_signal(job.pid, name, job.order["warn"][0])
        elif step == "end":
            job.timed_out = True
            process_tree.send_signal(job.pid, name, signals.SIGTERM)
            process_tree.send_signal(job.pid, name, signals.SIGCONT)
        else:
            process_tree.send_signal(job.pid, name, signals.SIGKILL)


def _spawn(order: dict[str, Any]) -> int:
    """Start the program of an order as the leader of a session; OSError where that cannot be done."""
    opened: list[int] = []
    try:
        opened.append(os.open(order["stdin"] or os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        appending = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        opened.extend(os.open(path, appending, 0o666) for path in (order["stdout"], order["stderr"]) if path)
        standard = (opened[0], opened[1], opened[-1])
        os.chdir(order["workdir"])
        return os.posix_spawnp(
            order["argv"][0],
            order["argv"],
            order["env"],
            file_actions=[
                (os.POSIX_SPAWN_DUP2, descriptor, number) for number, descriptor in enumerate(standard)
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=[signals.SIGPIPE, signals.SIGXFSZ, signals.SIGINT, signals.SIGHUP, signals.SIGTERM],
        )
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _append(path: str, text: str) -> None:
    data = text.encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        if os.write(descriptor, data) < len(data):
            raise OSError("the record was cut off")
    finally:
        os.close(descriptor)


def _start_ticks(pid: int) -> str:
    """When a process started: field 22 of proc(5) /proc/PID/stat; field 2 may hold anything."""
    return _first_line(f"/proc/{pid}/stat").rpartition(")")[2].split()[19]


def _first_line(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.readline().strip()


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


if __name__ == "__main__":
    main(sys.argv[1])
