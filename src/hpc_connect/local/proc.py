"""What the kernel tells of processes: proc(5)."""

from __future__ import annotations

from typing import NamedTuple


class Stat(NamedTuple):
    """Of one process: ``/proc/PID/stat``.

    Attributes:
        state: one letter, ``Z`` for one that has ended and was not waited for.
        parent: number of its parent.
        session: number of the leader of its session.
        ticks: when it started, in clock ticks since boot. A later process with the same number has another.
    """

    state: str
    parent: int
    session: int
    ticks: str

    @property
    def lives(self) -> bool:
        """Whether it has not ended."""
        return self.state not in "ZX"


def stat(pid: int) -> Stat | None:
    """What is known of a process; None when there is none with this number."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            line = file.read().decode(errors="replace")
    except OSError:
        return None
    fields = line.rpartition(") ")[2].split()  # the name before that may hold anything
    return Stat(fields[0], int(fields[1]), int(fields[3]), fields[19])


def runs(pid: int, ticks: str) -> bool:
    """Whether the process with this number is the one that was started then, and has not ended."""
    found = stat(pid)
    return found is not None and found.lives and found.ticks == ticks


def variable(pid: int, name: str) -> str:
    """A variable that a process was started with; empty without it, and for another user's process."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            environment = b"\0" + file.read()
    except OSError:
        return ""
    return environment.partition(f"\0{name}=".encode())[2].partition(b"\0")[0].decode(errors="replace")


def boot_id() -> str:
    """One boot of one kernel; ``-`` in sandboxes that do not tell."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return "-"
