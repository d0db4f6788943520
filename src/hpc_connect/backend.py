"""The interface of every backend."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any, SupportsIndex

from hpc_connect.capability import Capability
from hpc_connect.cluster import ClusterConfig
from hpc_connect.compact import spec_of, words_of
from hpc_connect.dependency import KINDS
from hpc_connect.errors import SpecError, UnsupportedError
from hpc_connect.spec import JobSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hpc_connect.group import ProcessGroup
    from hpc_connect.process import HPCProcess


class HPCBackend(ABC):
    """A place where jobs run. A plug-in must give ``name``, ``matches`` and ``submit``.

    Attributes:
        name: the name it is found by; on an instance the name of its cluster in the configuration.
        capabilities: what it can do beyond running a job; see :class:`~hpc_connect.capability.Capability`.
    """

    name: str
    capabilities: frozenset[Capability] = frozenset({Capability.CANCEL})
    default_polling_frequency: float = 30.0

    def __init__(self, config: ClusterConfig | None = None) -> None:
        self._config = config
        if config is not None:
            self.name = config.name

    @staticmethod
    @abstractmethod
    def matches(name: str | None) -> bool:
        """Whether this backend goes by ``name``."""

    @abstractmethod
    def submit(
        self,
        name: str,
        args: Sequence[str | Sequence[str]],
        scriptname: str | None = None,
        qtime: float | None = None,
        submit_flags: Sequence[str] | None = None,
        variables: Mapping[str, str | None] | None = None,
        output: str | None = None,
        error: str | None = None,
        nodes: int | None = None,
        cpus: int | None = None,
        gpus: int | None = None,
        **kwargs: Any,
    ) -> HPCProcess:
        """Submit a job: the compact form of :meth:`submit_spec`.

        Args:
            name: name of the job.
            args: its commands, see ``JobSpec.commands``.
            scriptname: where the script is written.
            qtime: time limit in seconds.
            submit_flags: raw directives.
            variables: environment variables to set, or with None to unset.
            output, error: files to write to; the same for both is one file in order.
            nodes, gpus: how many.
            cpus: how many tasks of one CPU each.
            **kwargs: any other field of ``JobSpec``.

        Raises:
            SpecError: a field cannot be accepted; UnsupportedError: this backend cannot do it.
            SubmitError: the submission was clearly refused.
        """

    def submit_spec(self, spec: JobSpec, *, key: str | None = None, rerun: bool = False) -> HPCProcess:
        """Submit what a specification says.

        Here: through the compact form, for a plug-in that has no more. Fields without a word there are
        handed on only if the plug-in declares the capability of that name; others are refused.

        Args:
            spec: what is asked for.
            key: the same key and the same specification give the same job, whatever its state.
            rerun: with a key, submit again if that job has failed.
        """
        self._refuse_unsupported(spec, key)
        once: dict[str, Any] = {} if key is None else {"key": key, "rerun": rerun}
        return self.submit(**words_of(spec, self.capabilities, self.name), **once)

    def submit_many(self, specs: Iterable[JobSpec], *, as_array: bool = False) -> Sequence[HPCProcess]:
        """Submit several specifications, as separate jobs.

        When one of them is refused, nothing is submitted. When the submission of one fails later, a note of the
        error names the jobs that were submitted before it.

        Args:
            specs: what is asked for.
            as_array: make one array of them, which they must be equal for.
        """
        found = list(specs)
        if not as_array:
            for spec in found:
                self._refuse_unsupported(spec)
            return _all_or_a_note(partial(self.submit_spec, spec) for spec in found)
        if not found or any(spec != found[0] for spec in found) or found[0].array is not None:
            raise SpecError(
                "as_array", as_array, "needs at least one specification, all equal, and none an array itself"
            )
        from hpc_connect.group import ProcessGroup  # noqa: PLC0415 - brings the engine, and with it asyncio

        array = self.submit_spec(found[0].replace(array=range(len(found))))
        return array.processes if isinstance(array, ProcessGroup) else [array]

    def submitn(
        self,
        name: Sequence[str],
        args: Sequence[Sequence[str | Sequence[str]]],
        **lists: Sequence[Any] | None,
    ) -> ProcessGroup:
        """Submit several jobs in the compact form and give one process for all of them.

        When one of them cannot be accepted, nothing is submitted. When the submission of one fails later, a note of
        the error names the jobs that were submitted before it.

        Args:
            name, args: as in :meth:`submit`, one element for each job.
            **lists: any other argument of :meth:`submit`, as a list of the same length; None where it is not given.

        Raises:
            SpecError: a list of another length, or an element that cannot be accepted.
        """
        columns = {
            "name": name,
            "args": args,
            **{key: values for key, values in lists.items() if values is not None},
        }
        for key, values in columns.items():
            if not isinstance(values, (list, tuple)):
                raise SpecError(key, values, "must be a list, with one element for each job")
            if len(values) != len(name):
                raise SpecError(key, values, f"must have {len(name)} elements, one for each name")
        if not name:
            raise SpecError("name", name, "must hold at least one name")
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        for row in rows:
            spec_of(**{word: value for word, value in row.items() if word not in _HOW})
        from hpc_connect.group import ProcessGroup  # noqa: PLC0415 - as above

        return ProcessGroup(new_id(), _all_or_a_note(partial(self.submit, **row) for row in rows))

    def attach(self, native_id: str) -> HPCProcess:
        """A handle of a job that another program submitted, by its native id (or our id).

        Raises:
            UnsupportedError: this backend cannot.
        """
        raise UnsupportedError("attach", native_id, f"backend {self.name!r} cannot find jobs again")

    def recover(self) -> list[HPCProcess]:
        """Handles of all jobs in the store that have not ended, with whatever was in flight settled first.

        Raises:
            UnsupportedError: this backend cannot.
        """
        raise UnsupportedError("recover", self.name, f"backend {self.name!r} keeps no journal of its jobs")

    def jobs(self) -> list[HPCProcess]:
        """Handles of all jobs of this user that the scheduler knows, whoever submitted them.

        Raises:
            UnsupportedError: this backend cannot.
        """
        raise UnsupportedError("jobs", self.name, f"backend {self.name!r} cannot list jobs")

    def explain(self, spec: JobSpec) -> str:
        """What would be done for this specification: the script and the command, with our own lines marked.

        Raises:
            UnsupportedError: this backend cannot tell, or cannot do what is asked.
        """
        raise UnsupportedError("explain", spec.name, f"backend {self.name!r} cannot tell beforehand")

    # ------------------------------------------------------------------ what harnesses read

    @property
    def config(self) -> ClusterConfig:
        """What is known of the cluster: its size, and how it is treated."""
        config: ClusterConfig | None = getattr(self, "_config", None)
        return config if config is not None else ClusterConfig(name=self.name, backend=self.name)

    @property
    def supports_subscheduling(self) -> bool:
        """Whether programs may be started inside a job of this backend as if it were a machine of one's own."""
        return True

    @property
    def polling_frequency(self) -> float:
        """Seconds between two status queries; the environment's ``HPCC_POLLING_FREQUENCY`` overrides."""
        return self.config.polling_frequency or self.default_polling_frequency

    # ------------------------------------------------------------------ how it is made again

    def _made_by(self, name: str, options: Mapping[str, Any]) -> None:
        """Remember how ``get_backend`` made this, so that it can be made again elsewhere."""
        self._origin = (name, dict(options))

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash((type(self), self.name))

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        origin = getattr(self, "_origin", None)
        return super().__reduce_ex__(protocol) if origin is None else (_make_again, origin)

    def _identity(self) -> object:
        """What ``get_backend`` was asked for; of one that was made otherwise, all that it holds."""
        return getattr(self, "_origin", None) or vars(self)

    # ------------------------------------------------------------------ for subclasses

    def _refuse_unsupported(self, spec: JobSpec, key: str | None = None) -> None:
        """Refuse by name, before anything is sent, what this backend cannot do."""
        needed = spec.needs() | ({Capability.KEY} if key is not None else frozenset())
        missing = sorted(needed - self.capabilities - _EVERY_BACKEND)
        if missing:
            field = _FIELD_OF.get(missing[0], missing[0])
            value = key if field == Capability.KEY else getattr(spec, field)
            raise UnsupportedError(
                field, value, f"backend {self.name!r} cannot do this ({', '.join(missing)}); leave it out"
            )


