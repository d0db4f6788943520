"""Commands and files of this machine."""

from __future__ import annotations

import os
import select
import signal
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_connect.errors import TransportError
from hpc_connect.transport.local import LocalTransport

if TYPE_CHECKING:
    from pathlib import Path

HERE = LocalTransport()

any_bytes = st.binary(max_size=200)
words = st.binary(max_size=50).map(lambda data: os.fsdecode(data.replace(b"\0", b"")))


def shell(program: str, *arguments: str) -> list[str]:
    return ["sh", "-c", program, "sh", *arguments]


def ends(pid: int) -> bool:
    """Whether a process ends soon, or has."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with open(descriptor, "rb"):
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(30_000))


def variables(transport: LocalTransport = HERE, **changes: str | None) -> dict[str, str]:
    """What a command sees."""
    done = transport.run(["env", "-0"], env=changes)
    pairs = (pair.partition("=") for pair in os.fsdecode(done.stdout).split("\0") if pair)
    return {name: value for name, _, value in pairs}


# ---------------------------------------------------------------- commands


@pytest.mark.parametrize("code", [0, 1, 255])
def test_a_command_that_fails_is_an_answer(code: int) -> None:
    done = HERE.run(shell(f"echo out; echo err >&2; exit {code}"))
    assert (done.returncode, done.stdout, done.stderr) == (code, b"out\n", b"err\n")


def test_a_command_that_is_killed_is_an_answer_too() -> None:
    assert HERE.run(shell("kill -9 $$")).returncode == -9


@given(any_bytes)
def test_input_and_output_are_bytes(data: bytes) -> None:
    assert HERE.run(["cat"], stdin=data).stdout == data


@given(st.lists(words, max_size=4))
def test_arguments_arrive_byte_for_byte(arguments: list[str]) -> None:
    done = HERE.run(shell("printf '%s\\0' \"$@\"", *arguments))
    assert done.stdout == b"".join(os.fsencode(word) + b"\0" for word in arguments or [""])


def test_large_input_and_output_fit() -> None:
    data = os.urandom(1 << 20) * 20
    assert HERE.run(["cat"], stdin=data).stdout == data


def test_with_nothing_to_read_there_is_nothing_to_wait_for() -> None:
    assert HERE.run(["cat"]).stdout == b""


def test_a_command_that_does_not_read_its_input_does_not_mind() -> None:
    assert HERE.run(["true"], stdin=b"x" * (1 << 20)).returncode == 0


def test_a_command_starts_in_the_folder_that_was_named(tmp_path: Path) -> None:
    assert HERE.run(["pwd"], cwd=str(tmp_path)).stdout.decode() == f"{tmp_path}\n"
    assert HERE.run(["pwd"]).stdout.decode().strip() == os.getcwd()


def test_no_command_can_ask_on_a_terminal() -> None:
    assert HERE.run(shell("exec 3<>/dev/tty")).returncode != 0


def test_what_stays_in_the_background_is_not_waited_for_and_does_not_disturb(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    program = f"(read line <{fifo}; echo late; echo done >{fifo}) & echo prompt"
    assert HERE.run(shell(program), timeout=30).stdout == b"prompt\n"
    fifo.write_text("go on\n")
    assert fifo.read_text() == "done\n"  # it had not been ended


def test_commands_run_side_by_side(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    os.mkfifo(one)
    os.mkfifo(other)
    with ThreadPoolExecutor(2) as pool:  # each needs the other to end
        first = pool.submit(HERE.run, shell(f"echo a >{one}; cat {other}"))
        second = pool.submit(HERE.run, shell(f"cat {one}; echo b >{other}"))
        assert (first.result(30).stdout, second.result(30).stdout) == (b"b\n", b"a\n")


def test_nothing_is_left_open_or_behind() -> None:
    HERE.run(["true"])
    process = psutil.Process()
    before, threads = process.num_fds(), threading.active_count()
    for _ in range(20):
        HERE.run(["cat"], stdin=b"x")
        with pytest.raises(TransportError):
            HERE.run(["no such program"])
    assert (process.num_fds(), threading.active_count()) == (before, threads)
    assert [child for child in process.children() if child.status() == psutil.STATUS_ZOMBIE] == []


# ---------------------------------------------------------------- no answer


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (["no-such-program", "a b"], "no program 'no-such-program'"),
        (["/etc/passwd"], "Permission denied"),
        (["/"], "Permission denied"),
        (["true", "a\0b"], "null byte"),
        (["true", "x" * (1 << 22)], "too long"),
    ],
)
def test_a_command_that_cannot_be_started_says_why(argv: list[str], problem: str) -> None:
    with pytest.raises(TransportError, match=problem) as caught:
        HERE.run(argv)
    assert argv[0] in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_folder_that_is_not_there_is_not_taken_for_the_program(tmp_path: Path) -> None:
    with pytest.raises(TransportError, match=r"no folder '.*/missing'"):
        HERE.run(["true"], cwd=str(tmp_path / "missing"))


def test_a_command_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    program = f"trap '' TERM; sleep 600 & echo $$ $! >{pids}; echo so far; sleep 600"
    with pytest.raises(TransportError, match=r"0\.5 s.*so far"):
        HERE.run(shell(program), timeout=0.5)
    assert all(ends(int(pid)) for pid in pids.read_text().split())


def test_what_left_the_group_does_not_keep_the_time_out_waiting() -> None:
    with pytest.raises(TransportError, match="not ended within"):
        HERE.run(shell("setsid sleep 1 & sleep 600"), timeout=0.2)


def test_an_interrupted_wait_ends_the_command() -> None:
    main = threading.main_thread().ident
    assert main is not None
    before = {child.pid for child in psutil.Process().children()}
    threading.Timer(0.2, signal.pthread_kill, (main, signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        HERE.run(["sleep", "600"], timeout=None)
    assert {child.pid for child in psutil.Process().children()} <= before


# ---------------------------------------------------------------- variables

OF_A_JOB = [
    "SLURM_JOB_ID", "SLURM_NTASKS", "SLURM_EXPORT_ENV", "SLURMD_NODENAME", "SBATCH_PARTITION", "SALLOC_ACCOUNT",
    "PBS_JOBID", "PBS_O_WORKDIR", "PBS_NODEFILE", "PBS_DPREFIX", "PMI_RANK", "PMIX_NAMESPACE", "PMI2_X",
    "OMPI_COMM_WORLD_RANK", "HYDI_CONTROL_FD", "PRTE_X", "MPI_LOCALRANKID",
]  # fmt: skip
OF_THE_SITE = [
    "SLURM_CONF",
    "SLURM_CLUSTERS",
    "SLURM_JWT",
    "PBS_CONF_FILE",
    "PBS_DEFAULT",
    "PBS_SERVER",
    "PBS_EXEC",
]


def test_a_command_does_not_hear_of_the_job_it_is_started_from(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*OF_A_JOB, *OF_THE_SITE, "MINE"):
        monkeypatch.setenv(name, "set")
    before = dict(os.environ)
    seen = variables()
    assert [name for name in OF_A_JOB if name in seen] == []
    assert [name for name in (*OF_THE_SITE, "MINE") if seen.get(name) != "set"] == []
    assert dict(os.environ) == before


def test_a_site_may_keep_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_SITE_TOKEN", "set")
    assert "SLURM_SITE_TOKEN" not in variables()
    assert variables(LocalTransport(keep=["SLURM_SITE_TOKEN"]))["SLURM_SITE_TOKEN"] == "set"


def test_variables_can_be_set_and_unset_for_one_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLD", "old")
    seen = variables(OLD=None, NEW="$(x) \n'", MISSING=None, SLURM_TIME_FORMAT="standard")
    assert "OLD" not in seen
    assert (seen["NEW"], seen["SLURM_TIME_FORMAT"]) == ("$(x) \n'", "standard")
    assert os.environ["OLD"] == "old"
    assert "NEW" not in os.environ


def test_the_program_is_looked_up_where_the_command_would(tmp_path: Path) -> None:
    program = tmp_path / "mine"
    program.write_text("#!/bin/sh\necho mine\n")
    program.chmod(0o755)
    assert HERE.run(["mine"], env={"PATH": str(tmp_path)}).stdout == b"mine\n"


# ---------------------------------------------------------------- files


def test_a_file_is_seen_whole_or_not_at_all(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    contents = [bytes([letter]) * 500_000 for letter in b"ab"]
    HERE.write(path, contents[0])
    stop = threading.Event()

    def read() -> set[bytes | None]:
        seen = set()
        while not stop.is_set():
            seen.add(HERE.read(path))
        return seen

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for number in range(50):
            HERE.write(path, contents[number % 2])
        stop.set()
        for reader in readers:
            assert reader.result(30) <= {*contents}
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("mode", [0o600, 0o755])
def test_a_file_has_the_mode_that_was_asked_for(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "new" / "file"
    HERE.write(str(path), b"x", mode=mode)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_relative_path_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    HERE.write("file", b"x")
    assert (tmp_path / "file").read_bytes() == b"x"


def test_what_cannot_be_read_or_written_says_which_and_why(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"x")
    folder, below_a_file = str(tmp_path / "folder"), str(tmp_path / "file" / "below")
    for fail in (
        lambda: HERE.read(folder),
        lambda: HERE.write(folder, b"x"),
        lambda: HERE.remove([folder]),
    ):
        with pytest.raises(TransportError, match=f"'{folder}' cannot be .*"):
            fail()
    for fail in (lambda: HERE.write(below_a_file, b"x"), lambda: HERE.list(str(tmp_path / "file"))):
        with pytest.raises(TransportError, match=r"Not a directory|File exists"):
            fail()
    for fail in (lambda: HERE.read("a\0b"), lambda: HERE.write("a\0b", b"x"), lambda: HERE.list("a\0b")):
        with pytest.raises(TransportError, match="null"):
            fail()
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_one_file_that_cannot_be_removed_keeps_no_other(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(TransportError, match="folder"):
        HERE.remove([str(tmp_path / "folder"), str(tmp_path / "file")])
    assert os.listdir(tmp_path) == ["folder"]


def test_a_full_disk_leaves_the_old_file_and_no_part() -> None:
    if os.geteuid() != 0:
        pytest.skip("a small file system can only be mounted as root")
    program = """
import os, subprocess, sys, tempfile
from hpc_connect.errors import TransportError
from hpc_connect.transport.local import LocalTransport
folder = tempfile.mkdtemp()
mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True)
if mounted.returncode:
    sys.exit(77)
here = LocalTransport()
here.write(f"{folder}/file", b"old")
try:
    here.write(f"{folder}/file", b"x" * (1 << 20))
except TransportError as error:
    print("No space left" in str(error), here.read(f"{folder}/file"), os.listdir(folder))
"""
    done = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("this container lets nobody mount")
    assert (done.stdout.strip(), done.stderr) == ("True b'old' ['file']", "")
