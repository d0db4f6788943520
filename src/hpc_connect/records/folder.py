"""Where the records of a cluster lie, and how to look at them.

    live/NAME.sh        the script, until the job has ended (not where the user said where it goes)
    live/NAME.order     what the shell backend's supervisor is told, until somebody has claimed the job
    live/NAME.start     the start record: the claim
    live/NAME.receipt   what the submit command printed, until it was read
    ended/NAME          the end records, until the result was collected
    ended/NAME~v1~…     the same as the name of an empty file, where the disk was full

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
        """Path of the POSIX-sh supervisor: a copy named by its content, which no upgrade changes."""
        return self._copy_of("supervisor.sh")

    def find_start(self, name: str) -> StartRecord | None:
        """The start record of a job, if it is there and whole."""
        return read_start(_text(self.start(name)))

    def find_native(self, native_id: str) -> StartRecord | None:
        """The start record of a live job, by the scheduler's id."""
        names = (entry.removesuffix(".start") for entry in _names(self._live) if entry.endswith(".start"))
        starts = (self.find_start(name) for name in names)
        return next((start for start in starts if start is not None and start.native == native_id), None)

    def find_end(self, name: str, attempt: int | None = None) -> EndRecord | None:
        """The end record of this attempt of a job (None: of its last), if there is one."""
        # One whose supervisor was killed before it could move it to the others is still where the start is.
        ends = read_ends(_text(self.end(name))) or read_ends(_text(self.start(name)))
        if not ends:
            told = map(end_from_name, self._ends_in_names(name))
            ends = [end for end in told if end is not None]
        if attempt is None:
            return max(ends, key=lambda end: end.attempt, default=None)
        return next((end for end in reversed(ends) if end.attempt == attempt), None)

    def listing(self) -> Listing:
        """One look for any number of jobs."""
        live, ended = _names(self._live), _names(self._ended)
        return Listing(frozenset(live), frozenset(name.partition("~")[0] for name in ended))

    def _ends_in_names(self, name: str) -> list[str]:
        prefix = f"{name}~"
        return [entry for entry in _names(self._ended) if entry.startswith(prefix)]

    def ended(self) -> Iterator[EndRecord]:
        """All end records there are: one look at one folder finds all news."""
        for name in _names(self._ended):
            told = end_from_name(name) if "~" in name else None
            yield from [told] if told else read_ends(_text(os.path.join(self._ended, name)))

    def clear(self, name: str) -> None:
        """Remove what is left of a job whose result was collected."""
        paths = [self.script(name), self.order(name), self.start(name), self.receipt(name), self.end(name)]
        if not read_ends(_text(self.end(name))):
            paths += [os.path.join(self._ended, entry) for entry in self._ends_in_names(name)]
        for path in paths:
            with contextlib.suppress(OSError):
                os.unlink(path)

    def _copy_of(self, source: str) -> str:
        with open(os.path.join(os.path.dirname(__file__), source), "rb") as file:
            content = file.read()
        stem, extension = os.path.splitext(source)
        path = os.path.join(self.path, f"{stem}-{hashlib.sha256(content).hexdigest()[:12]}{extension}")
        if not os.path.exists(path):
            part = f"{path}.{os.getpid()}"
            with open(part, "wb") as file:
                file.write(content)
            os.replace(part, path)
        return path


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
