"""Where the records of a cluster lie, and how to look at them.

    live/NAME.sh        the script, until the job has ended (not where the user said where it goes)
    live/NAME.order     what the shell backend's supervisor is told, until somebody has claimed the job
    live/NAME.start     the start record: the claim; in the end the end record too, which moves it to
    live/NAME.receipt   what the submit command printed, until it was read
    ended/NAME          until the result was collected
    ended/NAME~v1~…     or, where the disk was full, to a name that tells the end
    supervisor-….sh     the supervisor, for as long as a job may need it

NAME is our id, with ``.INDEX`` behind it for an element of an array. A missing file is never evidence: on a
network file system it may not be visible yet.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from functools import cached_property
from typing import NamedTuple

from hpc_connect.records.line import EndRecord, StartRecord, end_from_name, read_ends, read_start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Listing(NamedTuple):
    """What there was at one moment.

    Attributes:
        live: names of the files of live jobs.
        ended: names of the jobs with end records.
    """

    live: frozenset[str]
    ended: frozenset[str]


class RecordFolder:
    """The record folder of one cluster, on this machine's file system."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._live = os.path.join(path, "live")
        self._ended = os.path.join(path, "ended")

    def make(self) -> None:
        """Create it, for its owner alone whatever the umask; one that is there already is taken as it is.

        Raises:
            OSError: it cannot be made.
        """
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        for folder in (self.path, self._live, self._ended):
            try:
                os.mkdir(folder)
            except FileExistsError:
                if not os.path.isdir(folder):
                    raise
            else:
                os.chmod(folder, 0o700)

    def script(self, name: str) -> str:
        """Path of the script of a job."""
        return os.path.join(self._live, f"{name}.sh")

    def order(self, name: str) -> str:
        """Path of what the shell backend's supervisor is told of a job."""
        return os.path.join(self._live, f"{name}.order")

    def start(self, name: str) -> str:
        """Path of the start record of a job."""
        return os.path.join(self._live, f"{name}.start")

    def receipt(self, name: str) -> str:
        """Path of the receipt of a submission."""
        return os.path.join(self._live, f"{name}.receipt")

    def end(self, name: str) -> str:
        """Path of the end records of a job."""
        return os.path.join(self._ended, name)

    @cached_property
    def supervisor(self) -> str:
        """Path of the supervisor: a copy that no upgrade changes, as it is named by its content.

        Raises:
            OSError: it cannot be written.
        """
        with open(os.path.join(os.path.dirname(__file__), "supervisor.sh"), "rb") as file:
            content = file.read()
        path = os.path.join(self.path, f"supervisor-{hashlib.sha256(content).hexdigest()[:12]}.sh")
        if _bytes(path) != content:  # one that was cut off would run nothing, and say so with code 0
            part = f"{path}.{os.getpid()}"
            with open(part, "wb", opener=_private) as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        return path

    def find_start(self, name: str) -> StartRecord | None:
        """The start record of a job's latest attempt, if it is there and whole."""
        return read_start(_text(self.start(name)))

    def find_native(self, native_id: str) -> str | None:
        """The name of the job with this id of the scheduler, live or ended."""
        for entry in _names(self._live):
            name = entry.removesuffix(".start")
            if name != entry and (start := self.find_start(name)) is not None and start.native == native_id:
                return name
        return next((end.name for end in self.ended() if end.native == native_id), None)

    def find_end(self, name: str, attempt: int | None = None) -> EndRecord | None:
        """The end record of this attempt of a job (None: of its last), if there is one."""
        # One whose supervisor was killed before it could move it to the others is still where the start is.
        ends = read_ends(_text(self.end(name))) + read_ends(_text(self.start(name)))
        found = [end for end in ends if attempt in (None, end.attempt)]
        if not found:
            told = [end for entry in self._told_by_name(name) if (end := end_from_name(entry)) is not None]
            found = [end for end in told if attempt in (None, end.attempt)]
        return max(reversed(found), key=lambda end: end.attempt, default=None)

    def listing(self) -> Listing:
        """One look for any number of jobs."""
        live, ended = _names(self._live), _names(self._ended)
        return Listing(frozenset(live), frozenset(name.partition("~")[0] for name in ended))

    def ended(self) -> Iterator[EndRecord]:
        """All end records there are: one look at one folder finds all news."""
        for entry in _names(self._ended):
            told = end_from_name(entry)
            yield from [told] if told else read_ends(_text(os.path.join(self._ended, entry)))

    def clear(self, name: str) -> None:
        """Remove what is left of a job whose result was collected.

        With its records goes the claim. Where a second submission of it may still lie in a queue, keep them.
        """
        paths = [self.script(name), self.order(name), self.start(name), self.receipt(name), self.end(name)]
        ends = read_ends(_text(self.end(name)))
        if not ends or ends[-1].attempt > 1:
            paths += map(self.end, self._told_by_name(name))
        for path in paths:
            with contextlib.suppress(OSError):
                os.unlink(path)

    def _told_by_name(self, name: str) -> list[str]:
        return [entry for entry in _names(self._ended) if entry.startswith(f"{name}~")]


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _text(path: str) -> str:
    return _bytes(path).decode(errors="surrogateescape")


def _bytes(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
