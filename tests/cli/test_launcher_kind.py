"""A launcher is asked for its kind once, and the answer is remembered as long as the program is the same."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from stand_ins import MAIN, stand_in, times_asked

from hpc_connect import config
from hpc_connect.cli import launcher_kind
from hpc_connect.cli.launcher_kind import MEMORY, kind_of
from hpc_connect.errors import LaunchError
from hpc_connect.launchers.mpi import MPILauncher
from hpc_connect.launchers.srun import SrunLauncher

if TYPE_CHECKING:
    from pathlib import Path


def memory() -> str:
    return os.path.join(config.cache_folder(), MEMORY)


def remembered() -> list[str]:
    with open(memory(), encoding="utf-8") as file:
        return file.read().splitlines()


def test_it_is_asked_once(tmp_path: Path) -> None:
    program = stand_in(tmp_path)
    assert [kind_of(MPILauncher(), program) for _ in range(3)] == ["mpich 4.0.2"] * 3
    assert times_asked(program) == 1


def test_a_launcher_with_nothing_to_ask_is_not_asked(tmp_path: Path) -> None:
    program = stand_in(tmp_path, "srun")
    assert kind_of(SrunLauncher(), program) == ""
    assert times_asked(program) == 0


def test_another_file_in_its_place_is_asked_again(tmp_path: Path) -> None:
    program = stand_in(tmp_path)
    assert kind_of(MPILauncher(), program) == "mpich 4.0.2"
    stand_in(tmp_path, kind="openmpi")
    assert kind_of(MPILauncher(), program) == "openmpi 4.1.4"
    size = os.path.getsize(program)
    os.utime(program, ns=(1, 1))
    assert os.path.getsize(program) == size
    assert kind_of(MPILauncher(), program) == "openmpi 4.1.4"
    assert times_asked(program) == 3
    assert len(remembered()) == 1


def test_a_link_is_followed(tmp_path: Path) -> None:
    """As with Debian's alternatives: the path stays, and leads elsewhere."""
    one = stand_in(tmp_path, "one", kind="mpich")
    two = stand_in(tmp_path, "two", kind="openmpi")
    os.utime(two, ns=(1, 1))
    link = tmp_path / "mpiexec"
    link.symlink_to(one)
    assert kind_of(MPILauncher(), str(link)) == "mpich 4.0.2"
    link.unlink()
    link.symlink_to(two)
    assert kind_of(MPILauncher(), str(link)) == "openmpi 4.1.4"


def test_what_is_not_known_is_not_remembered(tmp_path: Path) -> None:
    program = stand_in(tmp_path, kind="nobody")
    assert [kind_of(MPILauncher(), program) for _ in range(2)] == ["", ""]
    assert times_asked(program) == 2
    assert not os.path.exists(memory())


@pytest.mark.parametrize(
    "damage",
    [b"", b"\0\0\0", b"\xff\xfe\n", b"{line}", b"{path}\t1\n", b"{path}\t1\t1\tmpich 1\n", b"x" * 2_000_000],
    ids=["empty", "zeros", "no text", "a piece", "half a line", "another file", "huge"],
)
def test_a_damaged_memory_is_as_good_as_none(tmp_path: Path, damage: bytes) -> None:
    program = stand_in(tmp_path)
    os.makedirs(config.cache_folder())
    with open(memory(), "wb") as file:
        file.write(damage.replace(b"{path}", os.fsencode(program)))
    assert [kind_of(MPILauncher(), program) for _ in range(2)] == ["mpich 4.0.2"] * 2
    assert times_asked(program) == 1


@pytest.mark.parametrize("kind", ["", "mpich", "mpich ", "9 9", "mpich 4\tx", "mpich \u0664"])
def test_a_line_with_an_impossible_kind_does_not_count(tmp_path: Path, kind: str) -> None:
    program = stand_in(tmp_path)
    kind_of(MPILauncher(), program)
    with open(memory(), encoding="utf-8") as file:
        text = file.read()
    with open(memory(), "w", encoding="utf-8") as file:
        file.write(text.replace("mpich 4.0.2", kind))
    assert kind_of(MPILauncher(), program) == "mpich 4.0.2"
    assert times_asked(program) == 2


def test_where_nothing_can_be_written_it_is_asked_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = stand_in(tmp_path)
    for place in ("/dev/null", "/proc/nowhere", program):
        monkeypatch.setenv("XDG_CACHE_HOME", place)
        before = times_asked(program)
        assert [kind_of(MPILauncher(), program) for _ in range(2)] == ["mpich 4.0.2"] * 2
        assert times_asked(program) == before + 2


def test_nothing_but_the_memory_is_left_behind(tmp_path: Path) -> None:
    kind_of(MPILauncher(), stand_in(tmp_path))
    assert os.listdir(config.cache_folder()) == [MEMORY]
    os.unlink(memory())
    os.mkdir(memory())  # it cannot be replaced now
    kind_of(MPILauncher(), stand_in(tmp_path))
    assert os.listdir(config.cache_folder()) == [MEMORY]


def test_a_program_with_an_odd_path_is_asked_each_time(tmp_path: Path) -> None:
    program = stand_in(tmp_path / "a\tb\nc")
    assert [kind_of(MPILauncher(), program) for _ in range(2)] == ["mpich 4.0.2"] * 2
    assert times_asked(program) == 2


def test_the_memory_does_not_grow_without_end(tmp_path: Path) -> None:
    for number in range(60):
        kind_of(MPILauncher(), stand_in(tmp_path, f"mpiexec.{number}"))
    assert 40 < len(remembered()) < 60
    kind_of(MPILauncher(), str(tmp_path / "mpiexec.59"))
    assert times_asked(str(tmp_path / "mpiexec.59")) == 1


def test_many_at_once_do_not_damage_it(tmp_path: Path) -> None:
    programs = [stand_in(tmp_path, f"mpiexec.{number}") for number in range(8)]

    def start(program: str) -> int:
        words = ["--backend=mpi", "-n", "2", "app"]
        return subprocess.run(
            [sys.executable, "-c", MAIN, *words],
            env={**os.environ, "HPCC_LAUNCH_EXEC": program},
            stdout=subprocess.DEVNULL,
            timeout=60,
        ).returncode

    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(start, programs * 2)] == [0] * 16
    assert {line.count("\t") for line in remembered()} == {3}
    assert {line.partition("\t")[0] for line in remembered()} <= {*programs}


def test_a_program_that_does_not_answer_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "mpiexec"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setattr(launcher_kind, "_SECONDS_TO_ANSWER", 0.2)
    with pytest.raises(LaunchError, match="no answer"):
        kind_of(MPILauncher(), str(program))


def test_a_program_that_cannot_be_run_is_an_error(tmp_path: Path) -> None:
    program = tmp_path / "mpiexec"
    program.write_text("no program at all")
    program.chmod(0o755)
    with pytest.raises(LaunchError, match="--version: Exec format error"):
        kind_of(MPILauncher(), str(program))
