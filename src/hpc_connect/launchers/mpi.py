"""`mpiexec` of Open MPI, MPICH and Intel MPI, told apart by asking it for its version.

What the tables say was tried on Open MPI 4.1.4, 4.1.8 and 5.0.11, MPICH 4.0.2 and 5.0.2 and Intel MPI 2021.18;
which options take values comes from their ``--help`` and sources (Hydra: ``options.c``).
"""

from __future__ import annotations

from hpc_connect.errors import LaunchError
from hpc_connect.launcher import INSTALL, HPCLauncher, Place, Table, whereabouts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import ClassVar

    from hpc_connect.launcher.run import Run


class OpenMPI4(Table):
    """Open MPI 1 to 4 (ORTE)."""

    label = "Open MPI 4"
    one = frozenset(
        "N npernode npersocket ppr c n np H host hostfile machinefile default-hostfile add-host add-hostfile"
        " rf rankfile map-by rank-by bind-to cpu-list cpu-set cpus-per-proc cpus-per-rank wdir wd path prefix x"
        " am tune app output-filename stdin timeout personality report-events report-pid report-uri xml-file"
        " xterm preload-files launch-agent max-restarts max-vm-size hnp ompi-server cf cartofile debugger"
        " set-env unset-env".split()
    )
    two = frozenset("mca gmca omca gomca".split())
    none = frozenset(
        "allow-run-as-root bind-to-core bind-to-socket bycore bynode byslot continuous d debug-devel debug"
        " debug-daemons debug-daemons-file disable-recovery display-allocation display-devel-allocation"
        " display-devel-map display-diffable-map display-map display-topo do-not-launch do-not-resolve dvm"
        " enable-instant-on-support enable-recovery fwd-mpirun-port get-stack-traces index-argv-by-rank"
        " leave-session-attached merge-stderr-to-stdout nolocal nooversubscribe noprefix novm output-proctable"
        " oversubscribe pernode q quiet report-bindings report-child-jobs-separately report-state-on-timeout s"
        " preload-binary set-cwd-to-session-dir show-progress tag-output timestamp-output tv use-hwthread-cpus"
        " use-regexp v verbose V version xml".split()
    )
    counts = frozenset("c n np".split())
    programs = frozenset({"app"})
    says: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "bind": ("--bind-to", "{0}"),
        "workdir": ("--wdir", "{0}"),
        "env": ("-x", "{0}={1}"),
        "tag_output": ("--tag-output",),
        "timeout": ("--timeout", "{0}"),
    }

    def whole_run(self, run: Run, place: Place) -> list[str]:
        """Hosts with their slots, one mapping policy, and leave to do what the other launchers do unasked."""
        crowded = self._crowded(run, place)
        words = ["--allow-run-as-root"] if place.root else []
        if run.shares is not None:
            slots = [host if share is None else f"{host}:{share}" for host, share in run.shares]
            words += ["--host", ",".join(slots)]
        mapping = ["slot" if run.per_node is None else f"ppr:{run.per_node}:node"]
        mapping += [] if run.cpus_per_process is None else [f"PE={run.cpus_per_process}"]
        mapping += ["OVERSUBSCRIBE"] if crowded else []  # --oversubscribe makes Open MPI 5 forget the slots
        if mapping != ["slot"]:
            words += ["--map-by", ":".join(mapping)]
        if run.bind is not None:
            overload = ":overload-allowed" if crowded and run.bind != "none" else ""
            words += self.say("bind", run.bind + overload)
        words += self.say("tag_output") if run.tag_output else []
        words += self.say("timeout", run.timeout) if run.timeout is not None else []
        return words

    def _crowded(self, run: Run, place: Place) -> bool:
        """Whether a host gets more processes than it has cores, which Open MPI refuses unless told otherwise.

        Left to Open MPI where a scheduler gave the slots, or where somebody uses its own words to place
        processes; other hosts are taken to be like this one.
        """
        if place.allocated or run.cpus_per_process is not None or self.has(run, *_OPENMPI_PLACES):
            return False
        return run.busiest is not None and run.busiest > place.cores


_OPENMPI_PLACES = frozenset(
    "N npernode npersocket pernode ppr H host hostfile machinefile default-hostfile rf rankfile map-by app"
    " oversubscribe nooversubscribe bycore bynode byslot cpus-per-proc cpus-per-rank".split()
)


