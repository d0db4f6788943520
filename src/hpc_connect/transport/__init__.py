"""Where commands run and files lie: this machine, or another. What commands and files mean is nothing to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

DEFAULT_TIMEOUT = 120.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Completed:
    """A command that has ended, whatever came of it.

    Attributes:
        argv: the command.
        returncode: its exit code, or minus the number of the signal that ended it.
        stdout, stderr: all that it wrote, byte for byte.
    """

    argv: tuple[str, ...]
    returncode: int
    stdout: bytes = field(default=b"", repr=False)
    stderr: bytes = field(default=b"", repr=False)


class Transport(ABC):
    """One place. Every method blocks, may be called from any thread, and from several at once.

    That a command ended with an error is its answer, and no error here. ``TransportError`` means that there is no
    answer: whether anything was done is not known then, and nothing follows from it about any job.
    """

    @abstractmethod
    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        cwd: str | None = None,
        env: Mapping[str, str | None] | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
    ) -> Completed:
        """Run a command to its end. No shell reads it, and it cannot ask anything on a terminal.

        Args:
            argv: the program, looked up on ``PATH`` there, and its arguments.
            stdin: what it can read.
            cwd: the folder it starts in.
            env: variables to set, or with None to unset, on top of those of the place.
            timeout: seconds after which it is ended, with all that it started; None waits as long as it takes.

        Raises:
            TransportError: it could not be started, did not end in time, or its answer did not arrive whole.
        """

    @abstractmethod
    def read(self, path: str) -> bytes | None:
        """What a file holds; None if there is none (which on a network file system may mean: not yet).

        Raises:
            TransportError: it cannot be read.
        """

    @abstractmethod
    def write(self, path: str, content: bytes, *, mode: int = 0o600) -> None:
        """Make a file, or take the place of one; others see all of it or nothing. Folders above it are made, 0700.

        Raises:
            TransportError: it cannot be written.
        """

    @abstractmethod
    def list(self, folder: str) -> tuple[str, ...]:
        """The names in a folder, sorted; none if there is no such folder.

        Raises:
            TransportError: it cannot be read.
        """

    @abstractmethod
    def remove(self, paths: Iterable[str]) -> None:
        """Remove files; those that are gone already do not matter.

        Raises:
            TransportError: one cannot be removed; the others are, if they can be.
        """
