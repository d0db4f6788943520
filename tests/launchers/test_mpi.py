"""`mpiexec`: its kinds, and what each portable option becomes under each of them.

The commands here are looked at; `tests/real/test_mpi.py` runs them.
"""

from __future__ import annotations

from typing import Any

import pytest

from hpc_connect.errors import LaunchError
from hpc_connect.launcher import Command, Place
from hpc_connect.launchers.mpi import LAUNCHER, MPILauncher

KINDS = {
    "open mpi 4": "openmpi 4.1.4",
    "open mpi 5": "openmpi 5.0.11",
    "mpich": "mpich 4.0.2",
    "intel": "intel 2021.18.1",
    "unknown": "",
}


def command(kind: str, *words: str, settings: Any = None, **place: Any) -> Command:
    return MPILauncher().command(
        words, program="mpiexec", kind=kind, settings=settings or {}, place=Place(**{"cores": 64, **place})
    )


def argv(kind: str, *words: str, **options: Any) -> list[str]:
    found = command(kind, *words, **options).argv
    return found[1:] if found[0] == "mpiexec" else found


# ---------------------------------------------------------------- which kind it is


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("mpiexec.openmpi (OpenRTE) 4.1.4\n\nReport bugs to http://www.open-mpi.org/\n", "openmpi 4.1.4"),
        ("mpirun (Open MPI) 1.10.7\n", "openmpi 1.10.7"),
        (
            "mpiexec (Open MPI) 5.0.11\n\nReport bugs to https://www.open-mpi.org/community/help/\n",
            "openmpi 5.0.11",
        ),
        ("HYDRA build details:\n    Version:          5.0.2\n    Release Date:   Fri\n", "mpich 5.0.2"),
        ("HYDRA build details:\n    Version:          4.0.2\n", "mpich 4.0.2"),
        (
            "Intel(R) MPI Library for Linux* OS, Version 2021.18.1 Build 20260626 (id: b44796a)\nCopyright\n",
            "intel 2021.18.1",
        ),
        ("mpiexec version 1.4.0 of some PALS\n", ""),
        ("", ""),
        ("HYDRA build details:\n", "mpich ?"),
    ],
)
def test_the_kind_is_read_from_the_answer_to_version(answer: str, kind: str) -> None:
    assert MPILauncher().kind(answer) == kind
    assert MPILauncher().question("/opt/mpiexec") == ["/opt/mpiexec", "--version"]


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        ("openmpi 1.10.7", "Open MPI 4"),
        ("openmpi 4.1.8", "Open MPI 4"),
        ("openmpi 5.0.11", "Open MPI 5"),
        ("openmpi 6.0.0rc2", "Open MPI 5"),
        ("openmpi 10.0", "Open MPI 5"),
        ("mpich 3.4.3", "MPICH"),
        ("intel 2021.18.1", "Intel MPI"),
        ("", "an unknown mpiexec"),
        ("other 1", "an unknown mpiexec"),
    ],
)
def test_each_kind_has_its_table(kind: str, label: str) -> None:
    assert MPILauncher().table_of(kind).label == label
    assert command(kind, "app").launcher == label


@pytest.mark.parametrize("name", ["mpi", "mpiexec", "mpirun", "mpiexec.hydra", "mpirun.openmpi"])
def test_it_is_known_by_the_names_of_its_programs(name: str) -> None:
    assert LAUNCHER.matches(name)


@pytest.mark.parametrize("name", [None, "", "srun", "mpiexecutor", "/usr/bin/mpiexec", "openmpi"])
def test_other_names_are_not_its(name: str | None) -> None:
    assert not LAUNCHER.matches(name)


# ---------------------------------------------------------------- the table of translations

