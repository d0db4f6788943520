"""``hpc-launch`` under real launchers: what is asked for in its own words happens, and happens alike under all.

Each rank says who it is, by itself or by mpi4py. Every run has a time limit.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mpi
import psutil
import pytest

from hpc_connect.cli.launcher_kind import kind_of
from hpc_connect.launchers.mpi import MPILauncher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

pytestmark = pytest.mark.real

MAIN = "import sys; from hpc_connect.cli.launch import main; sys.exit(main())"
LIMIT = 60

RANK = """
import json, os, sys
told = lambda *names: next(int(os.environ[name]) for name in names if name in os.environ)
report = {
    "rank": told("OMPI_COMM_WORLD_RANK", "PMI_RANK"), "size": told("OMPI_COMM_WORLD_SIZE", "PMI_SIZE"),
    "host": os.uname().nodename, "node": os.environ.get("NODE"), "pid": os.getpid(), "cwd": os.getcwd(),
    "args": sys.argv[1:],
    "cpus": len(os.sched_getaffinity(0)), "env": {k: v for k, v in os.environ.items() if k.startswith("TEST_")},
}
with open(os.path.join(os.path.dirname(__file__), f"report.{os.getpid()}"), "w") as file:
    json.dump(report, file)
"""
"""Into files, since launchers may mix lines of several ranks."""


@pytest.fixture
def short_tmpdir(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A folder for temporary files with a short path, since launchers have sockets there."""
    place = tempfile.mkdtemp(dir="/tmp")
    monkeypatch.setenv("TMPDIR", place)
    yield place
    shutil.rmtree(place, ignore_errors=True)  # daemons may still be tidying up themselves


@pytest.fixture
def use(short_tmpdir: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], mpi.Mpi]:
    """Makes one MPI, by name, the one that hpc-launch uses."""
    for variable in [variable for variable in os.environ if variable.startswith(mpi.FOREIGN)]:
        monkeypatch.delenv(variable)

    def use(name: str) -> mpi.Mpi:
        found = mpi.get(name)
        monkeypatch.setenv("HPCC_LAUNCH_EXEC", found.mpiexec)
        return found

    return use


@pytest.fixture(params=mpi.NAMES)
def real(request: pytest.FixtureRequest, use: Callable[[str], mpi.Mpi]) -> mpi.Mpi:
    """One MPI after the other."""
    return use(request.param)


@pytest.fixture
def program(tmp_path: Path) -> list[str]:
    """A program that reports its rank, arguments and surroundings; see :func:`reported`."""
    script = tmp_path / "rank.py"
    script.write_text(RANK)
    return [sys.executable, str(script)]