class OpenMPI5(OpenMPI4):
    """Open MPI 5 and later (PRRTE)."""

    label = "Open MPI 5"
    one = OpenMPI4.one | frozenset(
        "amca output output-directory display spawn-timeout runtime-options pset gpu-support forward-signals"
        " keepalive dvm tmpdir pmix-prefix app-pmix-prefix singleton initial-errhandler with-ft"
        " stream-buffering memory-alloc-kinds".split()
    )
    two = OpenMPI4.two | frozenset("prtemca pmixmca gpmixmca append-env prepend-env".split())
    none = (OpenMPI4.none - {"dvm"}) | frozenset(
        "display-comm display-comm-finalize stop-on-exec stop-in-init stop-in-app no-app-prefix no-ready-msg"
        " system-server set-sid hetero-nodes".split()
    )

    def says_env(self, run: Run) -> bool:
        """``-x`` of one program also reaches the programs after it."""
        return len(run.programs) == 1

    def warnings(self, run: Run) -> list[str]:
        """``-bind-to core`` with one dash is read as ``-b``, and the program becomes ``core``."""
        if "-bind-to" in run.own:
            raise LaunchError(
                "Open MPI 5 knows --bind-to only with two dashes; with one it would run the policy as a program"
            )
        return super().warnings(run)


class MPICH(Table):
    """MPICH 3 to 5, and what else comes with Hydra, such as MVAPICH.

    Its own time limit, ``MPIEXEC_TIMEOUT``, is not used: 5.0.2 exits with 0 after it in one case of six, and
    leaves processes running that ignore SIGTERM.
    """

    label = "MPICH"
    one = frozenset(
        "n np f hostfile machinefile machine machines machinelist host hosts hostlist rankmap ppn output-from"
        " prepend-pattern outfile-pattern errfile-pattern outfile errfile wdir configfile genvlist envlist"
        " launcher launcher-exec bootstrap bootstrap-exec rmk topolib binding bind-to map-by membind demux g"
        " gpus-per-proc gpu-subdevs-per-proc iface localhost nameserver order-nodes usize"
        " memory-alloc-kinds".split()
    )
    none = frozenset(
        "h help genvnone genvall envnone envall profile prepend-rank l enable-x disable-x debug disable-auto-cleanup"
        " enable-auto-cleanup disable-hostname-propagation enable-hostname-propagation hybrid-hosts info"
        " pmi-port print-all-exitcodes skip-launch-node v verbose version".split()
    )
    counts = frozenset("n np".split())
    says: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "per_node": ("-ppn", "{0}"),
        "bind": ("-bind-to", "{0}"),
        "workdir": ("-wdir", "{0}"),
        "env": ("-env", "{0}", "{1}"),
        "tag_output": ("-prepend-rank",),
    }

    def key(self, word: str) -> str:
        """Hydra takes any number of dashes, and capitals for small letters."""
        return super().key(word).lower()

    def arity(self, word: str, rest: Sequence[str]) -> int | None:
        """As before; ``-env`` and ``-genv`` take a name and a value, or both as one word."""
        if self.key(word) in {"env", "genv"}:
            together = "=" in word or (bool(rest) and "=" in rest[0])
            return 1 if together else 2
        return super().arity(word, rest)

    def whole_run(self, run: Run, place: Place) -> list[str]:
        """Hosts with their shares, and CPUs as a width of the binding."""
        words = self.hosts(run)
        if run.per_node is not None:
            words += self.say("per_node", run.per_node)
        words += self.binding(run)
        return words + (self.say("tag_output") if run.tag_output else [])

    def hosts(self, run: Run) -> list[str]:
        """The hosts, filled in order."""
        if run.shares is None:
            return []
        return [
            "-hosts",
            ",".join(host if share is None else f"{host}:{share}" for host, share in run.shares),
        ]

    def binding(self, run: Run) -> list[str]:
        """What each process is bound to, and how wide."""
        if run.cpus_per_process is not None:
            return self.say("bind", f"core:{run.cpus_per_process}")
        return self.say("bind", run.bind) if run.bind is not None else []

    def warnings(self, run: Run) -> list[str]:
        """What Hydra reads otherwise than Open MPI or srun: it ignores case, and ``ppr``."""
        found = []
        for option, values in run.own.items():
            name = option.lstrip("-")
            if name == "H":
                raise LaunchError(
                    "MPICH takes -H for a request for help, and would run nothing and report success: "
                    "write --hosts"
                )
            if name in {"N", "NP"}:
                found.append(
                    f"MPICH reads {option} as the number of processes, not per node: write -n or --per-node"
                )
            if self.key(option) == "map-by" and values and values[0].startswith("ppr:"):
                found.append(f"MPICH ignores {option} {values[0]}: write --per-node")
        return found


