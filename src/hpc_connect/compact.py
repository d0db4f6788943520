"""The compact form of test harnesses: the same specification in fewer words, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpc_connect.capability import Capability
from hpc_connect.dependency import KINDS
from hpc_connect.errors import SpecError, UnsupportedError
from hpc_connect.spec import ALIASES, FIELD_NAMES, JobSpec

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Mapping, Sequence

    from hpc_connect.quantities import DurationLike

_CAPABILITIES = frozenset(Capability)

# Field of JobSpec → word of the compact form. ``cpus`` stands for so many tasks of one CPU each.
WORDS = {
    "name": "name",
    "commands": "args",
    "script_path": "scriptname",
    "time_limit": "qtime",
    "directives": "submit_flags",
    "env": "variables",
    "stdout": "output",
    "stderr": "error",
    "nodes": "nodes",
    "tasks": "cpus",
    "gpus": "gpus",
}


def spec_of(
    name: str,
    args: Sequence[str | Sequence[str]] | None = None,
    scriptname: str | os.PathLike[str] | None = None,
    qtime: DurationLike | None = None,
    submit_flags: Sequence[str] | None = None,
    variables: Mapping[str, str | None] | None = None,
    output: str | os.PathLike[str] | None = None,
    error: str | os.PathLike[str] | None = None,
    nodes: int | None = None,
    cpus: int | None = None,
    gpus: int | None = None,
    **kwargs: Any,
) -> JobSpec:
    """The specification that the compact form stands for.

    Raises:
        SpecError: a value cannot be accepted, a keyword is no field of a specification, or something is
            said twice.
    """
    for field, value in kwargs.items():
        if field not in FIELD_NAMES and field not in ALIASES:
            raise SpecError(field, value, f"is no field of a job; there are: {', '.join(FIELD_NAMES)}")
    if cpus is not None:
        for field, stands_for in (("tasks", cpus), ("cpus_per_task", 1)):
            if kwargs.get(field) is None:
                kwargs[field] = stands_for
            elif kwargs[field] != stands_for:
                raise SpecError(
                    "cpus",
                    cpus,
                    f"stands for {field}={stands_for}, but {field}={kwargs[field]!r} is given too",
                )
    if kwargs.get("script") is not None and not args:
        args = None  # the word must be there, even where a script says everything
    given = {
        "name": name,
        "commands": args,
        "script_path": scriptname,
        "time_limit": qtime,
        "directives": submit_flags,
        "env": variables,
        "stdout": output,
        "stderr": error,
        "nodes": nodes,
        "gpus": gpus,
    }
    for field, value in given.items():
        if value is not None and kwargs.get(field) is not None:
            raise SpecError(field, kwargs[field], f"is given twice; in the compact form it is {WORDS[field]}")
    return JobSpec(**{**kwargs, **{field: value for field, value in given.items() if value is not None}})


def words_of(spec: JobSpec, known: Collection[str], backend: str) -> dict[str, Any]:
    """The arguments of the compact form that say the same as ``spec``.

    Args:
        spec: what is to be said.
        known: the capabilities of the backend: fields of that name it takes as keywords.
        backend: its name, for the error.

    Raises:
        UnsupportedError: a field that cannot be said.
    """
    given = spec.given()
    words = {**WORDS, **{field: field for field in _keywords(known)}}
    if given.get("cpus_per_task", 1) != 1:
        words["tasks"] = "tasks"  # ``cpus`` would say that each has one CPU
    elif "tasks" in given:
        given.pop("cpus_per_task", None)
    said: dict[str, Any] = {"name": "job", "args": ()}
    for field, value in given.items():
        if field in words:
            said[words[field]] = value
        elif _is_asked(spec, field):
            raise UnsupportedError(
                field, value, f"backend {backend!r} has no word for this field; leave it out"
            )
    if spec.time_limit is not None:
        said["qtime"] = spec.time_limit.total_seconds()
    return said


def _keywords(known: Collection[str]) -> set[str]:
    """Fields that a backend with these capabilities takes beyond the words that all know."""
    found = {field for field in FIELD_NAMES if field in known and field not in WORDS}
    if any(kind in known for kind in KINDS):
        found |= {"dependencies", "dependency_mode"}
    if Capability.ARRAY in known:
        found.add("max_parallel")
    if Capability.NO_REQUEUE in known:
        found.add("requeue")
    return found


def _is_asked(spec: JobSpec, field: str) -> bool:
    """Whether a given field asks for anything: ``exclusive=False`` does not, ``requeue=False`` does."""
    if field in _CAPABILITIES and field != "requeue":
        return field in spec.needs()
    return field != "keep" or bool(spec.keep)
