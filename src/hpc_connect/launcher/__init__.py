"""Launchers: from the words that a person typed to the command that starts a parallel program.

    hpc-launch [options] program [arguments] [: [options] program [arguments]] ...

Pure: words in, a :class:`Command` out. What must be asked (``mpiexec --version``) is named here, and asked by
whoever runs the command.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod

from hpc_connect import config
from hpc_connect.errors import LaunchError
from hpc_connect.launcher.installed import INSTALL, whereabouts
from hpc_connect.launcher.reader import Reader
from hpc_connect.launcher.table import FILE, Command, Place, Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpc_connect.config import LaunchSection
    from hpc_connect.launcher.run import Run

__all__ = ["FILE", "INSTALL", "Command", "HPCLauncher", "Place", "Table", "whereabouts"]


class HPCLauncher(ABC):
    """A program such as ``mpiexec`` or ``srun`` that starts the processes of a parallel program.

    A launcher of a third party defines four things: :attr:`name`, :meth:`matches`, ``__init__`` and
    :attr:`executable`. Everything else has a meaning here: the words are those of the MPI standard's
    ``mpiexec``, unless it also gives a :attr:`table` of its own.

    Attributes:
        name: what it is chosen by.
        table: its words for the portable options, and which of its own options take values.
    """

    name: str = ""
    table: Table = Table()

    def __init__(self, config_file: str | None = None) -> None:
        """Make a launcher; ``config_file`` is read in place of the project's. Nothing is read or asked yet."""
        self.config_file = config_file

    @staticmethod
    @abstractmethod
    def matches(name: str | None) -> bool:
        """Whether ``name`` means this launcher."""

    @property
    @abstractmethod
    def executable(self) -> str:
        """The launcher's program: a path, or a name to be found on ``PATH``.

        Raises:
            LaunchError: it is not installed; the message says what to install.
        """

    @classmethod
    def unusable_here(cls) -> str:
        """Why this launcher cannot be used on this machine, and what to install; empty when it can."""
        try:
            cls().program({})
        except LaunchError as error:
            return str(error)
        return ""

    def program(self, settings: LaunchSection) -> str:
        """The path of the program to run: ``exec`` of the configuration, else :attr:`executable`.

        Raises:
            LaunchError: there is no such program.
        """
        named = settings.get("exec") or os.fsdecode(self.executable)
        found = whereabouts(named)
        if found is None:
            raise LaunchError(f"launcher {self.name}: no program {named!r} was found; {INSTALL}")
        return found

    def question(self, program: str) -> list[str] | None:
        """What to run to learn which kind of launcher ``program`` is; None when there is nothing to ask."""
        return None

    def kind(self, answer: str) -> str:
        """The kind and version (``"openmpi 5.0.11"``) that the answer to :meth:`question` tells; empty: not known."""
        return ""

    def table_of(self, kind: str) -> Table:
        """The words of one kind; ``kind`` is what :meth:`kind` said, empty when nothing was asked."""
        return self.table

    def command(
        self,
        words: Sequence[str],
        *,
        program: str | None = None,
        kind: str = "",
        place: Place | None = None,
        settings: LaunchSection | None = None,
    ) -> Command:
        """The command that launches what ``words`` (options, program, arguments, ``:``) ask for.

        Args:
            words: without the options of ``hpc-launch`` itself.
            program: path of the launcher's program; None for what the configuration says.
            kind: what :meth:`kind` said.
            place: where it is launched; by default a place of which nothing is known.
            settings: the configuration; None to read it.

        Raises:
            LaunchError: the words, or what they ask for, cannot be accepted.
            ConfigError: the configuration is wrong.
        """
        if settings is None:
            settings = config.launch_section(getattr(self, "config_file", None), self.matches)
        table = self.table_of(kind)
        run = Reader(table, settings.get("mappings"), settings.get("numproc_flag", "")).read(words)
        _note_configured(run, settings)
        return table.command(program or self.program(settings), run, place or Place(), settings)


def _note_configured(run: Run, settings: LaunchSection) -> None:
    """Count configured options among the launcher's own, so that nothing of ours contradicts them."""
    for option in [*settings.get("default_options", ()), *settings.get("local_options", ())]:
        if option.startswith("-"):
            run.own.setdefault(option.partition("=")[0], [])