class IntelMPI(MPICH):
    """Intel MPI 2018 and later: Hydra with other options, and with pinning by variables."""

    label = "Intel MPI"
    one = MPICH.one | frozenset(
        "perhost grr s gtool gtoolfile gdb-args hosts-group tune cpu-bind umask path".split()
    )
    none = MPICH.none | frozenset(
        "nolocal print-rank-map prepend-timestamp prot silent-abort aps mps gdb ilp64 rr V".split()
    )

    def key(self, word: str) -> str:
        """Intel MPI tells capitals from small letters."""
        return Table.key(self, word)

    def hosts(self, run: Run) -> list[str]:
        """Hosts without numbers, which are taken as part of the name; the same number for all is said by -ppn."""
        if run.shares is None:
            return []
        shares = {share for _, share in run.shares}
        if len(shares) > 1:
            raise LaunchError("--hosts: Intel MPI cannot give hosts different numbers of processes")
        words = ["-hosts", ",".join(host for host, _ in run.shares)]
        share = shares.pop()
        return words if share is None or run.per_node is not None else [*words, *self.say("per_node", share)]

    def binding(self, run: Run) -> list[str]:
        """``-bind-to`` is accepted without effect; pinning is done by variables."""
        if run.cpus_per_process is not None:
            return ["-genv", "I_MPI_PIN_DOMAIN", str(run.cpus_per_process)]
        if run.bind is None:
            return []
        if run.bind == "none":
            return ["-genv", "I_MPI_PIN", "0"]
        return ["-genv", "I_MPI_PIN_DOMAIN", "1" if run.bind == "hwthread" else run.bind]

    def warnings(self, run: Run) -> list[str]:
        """``-bind-to`` has no effect."""
        if any(self.key(option) in {"bind-to", "binding"} for option in run.own):
            return ["Intel MPI accepts -bind-to without effect: write --bind"]
        return []


class UnknownMPI(Table):
    """An ``mpiexec`` that does not say whose it is: what all of them have in common."""

    label = "an unknown mpiexec"
    one = OpenMPI5.one | MPICH.one
    two = OpenMPI5.two
    none = (OpenMPI5.none | MPICH.none) - one
    counts = frozenset("n np".split())
    programs = OpenMPI5.programs | MPICH.programs
    says: ClassVar[Mapping[str, tuple[str, ...]]] = {"workdir": ("-wdir", "{0}")}


_TABLES = {"openmpi4": OpenMPI4, "openmpi5": OpenMPI5, "mpich": MPICH, "intel": IntelMPI}


class MPILauncher(HPCLauncher):
    """``mpiexec`` or ``mpirun``, the first on ``PATH`` or beside the running Python."""

    name = "mpi"
    table = UnknownMPI()

    @staticmethod
    def matches(name: str | None) -> bool:
        """``mpi``, ``mpiexec``, ``mpirun`` and their kinds, such as ``mpiexec.hydra``."""
        return name is not None and name.partition(".")[0] in {"mpi", "mpiexec", "mpirun"}

    @property
    def executable(self) -> str:
        """The path of ``mpiexec``, else of ``mpirun``."""
        found = whereabouts("mpiexec", "mpirun")
        if found is None:
            raise LaunchError(f"launcher mpi: neither mpiexec nor mpirun was found; {INSTALL}")
        return found

    def question(self, program: str) -> list[str]:
        """All of them answer ``--version``, as root too."""
        return [program, "--version"]

    def kind(self, answer: str) -> str:
        """Read the answer to ``--version``.

        ``mpiexec (OpenRTE) 4.1.4`` · ``mpiexec (Open MPI) 5.0.11`` · ``HYDRA build details:`` and a line
        ``Version: 5.0.2`` · ``Intel(R) MPI Library for Linux* OS, Version 2021.18.1 Build 20260626``.
        """
        first = answer.partition("\n")[0]
        if "(OpenRTE)" in first or "(Open MPI)" in first:
            return f"openmpi {first.split()[-1]}"
        if "Intel(R) MPI Library" in first:
            return f"intel {_after(first, 'Version')}"
        if "HYDRA build details" in first:
            return f"mpich {_after(answer, 'Version:')}"
        return ""

    def table_of(self, kind: str) -> Table:
        """The table for a kind and version."""
        family, _, version = kind.partition(" ")
        if family == "openmpi":
            major = version.partition(".")[0]
            family += "4" if major.isdigit() and int(major) < 5 else "5"
        found = _TABLES.get(family)
        return self.table if found is None else found()


def _after(text: str, word: str) -> str:
    """The word that follows another."""
    words = text.split()
    return words[words.index(word) + 1] if word in words[:-1] else "?"


LAUNCHER = MPILauncher
