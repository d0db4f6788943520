"""All processes of a local job, wherever they have forked to, and signals to them.

A job is started as the leader of a session and with its name in the environment. What belongs to it: everything
in that session, everything that was started with the name in its environment (a daemon that made a session of its
own), and every descendant of those. Only a process that left all three escapes: one that changed session, emptied
its environment, and whose parents have ended.
"""

from __future__ import annotations

from collections import defaultdict

import psutil

from hpc_connect.local import proc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpc_connect.local.signalling import Tree

MARKER = "HPC_CONNECT_JOB_ID"


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

    def members(self, tree: Tree) -> set[int]:
        """The processes of a job."""
        found = set(self._marked[tree.name])
        # The number of a session's leader is not used again as long as there is anything in the session.
        if tree.leader is not None and self._ticks.get(tree.leader, tree.ticks) == tree.ticks:
            found.update(self._sessions[tree.leader])
        new = list(found)
        while new:
            children = set(self._children[new.pop()]) - found
            found |= children
            new += children
        return found

    def send(self, pids: Iterable[int], *numbers: int) -> None:
        """Send signals to processes of this snapshot, and not to later ones with the same number."""
        for pid in sorted(pids):
            try:
                process = psutil.Process(pid)
                if proc.runs(pid, self._ticks[pid]):
                    for number in numbers:
                        process.send_signal(number)
            except psutil.Error:  # it has ended, or may not be sent signals by this user
                continue
