"""The job specification: everything that can be asked of a job, checked when it is made."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import InitVar, dataclass, fields
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Self

from hpc_connect import fields as checks
from hpc_connect.capability import Capability
from hpc_connect.dependency import Dependency, dependencies
from hpc_connect.errors import SpecError
from hpc_connect.fields import Field, FrozenDict
from hpc_connect.notices import Mail, SignalBeforeEnd, mail, signal_before_end
from hpc_connect.quantities import Duration, DurationLike, Memory, MemoryLike

Path = str | os.PathLike[str]

ALIASES = {"partition": "queue", "project": "account"}
"""Other names under which a field is accepted."""


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """What is asked of a job. Frozen, keyword-only, checked when made; what is None is not asked for.

    A field that cannot be accepted raises :class:`~hpc_connect.errors.SpecError` with its name, the value
    and what is allowed. Contradictions between fields are refused as well.

    Attributes:
        commands: each element is one complete shell program (str) or one argument vector (list of str).
            They run in one shell, in order, each once, state carried on; the first that fails ends the
            job with its exit code.
        script: a whole script instead, with any interpreter line; its directives are kept.
        shell: absolute path of the shell that runs ``commands``; None is the cluster's, and ``/bin/bash`` without one.
        name: name of the job, any one line of text.
        nodes, tasks, tasks_per_node, cpus_per_task: whole numbers from 1.
        gpus, gpus_per_node, gpus_per_task: whole numbers from 0; ``gpus`` is the total.
        gpu_type: the scheduler's name of the kind of GPU.
        memory_per_node, memory_per_cpu, memory_per_gpu: bytes, or text with a unit; one of the three.
        time_limit: wall time, see :meth:`~hpc_connect.quantities.Duration.parse`.
        queue: queue or partition (``partition=`` is accepted as well).
        account: account or project (``project=`` is accepted as well).
        qos, reservation, constraint: the scheduler's words.
        exclusive: True to share the nodes with nobody.
        nodelist, exclude: names of nodes to take, and not to take.
        licenses: licences, in the scheduler's form.
        workdir: where the job runs; None is where it was submitted.
        stdin: file to read from; None is an empty input.
        stdout, stderr: files to write to, parents made; the same path for both is one file in order.
            ``{name}``, ``{id}`` and ``{index}`` in them are replaced. With neither named, both go to
            ``{name}.{id}.out`` in ``workdir``; with only ``stdout``, errors go there too.
        env: variables to set, or with None to unset, inside the job.
        inherit_env: True, False, or names of the variables that the job gets from the submitting program.
        hold: True to submit it held.
        requeue: whether the scheduler may start it again after a failure of its nodes.
        signal_before_end: pair (signal, how long before the time limit).
        begin, deadline: start no earlier than, end no later than; a naive datetime is local time.
        priority: as the scheduler counts it.
        mail: pair (address, some of "begin", "end", "fail").
        launcher: name of the launcher that ``hpc-launch`` takes inside the job.
        directives: raw directives, passed on untouched.
        dependencies: list of pairs (kind, handle or id), see :class:`~hpc_connect.dependency.Dependency`.
        dependency_mode: "all" (the default) or "any".
        array: indexes of an array of jobs; each sees its own in ``HPC_CONNECT_ARRAY_INDEX``.
        max_parallel: how many elements of the array may run at once.
        script_path: write the script exactly there, and keep it.
        keep: True to keep our record of the job's end after it was read.
        confirm: "record" (the default) or "scheduler": wait for the scheduler's word even where the
            job's own exit record says that it ended well.
    """

    commands: Field[Sequence[str | Sequence[str]], tuple[str | tuple[str, ...], ...]] = Field(checks.commands)
    script: Field[str, str] = Field(checks.text)
    shell: Field[Path, str] = Field(checks.shell)
    name: Field[str, str] = Field(checks.line)

    nodes: Field[int, int] = Field(checks.count)
    tasks: Field[int, int] = Field(checks.count)
    tasks_per_node: Field[int, int] = Field(checks.count)
    cpus_per_task: Field[int, int] = Field(checks.count)
    gpus: Field[int, int] = Field(checks.count_or_zero)
    gpus_per_node: Field[int, int] = Field(checks.count_or_zero)
    gpus_per_task: Field[int, int] = Field(checks.count_or_zero)
    gpu_type: Field[str, str] = Field(checks.line)
    memory_per_node: Field[MemoryLike, Memory] = Field(Memory.parse)
    memory_per_cpu: Field[MemoryLike, Memory] = Field(Memory.parse)
    memory_per_gpu: Field[MemoryLike, Memory] = Field(Memory.parse)

    time_limit: Field[DurationLike, Duration] = Field(Duration.parse)
    queue: Field[str, str] = Field(checks.line)
    account: Field[str, str] = Field(checks.line)
    qos: Field[str, str] = Field(checks.line)
    reservation: Field[str, str] = Field(checks.line)
    constraint: Field[str, str] = Field(checks.line)
    exclusive: Field[bool, bool] = Field(checks.flag)
    nodelist: Field[Sequence[str], tuple[str, ...]] = Field(checks.lines)
    exclude: Field[Sequence[str], tuple[str, ...]] = Field(checks.lines)
    licenses: Field[Sequence[str], tuple[str, ...]] = Field(checks.lines)

    workdir: Field[Path, str] = Field(checks.path)
    stdin: Field[Path, str] = Field(checks.path)
    stdout: Field[Path, str] = Field(checks.path)
    stderr: Field[Path, str] = Field(checks.path)
    env: Field[Mapping[str, str | None], FrozenDict] = Field(checks.environment)
    inherit_env: Field[bool | Sequence[str], bool | tuple[str, ...]] = Field(checks.inherited_environment)

    hold: Field[bool, bool] = Field(checks.flag)
    requeue: Field[bool, bool] = Field(checks.flag)
    signal_before_end: Field[tuple[int | str, DurationLike], SignalBeforeEnd] = Field(signal_before_end)
    begin: Field[datetime, datetime] = Field(checks.moment)
    deadline: Field[datetime, datetime] = Field(checks.moment)
    priority: Field[int, int] = Field(checks.integer)
    mail: Field[tuple[str, Sequence[str]], Mail] = Field(mail)
    launcher: Field[str, str] = Field(checks.line)
    directives: Field[Sequence[str], tuple[str, ...]] = Field(checks.lines)

    dependencies: Field[Sequence[tuple[str, object] | str], tuple[Dependency, ...]] = Field(dependencies)
    dependency_mode: Field[str, str] = Field(checks.one_of("all", "any"))
    array: Field[Iterable[int], tuple[int, ...]] = Field(checks.indexes)
    max_parallel: Field[int, int] = Field(checks.count)

    script_path: Field[Path, str] = Field(checks.path)
    keep: Field[bool, bool] = Field(checks.flag)
    confirm: Field[str, str] = Field(checks.one_of("record", "scheduler"))

    partition: InitVar[str | None] = None
    project: InitVar[str | None] = None

    def __post_init__(self, partition: str | None, project: str | None) -> None:
        self._take_alias("partition", partition)
        self._take_alias("project", project)
        _check_what_runs(self)
        _check_nodes(self)
        _check_gpus(self)
        _check_memory(self)
        _check_times(self)
        _check_array(self)

    def _take_alias(self, alias: str, value: str | None) -> None:
        if value is None:
            return
        field = ALIASES[alias]
        if getattr(self, field) not in (None, value):
            raise SpecError(
                alias, value, f"is another name of {field}, which is {getattr(self, field)!r}; give one"
            )
        object.__setattr__(self, field, checks.line(value, alias))

    def __repr__(self) -> str:
        # What was asked for, and of `env` only the names: a repr ends up in logs.
        shown = {**self.given(), **({"env": [*self.env]} if self.env else {})}
        return f"JobSpec({', '.join(f'{field}={value!r}' for field, value in shown.items())})"

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed, checked again."""
        replaced = {ALIASES.get(field, field) for field in changes}
        kept = {field: value for field, value in self.given().items() if field not in replaced}
        return type(self)(**kept, **changes)

    __replace__ = replace  # copy.replace, Python 3.13

    def located(self, workdir: str) -> Self:
        """A copy that runs in this folder; the other fields have been checked already."""
        found = copy(self)
        found.__dict__["workdir"] = workdir
        return found

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """What :meth:`record` was made from, but for the variables of ``env``, whose values nobody kept."""
        given = {field: value for field, value in record.items() if field in FIELD_NAMES and field != "env"}
        for field in ("begin", "deadline"):
            if field in given:
                given[field] = datetime.fromisoformat(given[field])
        if "dependencies" in given:
            given["dependencies"] = [tuple(item) for item in given["dependencies"]]
        return cls(**given)

    def given(self) -> dict[str, Any]:
        """The fields that were asked for, by name, in the order of the class."""
        values = ((field, getattr(self, field)) for field in FIELD_NAMES)
        return {field: value for field, value in values if value is not None}

    def needs(self) -> frozenset[Capability]:
        """What a backend must be able to do to run this."""
        needed = {
            Capability(field)
            for field, value in self.given().items()
            if field in _CAPABILITY_FIELDS and (value or field in _MEANT_WHEN_FALSE)
        }
        needed.update(dependency.capability for dependency in self.dependencies or ())
        if self.dependency_mode == "any" and len(self.dependencies or ()) > 1:
            needed.add(Capability.ANY_DEPENDENCY)
        if self.requeue is False:
            needed.add(Capability.NO_REQUEUE)
        if self.confirm == "record":
            needed.remove(Capability.CONFIRM_BY_SCHEDULER)
        return frozenset(needed)

    def record(self) -> dict[str, Any]:
        """The fields that were asked for as values for JSON; of ``env`` only the names.

        What a user puts into the environment may be secret, so its values are kept nowhere but in the
        job's script.
        """
        found = {field: _plain(value) for field, value in self.given().items()}
        if self.env:
            found["env"] = sorted(self.env)
        return found

    def fingerprint(self) -> str:
        """SHA-256 over all fields, values of variables included: equal for equal specifications only."""
        plain = {field: _plain(value) for field, value in self.given().items()}
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


