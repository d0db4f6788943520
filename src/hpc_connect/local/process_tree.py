"""All processes of a local job, wherever they have forked to, and signals to them.

A job is started as the leader of a session and with its name in the environment. What belongs to it: everything
in that session, everything that was started with the name in its environment (a daemon that made a session of its
own), every descendant of those, and every session that one of them leads. Only a process that left all of that escapes:
one that changed session, emptied its environment, and whose parents had ended before anybody looked.
"""

from __future__ import annotations

from collections import defaultdict
from types import MappingProxyType

import psutil

from hpc_connect.local import proc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpc_connect.local.signalling import Tree

MARKER = "HPC_CONNECT_JOB_ID"
_NOBODY: Mapping[int, str] = MappingProxyType({})


class Snapshot:
    """The living processes of this machine at one moment, for looking up many jobs at the price of one."""

    def __init__(self) -> None:
        self._ticks: dict[int, str] = {}
        self._children: dict[int, list[int]] = defaultdict(list)
        self._sessions: dict[int, list[int]] = defaultdict(list)
        self._marked: dict[str, list[int]] = defaultdict(list)
        for pid in psutil.pids():
            process = proc.stat(pid)
            if process is not None and process.lives:
                self._ticks[pid] = process.ticks
                self._children[process.parent].append(pid)
                self._sessions[process.session].append(pid)
                self._marked[proc.variable(pid, MARKER)].append(pid)

    def members(self, tree: Tree, known: Mapping[int, str] = _NOBODY) -> dict[int, str]:
        """The processes of a job: their numbers, and when they started.

        Args:
            tree: the job.
            known: processes that belonged to it before, though by now their parents may have ended.
        """
        # The number of a session's leader is not used again as long as there is anything in the session.
        first = {tree.leader: tree.ticks, **known} if tree.leader is not None else known
        leaders = [pid for pid, ticks in first.items() if self._ticks.get(pid, ticks) == ticks]
        found: set[int] = set()
        new = [*leaders, *self._marked[tree.name]]
        while new:
            pid = new.pop()
            if pid not in found:
                found.add(pid)
                new += self._children[pid] + self._sessions[pid]
        return {pid: self._ticks[pid] for pid in sorted(found) if pid in self._ticks}

    def send(self, members: Mapping[int, str], *numbers: int) -> None:
        """Send signals to processes, and not to later ones with the same number."""
        for pid, ticks in members.items():
            try:
                process = psutil.Process(pid)
                if proc.runs(pid, ticks):
                    for number in numbers:
                        process.send_signal(number)
            except psutil.Error:  # it has ended, or may not be sent signals by this user
                continue
