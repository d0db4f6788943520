"""What a command line of ``hpc-launch`` asks for, and the command that this comes to."""

from __future__ import annotations

import os

from hpc_connect import config
from hpc_connect.cli.launcher_kind import kind_of
from hpc_connect.errors import LaunchError
from hpc_connect.launcher import Place
from hpc_connect.launcher.reader import is_option, portable
from hpc_connect.launcher.run import WITHOUT_VALUE
from hpc_connect.plugins import get_launcher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpc_connect.launcher import Command

HELP = """\
usage: hpc-launch [options] program [arguments] [: [options] program [arguments]] ...

Start a parallel program with the launcher there is: mpiexec of Open MPI, MPICH or Intel MPI, or srun.

of hpc-launch itself; they come first, or between the portable options:
  --backend NAME          the launcher: mpi, srun, or one that an installed package brings
  --config-file FILE      read this configuration file in place of the project's
  --dry-run               print the command instead of running it
  --check[=PYTHON]        run a small MPI program that shows whether launcher and MPI library fit together
  --version, --help

portable: mean the same under every launcher
  -n N                    number of processes (also -np N, --np N)
  --per-node N            processes on each host
  --hosts A,B or A:2,B:4  the hosts, which get even shares, or these numbers of processes
  --cpus-per-process N    cores of its own for each process
  --bind WHAT             bind each process to a core, hwthread, socket, numa, or none
  --workdir DIR           directory the program starts in
  --env NAME=VALUE        set a variable for the program; once for each variable
  --tag-output            begin each line of output with the rank it comes from
  --timeout TIME          end the run after this many seconds, or after "90s", "30m", "H:MM:SS"

All other options are the launcher's own and reach it untouched. "--" ends the options.
-n, --workdir and --env belong to the program they stand before, the other portable options to the whole run.
"""


class Request:
    """The options of the command itself, and the words that are the launcher's.

    Attributes:
        check: the Python to check with; empty for the running one; None when no check is asked for.
        words: all the rest.
        counted: ``-n`` is among the words.
    """

    __slots__ = ("backend", "check", "config_file", "counted", "dry_run", "show", "words")

    def __init__(self, words: Sequence[str]) -> None:
        self.backend: str | None = None
        self.config_file: str | None = None
        self.check: str | None = None
        self.dry_run = False
        self.show: str | None = None
        self.counted = False
        self.words: list[str] = []
        position = 0
        while position < len(words) and is_option(words[position]):
            taken = self._read(words, position)
            if not taken:
                break
            position += taken
        self.words += words[position:]

    def _read(self, words: Sequence[str], position: int) -> int:
        """Take one option, and say how many words it was; 0 where the launcher's table must tell."""
        word = words[position]
        following = words[position + 1] if position + 1 < len(words) else None
        name, equals, attached = word.partition("=")
        if name in {"--backend", "--config-file"}:
            value = attached if equals else following
            if not value:
                raise LaunchError(f"{name} needs a value")
            setattr(self, name.strip("-").replace("-", "_"), value)
            return 1 if equals else 2
        if word == "--dry-run":
            self.dry_run = True
        elif name == "--check":
            self.check = attached
        elif word in {"-h", "--help"}:
            self.show = HELP
        elif word == "--version":
            self.show = _version()
        else:
            return self._keep(words, position, following)
        return 1

    def _keep(self, words: Sequence[str], position: int, following: str | None) -> int:
        """Leave an option to the launcher, with its value if it is certain to be one."""
        word = words[position]
        known = portable(word)
        if known is None:
            if following is not None and not is_option(following) and "=" not in word:
                return 0
            taken = 1
        else:
            self.counted |= known[1] == "processes"
            taken = 1 if known[2] is not None or known[1] in WITHOUT_VALUE else 2
        self.words += words[position : position + taken]
        return taken


def command(request: Request) -> Command:
    """The command that a request comes to.

    Raises:
        HPCConnectError: it cannot be made; see :func:`hpc_connect.launch`.
    """
    if not request.words:
        raise LaunchError("no program to launch; see hpc-launch --help")
    launcher = get_launcher(request.backend, request.config_file)
    settings = config.launch_section(request.config_file, launcher.matches)
    program = launcher.program(settings)
    return launcher.command(
        request.words,
        program=program,
        kind=kind_of(launcher, program),
        place=_place(),
        settings=settings,
    )


_ALLOCATIONS = ("SLURM_JOB_ID", "PBS_NODEFILE", "PE_HOSTFILE", "LSB_JOBID", "COBALT_JOBID", "FLUX_JOB_ID")


def _place() -> Place:
    allocated = any(config.variable(name) for name in _ALLOCATIONS)
    return Place(root=os.geteuid() == 0, allocated=allocated, cores=_cores())


def _cores() -> int:
    """The cores that this process may run on; hardware threads of one core count once."""
    cpus = os.sched_getaffinity(0)
    try:
        with open(f"/sys/devices/system/cpu/cpu{min(cpus)}/topology/thread_siblings_list") as siblings:
            ranges = [part.partition("-") for part in siblings.read().split(",")]
        threads = sum(int(last or first) - int(first) + 1 for first, _, last in ranges)
    except (OSError, ValueError):
        threads = 1
    return max(1, len(cpus) // threads)


def _version() -> str:
    from hpc_connect import __version__  # noqa: PLC0415 - only to show it

    return f"hpc-launch (hpc_connect) {__version__}\n"
