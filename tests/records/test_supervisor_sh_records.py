"""The claim: of any number of jobs of a scheduler that are the same job of ours, one runs. And where records cannot be
kept as they should, nothing wrong is said."""

from __future__ import annotations

import os
import resource
import shutil
import stat
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from hpc_connect.records.line import EndRecord, format_end
from supervised import SCRIPTS, Supervised, every_shell, side_by_side

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = every_shell


# ---------------------------------------------------------------- the claim


def test_a_second_submission_leaves_without_running(supervised: Supervised) -> None:
    with supervised.start(
        "/bin/sh", "-c", "echo up; read line; exit 3", native="1", stdin=subprocess.PIPE
    ) as first:
        assert first.stdout.readline() == b"up\n"
        second = supervised.run_script("echo ran", native="2")
        first.stdin.close()
        assert first.wait(60) == 3
    after_the_end = supervised.run_script("echo ran", native="2")
    for left in (second, after_the_end):
        assert (left.returncode, left.stdout) == (125, b"")
        assert f"job {supervised.id}, here as 2: it was started by another submission" in left.stderr.decode()
    assert supervised.how() == ("exit", 3, "-")
    assert supervised.end().native == "1"
    assert os.listdir(os.path.join(supervised.folder.path, "live")) == []


def test_ids_that_begin_alike_are_others(supervised: Supervised) -> None:
    assert supervised.run_script("exit 3", native="12").returncode == 3
    for native in ("1", "123", "2", "12 attempt=9", "*", "?2", "[1]2"):
        assert supervised.run_script("exit 4", native=native, attempt=5).returncode in (125, 64)


def test_jobs_of_other_names_run(supervised: Supervised) -> None:
    for options in ({}, {"array_index": 1}, {"array_index": 11}, {"id": f"{supervised.id}1"}):
        assert supervised.run_script("exit 3", **options).returncode == 3


def test_of_many_that_start_at_once_exactly_one_runs(supervised: Supervised) -> None:
    def contend(position: int) -> list[int]:
        job = f"{supervised.id}-{position}"
        started = [supervised.start("true", id=job, native=str(native)) for native in range(3)]
        for process in started:
            process.communicate(timeout=60)
        assert supervised.how(job) == ("exit", 0, "-")
        return sorted(process.returncode for process in started)

    assert side_by_side(contend, range(20)) == [[0, 125, 125]] * 20


def test_a_requeued_job_runs_again_as_the_next_attempt(supervised: Supervised) -> None:
    first = supervised.run_script("exit 3", attempt=1)
    second = supervised.run_script("exit 4", attempt=2)
    fifth = supervised.run_script("exit 5", attempt=5)
    assert [first.returncode, second.returncode, fifth.returncode] == [3, 4, 5]
    assert supervised.end(attempt=5).number == 5


def test_the_same_attempt_never_runs_twice(supervised: Supervised) -> None:
    assert supervised.run_script("exit 3", attempt=2).returncode == 3
    for attempt in (1, 2):
        again = supervised.run_script("echo ran", attempt=attempt)
        assert (again.returncode, again.stdout) == (125, b"")
        assert b"its attempt 2 was here before" in again.stderr


def test_attempts_are_counted_where_the_scheduler_does_not(supervised: Supervised) -> None:
    told = [supervised.run_script("echo $HPC_CONNECT_ATTEMPT; exit 3").stdout for _ in range(3)]
    assert told == [b"1\n", b"2\n", b"3\n"]
    assert supervised.end(attempt=3).attempt == 3


def test_a_job_whose_supervisor_was_killed_runs_again_when_it_is_requeued(supervised: Supervised) -> None:
    supervised.run_script("kill -KILL $PPID", attempt=1)
    assert supervised.run_script("exit 4", attempt=2).returncode == 4
    assert supervised.run_script("exit 5", attempt=3, native="other").returncode == 125
    assert supervised.end(attempt=2).number == 4