def run(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run hpc-launch; what does not end in time is ended with all its processes."""
    with subprocess.Popen(
        [sys.executable, "-c", MAIN, *words],
        **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        encoding="utf-8",
        errors="surrogateescape",
    ) as process:
        try:
            output, errors = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
            raise
    return subprocess.CompletedProcess(words, process.returncode, output, errors)


def reported(program: Sequence[str]) -> list[dict[str, Any]]:
    """What the ranks reported since this was last asked, by rank."""
    found = []
    for path in Path(program[1]).parent.glob("report.*"):
        found.append(json.loads(path.read_text()))
        path.unlink()
    return sorted(found, key=lambda report: report["rank"])


def reports(program: Sequence[str], *words: str, **options: Any) -> list[dict[str, Any]]:
    """Run hpc-launch, which must succeed, and collect what the ranks reported."""
    done = run(*words, **options)
    assert done.returncode == 0, done.stderr
    return reported(program)


# ---------------------------------------------------------------- processes and worlds


def test_its_kind_is_known(real: mpi.Mpi) -> None:
    family, version = kind_of(MPILauncher(), real.mpiexec).split()
    assert family == ("mpich" if real.hydra else "openmpi")
    assert version.split(".")[0].isdigit()


def test_each_rank_runs_once_even_with_more_of_them_than_cores(real: mpi.Mpi, program: list[str]) -> None:
    number = max(4, 2 * (os.cpu_count() or 1)) if (os.cpu_count() or 1) <= 8 else 4
    found = reports(program, "-n", str(number), *program)
    assert [report["rank"] for report in found] == [*range(number)]
    assert {report["size"] for report in found} == {number}
    assert len({report["pid"] for report in found}) == number
    assert {report["host"] for report in found} == {socket.gethostname()}


WORLD = """
    from mpi4py import MPI
    import os
    world = MPI.COMM_WORLD
    everybody = world.gather((world.rank, os.getpid()))
    if world.rank == 0:
        print(world.size, sorted(rank for rank, _ in everybody), len({pid for _, pid in everybody}))
"""


def with_library_of(real: mpi.Mpi, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let mpi4py find Debian's MPICH, which is called otherwise than the wheel expects."""
    if real.name == "debian-mpich":
        (folder / "libmpi.so.12").symlink_to(mpi.DEBIAN_MPICH)
        monkeypatch.setenv("LD_LIBRARY_PATH", str(folder))
        monkeypatch.setenv("MPI4PY_MPIABI", "mpich")


def test_the_processes_are_one_mpi_world(
    real: mpi.Mpi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_library_of(real, tmp_path, monkeypatch)
    done = run("-n", "4", real.python, "-c", textwrap.dedent(WORLD))
    assert (done.returncode, done.stdout) == (0, "4 [0, 1, 2, 3] 4\n"), done.stderr


def test_a_check_shows_that_launcher_and_library_fit(
    real: mpi.Mpi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_library_of(real, tmp_path, monkeypatch)
    done = run(f"--check={real.python}", "-n", "3")
    assert "They fit: 3 processes, one MPI world" in done.stdout
    assert "MPI says rank 2 of 3" in done.stdout
    assert done.returncode == 0


@pytest.mark.parametrize(("launcher", "library"), [("mpich", "openmpi"), ("debian-mpich", "debian-openmpi")])
def test_a_check_explains_a_wrong_pairing(launcher: str, library: str, use: Callable[[str], mpi.Mpi]) -> None:
    """Each process takes itself for the only one; the launcher itself reports success.

    Beside Debian's MPICH the wheel of mpi4py falls back to Debian's Open MPI.
    """
    use(launcher)
    python = mpi.get(library).python
    silent = run("-n", "2", python, "-c", "from mpi4py import MPI; print(MPI.COMM_WORLD.size)")
    assert (silent.returncode, silent.stdout.split()) == (0, ["1", "1"])
    done = run(f"--check={python}", "-n", "2")
    assert done.returncode == 1
    assert "They do not fit: 2 processes were started, and each takes itself for the only one" in done.stdout
    assert "The launcher is MPICH; the library" in done.stdout
    assert "Open MPI v" in done.stdout


def test_a_check_explains_a_library_that_does_not_start(use: Callable[[str], mpi.Mpi]) -> None:
    """MPICH 5 ends a process that Open MPI has launched."""
    use("openmpi")
    done = run(f"--check={mpi.get('mpich').python}", "-n", "2")
    assert done.returncode == 1
    assert "but MPI does not start in them" in done.stdout
    assert "MPICH Version" in done.stdout


def test_a_check_without_mpi4py_says_what_it_could_not_show(real: mpi.Mpi, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True, timeout=LIMIT)
    done = run(f"--check={bare}/bin/python", "-n", "3")
    assert done.returncode == 0
    assert "The launcher works: 3 processes with the ranks 0 to 2" in done.stdout
    assert "Not shown" in done.stdout


def test_a_launcher_beside_the_running_python_is_used(
    program: list[str], use: Callable[[str], mpi.Mpi], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when somebody calls .venv/bin/hpc-launch without activating the environment."""
    wheel = use("mpich")
    monkeypatch.delenv("HPCC_LAUNCH_EXEC")
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setenv("PYTHONPATH", os.path.join(mpi.ROOT, "src"))
    done = subprocess.run(
        [wheel.python, "-c", MAIN, "-n", "2", *program], capture_output=True, text=True, timeout=LIMIT
    )
    assert [report["rank"] for report in reported(program)] == [0, 1], done.stderr


# ---------------------------------------------------------------- how it ends


@pytest.mark.parametrize("code", [0, 1, 3, 42])
def test_the_exit_code_is_the_programs(real: mpi.Mpi, code: int) -> None:
    assert run("-n", "1", "sh", "-c", f"exit {code}").returncode == code


def test_different_exit_codes_become_one_in_the_launchers_way(real: mpi.Mpi) -> None:
    """Hydra combines the bits; Open MPI takes one of them."""
    done = run("-n", "1", "sh", "-c", "exit 3", ":", "-n", "1", "sh", "-c", "exit 4")
    assert done.returncode in ({7} if real.hydra else {3, 4})


def test_a_rank_that_is_killed_is_no_success(real: mpi.Mpi) -> None:
    done = run("-n", "1", "sh", "-c", "kill -9 $$")
    assert done.returncode == (9 if real.hydra else 128 + 9)


WAITING = """
import os, signal, sys
def ended(number, frame):
    open(f"{sys.argv[1]}/ended.{os.getpid()}", "w").close()
    os._exit(0)
signal.signal(signal.SIGTERM, ended)
os.write(1, b"%32d\\n" % os.getpid())
while True: signal.pause()
"""


def test_sigterm_reaches_every_rank(real: mpi.Mpi, tmp_path: Path) -> None:
    """Under Open MPI the first one that ends may take the others with it before they could do anything."""
    words = ["-n", "2", sys.executable, "-c", WAITING, str(tmp_path)]
    with subprocess.Popen(
        [sys.executable, "-c", MAIN, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        pids = {process.stdout.read(33).strip() for _ in range(2)}
        process.send_signal(signal.SIGTERM)
        process.wait(LIMIT)
    assert_gone(pids)
    ended = {path.suffix.strip(".") for path in tmp_path.glob("ended.*")}
    assert ended <= pids
    assert len(ended) == 2 if real.hydra else ended


def assert_gone(pids: Iterable[str]) -> None:
    there = [psutil.Process(int(pid)) for pid in pids if psutil.pid_exists(int(pid))]
    assert psutil.wait_procs(there, timeout=10)[1] == []


def test_a_timeout_ends_the_run(real: mpi.Mpi, tmp_path: Path) -> None:
    started = f"import os, time; open(f'{tmp_path}/started.{{os.getpid()}}', 'w').close(); time.sleep(1000)"
    done = run("--timeout", "3", "-n", "2", sys.executable, "-c", started)
    assert done.returncode == (124 if real.hydra else 241 if real.name == "openmpi" else 110)
    pids = [path.suffix.strip(".") for path in tmp_path.glob("started.*")]
    assert len(pids) == 2
    assert_gone(pids)


def test_rank_0_reads_what_is_piped_in(real: mpi.Mpi) -> None:
    """The other ranks must not read at all: under some launchers they would wait for ever."""
    script = 'if [ "${OMPI_COMM_WORLD_RANK:-$PMI_RANK}" = 0 ]; then read -r line; echo "got $line"; fi'
    with subprocess.Popen(
        [sys.executable, "-c", MAIN, "-n", "2", "sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        output, _ = process.communicate("some input\n", timeout=LIMIT)
    assert (process.returncode, output) == (0, "got some input\n")


def test_a_missing_program_fails(real: mpi.Mpi) -> None:
    assert run("-n", "2", "./no-such-program").returncode != 0


# ---------------------------------------------------------------- portable options


@pytest.mark.parametrize("place", ["sub dir", "./sub dir", "{here}/sub dir"])
def test_each_rank_starts_in_the_working_directory(
    real: mpi.Mpi, program: list[str], tmp_path: Path, place: str
) -> None:
    (tmp_path / "sub dir").mkdir()
    found = reports(program, "-n", "2", "--workdir", place.format(here=tmp_path), *program, cwd=tmp_path)
    assert {report["cwd"] for report in found} == {str(tmp_path / "sub dir")}


HOSTILE = ["", " ", "a b", "$(exit 9)", "`id`", "a;b", "a,b", "'\"\\", "a\nb", "*", "a=b", "%(np)d", "é",
           "\udcff\udcfe", "\x01\x7f\t", "-n", "--", "x" * 5000]  # fmt: skip


def test_values_of_variables_arrive_byte_for_byte(real: mpi.Mpi, program: list[str]) -> None:
    variables = {f"TEST_{number}": value for number, value in enumerate(HOSTILE)}
    words = [f"--env={name}={value}" for name, value in variables.items()]
    assert [report["env"] for report in reports(program, "-n", "2", *words, *program)] == [variables] * 2


def test_variables_of_the_caller_arrive_byte_for_byte(
    real: mpi.Mpi, program: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {f"TEST_{number}": value for number, value in enumerate(HOSTILE)}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert [report["env"] for report in reports(program, "-n", "2", *program)] == [variables] * 2


def test_arguments_arrive_byte_for_byte(real: mpi.Mpi, program: list[str]) -> None:
    assert [report["args"] for report in reports(program, "-n", "2", *program, *HOSTILE)] == [HOSTILE] * 2


def test_output_is_tagged_by_rank(real: mpi.Mpi) -> None:
    script = "echo rank=${OMPI_COMM_WORLD_RANK:-$PMI_RANK}"
    done = run("-n", "3", "--tag-output", "sh", "-c", script)
    tags = dict(line.split("rank=")[::-1] for line in done.stdout.splitlines())
    assert {rank: rank in tag for rank, tag in tags.items()} == {"0": True, "1": True, "2": True}
    assert len(set(tags.values())) == 3


def test_several_programs_make_one_run_each_with_its_own(
    real: mpi.Mpi, program: list[str], tmp_path: Path
) -> None:
    found = reports(
        program, "-n", "2", "--env", "TEST_A=1 2", "--workdir", str(tmp_path), *program, "first", ":",
        "--env", "TEST_B=3", "--workdir", "/", *program, "second", "x",
    )  # fmt: skip
    assert [(report["rank"], report["size"]) for report in found] == [(0, 3), (1, 3), (2, 3)]
    assert [report["args"] for report in found] == [["first"], ["first"], ["second", "x"]]
    assert [report["env"] for report in found] == [{"TEST_A": "1 2"}, {"TEST_A": "1 2"}, {"TEST_B": "3"}]
    assert [report["cwd"] for report in found] == [str(tmp_path), str(tmp_path), "/"]


@pytest.mark.parametrize("what", ["core", "hwthread", "socket", "numa"])
def test_ranks_are_bound_even_with_more_of_them_than_cores(
    real: mpi.Mpi, program: list[str], what: str
) -> None:
    found = reports(program, "-n", "4", "--bind", what, *program)
    assert [report["rank"] for report in found] == [0, 1, 2, 3]
    if what == "hwthread":
        assert {report["cpus"] for report in found} == {1}


def test_ranks_are_not_bound_where_that_is_asked_for(real: mpi.Mpi, program: list[str]) -> None:
    found = reports(program, "-n", "2", "--bind", "none", *program)
    assert {report["cpus"] for report in found} == {len(os.sched_getaffinity(0))}


@pytest.mark.parametrize(
    "words",
    [
        ["-n", "2", "--per-node", "2"],
        ["-n", "2", "--hosts", "localhost"],
        ["-n", "2", "--hosts", "localhost:2", "--bind", "none"],
        ["-n", "2", "--hosts", "localhost", "--per-node", "2"],
        ["-n", str(min(2, len(os.sched_getaffinity(0)))), "--cpus-per-process", "1"],
    ],
    ids=" ".join,
)
def test_processes_are_placed_as_asked(real: mpi.Mpi, program: list[str], words: list[str]) -> None:
    assert [report["rank"] for report in reports(program, *words, *program)] == [*range(int(words[1]))]


def test_a_host_gets_more_processes_than_it_has_cores(real: mpi.Mpi, program: list[str]) -> None:
    assert [report["rank"] for report in reports(program, "-n", "4", "--hosts", "localhost", *program)] == [
        0,
        1,
        2,
        3,
    ]


# ---------------------------------------------------------------- two hosts

REMOTE_SHELL = """#!/bin/sh
# In place of ssh: the same machine, but none of the caller's variables, as on another host.
while [ "${1#-}" != "$1" ]; do shift; done
node=$1; shift
mkdir -p "${0%/*}/$node"
exec env -i PATH="$PATH" HOME=/nonexistent TMPDIR="${0%/*}/$node" NODE="$node" sh -c "$*"
"""
A, B = "198.51.100.1", "198.51.100.2"  # for documentation (RFC 5737), so that they are nobody's


@pytest.fixture
def two_hosts(real: mpi.Mpi, short_tmpdir: str, monkeypatch: pytest.MonkeyPatch) -> mpi.Mpi:
    """A launcher that reaches other hosts by a stand-in for ssh; each host has its own temporary files."""
    shell = Path(short_tmpdir, "remote-shell")
    shell.write_text(REMOTE_SHELL)
    shell.chmod(0o755)
    option = "-launcher-exec"
    if real.name == "openmpi":
        option = "--prtemca plm_ssh_agent"
    elif not real.hydra:  # two daemons of one machine that share the topology in memory crash now and then
        option = "--mca rtc_hwloc_vmhole none --mca plm_rsh_agent"
    monkeypatch.setenv("HPCC_LAUNCH_DEFAULT_OPTIONS", f"{option} {shell}")
    return real


@pytest.mark.parametrize(
    ("words", "nodes"),
    [
        (["-n", "4", "--hosts", f"{A},{B}"], [A, A, B, B]),
        (["-n", "3", "--hosts", f"{A},{B}"], [A, A, B]),
        (["-n", "4", "--hosts", f"{A}:1,{B}:3"], [A, B, B, B]),
        (["-n", "2", "--hosts", f"{A},{B}", "--per-node", "1"], [A, B]),
        (["-n", "8", "--hosts", f"{A},{B}"], [A] * 4 + [B] * 4),
    ],
    ids=" ".join,
)
def test_hosts_are_filled_in_order(
    two_hosts: mpi.Mpi, program: list[str], words: list[str], nodes: list[str]
) -> None:
    assert [report["node"] for report in reports(program, *words, *program)] == nodes


def test_directory_and_variables_reach_other_hosts(
    two_hosts: mpi.Mpi, program: list[str], tmp_path: Path
) -> None:
    variables = {f"TEST_{number}": value for number, value in enumerate(HOSTILE)}
    words = [f"--env={name}={value}" for name, value in variables.items()]
    found = reports(
        program, "-n", "2", "--hosts", f"{A},{B}", f"--workdir={tmp_path}", *words, *program, *HOSTILE
    )
    assert [report["node"] for report in found] == [A, B]
    assert [report["cwd"] for report in found] == [str(tmp_path)] * 2
    assert [report["args"] for report in found] == [HOSTILE] * 2
    assert [report["env"] for report in found] == [variables] * 2


# ---------------------------------------------------------------- the launcher's own options, and dry runs


def test_what_a_dry_run_prints_does_the_same(real: mpi.Mpi, program: list[str]) -> None:
    words = ["-n", "2", "--env", "TEST_A=$(x) 'y'", "--timeout", "50", *program, "a b", "*"]
    printed = run("--dry-run", *words).stdout
    subprocess.run(["bash", "-c", printed], check=True, capture_output=True, timeout=LIMIT)
    pasted = reported(program)
    for found in (pasted, reports(program, *words)):
        assert [report["rank"] for report in found] == [0, 1]
        assert [report["env"] for report in found] == [{"TEST_A": "$(x) 'y'"}] * 2
        assert [report["args"] for report in found] == [["a b", "*"]] * 2


OWN = {
    "mpich": ["-genv", "TEST_A", "1", "-genv", "TEST_B=2", "--ENV", "TEST_C", "3", "-ppn", "2", "-l"],
    "openmpi": [
        "-x",
        "TEST_A=1",
        "--x",
        "TEST_B=2",
        "-mca",
        "btl",
        "self",
        "--mca=pml",
        "ob1",
        "-tag-output",
    ],
    "openmpi-4": ["-x", "TEST_A=1", "-x", "TEST_B=2", "-mca", "btl", "self,vader", "-c", "2", "-tag-output"],
}


@pytest.mark.parametrize("name", OWN)
def test_the_launchers_own_options_do_what_they_do(
    name: str, program: list[str], use: Callable[[str], mpi.Mpi]
) -> None:
    """The program begins where the launcher thinks it does, too."""
    use(name)
    number = [] if "-c" in OWN[name] else ["-n", "2"]
    found = reports(program, *number, *OWN[name], *program, "-n", "5")
    assert [report["rank"] for report in found] == [0, 1]
    assert {report["env"]["TEST_B"] for report in found} == {"2"}
    assert [report["args"] for report in found] == [["-n", "5"]] * 2


def test_mpich_reads_capital_n_as_the_number_of_processes_and_a_warning_says_so(
    program: list[str], use: Callable[[str], mpi.Mpi]
) -> None:
    use("mpich")
    done = run("-N", "2", *program)
    assert len(reported(program)) == 2
    assert "--per-node" in done.stderr


def test_mpich_would_report_success_without_running_anything(use: Callable[[str], mpi.Mpi]) -> None:
    used = use("mpich")
    words = ["-H", "localhost", "-n", "2", "false"]
    assert subprocess.run([used.mpiexec, *words], stdout=subprocess.DEVNULL, timeout=LIMIT).returncode == 0
    assert run(*words).returncode == 2
