"""Reading a command line of `hpc-launch`: which words are options, which are values, where a program begins.

Nothing is looked up on ``PATH``: a value may have the name of a program (``-host time``). What takes a value
is known from the launcher's table, and ``--`` settles doubt.
"""

from __future__ import annotations

from hpc_connect.errors import LaunchError, shortened
from hpc_connect.launcher import run as checks
from hpc_connect.launcher.run import OF_ONE_PROGRAM, PORTABLE, WITHOUT_VALUE, Program, Run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpc_connect.launcher.table import Table

SUPPRESS = "SUPPRESS"

RESERVED = frozenset({"--backend", "--config-file", "--dry-run", "--check"})
"""Options of the command itself, which it takes out before a launcher sees the words."""

SLURM_FLAGS = frozenset(
    "--contiguous --disable-status -X --exact --exclusive --help -h --hold -H --label -l --no-allocate -Z"
    " --overcommit -O --overlap --oversubscribe -s --preserve-env -E --pty --quiet -Q --quit-on-interrupt"
    " --reboot --spread-job --test-only --unbuffered -u --usage --use-min-nodes --verbose -v --version -V"
    " --bcast --compress --immediate -I --kill-on-bad-exit -K --nice --no-kill -k --propagate --resv-ports"
    " --send-libs --x11 --multi-prog".split()
)
"""Options of srun that take no value, or one only after ``=`` (srun(1), Slurm 22.05)."""

_CHECKS = {
    "processes": checks.count,
    "per_node": checks.count,
    "hosts": checks.hosts,
    "cpus_per_process": checks.count,
    "bind": checks.binding,
    "workdir": checks.workdir,
    "env": checks.variable,
    "timeout": checks.seconds,
}


def is_option(word: str) -> bool:
    """Whether a word is an option by its looks."""
    return word.startswith("-") and word not in {"-", "--"}


def portable(word: str) -> tuple[str, str, str | None] | None:
    """The option, field and attached value of a portable option; None for any other word."""
    name, equals, attached = word.partition("=")
    if name in PORTABLE:
        return name, PORTABLE[name], attached if equals else None
    if word.startswith("-n") and word[2:].isdigit():
        return "-n", "processes", word[2:]
    return None


class Reader:
    """Reads words into a :class:`Run`.

    Args:
        table: what the launcher's own options are.
        mappings: options to be replaced by another, or dropped.
        numproc_flag: a further word for the number of processes; empty for none.
    """

    def __init__(
        self, table: Table, mappings: Mapping[str, str] | None = None, numproc_flag: str = ""
    ) -> None:
        self._table = table
        self._mappings = mappings or {}
        self._numproc_flag = numproc_flag.rstrip("=")
        self._run = Run()
        self._program = Program()
        self._given: set[str] = set()

    def read(self, words: Sequence[str]) -> Run:
        """Read a whole command line.

        Raises:
            LaunchError: a program is missing, a value is wrong, or it cannot be told where a program begins.
        """
        for segment in _split(words):
            self._program = Program()
            self._given -= OF_ONE_PROGRAM
            self._read_program(segment)
            self._run.programs.append(self._program)
        checks.check(self._run)
        return self._run

    def _read_program(self, words: Sequence[str]) -> None:
        position = 0
        while position < len(words) and is_option(words[position]):
            position += self._read_option(words[position], words[position + 1 :])
        if position < len(words) and words[position] == "--":
            position += 1
        self._program.argv = [*words[position:]]
        if not self._program.argv and not self._table.brings_program(self._program):
            where = f" number {len(self._run.programs) + 1}" if len(self._run.programs) else ""
            raise LaunchError(
                f"no program{where} to launch. Usage: hpc-launch [options] program [arguments] [: ...]"
            )

    def _read_option(self, word: str, rest: Sequence[str]) -> int:
        """Take one option and its values; say how many words that were."""
        name, equals, attached = word.partition("=")
        replacement = self._mappings.get(name)
        if replacement == SUPPRESS:
            return 1 if equals else 1 + self._suppressed_values(name, rest)
        if replacement is not None:
            word = replacement + equals + attached
        if word.partition("=")[0] in RESERVED:
            raise LaunchError(
                f"{word} belongs to hpc-launch itself: write it before the options of {self._table.label}"
            )
        known = self._portable(word)
        if known is not None:
            return self._read_portable(*known, rest)
        return self._read_own(word, rest)

    def _portable(self, word: str) -> tuple[str, str, str | None] | None:
        name, equals, attached = word.partition("=")
        if name == self._numproc_flag:
            return name, "processes", attached if equals else None
        return portable(word)

    def _read_portable(self, option: str, field: str, value: str | None, rest: Sequence[str]) -> int:
        if field not in OF_ONE_PROGRAM and self._run.programs:
            raise LaunchError(f"{option} is for the whole run: write it before the first program")
        if field in self._given and field != "env":
            raise LaunchError(f"{option} is given twice")
        self._given.add(field)
        if field in WITHOUT_VALUE:
            if value is not None:
                raise LaunchError(f"{option} takes no value, but was given {shortened(repr(value))}")
            setattr(self._run, field, True)
            return 1
        taken = 1
        if value is None:
            if not rest or rest[0] == "--":
                raise LaunchError(f"{option} needs a value")
            value, taken = rest[0], 2
        checked = _CHECKS[field](option, value)
        if isinstance(checked, tuple):
            self._program.env.append(checked)
        else:
            setattr(self._program if field in OF_ONE_PROGRAM else self._run, field, checked)
        return taken

    def _read_own(self, word: str, rest: Sequence[str]) -> int:
        name, equals, attached = word.partition("=")
        values = self._table.arity(word, rest)
        if values is None:
            values = self._values_in_doubt(word, rest)
        if values > len(rest):
            raise LaunchError(f"{word} needs {'a value' if values == 1 else f'{values} values'}")
        taken = [*rest[:values]]
        self._program.options.append([word, *taken])
        given = [attached, *taken] if equals else taken
        self._run.own[name] = given
        if self._table.counts_processes(name) and given:
            self._program.processes = checks.count(name, given[0])
            self._program.counted = True
        return 1 + values

    def _values_in_doubt(self, option: str, rest: Sequence[str]) -> int:
        """How many words are values of an option that the table does not know.

        Where the next word could be its value or the program, a ``--`` further on tells. Without one the
        words go to the launcher as they are, in order, which comes to the same, unless something that is
        ours to translate stands among them.

        Raises:
            LaunchError: it makes a difference, and nothing tells.
        """
        if "=" in option:
            return 0
        bare = 0
        while bare < len(rest) and not is_option(rest[bare]) and rest[bare] != "--":
            bare += 1
        if "--" in rest:
            return bare
        for word in rest[1:] if bare else ():
            if self._portable(word) or word.partition("=")[0] in self._mappings:
                raise LaunchError(
                    f"is {rest[0]!r} the value of {option}, which {self._table.label} is not known to have, or "
                    f"the program? Write {option}={rest[0]}, or -- before the program"
                )
        return 0

    def _suppressed_values(self, name: str, rest: Sequence[str]) -> int:
        """How many words go with an option that is dropped; it is often one of another launcher."""
        values = self._table.arity(name, rest)
        if values is None:
            values = 0 if name in SLURM_FLAGS else 1
        return values if rest and not is_option(rest[0]) and rest[0] != "--" else 0


def _split(words: Sequence[str]) -> list[list[str]]:
    """The words between the colons."""
    segments: list[list[str]] = [[]]
    for word in words:
        if word == ":":
            segments.append([])
        else:
            segments[-1].append(word)
    return segments
