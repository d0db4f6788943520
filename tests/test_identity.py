"""Which process it was, shown with real ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from hpc_connect.identity import ProcessIdentity
from store_processes import Child, identify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits to be ended."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def ended_without_being_waited_for(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)


def test_a_process_is_alive_until_it_ends(sleeper: subprocess.Popen[bytes]) -> None:
    identity = ProcessIdentity.of(sleeper.pid)
    assert identity.alive() is True
    sleeper.kill()
    sleeper.wait()
    assert identity.alive() is False


def test_a_zombie_is_not_alive(sleeper: subprocess.Popen[bytes]) -> None:
    identity = ProcessIdentity.of(sleeper.pid)
    ended_without_being_waited_for(sleeper)
    assert os.path.exists(f"/proc/{sleeper.pid}")
    assert identity.alive() is False


def test_a_stopped_process_is_alive(sleeper: subprocess.Popen[bytes]) -> None:
    os.kill(sleeper.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, sleeper.pid, os.WSTOPPED | os.WNOWAIT)
    assert ProcessIdentity.of(sleeper.pid).alive() is True


def test_a_later_process_with_the_same_number_is_another(sleeper: subprocess.Popen[bytes]) -> None:
    identity = ProcessIdentity.of(sleeper.pid)
    assert replace(identity, start_ticks=identity.start_ticks - 1).alive() is False


def test_a_process_from_before_the_last_boot_is_not_alive() -> None:
    assert replace(ProcessIdentity.here(), boot_id="an earlier boot").alive() is False


@pytest.mark.parametrize("change", [{"host": "another"}, {"pid_namespace": "pid:[1]"}])
def test_of_another_host_or_container_nothing_can_be_told(change: dict[str, str]) -> None:
    here = ProcessIdentity.here()
    assert replace(here, **change).alive() is None
    assert replace(here, **change, pid=2**22 + 1).alive() is None


def test_another_host_s_boot_says_nothing_either() -> None:
    assert replace(ProcessIdentity.here(), host="another", boot_id="another").alive() is None


def test_a_number_that_no_process_has_is_an_error() -> None:
    with pytest.raises(ProcessLookupError, match=str(2**22 + 1)):
        ProcessIdentity.of(2**22 + 1)  # the kernel's largest pid is 2**22


def test_a_process_knows_itself_as_others_know_it(tmp_path: Path) -> None:
    with Child(identify, str(tmp_path / "unused")) as child:
        known = ProcessIdentity.of(child.pid)
        assert child.hear() == [known.pid, known.start_ticks]
        assert known != ProcessIdentity.here()


def test_identities_of_one_process_are_equal() -> None:
    assert ProcessIdentity.here() == ProcessIdentity.of(os.getpid())


@pytest.mark.parametrize("name", ["a b) R 1 (c", ")", "( (", "x\ny"])
def test_the_name_of_the_program_may_be_anything(tmp_path: Path, name: str) -> None:
    """It stands in /proc/PID/stat before the fields that are read, in parentheses that it may hold itself."""
    with Child(identify, str(tmp_path / "unused"), name) as child:
        known = ProcessIdentity.of(child.pid)
        assert child.hear() == [known.pid, known.start_ticks]
        assert known.alive() is True
        child.kill()
        assert known.alive() is False


def test_after_a_fork_the_child_is_itself() -> None:
    told = subprocess.run(
        [sys.executable, "-c", FORK], capture_output=True, text=True, check=True
    ).stdout.split()
    assert told == ["True", "True"]


FORK = """
import os
from hpc_connect.identity import ProcessIdentity
parent = ProcessIdentity.here()
if os.fork() == 0:
    here = ProcessIdentity.here()
    print(here != parent, here.pid == os.getpid(), flush=True)
    os._exit(0)
os.wait()
"""
