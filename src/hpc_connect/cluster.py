"""What is known of a cluster: its name, its size, and how it is to be treated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from hpc_connect import fields
from hpc_connect.errors import ConfigError, SpecError
from hpc_connect.fields import FrozenDict
from hpc_connect.quantities import Duration, DurationLike

_SETTLE_WINDOW = Duration(seconds=60)
_GRACE_WINDOW = Duration(seconds=300)
_ALWAYS_KNOWN = ("name", "backend", "settle_window", "grace_window", "options")
_NO_OPTIONS: Mapping[str, Any] = FrozenDict({})


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """What is known of a cluster. Frozen, keyword-only, checked when made; what is None is not known.

    Attributes:
        name: what the cluster is called in the configuration; without one, the name of its backend.
        backend: the name of its backend.
        node_count: how many nodes it has.
        cpus_per_node: how many CPUs a node has, as its scheduler counts them.
        gpus_per_node: how many GPUs a node has, 0 for none.
        shell: the shell that runs commands, an absolute path; None is ``/bin/bash``.
        work_dir: where records of jobs are kept on the cluster: absolute, or beginning with ``~/``.
        polling_frequency: seconds between two queries for all jobs together; None leaves it to the backend.
        settle_window: how long a job may be missing from the scheduler's listing after it was submitted.
        grace_window: how long queries may fail, or a job be missing, before that is taken for a fact.
        options: further settings that only its backend understands.

    Raises:
        ConfigError: a value is not what it must be.
    """

    name: str
    backend: str
    node_count: int | None = None
    cpus_per_node: int | None = None
    gpus_per_node: int | None = None
    shell: str | None = None
    work_dir: str | None = None
    polling_frequency: float | None = None
    settle_window: Duration = _SETTLE_WINDOW
    grace_window: Duration = _GRACE_WINDOW
    options: Mapping[str, Any] = _NO_OPTIONS

    def __post_init__(self) -> None:
        try:
            for field, check in {"name": fields.line, **CHECKS, "options": _frozen}.items():
                value = getattr(self, field)
                if value is not None or field in _ALWAYS_KNOWN:
                    object.__setattr__(self, field, check(value, field))
        except SpecError as error:
            raise ConfigError(f"cluster {self.name!r}", str(error)) from error

    def discovered(
        self,
        node_count: int | None = None,
        cpus_per_node: int | None = None,
        gpus_per_node: int | None = None,
    ) -> Self:
        """A copy that also holds what was found out. What is configured is kept: somebody had a reason."""
        return replace(
            self,
            node_count=node_count if self.node_count is None else self.node_count,
            cpus_per_node=cpus_per_node if self.cpus_per_node is None else self.cpus_per_node,
            gpus_per_node=gpus_per_node if self.gpus_per_node is None else self.gpus_per_node,
        )

    def nodes_required(self, max_cpus: int | None = None, max_gpus: int | None = None) -> int:
        """The smallest number of nodes that together have so many CPUs and GPUs; at least 1.

        It may be more than there are, see ``node_count``.

        Raises:
            SpecError: not a whole number from 0, or GPUs are wanted where there are none.
            ConfigError: the size of a node is not known.
        """
        return max(
            1,
            self._nodes_for("max_cpus", max_cpus, "cpus_per_node"),
            self._nodes_for("max_gpus", max_gpus, "gpus_per_node"),
        )

    def _nodes_for(self, field: str, wanted: int | None, size_field: str) -> int:
        if wanted is None:
            return 0
        wanted = fields.count_or_zero(wanted, field)
        size: int | None = getattr(self, size_field)
        if size is None:
            raise ConfigError(f"cluster {self.name!r}", f"{size_field} is not known; configure it")
        if wanted and not size:
            raise SpecError(field, wanted, f"cluster {self.name!r} has none: {size_field} is 0")
        return -(-wanted // size) if size else 0


def seconds(value: DurationLike, field: str) -> float:
    """A duration in any of its forms, as seconds."""
    return Duration.parse(value, field).total_seconds()


def absolute_path(value: str, field: str) -> str:
    """A path that means the same in every folder."""
    path = fields.path(value, field)
    if not path.startswith("/"):
        raise SpecError(field, value, "must be an absolute path")
    return path


def path_or_home_path(value: str, field: str) -> str:
    """A path that is absolute, or one under the home folder that begins with ``~/``."""
    path = fields.path(value, field)
    if not path.startswith(("/", "~/")):
        raise SpecError(field, value, "must be an absolute path, or begin with ~/")
    return path


def frozen(value: Any) -> Any:
    """Tables and lists as values that do not change and can be pickled."""
    if isinstance(value, Mapping):
        return FrozenDict({key: frozen(item) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return tuple(frozen(item) for item in value)
    return value


def _frozen(value: Any, _: str) -> Any:
    return frozen(value)


CHECKS: Mapping[str, Callable[[Any, str], Any]] = {
    "backend": fields.line,
    "node_count": fields.count,
    "cpus_per_node": fields.count,
    "gpus_per_node": fields.count_or_zero,
    "shell": absolute_path,
    "work_dir": path_or_home_path,
    "polling_frequency": seconds,
    "settle_window": Duration.parse,
    "grace_window": Duration.parse,
}
