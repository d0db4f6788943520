"""What jobs wait for before they start."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hpc_connect.dependency import Dependency, fulfilled
from hpc_connect.errors import SpecError
from hpc_connect.group import ProcessGroup

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from hpc_connect.process import HPCProcess
    from hpc_connect.spec import JobSpec

SINGLETON = Dependency("singleton")


class Slots:
    """How many elements of an array may run at once, and who comes next; on the engine's thread."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._queue: deque[Callable[[], None]] = deque()

    def take(self) -> bool:
        """Whether there was a free one."""
        if self._free <= 0:
            return False
        self._free -= 1
        return True

    def occupy(self) -> None:
        """Count one that runs already."""
        self._free -= 1

    def give_back(self) -> None:
        """Free one, and let those who wait ask for it, in order, until it is taken."""
        self._free += 1
        while self._free > 0 and self._queue:
            self._queue.popleft()()

    def when_free(self, ask_again: Callable[[], None]) -> None:
        """Be told when one becomes free."""
        self._queue.append(ask_again)


@dataclass(kw_only=True, slots=True)
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

    def verdict(self) -> tuple[bool, str]:
        """Of the dependencies: whether the job can never start, and why it cannot now; empty when it can."""
        waits, nevers = [], []
        for dependency, other in self.dependencies:
            answer = fulfilled(dependency.kind, other.status)
            if answer is None:
                waits.append(f"{dependency.kind} {other.id}")
            elif not answer:
                nevers.append(f"{dependency.kind} {other.id}, which is {other.status.describe()}")
        fulfilled_ones = len(self.dependencies) - len(waits) - len(nevers)
        if self.any_of_them and fulfilled_ones:
            return False, ""
        if nevers and not (self.any_of_them and waits):
            return True, "; ".join(nevers)
        return False, ", ".join(waits)


class Requirements:
    """What a specification asks for, with the jobs it is about found; for one job or each element of an array.

    Args:
        spec: the specification.
        find: gives the handle of a job by its id.
        slots: shared by all elements; None without ``max_parallel``.

    Raises:
        SpecError: what is asked for can never hold.
    """

    def __init__(self, spec: JobSpec, find: Callable[[str], HPCProcess], slots: Slots | None) -> None:
        self._spec = spec
        self._slots = slots
        self._others = [
            (dependency, find(dependency.target))
            for dependency in spec.dependencies or ()
            if dependency.target
        ]
        for dependency, other in self._others:
            if dependency.kind == "aftercorr":
                self._check_elements(dependency, other)

    def _check_elements(self, dependency: Dependency, other: HPCProcess) -> None:
        if not isinstance(other, ProcessGroup):
            raise SpecError("dependencies", dependency, f"aftercorr needs an array, which {other.id} is not")
        missing = sorted({*(self._spec.array or ())} - {*other.indexes})
        if missing:
            raise SpecError("dependencies", dependency, f"{other.id} has no element with index {missing[0]}")

    @property
    def is_singleton(self) -> bool:
        """Whether it must wait for all earlier jobs of its name."""
        return SINGLETON in (self._spec.dependencies or ())

    def __bool__(self) -> bool:
        """Whether there is anything to wait for."""
        return self.is_singleton or bool(self.of(None if self._spec.array is None else self._spec.array[0]))

    def of(
        self, index: int | None, earlier: list[HPCProcess] | None = None, *, held: bool | None = None
    ) -> Conditions:
        """The conditions of one job.

        Args:
            index: in the array, None for a job that is no array.
            earlier: the jobs that a singleton comes after.
            held: whether it is held now; None is what was asked for.
        """
        found = [pair for dependency, other in self._others for pair in _each(dependency, other, index)]
        found += [(SINGLETON, other) for other in earlier or ()]
        return Conditions(
            held=bool(self._spec.hold if held is None else held),
            begin=self._spec.begin,
            dependencies=found,
            any_of_them=self._spec.dependency_mode == "any",
            slots=self._slots,
        )


def _each(
    dependency: Dependency, other: HPCProcess, index: int | None
) -> list[tuple[Dependency, HPCProcess]]:
    """What a dependency is about: for some kinds not an array as a whole."""
    if isinstance(other, ProcessGroup):
        if dependency.kind == "aftercorr" and index is not None:
            return [(dependency, other[index])]
        if dependency.kind == "afterstart":
            return [(dependency, process) for process in other.processes]
    return [(dependency, other)]
