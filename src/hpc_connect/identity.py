"""Which process it was: a number that the kernel gives out again is not enough to know one by."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import NamedTuple

_ENDED = frozenset("ZXx")


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process among all that were ever started on the hosts that share a folder.

    Attributes:
        pid: its number.
        start_ticks: when it was started, in clock ticks since boot (field 22 of ``/proc/<pid>/stat``,
            proc(5)); a later process with the same number has another.
        boot_id: ``/proc/sys/kernel/random/boot_id``: one boot of one kernel.
        pid_namespace: where the number counts, as ``/proc/self/ns/pid`` names it. A process in another
            container can be alive and not to be seen.
        host: name of the host, as ``uname -n`` prints it.
    """

    pid: int
    start_ticks: int
    boot_id: str
    pid_namespace: str
    host: str

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity:
        """The process of this machine that has the number ``pid`` now.

        Raises:
            ProcessLookupError: there is none. One that has ended and was not waited for is there.
        """
        stat = _stat(pid)
        if stat is None:
            raise ProcessLookupError(f"no process {pid} on this machine")
        return cls(pid, stat.start_ticks, _boot_id(), _pid_namespace(), os.uname().nodename)

    @classmethod
    def here(cls) -> ProcessIdentity:
        """The process that asks. Read anew each time (some 30 µs), so it is right after a fork too."""
        return cls.of(os.getpid())

    def alive(self) -> bool | None:
        """Whether the process still runs; None when that cannot be seen from here.

        A zombie is not alive: it will do nothing more. A process of another host, or of another
        container on this one, cannot be seen. One from before this host's last boot is not alive;
        that holds as long as no two machines that share a folder have the same name.
        """
        if self.host != os.uname().nodename:
            return None
        if self.boot_id != _boot_id():
            return False
        if self.pid_namespace != _pid_namespace():
            return None
        stat = _stat(self.pid)
        return stat is not None and stat.start_ticks == self.start_ticks and stat.state not in _ENDED


class _Stat(NamedTuple):
    state: str
    start_ticks: int


def _stat(pid: int) -> _Stat | None:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            line = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name of the program, field 2, is in parentheses and may hold blanks and parentheses itself.
    fields = line[line.rindex(")") + 2 :].split()
    return _Stat(state=fields[0], start_ticks=int(fields[19]))


def _boot_id() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except FileNotFoundError:  # some sandboxes have none; then the start time alone must do
        return "-"


def _pid_namespace() -> str:
    return os.readlink("/proc/self/ns/pid")