TRANSLATIONS: dict[str, tuple[list[str], dict[str, list[str]]]] = {
    "number of processes": (
        ["-n", "4"],
        {kind: ["-n", "4"] for kind in KINDS},
    ),
    "per node": (
        ["-n", "4", "--per-node", "2"],
        {
            "open mpi 4": ["--map-by", "ppr:2:node", "-n", "4"],
            "open mpi 5": ["--map-by", "ppr:2:node", "-n", "4"],
            "mpich": ["-ppn", "2", "-n", "4"],
            "intel": ["-ppn", "2", "-n", "4"],
        },
    ),
    "hosts share evenly": (
        ["-n", "3", "--hosts", "a,b"],
        {
            "open mpi 4": ["--host", "a:2,b:2", "-n", "3"],
            "open mpi 5": ["--host", "a:2,b:2", "-n", "3"],
            "mpich": ["-hosts", "a:2,b:2", "-n", "3"],
            "intel": ["-hosts", "a,b", "-ppn", "2", "-n", "3"],
        },
    ),
    "hosts with their numbers": (
        ["-n", "5", "--hosts", "a:1,b:4"],
        {
            "open mpi 4": ["--host", "a:1,b:4", "-n", "5"],
            "open mpi 5": ["--host", "a:1,b:4", "-n", "5"],
            "mpich": ["-hosts", "a:1,b:4", "-n", "5"],
        },
    ),
    "hosts and processes per node": (
        ["-n", "6", "--hosts", "a,b", "--per-node", "3"],
        {
            "open mpi 4": ["--host", "a:3,b:3", "--map-by", "ppr:3:node", "-n", "6"],
            "open mpi 5": ["--host", "a:3,b:3", "--map-by", "ppr:3:node", "-n", "6"],
            "mpich": ["-hosts", "a:3,b:3", "-ppn", "3", "-n", "6"],
            "intel": ["-hosts", "a,b", "-ppn", "3", "-n", "6"],
        },
    ),
    "hosts only": (
        ["--hosts", "a,b"],
        {
            "open mpi 4": ["--host", "a,b"],
            "open mpi 5": ["--host", "a,b"],
            "mpich": ["-hosts", "a,b"],
            "intel": ["-hosts", "a,b"],
        },
    ),
    "cpus per process": (
        ["-n", "2", "--cpus-per-process", "4"],
        {
            "open mpi 4": ["--map-by", "slot:PE=4", "-n", "2"],
            "open mpi 5": ["--map-by", "slot:PE=4", "-n", "2"],
            "mpich": ["-bind-to", "core:4", "-n", "2"],
            "intel": ["-genv", "I_MPI_PIN_DOMAIN", "4", "-n", "2"],
        },
    ),
    "cpus per process, processes per node": (
        ["-n", "2", "--cpus-per-process", "4", "--bind=core", "--per-node=1"],
        {
            "open mpi 4": ["--map-by", "ppr:1:node:PE=4", "--bind-to", "core", "-n", "2"],
            "open mpi 5": ["--map-by", "ppr:1:node:PE=4", "--bind-to", "core", "-n", "2"],
            "mpich": ["-ppn", "1", "-bind-to", "core:4", "-n", "2"],
            "intel": ["-ppn", "1", "-genv", "I_MPI_PIN_DOMAIN", "4", "-n", "2"],
        },
    ),
    "binding": (
        ["--bind", "numa"],
        {
            "open mpi 4": ["--bind-to", "numa"],
            "open mpi 5": ["--bind-to", "numa"],
            "mpich": ["-bind-to", "numa"],
            "intel": ["-genv", "I_MPI_PIN_DOMAIN", "numa"],
        },
    ),
    "no binding": (
        ["--bind", "none"],
        {
            "open mpi 4": ["--bind-to", "none"],
            "open mpi 5": ["--bind-to", "none"],
            "mpich": ["-bind-to", "none"],
            "intel": ["-genv", "I_MPI_PIN", "0"],
        },
    ),
    "working directory": (
        ["--workdir", "../a b"],
        {
            "open mpi 4": ["--wdir", "../a b"],
            "open mpi 5": ["--wdir", "../a b"],
            "mpich": ["-wdir", "../a b"],
            "intel": ["-wdir", "../a b"],
            "unknown": ["-wdir", "../a b"],
        },
    ),
    "environment": (
        ["--env", "A=x=y z", "--env=B="],
        {
            "open mpi 4": ["-x", "A=x=y z", "-x", "B="],
            "open mpi 5": ["-x", "A=x=y z", "-x", "B="],
            "mpich": ["-env", "A", "x=y z", "-env", "B", ""],
            "intel": ["-env", "A", "x=y z", "-env", "B", ""],
            "unknown": ["env", "A=x=y z", "B="],
        },
    ),
    "tagged output": (
        ["--tag-output"],
        {
            "open mpi 4": ["--tag-output"],
            "open mpi 5": ["--tag-output"],
            "mpich": ["-prepend-rank"],
            "intel": ["-prepend-rank"],
        },
    ),
    "time-out": (
        ["--timeout", "2m"],
        {
            "open mpi 4": ["--timeout", "120"],
            "open mpi 5": ["--timeout", "120"],
            "mpich": ["timeout", "--foreground", "--kill-after=10", "120", "mpiexec"],
            "intel": ["timeout", "--foreground", "--kill-after=10", "120", "mpiexec"],
            "unknown": ["timeout", "--foreground", "--kill-after=10", "120", "mpiexec"],
        },
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", TRANSLATIONS)
def test_portable_options_are_translated_or_refused(what: str, kind: str) -> None:
    words, translations = TRANSLATIONS[what]
    if kind in translations:
        assert argv(KINDS[kind], *words, "app", "-n", "9") == [*translations[kind], "app", "-n", "9"]
    else:
        with pytest.raises(LaunchError) as refused:
            command(KINDS[kind], *words, "app")
        assert any(str(refused.value).startswith(word.partition("=")[0]) for word in words)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_programs_are_joined_by_colons_each_with_its_own(kind: str) -> None:
    found = argv(kind, "-n", "2", "--workdir", "d", "a", ":", "-n", "1", "b", "x")
    workdir = "--wdir" if kind.startswith("openmpi") else "-wdir"
    assert found == ["-n", "2", workdir, "d", "a", ":", "-n", "1", "b", "x"]


def test_open_mpi_5_sets_variables_by_env_where_there_are_more_programs() -> None:
    words = ["--env", "A=1", "a", ":", "--env", "B=2", "b"]
    assert argv("openmpi 5.0.11", *words) == ["-n", "1", "env", "A=1", "a", ":", "-n", "1", "env", "B=2", "b"]
    assert argv("openmpi 4.1.8", *words) == ["-n", "1", "-x", "A=1", "a", ":", "-n", "1", "-x", "B=2", "b"]


# ---------------------------------------------------------------- the launchers' own options

UNTOUCHED = {
    "openmpi 4.1.4": "-mca btl self,tcp --mca=pml ob1 -x PATH -H a,b --rank-by slot -c 3 --report-bindings"
    " -display-map -s -q -wd time --output-filename cat -tag-output --timeout 9",
    "openmpi 5.0.11": "--prtemca a b --pmixmca c d --mca e f -x PATH --map-by core --display map --output tag"
    " --stdin none --with-ft ulfm --append-env PATH[:] x -show-progress --dvm pid:1",
    "mpich 4.0.2": "-env A 1 -genv B=2 --env C=3 -GENV D 4 -hosts a,b -ppn 2 -PPN 2 -l -prepend-pattern [%r]"
    " -genvlist A,B -envnone -rmk user --launcher-exec ssh -bind-to=core",
    "intel 2021.18.1": "-perhost 2 -genv I_MPI_DEBUG 5 -prot -gtool gdb:1 -s all -print-rank-map -cpu-bind none",
    "": "-mca a b -genvlist A,B -ppn 2 --map-by core -l -wdir time",
}


@pytest.mark.parametrize("kind", UNTOUCHED)
def test_the_launchers_own_options_arrive_untouched(kind: str) -> None:
    words = [word for word in UNTOUCHED[kind].split() if word not in {"-tag-output", "--timeout", "9"}]
    words = [word for word in words if not word.startswith("--env")]
    assert argv(kind, *words, "true", "-n", "x") == [*words, "true", "-n", "x"]


def test_the_launchers_own_word_for_the_number_of_processes_counts() -> None:
    settings = {"default_options": ["--total", "%(np)d"]}
    words = ["-c", "3", "a", ":", "-n", "2", "b"]
    assert argv("openmpi 4.1.4", *words, settings=settings) == ["--total", "5", *words]
    with pytest.raises(LaunchError, match="-c"):
        command("openmpi 4.1.4", "-c", "x", "a")


@pytest.mark.parametrize("words", [["-mca", "btl"], ["-x"], ["--map-by"]])
def test_an_own_option_without_its_values_is_refused(words: list[str]) -> None:
    with pytest.raises(LaunchError, match=f"{words[0]} needs"):
        command("openmpi 4.1.4", *words)


# ---------------------------------------------------------------- what Open MPI does not do unasked


def test_the_superuser_is_allowed_under_open_mpi_as_under_the_others() -> None:
    for kind in ("openmpi 4.1.4", "openmpi 5.0.11"):
        assert argv(kind, "app", root=True) == ["--allow-run-as-root", "app"]
    for kind in ("mpich 4.0.2", "intel 2021.18.1", ""):
        assert argv(kind, "app", root=True) == ["app"]


@pytest.mark.parametrize("kind", ["openmpi 4.1.4", "openmpi 5.0.11"])
class TestMoreProcessesThanCores:
    @pytest.mark.parametrize(
        ("words", "crowded"),
        [
            (["-n", "4"], False),
            (["-n", "5"], True),
            (["--per-node", "5"], True),
            (["--per-node", "5", "-n", "3"], False),
            (["--hosts", "a", "-n", "5"], True),
            (["--hosts", "a,b", "-n", "8"], False),
            (["--hosts", "a:1,b:5", "-n", "6"], True),
            (["--hosts", "a,b"], False),
            ([], False),
            (["-n", "8", "--cpus-per-process", "2"], False),
        ],
    )
    def test_they_are_allowed_where_hosts_get_more_than_they_have(
        self, kind: str, words: list[str], crowded: bool
    ) -> None:
        allowed = [word for word in argv(kind, *words, "app", cores=4) if word.endswith(":OVERSUBSCRIBE")]
        assert bool(allowed) is crowded

    def test_all_programs_count_together(self, kind: str) -> None:
        assert argv(kind, "-n", "3", "a", ":", "-n", "2", "b", cores=4)[:2] == [
            "--map-by",
            "slot:OVERSUBSCRIBE",
        ]

    def test_they_may_be_bound_to_the_same_core(self, kind: str) -> None:
        assert argv(kind, "-n", "5", "--bind", "core", "app", cores=4)[:4] == [
            "--map-by", "slot:OVERSUBSCRIBE", "--bind-to", "core:overload-allowed",
        ]  # fmt: skip
        assert argv(kind, "-n", "5", "--bind", "none", "app", cores=4)[:4] == [
            "--map-by", "slot:OVERSUBSCRIBE", "--bind-to", "none",
        ]  # fmt: skip

    def test_the_slots_of_a_scheduler_are_respected(self, kind: str) -> None:
        assert argv(kind, "-n", "5", "app", cores=4, allocated=True) == ["-n", "5", "app"]

    @pytest.mark.parametrize(
        "own", ["--nooversubscribe", "-H a:2", "--hostfile f", "--map-by core", "--npernode 3"]
    )
    def test_who_places_processes_in_open_mpis_own_words_gets_its_own_rules(
        self, kind: str, own: str
    ) -> None:
        words = own.split()
        assert argv(kind, "-n", "5", *words, "app", cores=4) == ["-n", "5", *words, "app"]
        settings = {"default_options": words}
        assert argv(kind, "-n", "5", "app", cores=4, settings=settings) == [*words, "-n", "5", "app"]


# ---------------------------------------------------------------- options that do not mean what they seem to


@pytest.mark.parametrize(
    ("kind", "words", "said"),
    [
        ("mpich 4.0.2", ["-N", "2"], "-N as the number of processes"),
        ("mpich 4.0.2", ["--map-by", "ppr:2:node"], "--per-node"),
        ("mpich 5.0.2", ["-MAP-BY=ppr:2:node"], "--per-node"),
        ("intel 2021.18.1", ["-bind-to", "none"], "--bind"),
    ],
)
def test_a_warning_says_what_is_ignored_or_read_otherwise(kind: str, words: list[str], said: str) -> None:
    found = command(kind, *words, "app")
    assert [warning for warning in found.warnings if said in warning]
    assert found.argv == ["mpiexec", *words, "app"]


@pytest.mark.parametrize(
    ("kind", "words"),
    [("openmpi 4.1.4", ["-N", "2"]), ("mpich 4.0.2", ["-n", "2"]), ("mpich 4.0.2", ["--map-by", "core"])],
)
def test_there_is_no_warning_where_all_is_well(kind: str, words: list[str]) -> None:
    assert command(kind, *words, "app").warnings == []


def test_mpich_would_take_H_for_help_and_report_success() -> None:  # noqa: N802 - the option is a capital
    with pytest.raises(LaunchError, match="--hosts"):
        command("mpich 4.0.2", "-H", "host", "-n", "2", "app")


def test_open_mpi_5_would_run_the_binding_policy_as_a_program() -> None:
    with pytest.raises(LaunchError, match="--bind-to"):
        command("openmpi 5.0.11", "-bind-to", "core", "app")
    assert argv("openmpi 4.1.4", "-bind-to", "core", "app") == ["-bind-to", "core", "app"]


def test_intel_mpi_cannot_give_hosts_different_numbers() -> None:
    with pytest.raises(LaunchError, match="--hosts"):
        command("intel 2021.18.1", "--hosts", "a:1,b:2", "app")
