"""One record: a line of words ``name=value`` between ``hpc_connect v1`` and ``END``.

A line without its end marker or its newline does not exist: it was cut off by a full disk, or is still being
written. A record begins on a line of its own, whatever was cut off before it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PREFIX = "hpc_connect v1"
END = "END"
"""In capitals, so that no name of a word, cut off, can be taken for it."""


class StartRecord(NamedTuple):
    """Who runs a job: its first act is to write this, and nobody runs it who cannot.

    Attributes:
        id: our id of the job.
        array_index: its index in an array, or ``-``.
        native: the scheduler's id.
        attempt: 1 for the first run, more for each requeue.
        pid: process id of its supervisor or program, on ``host``.
        ticks: when that process started, in clock ticks since boot (field 22 of proc(5) ``/proc/PID/stat``).
        boot: ``/proc/sys/kernel/random/boot_id`` there.
        host: where it runs.
        started: seconds since 1970.
    """

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
        native: the scheduler's id; ``-`` where only a file name told the end.
        attempt: 1 for the first run, more for each requeue.
        how: ``exit``, ``signal``, or ``unclear``: exit code 128 + n, which a shell gives for signal n too.
        number: the exit code, or the signal's number.
        reason: ``timeout`` when its supervisor ended it at its time limit, ``launch`` when it could not be
            started, else ``-``.
        host: where it ran; ``-`` where only a file name told the end.
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

    @property
    def name(self) -> str:
        """Name of the job's files, as for :class:`StartRecord`."""
        return self.id if self.array_index == "-" else f"{self.id}.{self.array_index}"


def format_start(record: StartRecord) -> str:
    """The record as it is written to a start file, in one write.

    Raises:
        ValueError: a value is empty or has a blank in it.
    """
    return _format("start", record._asdict())


def format_end(record: EndRecord) -> str:
    """The record as it is appended to a start file, in one write.

    Raises:
        ValueError: a value is empty or has a blank in it.
    """
    return _format("exit", record._asdict())


def _format(kind: str, words: dict[str, object]) -> str:
    texts = {
        name: f"{value:.6f}" if isinstance(value, float) else str(value) for name, value in words.items()
    }
    for name, text in texts.items():
        if text.split() != [text]:
            raise ValueError(f"{name}={text!r} cannot stand in a record: it is empty or has a blank")
    body = " ".join(f"{name}={text}" for name, text in texts.items())
    return f"\n{PREFIX} {kind} {body} {END}\n"


def read_start(text: str) -> StartRecord | None:
    """The last whole start record in a file's text: that of the latest attempt."""
    starts = list(_records(text, "start", StartRecord))
    return starts[-1] if starts else None


def read_ends(text: str) -> list[EndRecord]:
    """All whole end records in a file's text, in order; a line that cannot be read costs itself only."""
    return list(_records(text, "exit", EndRecord))


_Record = TypeVar("_Record", StartRecord, EndRecord)


def _records(text: str, kind: str, record: type[_Record]) -> Iterator[_Record]:
    before, behind = f"{PREFIX} {kind} ", f" {END}"
    for line in text.split("\n")[:-1]:  # behind the last newline is what is being written
        if line.startswith(before) and line.endswith(behind):
            words = dict(word.partition("=")[::2] for word in line[len(before) : -len(behind)].split(" "))
            # Words that a later version adds are passed over.
            try:
                yield record(*(_READERS.get(name, str)(words[name]) for name in record._fields))
            except (KeyError, ValueError):
                continue


def _number(text: str) -> int:
    if not re.fullmatch("[0-9]{1,18}", text):
        raise ValueError(text)
    return int(text)


def _time(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,18}(\.[0-9]{1,9})?", text):
        raise ValueError(text)
    return float(text)


def _how(text: str) -> str:
    if text not in ("exit", "signal", "unclear"):
        raise ValueError(text)
    return text


_READERS: dict[str, Callable[[str], Any]] = {
    "attempt": _number,
    "pid": _number,
    "how": _how,
    "number": _number,
    "started": _time,
    "ended": _time,
}


def name_of_end(name: str, record: EndRecord) -> str:
    """The name that tells an end, for a file on a disk that has no room for a line."""
    return f"{name}~v1~{record.attempt}~{record.how}~{record.number}~{record.reason}"


def end_from_name(file_name: str) -> EndRecord | None:
    """The end that the name of a file tells, or None when it tells none."""
    try:
        name, version, attempt, how, number, reason = file_name.split("~")
        if version != "v1":
            return None
        job, _, index = name.partition(".")
        return EndRecord(
            job, index or "-", "-", _number(attempt), _how(how), _number(number), reason, "-", 0.0, 0.0
        )
    except ValueError:
        return None