def _all_or_a_note(submissions: Iterable[Callable[[], HPCProcess]]) -> list[HPCProcess]:
    """Make them one after the other; whoever is to handle a failure must know of the jobs there are already."""
    made: list[HPCProcess] = []
    try:
        for submit in submissions:
            made.append(submit())  # noqa: PERF401 - those made before a failure are needed
    except Exception as error:
        if made:
            error.add_note(f"submitted before this one: {', '.join(process.id for process in made)}")
        raise
    return made


_HOW = ("key", "rerun")
_FIELD_OF = {
    Capability.NO_REQUEUE: "requeue",
    Capability.ANY_DEPENDENCY: "dependency_mode",
    **dict.fromkeys(KINDS, "dependencies"),
}
_EVERY_BACKEND = frozenset({Capability.NODES, Capability.TASKS, Capability.GPUS, Capability.TIME_LIMIT})


class SpecBackend(HPCBackend):
    """A backend whose own form is the specification; the compact one is translated to it."""

    @abstractmethod
    def submit_spec(self, spec: JobSpec, *, key: str | None = None, rerun: bool = False) -> HPCProcess:
        """See :meth:`HPCBackend.submit_spec`."""

    def submit(self, name: str | JobSpec, *args: Any, **kwargs: Any) -> HPCProcess:
        """Submit a job: a specification, or the compact form of :meth:`HPCBackend.submit`.

        ``key`` and ``rerun`` of :meth:`submit_spec` are accepted with both.
        """
        how = {word: kwargs.pop(word) for word in _HOW if word in kwargs}
        if isinstance(name, JobSpec):
            if args or kwargs:
                raise SpecError(
                    "submit", [*args, *kwargs], "a specification says everything; use its replace()"
                )
            return self.submit_spec(name, **how)
        return self.submit_spec(spec_of(name, *args, **kwargs), **how)


def _make_again(name: str, options: Mapping[str, Any]) -> HPCBackend:
    import hpc_connect  # noqa: PLC0415 - choosing a backend stands above this module

    return hpc_connect.get_backend(name, **options)


_ID_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
_ID_LENGTH = 10


def new_id() -> str:
    """A new id of ours: 50 random bits as ten letters and digits that are not mistaken for each other."""
    number = int.from_bytes(os.urandom(7), "big")
    return "".join(_ID_LETTERS[(number >> 5 * place) & 31] for place in range(_ID_LENGTH))
