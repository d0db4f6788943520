"""Jobs that may not start yet: held, not before a time, after other jobs, or not too many at once.

All of this lives in the process that submitted them: when it ends, they wait until ``recover()`` takes them over.
Everything here runs on the engine's thread.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hpc_connect.dependency import fulfilled
from hpc_connect.engine import engine
from hpc_connect.status import JobState, Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpc_connect.dependency import Dependency
    from hpc_connect.job import JobProcess
    from hpc_connect.process import HPCProcess


class Slots:
    """How many elements of an array may run at once, and who comes next."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._queue: list[Callable[[], None]] = []

    def take(self) -> bool:
        """Whether there was a free one."""
        if self._free == 0:
            return False
        self._free -= 1
        return True

    def give_back(self) -> None:
        """Free one, and let everybody who waits for one ask again."""
        self._free += 1
        waiting, self._queue = self._queue, []
        for ask_again in waiting:
            ask_again()

    def when_free(self, ask_again: Callable[[], None]) -> None:
        """Be told when one becomes free."""
        self._queue.append(ask_again)


@dataclass(kw_only=True)
class Conditions:
    """What must hold before a job starts.

    Attributes:
        held: until somebody releases it.
        begin: not before this time.
        dependencies: each with the job it is about.
        any_of_them: whether one of the dependencies is enough.
        slots: shared by the elements of an array with ``max_parallel``.
    """

    held: bool = False
    begin: datetime | None = None
    dependencies: list[tuple[Dependency, HPCProcess]] = field(default_factory=list)
    any_of_them: bool = False
    slots: Slots | None = None

    def __bool__(self) -> bool:
        """Whether there is anything to wait for."""
        return bool(self.held or self.begin or self.dependencies or self.slots)


class Waiting:
    """One job that waits, until it is started or can never start."""

    def __init__(
        self, job: JobProcess, conditions: Conditions, start: Callable[[], None], tell: Callable[..., None]
    ) -> None:
        self._job = job
        self._conditions = conditions
        self._start = start
        self._tell = tell
        self._over = False

    def begin(self) -> None:
        """Listen to everything it waits for, and look for the first time."""
        for _, other in self._conditions.dependencies:
            other.add_done_callback(self._look_from_anywhere)
            if hasattr(other, "add_status_callback"):
                other.add_status_callback(self._look_from_anywhere)
        if self._conditions.begin is not None:
            seconds = (self._conditions.begin - datetime.now(UTC)).total_seconds()
            engine().call_later(max(0.0, seconds), self.look)
        self.look()

    def hold(self) -> None:
        """Do not start until released."""
        self._conditions.held = True
        self.look()

    def release(self) -> None:
        """Start as soon as everything else allows it."""
        self._conditions.held = False
        self.look()

    def drop(self) -> None:
        """It was cancelled."""
        self._over = True

    def _look_from_anywhere(self, *_: object) -> None:
        engine().call(self.look)

    def look(self) -> None:
        """Start it, say why it waits, or say that it never will start."""
        if self._over:
            return
        never, reason = self._dependency_verdict()
        if never:
            self._over = True
            self._tell(self._job, self._never(reason))
        elif self._conditions.held:
            self._wait(JobState.HELD, "held by its user; release() lets it start")
        elif reason:
            self._wait(JobState.QUEUED, reason)
        elif self._conditions.begin is not None and self._conditions.begin > datetime.now(UTC):
            self._wait(JobState.QUEUED, f"not before {self._conditions.begin.isoformat(timespec='seconds')}")
        elif self._conditions.slots is not None and not self._conditions.slots.take():
            self._conditions.slots.when_free(self.look)
            self._wait(JobState.QUEUED, "as many elements of the array run as max_parallel allows")
        else:
            self._go()

    def _go(self) -> None:
        self._over = True
        if self._conditions.slots is not None:
            self._job.add_done_callback(lambda _: engine().call(self._conditions.slots.give_back))  # type: ignore[union-attr]
        self._start()

    def _dependency_verdict(self) -> tuple[bool, str]:
        """Whether it can never start, and why it cannot now; empty when it can."""
        waits, nevers = [], []
        for dependency, other in self._conditions.dependencies:
            answer = fulfilled(dependency.kind, other.status)
            if answer is None:
                waits.append(f"{dependency.kind} {other.id}")
            elif not answer:
                nevers.append(f"{dependency.kind} {other.id}, which is {other.status.describe()}")
        satisfied = len(self._conditions.dependencies) - len(waits) - len(nevers)
        if self._conditions.any_of_them and satisfied:
            return False, ""
        if nevers and not (self._conditions.any_of_them and waits):
            return True, "; ".join(nevers)
        return False, ", ".join(waits)

    def _wait(self, state: JobState, reason: str) -> None:
        self._tell(
            self._job,
            replace(self._job.status, state=state, pending_reason=reason, observed_at=datetime.now(UTC)),
        )

    def _never(self, reason: str) -> object:
        return replace(
            self._job.status,
            state=JobState.FAILED,
            reason=Reason.DEPENDENCY,
            pending_reason="",
            message=f"can never start: {reason}",
            observed_at=datetime.now(UTC),
        )