@pytest.mark.parametrize(
    "record",
    [
        "",
        "\n",
        "garbage\n",
        "hpc_connect v1 start id=job array_index=- native=4711 att",
        "hpc_connect v2 start END\n",
    ],
)
@pytest.mark.parametrize("place", ["start", "end"])
def test_nobody_runs_a_job_whose_record_cannot_be_read(
    supervised: Supervised, place: str, record: str
) -> None:
    path = getattr(supervised.folder, place)(supervised.id)
    with open(path, "w") as file:
        file.write(record)
    done = supervised.run_script("echo ran")
    assert (done.returncode, done.stdout) == (125, b"")
    assert b"cannot be written, or not be read" in done.stderr
    with open(path) as file:
        assert file.read() == record


def test_records_that_python_wrote_are_understood(supervised: Supervised) -> None:
    end = EndRecord(supervised.id, "-", "4711", 1, "exit", 3, "-", "host", 1.0, 2.0)
    with open(supervised.folder.end(supervised.id), "w") as file:
        file.write(format_end(end))
    assert supervised.run_script("exit 4", native="4712").returncode == 125
    assert supervised.run_script("exit 4", native="4711").returncode == 4
    assert supervised.end(attempt=2).number == 4


# ---------------------------------------------------------------- what is written


def test_a_start_record_names_the_process_that_runs_the_job(supervised: Supervised) -> None:
    before = time.time() - 1
    with supervised.start("/bin/sh", "-c", "echo up; read line", stdin=subprocess.PIPE) as process:
        process.stdout.readline()
        start = supervised.folder.find_start(supervised.id)
        with open(f"/proc/{process.pid}/stat") as file:
            ticks = file.read().rpartition(")")[2].split()[19]
        process.stdin.close()
    with open("/proc/sys/kernel/random/boot_id") as file:
        boot = file.read().strip()
    assert start[:8] == (supervised.id, "-", "4711", 1, process.pid, ticks, boot, os.uname().nodename)
    assert before <= start.started <= time.time()
    end = supervised.end()
    assert end[:8] == (supervised.id, "-", "4711", 1, "exit", 1, "-", os.uname().nodename)
    assert before <= end.started <= end.ended <= time.time()


def test_without_a_scheduler_the_process_is_the_native_id(supervised: Supervised) -> None:
    with supervised.start("true", native="") as process:
        pass
    assert supervised.end().native.startswith(f"{process.pid}:")


@pytest.mark.parametrize("native", ["123[4].server", "12;cluster", "1.0", "ƒAbC", "12_3", "12+1", "a=b"])
def test_ids_of_schedulers_are_kept_as_they_are(supervised: Supervised, native: str) -> None:
    assert supervised.run_script("exit 3", native=native).returncode == 3
    assert supervised.end().native == native
    assert supervised.run_script("exit 3", native=native + "0").returncode == 125


@pytest.mark.parametrize(
    "name", ["a b", "it's", 'a"b', "new\nline", "$(touch x)", "[a-z]*?", "-n", "é\udcff", "a\\b"]
)
def test_the_record_folder_may_have_any_name(shell: list[str], tmp_path: Path, name: str) -> None:
    supervised = Supervised(shell, str(tmp_path / name))
    script = tmp_path / name / "script"
    script.touch()
    assert supervised.run_script("exit 3", clean=script).returncode == 3
    assert supervised.how() == ("exit", 3, "-")
    assert not script.exists()
    assert supervised.run_script("exit 3", native="other").returncode == 125


def test_files_are_for_their_owner_alone(supervised: Supervised) -> None:
    modes = f"stat -c %a {supervised.folder.path}/live/*"
    done = supervised.run_script(modes, umask=0o002)
    assert done.stdout == b"600\n"
    assert stat.S_IMODE(os.stat(supervised.folder.end(supervised.id)).st_mode) == 0o600


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--"],
        ["--", "true"],
        ["id=a", "--", "true"],
        ["folder=.", "--", "true"],
        ["folder=.", "id=a"],
        ["folder=.", "id=a", "--"],
        ["folder=.", "id=a", "wrong=1", "--", "true"],
        ["folder=.", "id=a/b", "--", "true"],
        ["folder=.", "id=a.b", "--", "true"],
        ["folder=.", "id=a~b", "--", "true"],
        ["folder=.", "id=a b", "--", "true"],
        ["folder=.", "id=a", "native=1 2", "--", "true"],
        ["folder=.", "id=a", "native=1\n2", "--", "true"],
        ["folder=.", "id=a", "attempt=x", "--", "true"],
        ["folder=.", "id=a", "array_index=-1", "--", "true"],
        ["folder=.", "id=a", "limit=1.5", "--", "true"],
        ["folder=.", "id=a", "limit=9", "warn=USR1", "--", "true"],
        ["folder=.", "id=a", "limit=9", "grace=", "--", "true"],
    ],
)
def test_a_wrong_call_says_so_and_runs_nothing(
    shell: list[str], arguments: list[str], tmp_path: Path
) -> None:
    done = subprocess.run(
        [*shell, os.path.join(SCRIPTS, "supervisor.sh"), *arguments],
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, "hpc_connect_folder": ".", "hpc_connect_id": "a"},
        text=True,
    )
    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr.startswith("hpc_connect supervisor: ")
    assert os.listdir(tmp_path) == []


