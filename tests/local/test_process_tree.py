"""Which processes belong to a job. That all of them are ended is shown in ``tests/backends/shell/test_cancel.py``."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hpc_connect.local import proc
from hpc_connect.local.process_tree import MARKER, Snapshot
from hpc_connect.local.signalling import Tree, count_living, send_signal
from local_jobs import until

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def job(text: str, name: str = "some.job", **variables: str) -> Iterator[tuple[Tree, list[int]]]:
    """A job as a supervisor starts it, and the processes that it writes the numbers of."""
    read, write = os.pipe()
    process = subprocess.Popen(
        ["/bin/bash", "-c", text],
        env={"PATH": os.environ["PATH"], MARKER: name, "OUT": f"/proc/self/fd/{write}", **variables},
        pass_fds=[write],
        start_new_session=True,
    )
    os.close(write)
    with open(read) as file:
        numbers = [int(file.readline()) for _ in range(text.count("$OUT"))]
    try:
        yield Tree(name, process.pid, proc.stat(process.pid).ticks), numbers
    finally:
        for number in {process.pid, *numbers}:
            subprocess.run(["kill", "-KILL", str(number)], stderr=subprocess.DEVNULL)
        process.wait()


SLEEP = "echo $BASHPID > $OUT; exec sleep 1000"


def test_children_and_those_that_changed_session_or_environment_belong_to_it() -> None:
    text = (
        f"({SLEEP}) & "
        f"setsid bash -c '{SLEEP}' & "
        f'env -i OUT=$OUT bash -c "{SLEEP.replace("$BASHPID", chr(92) + "$BASHPID")}" & '
        f'env -i OUT=$OUT setsid bash -c "{SLEEP.replace("$BASHPID", chr(92) + "$BASHPID")}" & wait'
    )
    with job(text.replace("OUT=$OUT", "OUT=${OUT}")) as (tree, numbers):
        members = Snapshot().members(tree)
        assert {tree.leader, *numbers} <= members.keys()
        assert members[tree.leader] == tree.ticks
        assert os.getpid() not in members


def test_a_daemon_belongs_to_it_by_its_environment() -> None:
    with job(f"setsid bash -c '({SLEEP}) & exit'; sleep 1000") as (tree, (daemon,)):
        until(lambda: proc.stat(daemon).parent != tree.leader)
        assert daemon in Snapshot().members(tree)
        assert daemon in Snapshot().members(Tree(tree.name))  # its leader need not be known


def test_one_that_was_known_before_belongs_to_it_though_its_parents_have_ended() -> None:
    text = "env -i O=$OUT setsid bash -c '(echo $BASHPID > $O; exec sleep 1000) & wait' & wait"
    with job(text) as (tree, (orphan,)):
        known = Snapshot().members(tree)
        assert orphan in known
        for pid in known.keys() - {orphan}:
            subprocess.run(["kill", "-KILL", str(pid)], check=True)
        until(lambda: Snapshot().members(tree, known).keys() == {orphan})


def test_a_session_with_the_number_of_an_earlier_one_is_not_the_jobs() -> None:
    with job("sleep 1000", name="other") as (tree, _):
        wrong = tree._replace(name="some.job", ticks=str(int(tree.ticks) - 1))
        assert Snapshot().members(wrong) == {}


def test_a_name_that_only_begins_the_same_is_another_job() -> None:
    with job("sleep 1000", name="some.jobs"):
        assert Snapshot().members(Tree("some.job")) == {}
        assert Snapshot().members(Tree("some.jobs")) != {}


def test_a_signal_is_not_sent_to_a_later_process_with_the_same_number() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        ticks = proc.stat(process.pid).ticks
        Snapshot().send({process.pid: str(int(ticks) - 1)}, 9)
        process.communicate(b"\n")
    assert process.returncode == 0


def test_those_that_have_ended_are_not_counted() -> None:
    with job("sleep 1000; true") as (tree, _):
        until(lambda: count_living([tree]) == {"some.job": 2})
        send_signal(tree, 9)
        until(lambda: count_living([tree, Tree("nothing")]) == {"some.job": 0, "nothing": 0})
