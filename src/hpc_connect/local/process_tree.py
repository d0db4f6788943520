"""All processes of a local job, wherever they have forked to, and signals to them.

A job is started as the leader of a session and with its name in the environment. What belongs to it: everything
in that session, everything that was started with the name in its environment (a daemon that made a session of its
own), and every descendant of those. Only a process that left all three escapes: one that changed session, emptied
its environment, and whose parents have ended.
"""

from __future__ import annotations

import os
import signal as signals
import time

import psutil

from hpc_connect.identity import ProcessIdentity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

STOP, CONTINUE, KILL = int(signals.SIGSTOP), int(signals.SIGCONT), int(signals.SIGKILL)
MARKER = "HPC_CONNECT_JOB_ID"

# How often a tree is looked at again for processes that were forked while it was being ended.
_ROUNDS = 50


def members(leader: int, name: str) -> list[psutil.Process]:
    """The living processes of the job ``name`` whose first process is or was ``leader``."""
    marker = f"{MARKER}={name}".encode()
    parents: dict[int, int] = {}
    found: set[int] = set()
    for pid in psutil.pids():
        try:
            parents[pid] = psutil.Process(pid).ppid()
            if os.getsid(pid) == leader or marker in _environment(pid):
                found.add(pid)
        except (OSError, psutil.Error):
            continue
    _add_descendants(found, parents)
    return [process for pid in sorted(found) if (process := _living(pid)) is not None]


def _environment(pid: int) -> list[bytes]:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read().split(b"\0")
    except OSError:  # another user's process
        return []


def _add_descendants(found: set[int], parents: dict[int, int]) -> None:
    grown = True
    while grown:
        children = {pid for pid, parent in parents.items() if parent in found} - found
        found |= children
        grown = bool(children)


def _living(pid: int) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process
    except psutil.Error:
        return None


def is_same(pid: int, ticks: str, boot: str) -> bool:
    """Whether the process with this number is still the one that was started then, and has not ended."""
    try:
        found = ProcessIdentity.of(pid)
    except ProcessLookupError:
        return False
    return (str(found.start_ticks), found.boot_id) == (ticks, boot) and found.alive() is True


def send_signal(leader: int, name: str, number: int) -> int:
    """Send a signal to every process of a job; how many got it."""
    return _send(members(leader, name), number)


def _send(processes: Iterable[psutil.Process], number: int) -> int:
    reached = 0
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.Error:
            continue
        reached += 1
    return reached


def end(leader: int, name: str, first: int, grace: float) -> None:
    """End a job: the signal ``first`` to all, and SIGKILL to what is left after ``grace`` seconds.

    Stopped processes are continued, so that they get the first signal. Blocks until all have ended.
    """
    processes = members(leader, name)
    _send(processes, first)
    _send(processes, signals.SIGCONT)
    deadline = time.monotonic() + grace
    while processes and time.monotonic() < deadline:
        psutil.wait_procs(processes, timeout=deadline - time.monotonic())
        processes = members(leader, name)
    for _ in range(_ROUNDS):
        if not processes:
            return
        _send(processes, signals.SIGKILL)
        psutil.wait_procs(processes, timeout=1)
        processes = members(leader, name)