# ---------------------------------------------------------------- where records cannot be kept


def test_a_job_that_cannot_be_claimed_does_not_run(shell: list[str], tmp_path: Path) -> None:
    supervised = Supervised(shell, str(tmp_path / "records"))
    shutil.rmtree(supervised.folder.path)
    done = supervised.run_script("echo ran")
    assert (done.returncode, done.stdout) == (125, b"")
    assert b"cannot be written" in done.stderr


def test_a_program_that_removes_the_record_folder_leaves_no_end_and_its_code_is_passed_on(
    supervised: Supervised,
) -> None:
    done = supervised.run_script(f"rm -rf '{supervised.folder.path}'; exit 3")
    assert done.returncode == 3
    assert supervised.folder.find_end(supervised.id, 1) is None


def test_a_program_that_makes_the_record_folder_unusable_leaves_no_end(supervised: Supervised) -> None:
    """As root it is run without the right to pass over permissions."""
    powerless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.getuid() == 0 else []
    supervised.prefix = powerless
    done = supervised.run_script(f"chmod 0 '{supervised.folder.path}'; exit 3")
    os.chmod(supervised.folder.path, 0o700)
    assert done.returncode == 3
    assert supervised.folder.find_end(supervised.id, 1) is None
    assert supervised.folder.find_start(supervised.id) is not None


def test_where_no_file_can_grow_a_name_tells_the_end(supervised: Supervised) -> None:
    """For a program of any user: as on a full disk, a file can be made, and nothing be written to it."""
    kinds = {"exit 0": ("exit", 0), "exit 143": ("exit", 143), "kill -TERM $$": ("signal", 15)}
    for position, (kind, how) in enumerate(kinds.items()):
        job = f"{supervised.id}-{position}"
        supervised.run_script(kind, id=job, array_index=7, preexec_fn=_let_no_file_grow)
        assert supervised.how(f"{job}.7") == (*how, "-")
        assert f"{job}.7~v1~1~{how[0]}~{how[1]}~-" in os.listdir(
            os.path.join(supervised.folder.path, "ended")
        )
        assert supervised.run_script("exit 4", native="other", id=job, array_index=7).returncode == 125
    assert os.listdir(os.path.join(supervised.folder.path, "live")) == []


def _let_no_file_grow() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that is soon full."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def _fill(file: Path) -> None:
    with suppress(OSError), file.open("wb", buffering=0) as opened:
        while opened.write(b"x" * 4096):
            pass


def test_an_end_is_told_on_a_disk_that_has_become_full(shell: list[str], disk: Path) -> None:
    supervised = Supervised(shell, str(disk / "records"))
    for kind, how in {"exit 3": ("exit", 3), "kill -TERM $$": ("signal", 15)}.items():
        job = f"{supervised.id}-{how[1]}"
        supervised.run_script(f"cat /dev/zero >{disk}/filler; {kind}", id=job)
        os.unlink(disk / "filler")
        assert supervised.how(job) == (*how, "-")


def test_an_end_is_told_by_a_name_on_a_disk_that_was_full_all_the_time(shell: list[str], disk: Path) -> None:
    supervised = Supervised(shell, str(disk / "records"))
    _fill(disk / "filler")
    assert supervised.run_script("exit 3").returncode == 3
    (end,) = supervised.folder.ended()
    assert end[:7] == (supervised.id, "-", "-", 1, "exit", 3, "-")
    supervised.folder.clear(supervised.id)
    assert list(supervised.folder.ended()) == []
