"""Signals to whole jobs, and jobs on their way out: a signal, then SIGKILL to what is left after a grace time.

Used by the supervisor for its own jobs, and by a process that only found a job for that one. Nothing here waits.
"""

from __future__ import annotations

import signal as signals
import time
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hpc_connect.local.process_tree import Snapshot

_ROUNDS = 10  # looks for processes that were forked while the others were being stopped
_FIRST_INTERVAL, _LONGEST_INTERVAL = 0.005, 0.25  # seconds between looks at what has not ended yet
_INTERVAL_AFTER_KILL = 0.02
_PATIENCE = 10.0  # seconds after SIGKILL; a process that the kernel does not let go of is given up then


class Tree(NamedTuple):
    """What is known of the processes of a job before looking at them.

    Attributes:
        name: of the job, as in the environment of its processes.
        leader: the process that it was started as, None where that is not known.
        ticks: when that one started, see :class:`hpc_connect.local.proc.Stat`.
    """

    name: str
    leader: int | None = None
    ticks: str = ""


def send_signal(tree: Tree, number: int) -> None:
    """Send a signal to every process of a job; SIGSTOP to those too that it forks meanwhile."""
    reached: dict[int, str] = {}
    for _ in range(_ROUNDS):
        snapshot = _snapshot()
        members = snapshot.members(tree, reached)
        new = _without(members, reached)
        snapshot.send(new, number)
        if not new or number != signals.SIGSTOP:
            return
        reached |= members


def count_living(trees: Iterable[Tree]) -> dict[str, int]:
    """How many processes of each job live, by its name."""
    snapshot = _snapshot()
    return {tree.name: len(snapshot.members(tree)) for tree in trees}


class Endings:
    """All jobs that this process is ending.

    Args:
        clock: tells the time in seconds, and is never set back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._endings: dict[str, _Ending] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._endings

    def add(self, tree: Tree, signal: int, grace: float) -> None:
        """End a job. One that is on its way out gets this signal too, and no longer than this grace (seconds)."""
        now = self._clock()
        known = self._endings.get(tree.name)
        kill_at = now + grace if known is None else min(known.kill_at, now + grace)
        self._endings[tree.name] = _Ending(tree, signal, kill_at, now)

    def hurry(self, name: str) -> None:
        """Look at once: a process of this job has ended."""
        self._endings[name].next_look = self._clock()

    def due(self) -> float | None:
        """When to look next, by the clock; None when nothing is under way."""
        return min((ending.next_look for ending in self._endings.values()), default=None)

    def look(self) -> list[str]:
        """Take the steps that are due; the names of the jobs of which nothing is left (or that were given up)."""
        now = self._clock()
        due = [ending for ending in self._endings.values() if ending.next_look <= now]
        if not due:
            return []
        snapshot = _snapshot()
        over = [ending.tree.name for ending in due if not ending.step(snapshot, now)]
        for name in over:
            del self._endings[name]
        return over


class _Ending:
    __slots__ = ("_interval", "_reached", "_signal", "kill_at", "next_look", "tree")

    def __init__(self, tree: Tree, signal: int, kill_at: float, now: float) -> None:
        self.tree = tree
        self.kill_at = kill_at
        self.next_look = now
        self._signal = signal
        self._interval = _FIRST_INTERVAL
        self._reached: dict[int, str] = {}

    def step(self, snapshot: Snapshot, now: float) -> bool:
        """Whether anything of the job lives."""
        members = snapshot.members(self.tree, self._reached)
        if not members or now > self.kill_at + _PATIENCE:
            return False
        if now < self.kill_at:
            # Stopped processes are continued, or they would not get the signal.
            snapshot.send(_without(members, self._reached), self._signal, signals.SIGCONT)
            self.next_look = min(now + self._interval, self.kill_at)
            self._interval = min(2 * self._interval, _LONGEST_INTERVAL)
        else:
            snapshot.send(members, signals.SIGKILL)
            self.next_look = now + _INTERVAL_AFTER_KILL
        self._reached |= members
        return True


def _without(members: dict[int, str], others: dict[int, str]) -> dict[int, str]:
    return {pid: ticks for pid, ticks in members.items() if others.get(pid) != ticks}


def _snapshot() -> Snapshot:
    from hpc_connect.local import process_tree  # noqa: PLC0415 - psutil is loaded only where it is needed

    return process_tree.Snapshot()