FIELD_NAMES = tuple(field.name for field in fields(JobSpec))

# Fields that not every backend can honour; the others every backend must.
_CAPABILITY_FIELDS = frozenset(FIELD_NAMES) & frozenset(Capability)
_MEANT_WHEN_FALSE = frozenset({"inherit_env", "priority"})  # 0 and False in any other ask for nothing

for _alias, _field in ALIASES.items():
    # Reading an alias gives the field it stands for. (An InitVar leaves its default on the class instead.)
    setattr(JobSpec, _alias, property(attrgetter(_field)))
    # dataclasses.replace would give the old value of the field once more under this name.
    del JobSpec.__dataclass_fields__[_alias]


def _plain(value: object) -> Any:
    """A value for JSON."""
    if isinstance(value, Duration):
        return value.total_seconds()
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _check_what_runs(spec: JobSpec) -> None:
    if (spec.commands is None) == (spec.script is None):
        raise SpecError("commands", spec.commands, "give either commands or script, and one of them")
    if spec.script is not None and not spec.script.strip():
        raise SpecError("script", spec.script, "must not be empty")
    if spec.script is not None and spec.shell is not None:
        raise SpecError(
            "shell", spec.shell, "runs commands; a script names its interpreter in its first line"
        )


def _check_nodes(spec: JobSpec) -> None:
    nodes, tasks, per_node = spec.nodes, spec.tasks, spec.tasks_per_node
    if nodes and tasks and per_node and tasks != nodes * per_node:
        raise SpecError(
            "tasks",
            tasks,
            f"contradicts nodes={nodes} with tasks_per_node={per_node}, which make {nodes * per_node}",
        )
    if nodes and tasks and tasks < nodes:
        raise SpecError("tasks", tasks, f"is fewer than nodes={nodes}; a node without a task is not given")
    if tasks and per_node and tasks < per_node:
        raise SpecError("tasks_per_node", per_node, f"is more than there are: tasks={tasks}")
    both = sorted({*(spec.nodelist or ())} & {*(spec.exclude or ())})
    if both:
        raise SpecError("exclude", spec.exclude, f"contradicts nodelist, which asks for {', '.join(both)}")


