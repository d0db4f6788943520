"""What a job waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Self

from hpc_connect.capability import Capability
from hpc_connect.errors import SpecError
from hpc_connect.fields import items, line
from hpc_connect.status import JobState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpc_connect.status import JobStatus

KINDS = ("afterstart", "afterany", "afterok", "afternotok", "aftercorr", "singleton")


class Dependency(NamedTuple):
    """One condition that must hold before a job may start.

    Attributes:
        kind: ``afterstart``, ``afterany`` (ended, whatever the result), ``afterok``, ``afternotok``,
            ``aftercorr`` (element *i* of this array after element *i* of that one went well), or
            ``singleton`` (one job of this name at a time).
        target: the id of the job it waits for, ours or the scheduler's; empty for ``singleton``.
    """

    kind: str
    target: str = ""

    @classmethod
    def on(cls, kind: str, target: object = "", field: str = "dependency") -> Self:
        """Make one, from a handle or an id.

        Raises:
            SpecError: an unknown kind, a target where none belongs, or none where one does.
        """
        if kind not in KINDS:
            raise SpecError(field, kind, f"the kinds of dependency are {', '.join(KINDS)}")
        name: Any = getattr(target, "id", target)
        if kind == "singleton":
            if name:
                raise SpecError(field, name, "singleton has no target; it goes by the name of the job")
            return cls(kind)
        if name == "":
            raise SpecError(field, kind, f"needs the job it waits for, such as ({kind!r}, job)")
        return cls(kind, line(name, field))

    @property
    def capability(self) -> Capability:
        """What a backend must be able to do for this."""
        return Capability(self.kind)


def dependencies(value: Sequence[tuple[str, object] | str], field: str) -> tuple[Dependency, ...] | None:
    """A list of :class:`Dependency`, or of pairs (kind, handle or id), or the word ``"singleton"``."""
    allowed = "must be a list such as [('afterok', job)]"
    if isinstance(value, Dependency):
        raise SpecError(field, value, allowed)
    found = []
    for index, item in enumerate(items(value, field, allowed)):
        name = f"{field}[{index}]"
        if isinstance(item, str):
            found.append(Dependency.on(item, field=name))
        elif isinstance(item, tuple) and 1 <= len(item) <= 2:
            found.append(Dependency.on(*item, field=name))
        else:
            raise SpecError(name, item, "must be a pair such as ('afterok', job), or 'singleton'")
    return tuple(found) or None


def fulfilled(kind: str, status: JobStatus) -> bool | None:
    """Whether a job may start as far as one other job is concerned: yes, never, or not yet (None).

    A LOST job fulfils nothing: nobody knows that it ended. ``aftercorr`` is asked about the one element, and
    ``singleton`` about each earlier job of the name.
    """
    state = status.state
    if kind == "afterstart":
        started = status.started_at is not None or state in (JobState.RUNNING, JobState.SUSPENDED)
        return True if started else False if state.terminal else None
    if not state.terminal:
        return None
    return {
        "afterany": state is not JobState.LOST,
        "singleton": True,
        "afterok": state is JobState.COMPLETED,
        "aftercorr": state is JobState.COMPLETED,
        "afternotok": state in (JobState.FAILED, JobState.CANCELLED),
    }[kind]
