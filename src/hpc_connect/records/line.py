"""One record: a line of words ``name=value`` between ``hpc_connect v1`` and ``end``.

A line without its end marker does not exist: it was cut off by a full disk, or is still being written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "hpc_connect v1"
_START, _EXIT, _END = "start", "exit", "end"


class StartRecord(NamedTuple):
    """Who runs a job: written by the first act of it, and by nobody else."""

    id: str
    array_index: str
    native: str
    attempt: int
    pid: int
    ticks: str
    boot: str
    host: str
    started: float

    @property
    def name(self) -> str:
        """Name of the job's files: its id, and its index in an array."""
        return self.id if self.array_index == "-" else f"{self.id}.{self.array_index}"


class EndRecord(NamedTuple):
    """How a job ended.

    Attributes:
        id: our id of the job.
        array_index: its index in an array, or ``-``.
        native: the scheduler's id.
        attempt: 1 for the first run, one more for each requeue.
        how: ``exit``, ``signal``, or ``unclear``: exit code 128 + n, which some shells give for signal n too.
        number: the exit code, or the signal's number.
        reason: ``timeout`` when the supervisor ended it at its time limit, else ``-``.
        host: where it ran.
        started, ended: seconds since 1970; 0 where only a file name told the end.
    """

    id: str
    array_index: str
    native: str
    attempt: int
    how: str
    number: int
    reason: str
    host: str
    started: float
    ended: float


def format_start(record: StartRecord) -> str:
    """The record as a line, with its newline."""
    return _format(_START, record._asdict())


def format_end(record: EndRecord) -> str:
    """The record as a line, with a newline before it too: it may follow a line that was cut off."""
    return "\n" + _format(_EXIT, record._asdict())


def _format(kind: str, words: dict[str, object]) -> str:
    body = " ".join(
        f"{name}={f'{value:.6f}' if isinstance(value, float) else value}" for name, value in words.items()
    )
    return f"{PREFIX} {kind} {body} {_END}\n"


def read_start(text: str) -> StartRecord | None:
    """The first whole start record in a file's text."""
    return next(_records(text, _START, StartRecord), None)


def read_ends(text: str) -> list[EndRecord]:
    """All whole end records in a file's text, in order; a line that cannot be read costs itself only."""
    return [end for end in _records(text, _EXIT, EndRecord) if end.how in _HOWS]


_Record = TypeVar("_Record", StartRecord, EndRecord)
_HOWS = ("exit", "signal", "unclear")
_CONVERTERS: dict[str, Any] = {"attempt": int, "pid": int, "number": int, "started": float, "ended": float}


def _records(text: str, kind: str, record: type[_Record]) -> Iterator[_Record]:
    start, end = f"{PREFIX} {kind} ", f" {_END}"
    for line in text.split("\n"):
        if line.startswith(start) and line.endswith(end):
            words = dict(word.partition("=")[::2] for word in line[len(start) : -len(end)].split(" "))
            # Words that a later version adds are passed over.
            try:
                yield record(**{name: _CONVERTERS.get(name, str)(words[name]) for name in record._fields})
            except (KeyError, ValueError):
                continue


def end_from_name(file_name: str) -> EndRecord | None:
    """The end that the name of an empty file tells, written where the disk had no room for a line."""
    try:
        name, version, attempt, how, number, reason = file_name.split("~")
        if version != "v1" or how not in _HOWS:
            return None
        job, _, index = name.partition(".")
        return EndRecord(job, index or "-", "-", int(attempt), how, int(number), reason, "-", 0.0, 0.0)
    except ValueError:
        return None


def name_of_end(name: str, record: EndRecord) -> str:
    """The name of an empty file that tells an end, for a disk that has no room for a line."""
    return f"{name}~v1~{record.attempt}~{record.how}~{record.number}~{record.reason}"
