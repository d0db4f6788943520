"""What is asked of a launcher: the programs of a run, and the portable options with their checks."""

from __future__ import annotations

from hpc_connect.errors import LaunchError, shortened

PORTABLE = {
    "-n": "processes",
    "-np": "processes",
    "--n": "processes",
    "--np": "processes",
    "--per-node": "per_node",
    "--hosts": "hosts",
    "--cpus-per-process": "cpus_per_process",
    "--bind": "bind",
    "--workdir": "workdir",
    "--env": "env",
    "--tag-output": "tag_output",
    "--timeout": "timeout",
}
"""The options that mean the same under every launcher, each with the field it sets."""

BINDINGS = ("none", "hwthread", "core", "socket", "numa")
WITHOUT_VALUE = frozenset({"tag_output"})
OF_ONE_PROGRAM = frozenset({"processes", "workdir", "env"})

_MOST = 100_000_000


class Program:
    """One program of a run.

    Attributes:
        processes: how many of it, None when that is left to the launcher.
        counted: the launcher's own option says how many, so ``-n`` need not.
        workdir: the directory it starts in, None for the launcher's.
        env: variables to set, as pairs of name and value, in the order given.
        options: the launcher's own options, each with its values, untouched.
        argv: the program and its arguments, untouched.
    """

    __slots__ = ("argv", "counted", "env", "options", "processes", "workdir")

    def __init__(self) -> None:
        self.processes: int | None = None
        self.counted = False
        self.workdir: str | None = None
        self.env: list[tuple[str, str]] = []
        self.options: list[list[str]] = []
        self.argv: list[str] = []

    @property
    def own_words(self) -> list[str]:
        """The launcher's own options as they stand on the command line."""
        return [word for option in self.options for word in option]


class Run:
    """Programs that start together and see each other, and the options for all of them; None is not asked for.

    Attributes:
        programs: one, or several (``a : b``).
        hosts: pairs of a host and its number of processes (None: not said).
        own: the launcher's own options that were given or configured, each with its values.
    """

    __slots__ = (
        "bind", "cpus_per_process", "hosts", "own", "per_node", "programs", "tag_output", "timeout",
    )  # fmt: skip

    def __init__(self) -> None:
        self.programs: list[Program] = []
        self.per_node: int | None = None
        self.hosts: list[tuple[str, int | None]] | None = None
        self.cpus_per_process: int | None = None
        self.bind: str | None = None
        self.tag_output: bool | None = None
        self.timeout: int | None = None
        self.own: dict[str, list[str]] = {}

    @property
    def processes(self) -> int | None:
        """How many there are in all; None when a program leaves it to the launcher."""
        total = 0
        for program in self.programs:
            if program.processes is None:
                return None
            total += program.processes
        return total

    @property
    def shares(self) -> list[tuple[str, int | None]] | None:
        """The hosts, each with its number of processes: as given, else ``--per-node``, else an even share."""
        if self.hosts is None:
            return None
        share = self.per_node
        if share is None and self.processes is not None:
            share = -(-self.processes // len(self.hosts))
        return [(host, slots or share) for host, slots in self.hosts]

    @property
    def busiest(self) -> int | None:
        """How many processes the fullest host gets; None when nobody said."""
        total = self.processes
        counts = [self.per_node] if self.hosts is None else [slots for _, slots in self.shares or ()]
        most = max((count for count in counts if count is not None), default=total)
        return most if most is None or total is None else min(most, total)


def check(run: Run) -> None:
    """Settle what depends on several options.

    Raises:
        LaunchError: two options contradict each other.
    """
    if run.cpus_per_process is not None and run.bind not in {None, "core"}:
        raise LaunchError(
            f"--bind {run.bind} contradicts --cpus-per-process, which binds each process to its own cores: "
            f"leave one of them out"
        )
    if run.per_node is not None and any(slots is not None for _, slots in run.hosts or ()):
        raise LaunchError("--per-node contradicts --hosts with numbers of processes: leave one of them out")
    if len(run.programs) > 1:
        for program in run.programs:
            if program.processes is None and not program.counted:
                program.processes = 1


def count(option: str, text: str) -> int:
    """A number of processes or CPUs, from 1."""
    if text.isascii() and text.isdigit() and 0 < int(text[:20]) <= _MOST:
        return int(text)
    raise LaunchError(f"{option} {_shown(text)}: must be a whole number from 1 to {_MOST}")


def hosts(option: str, text: str) -> list[tuple[str, int | None]]:
    """``a,b`` or ``a:2,b:4``."""
    found: list[tuple[str, int | None]] = []
    for item in text.split(","):
        host, colon, slots = item.partition(":")
        if not host or host.startswith("-") or not host.isprintable() or " " in host:
            raise LaunchError(
                f"{option} {_shown(text)}: must be names of hosts with commas between them, such as "
                f"node1,node2, each with a number of processes or none: node1:2,node2:4"
            )
        found.append((host, count(option, slots) if colon else None))
    if len({slots is None for _, slots in found}) > 1:
        raise LaunchError(f"{option} {_shown(text)}: give all hosts a number of processes, or none")
    return found


def binding(option: str, text: str) -> str:
    """What each process is bound to."""
    if text not in BINDINGS:
        raise LaunchError(f"{option} {_shown(text)}: must be one of {', '.join(BINDINGS)}")
    return text


def variable(option: str, text: str) -> tuple[str, str]:
    """``NAME=VALUE``; the value may be anything."""
    name, equals, value = text.partition("=")
    if not equals or not name.isascii() or not name.isidentifier():
        raise LaunchError(
            f"{option} {_shown(text)}: must be NAME=VALUE, the name of letters, digits and _ "
            f"(one variable for each {option})"
        )
    return name, value


def workdir(option: str, text: str) -> str:
    """A directory, as it was written."""
    if not text:
        raise LaunchError(f"{option} '': must name a directory")
    return text


def seconds(option: str, text: str) -> int:
    """A bare number is seconds; else any form of a duration. Rounded up to a whole second."""
    if text.isascii() and text.isdigit() and 0 < int(text[:20]) <= _MOST:
        return int(text)
    from hpc_connect.quantities import Duration  # noqa: PLC0415 - costs more than all the rest, and is rare

    return Duration.parse(text, option).whole_seconds


def _shown(text: str) -> str:
    return shortened(repr(text))