def _check_gpus(spec: JobSpec) -> None:
    tasks = spec.tasks or (spec.nodes and spec.tasks_per_node and spec.nodes * spec.tasks_per_node)
    totals = {"gpus": spec.gpus}
    if spec.gpus_per_node is not None and spec.nodes:
        totals["gpus_per_node"] = spec.gpus_per_node * spec.nodes
    if spec.gpus_per_task is not None and tasks:
        totals["gpus_per_task"] = spec.gpus_per_task * tasks
    known = {field: total for field, total in totals.items() if total is not None}
    if len(set(known.values())) > 1:
        said = ", ".join(f"{field} makes {total}" for field, total in known.items())
        field = next(iter(known))
        raise SpecError(field, getattr(spec, field), f"contradictory numbers of GPUs: {said}")
    for field in ("gpu_type", "memory_per_gpu"):
        value = getattr(spec, field)
        if value is not None and not (spec.gpus or spec.gpus_per_node or spec.gpus_per_task):
            raise SpecError(field, value, "needs a number of GPUs: gpus, gpus_per_node or gpus_per_task")


def _check_memory(spec: JobSpec) -> None:
    given = [
        field for field in ("memory_per_node", "memory_per_cpu", "memory_per_gpu") if getattr(spec, field)
    ]
    if len(given) > 1:
        raise SpecError(given[1], getattr(spec, given[1]), f"excludes {given[0]}; give one of them")


def _check_times(spec: JobSpec) -> None:
    warning = spec.signal_before_end
    if warning and spec.time_limit is None:
        raise SpecError("signal_before_end", warning, "needs a time_limit to come before")
    if warning and spec.time_limit and warning.lead >= spec.time_limit:
        raise SpecError(
            "signal_before_end", warning, f"must come later than the start: time_limit is {spec.time_limit}"
        )
    if spec.begin and spec.deadline and spec.begin >= spec.deadline:
        raise SpecError("deadline", spec.deadline, f"must be later than begin={spec.begin}")


def _check_array(spec: JobSpec) -> None:
    if spec.array is None:
        if spec.max_parallel is not None:
            raise SpecError("max_parallel", spec.max_parallel, "needs an array")
        if any(dependency.kind == "aftercorr" for dependency in spec.dependencies or ()):
            raise SpecError("dependencies", spec.dependencies, "aftercorr needs an array")
        return
    for field in ("stdout", "stderr"):
        path = getattr(spec, field)
        if path is not None and path != os.devnull and "{index}" not in path:
            raise SpecError(
                field, path, "must contain {index}, or all elements of the array write over each other"
            )
