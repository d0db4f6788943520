"""What the kernel tells of processes."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil

from hpc_connect.local import proc
from local_jobs import until

if TYPE_CHECKING:
    from pathlib import Path


def test_of_this_process_it_tells_the_same_as_others_do() -> None:
    found = proc.stat(os.getpid())
    assert (found.parent, found.session) == (os.getppid(), os.getsid(0))
    assert found.lives
    assert (
        abs(psutil.boot_time() + int(found.ticks) / os.sysconf("SC_CLK_TCK") - psutil.Process().create_time())
        < 2
    )


def test_a_name_with_anything_in_it_is_no_field(tmp_path: Path) -> None:
    program = tmp_path / "a) R 1 (b\n"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "1000"]) as process:
        until(lambda: psutil.Process(process.pid).name() != "python")
        found = proc.stat(process.pid)
        assert (found.parent, found.session) == (os.getpid(), os.getsid(0))
        process.kill()


def test_a_zombie_does_not_live() -> None:
    process = subprocess.Popen(["/bin/true"])
    until(lambda: proc.stat(process.pid).state == "Z")
    found = proc.stat(process.pid)
    assert not found.lives
    assert not proc.runs(process.pid, found.ticks)
    process.wait()
    assert proc.stat(process.pid) is None


def test_a_process_runs_only_if_it_is_the_one_that_was_started_then() -> None:
    ticks = proc.stat(os.getpid()).ticks
    assert proc.runs(os.getpid(), ticks)
    assert not proc.runs(os.getpid(), str(int(ticks) + 1))
    assert not proc.runs(2**22 + 1, ticks)  # more than there can be: PID_MAX_LIMIT


def test_a_variable_is_the_one_it_was_started_with() -> None:
    environment = {"FIRST": "1", "A": "x=y\nz", "NOT_A": "n", "B": ""}
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], env=environment, stdin=subprocess.PIPE
    ) as process:
        until(lambda: proc.variable(process.pid, "FIRST") == "1")
        found = {name: proc.variable(process.pid, name) for name in ("FIRST", "A", "B", "C")}
        process.communicate(b"\n")
    assert found == {"FIRST": "1", "A": "x=y\nz", "B": "", "C": ""}
    assert proc.variable(process.pid, "A") == ""


def test_a_boot_has_a_name() -> None:
    assert proc.boot_id() == proc.boot_id() != ""
