"""`srun` of Slurm. What the table says comes from srun(1) of Slurm 22.05."""

from __future__ import annotations

from hpc_connect.errors import LaunchError, shortened
from hpc_connect.launcher import FILE, Command, HPCLauncher, Place, Table, whereabouts
from hpc_connect.launcher.reader import SLURM_FLAGS
from hpc_connect.launcher.table import expanded, through_env

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import ClassVar

    from hpc_connect.config import LaunchSection
    from hpc_connect.launcher.run import Program, Run

_BINDINGS = {"none": "none", "hwthread": "threads", "core": "cores", "socket": "sockets", "numa": "ldoms"}


class Srun(Table):
    """The words of srun; its options are read as getopt does, so short ones may stand together.

    It has none for variables: ``--export`` lets the caller's own win, and splits values at commas.
    """

    label = "srun"
    one = frozenset(
        "--accel-bind --account -A --acctg-freq --bb --bbf --bcast-exclude --begin -b --chdir -D"
        " --cluster-constraint --clusters -M --comment --constraint -C --container --core-spec -S"
        " --cores-per-socket --cpu-bind --cpu-freq --cpus-per-gpu --cpus-per-task -c --deadline --delay-boot"
        " --dependency -d --distribution -m --epilog --error -e --exclude -x --export --extra-node-info -B --gid"
        " --gpu-bind --gpu-freq --gpus -G --gpus-per-node --gpus-per-socket --gpus-per-task --gres --gres-flags"
        " --het-group --hint --input -i --job-name -J --jobid --licenses -L --mail-type --mail-user --mcs-label"
        " --mem --mem-bind --mem-per-cpu --mem-per-gpu --mincpus --mpi --msg-timeout --network --nodefile -F"
        " --nodelist -w --nodes -N --ntasks -n --ntasks-per-core --ntasks-per-gpu --ntasks-per-node"
        " --ntasks-per-socket --open-mode --output -o --partition -p --power --prefer --priority --profile"
        " --prolog --qos -q --relative -r --reservation --signal --slurmd-debug --sockets-per-node --switches"
        " --task-epilog --task-prolog --thread-spec --threads -T --threads-per-core --time -t --time-min --tmp"
        " --tree-width --uid --wait -W --wckey".split()
    )
    none = SLURM_FLAGS
    counts = frozenset({"--ntasks"})
    programs = frozenset()
    says: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "per_node": ("--ntasks-per-node={0}",),
        "cpus_per_process": ("--cpus-per-task={0}",),
        "bind": ("--cpu-bind={0}",),
        "workdir": ("--chdir={0}",),
        "tag_output": ("--label",),
        "timeout": ("--time={0}",),
    }

    def key(self, word: str) -> str:
        """Long and short options are different things here."""
        return word.partition("=")[0] if word.startswith("--") else word[:2]

    def arity(self, word: str, rest: Sequence[str]) -> int | None:
        """A short option may carry its value, and flags may stand before it: ``-lN2``."""
        if word.startswith("--"):
            return super().arity(word, rest)
        for position, letter in enumerate(word[1:], start=2):
            if f"-{letter}" in self.one:
                return 0 if position < len(word) else 1
            if f"-{letter}" in {"-I", "-K", "-k"}:
                return 0  # what follows is the value it may have
            if f"-{letter}" not in self.none:
                return None
        return 0

    def command(self, program: str, run: Run, place: Place, settings: LaunchSection) -> Command:
        """Several programs are one step of Slurm, described in a file for ``--multi-prog``."""
        if len(run.programs) == 1:
            return super().command(program, run, place, settings)
        first, *others = [self._own_words(part) for part in run.programs]
        for own in others:
            if own:
                raise LaunchError(
                    f"srun starts all programs as one step, so {own[0]} is for all of them: "
                    f"write it before the first program"
                )
        words = [program, *expanded(settings.get("default_options"), run.processes)]
        words += self.whole_run(run, place)
        words += expanded(settings.get("local_options"), run.processes)
        words += [*first, f"--ntasks={run.processes}", "--multi-prog", FILE]
        return Command(self.label, words, file=multi_prog(run.programs), warnings=self.warnings(run))

    def _own_words(self, program: Program) -> list[str]:
        """Its own options but those for the number of processes, which is said once for all programs."""
        own = [option for option in program.options if not self.counts_processes(option[0])]
        return [word for option in own for word in option]

    def whole_run(self, run: Run, place: Place) -> list[str]:
        """Hosts are exactly these; bindings and minutes have words of their own."""
        words = self._hosts(run)
        for field in ("per_node", "cpus_per_process"):
            if getattr(run, field) is not None:
                words += self.say(field, getattr(run, field))
        words += self.say("bind", _BINDINGS[run.bind]) if run.bind is not None else []
        words += self.say("tag_output") if run.tag_output else []
        words += self.say("timeout", -(-run.timeout // 60)) if run.timeout is not None else []
        return words

    def _hosts(self, run: Run) -> list[str]:
        if run.hosts is None:
            return []
        slots = {slots for _, slots in run.hosts}
        if len(slots) > 1:
            raise LaunchError("--hosts: srun cannot give hosts different numbers of processes")
        words = [f"--nodelist={','.join(host for host, _ in run.hosts)}", f"--nodes={len(run.hosts)}"]
        share = slots.pop()
        return words if share is None else [*words, *self.say("per_node", share)]

    def warnings(self, run: Run) -> list[str]:
        """Slurm counts time limits in minutes."""
        if run.timeout is None or run.timeout % 60 == 0:
            return []
        return [
            f"srun counts time limits in whole minutes: {run.timeout} s become {-(-run.timeout // 60)} min"
        ]


# What reads the file: src/srun/libsrun/{multi_prog,launch}.c, which take lines and a file of such sizes, and
# src/slurmd/slurmstepd/multi_prog.c, which drops further words without an error.
_LONGEST_LINE = 16_000
_LARGEST_FILE = 60_000
_MOST_WORDS = 126

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@+=:,./_-")


def multi_prog(programs: Sequence[Program]) -> str:
    """The file that tells which ranks run which program: ranks from 0, in the order of the programs.

    Raises:
        LaunchError: a program or an argument cannot be written in such a file.
    """
    first = 0
    lines = []
    for program in programs:
        last = first + (program.processes or 1) - 1
        by_env = ["-C", program.workdir] if program.workdir is not None else []
        words = through_env([*by_env, *(f"{name}={value}" for name, value in program.env)], program)
        line = " ".join([str(first) if last == first else f"{first}-{last}", *map(_quoted, words)])
        if len(words) > _MOST_WORDS or len(line.encode(errors="surrogateescape")) > _LONGEST_LINE:
            raise LaunchError(
                f"srun --multi-prog takes at most {_MOST_WORDS} words and {_LONGEST_LINE} bytes for a program; "
                f"{shortened(words[0])} with its arguments has more: put them into a script"
            )
        lines.append(line + "\n")
        first = last + 1
    text = "".join(lines)
    if len(text.encode(errors="surrogateescape")) > _LARGEST_FILE:
        raise LaunchError(f"srun --multi-prog takes at most {_LARGEST_FILE} bytes for all programs together")
    return text


def _quoted(word: str) -> str:
    """A word as the file's reader takes it whole: ``%`` and blanks mean nothing inside single quotes."""
    if "\n" in word:
        raise LaunchError(
            f"srun --multi-prog cannot pass a newline in {shortened(repr(word))}: put it into a script"
        )
    if word and _PLAIN.issuperset(word):
        return word
    return "'" + word.replace("'", "'\\''") + "'"


class SrunLauncher(HPCLauncher):
    """``srun``, which starts the tasks of a job step, inside an allocation of Slurm or with one of its own."""

    name = "srun"
    table = Srun()

    @staticmethod
    def matches(name: str | None) -> bool:
        """``srun`` only."""
        return name == "srun"

    @property
    def executable(self) -> str:
        """The path of ``srun``."""
        found = whereabouts("srun")
        if found is None:
            raise LaunchError(
                "launcher srun: no srun was found; on a machine of a Slurm cluster load its module, "
                "on Debian: apt-get install slurm-client"
            )
        return found


LAUNCHER = SrunLauncher
