"""What one launcher calls things: the base of the tables in `hpc_connect.launchers`."""

from __future__ import annotations

from hpc_connect.errors import LaunchError, shortened
from hpc_connect.launcher.run import PORTABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import ClassVar

    from hpc_connect.config import LaunchSection
    from hpc_connect.launcher.run import Program, Run

FILE = "\0file"
"""Stands in a command for the path of its generated file; NUL cannot occur in a real word."""

_SECONDS_TO_END = 10
_OPTION_OF = {field: option for option, field in PORTABLE.items()}


class Place:
    """Where a program is launched.

    Attributes:
        root: it is the superuser who launches.
        allocated: a scheduler has given the hosts, and launchers know them.
        cores: of this machine, as far as this process may use them.
    """

    __slots__ = ("allocated", "cores", "root")

    def __init__(self, *, root: bool = False, allocated: bool = False, cores: int = 1) -> None:
        self.root = root
        self.allocated = allocated
        self.cores = cores


class Command:
    """What is to be run.

    Attributes:
        launcher: the name of the launcher's kind, for people.
        argv: the words; where one is :data:`FILE`, the path of a file that holds ``file``.
        file: contents of a generated file, None when there is none.
        warnings: sentences for the person who launches.
    """

    __slots__ = ("argv", "file", "launcher", "warnings")

    def __init__(
        self,
        launcher: str,
        argv: Sequence[str],
        *,
        file: str | None = None,
        warnings: Sequence[str] = (),
    ) -> None:
        self.launcher = launcher
        self.argv = [*argv]
        self.file = file
        self.warnings = [*warnings]


class Table:
    """The words of a launcher. As it stands: an ``mpiexec`` of which only the MPI standard is known (§11.5).

    A subclass says how portable options are written in :attr:`says`, by templates; where a template is not
    enough, in the methods. What it has no words for is done without the launcher (``--workdir``, ``--env``,
    ``--timeout``) or refused by name.

    Attributes:
        label: the launcher's name in messages.
        numproc_flag: what stands before the number of processes; after a ``=`` there is no blank.
        one: the launcher's own options, without dashes, that take a value; ``two``: that take two;
            ``none``: that take none.
        counts: those among them that say the number of processes.
        programs: those that name a file in which the programs stand.
        says: field of a portable option → template words, with ``{0}`` for its value.
    """

    label: ClassVar[str] = "this launcher"
    numproc_flag: ClassVar[str] = "-n"
    one: ClassVar[frozenset[str]] = frozenset("host arch wdir path file soft configfile".split())
    two: ClassVar[frozenset[str]] = frozenset()
    none: ClassVar[frozenset[str]] = frozenset()
    counts: ClassVar[frozenset[str]] = frozenset()
    programs: ClassVar[frozenset[str]] = frozenset({"configfile"})
    says: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def key(self, word: str) -> str:
        """The name of an option as it stands in the table."""
        return word.partition("=")[0].lstrip("-")

    def arity(self, word: str, rest: Sequence[str]) -> int | None:
        """How many of the words after an option belong to it; None when the option is not known."""
        key = self.key(word)
        attached = "=" in word
        if key in self.two:
            return 1 if attached else 2
        if key in self.one:
            return 0 if attached else 1
        return 0 if key in self.none else None

    def counts_processes(self, word: str) -> bool:
        """Whether an option of the launcher's own says how many processes there are."""
        return self.key(word) in self.counts

    def brings_program(self, program: Program) -> bool:
        """Whether an option names a file with the programs, so that none need stand on the command line."""
        return any(self.key(option[0]) in self.programs for option in program.options)

    def has(self, run: Run, *keys: str) -> bool:
        """Whether one of these options of the launcher's own was given or configured."""
        return any(self.key(word) in keys for word in run.own)

    def command(self, program: str, run: Run, place: Place, settings: LaunchSection) -> Command:
        """The command for a run.

        Raises:
            LaunchError: the launcher cannot do what was asked for.
        """
        warnings = self.warnings(run)
        words = [*self.before(run), program, *expanded(settings.get("default_options"), run.processes)]
        words += self.whole_run(run, place)
        flag = settings.get("numproc_flag") or self.numproc_flag
        for number, part in enumerate(run.programs):
            words += [":"] if number else []
            words += expanded(settings.get("local_options"), part.processes)
            words += numproc(flag, part)
            words += self.one_program(run, part)
        return Command(self.label, words, warnings=warnings)

    def whole_run(self, run: Run, place: Place) -> list[str]:
        """The words of the portable options that are for the whole run."""
        words = []
        for field in ("hosts", "per_node", "cpus_per_process", "bind", "tag_output", "timeout"):
            value = getattr(run, field)
            if value is not None and (field != "timeout" or field in self.says):
                words += self.say(field, value)
        return words

    def one_program(self, run: Run, program: Program) -> list[str]:
        """The words of one program, after the number of its processes.

        Directory and variables are set by ``env`` where the launcher has no word for them.
        """
        words = []
        by_env = []
        if program.workdir is not None:
            if "workdir" in self.says:
                words += self.say("workdir", program.workdir)
            else:
                by_env += ["-C", program.workdir]
        for name, value in program.env:
            if self.says_env(run):
                words += self.say("env", name, value)
            else:
                by_env.append(f"{name}={value}")
        return [*words, *program.own_words, *through_env(by_env, program)]

    def says_env(self, run: Run) -> bool:
        """Whether the launcher can set variables for one program of this run."""
        return "env" in self.says

    def before(self, run: Run) -> list[str]:
        """What stands before the launcher's program: ``timeout`` of coreutils, unless it has a word for that.

        It tells the launcher to end, after some seconds makes it, and exits with 124 (or 137).
        """
        if run.timeout is None or "timeout" in self.says:
            return []
        return ["timeout", "--foreground", f"--kill-after={_SECONDS_TO_END}", str(run.timeout)]

    def warnings(self, run: Run) -> list[str]:
        """What the person should know about options that do not mean what they seem to.

        Raises:
            LaunchError: one of them cannot be what was meant.
        """
        return []

    def say(self, field: str, *values: object) -> list[str]:
        """Fill in the template of a portable option."""
        if field not in self.says:
            option = _OPTION_OF[field]
            raise LaunchError(
                f"{option}: hpc-launch does not know how to say this to {self.label}; "
                f"leave it out, or use the launcher's own option"
            )
        return [template.format(*values) for template in self.says[field]]


def numproc(flag: str, program: Program) -> list[str]:
    """The words for the number of processes."""
    if program.processes is None or program.counted:
        return []
    return [f"{flag}{program.processes}"] if flag.endswith("=") else [flag, str(program.processes)]


def expanded(options: Sequence[str] | None, processes: int | None) -> list[str]:
    """Configured options, with the number of processes in place of ``%(np)d``.

    Raises:
        LaunchError: the number is wanted and not known.
    """
    placeholder = "%(np)d"
    for option in options or ():
        if placeholder in option and processes is None:
            raise LaunchError(
                f"the configured option {shortened(repr(option))} needs the number of processes: give -n"
            )
    return [option.replace(placeholder, str(processes)) for option in options or ()]


def through_env(words: Sequence[str], program: Program) -> list[str]:
    """The program, started by ``env`` with these words (``-C`` since coreutils 8.28); without words as it is."""
    if not words:
        return program.argv
    if not program.argv or "=" in program.argv[0]:
        raise LaunchError(
            f"env cannot set {shortened(words[-1])} for a program {shortened(repr(program.argv[:1]))}"
        )
    return ["env", *words, *program.argv]
