"""The line to the supervisor."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from hpc_connect.engine import engine
from hpc_connect.errors import SubmitError
from hpc_connect.local import link
from hpc_connect.local.link import SupervisorLink
from hpc_connect.records.folder import RecordFolder
from local_jobs import SOON, ended, kill, supervisors, until

if TYPE_CHECKING:
    from pathlib import Path


class Heard:
    """What a client hears."""

    def __init__(self) -> None:
        self.news: list[dict[str, object]] = []
        self.some = threading.Event()
        self.lost = threading.Event()
        self.threads: set[str] = set()

    def take(self, message: dict[str, object]) -> None:
        self.news.append(message)
        self.threads.add(threading.current_thread().name)
        self.some.set()

    def lose(self, _: SupervisorLink) -> None:
        self.threads.add(threading.current_thread().name)
        self.lost.set()


@pytest.fixture
def folder(tmp_path: Path) -> str:
    records = RecordFolder(str(tmp_path / "records"))
    records.make()
    return records.path


def test_news_comes_on_the_engines_thread(folder: str) -> None:
    heard = Heard()
    line = SupervisorLink(folder, heard.take, heard.lose)
    line.send({"do": "start", "job": "nothing"})
    assert heard.some.wait(SOON)
    assert heard.news == [{"news": "claimed", "job": "nothing"}]
    (supervisor,) = supervisors(folder)
    kill(supervisor)
    assert heard.lost.wait(SOON)
    assert heard.threads == {"hpc_connect-engine"}
    line.close()


def test_sending_to_one_that_has_gone_is_told_as_its_loss_and_raises_nothing(folder: str) -> None:
    heard = Heard()
    line = SupervisorLink(folder, heard.take, heard.lose)
    (supervisor,) = supervisors(folder)
    kill(supervisor)
    for _ in range(3):
        line.send({"do": "start", "job": "nothing"})
    assert heard.lost.wait(SOON)
    line.close()
    line.send({"do": "start", "job": "nothing"})


def test_a_message_larger_than_the_line_arrives(folder: str) -> None:
    heard = Heard()
    line = SupervisorLink(folder, heard.take, heard.lose)
    name = "x" * 1_000_000
    line.send({"do": "start", "job": name})
    assert heard.some.wait(SOON)
    assert heard.news[0]["job"] == name
    (supervisor,) = supervisors(folder)
    kill(supervisor)
    assert heard.lost.wait(SOON)
    line.close()


def test_one_that_cannot_be_started_leaves_no_descriptor_open(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "_START", "import sys; sys.exit('no')")
    started = threading.Event()
    engine().call(started.set)  # the engine has its own descriptors
    assert started.wait(SOON)
    before = sorted(os.listdir("/proc/self/fd"))
    with pytest.raises(SubmitError, match="no"):
        SupervisorLink(folder, print, print)
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_a_program_that_is_not_there_is_a_clear_error(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link.sys, "executable", "/no/such/python")
    with pytest.raises(SubmitError, match="/no/such/python"):
        SupervisorLink(folder, print, print)


def test_it_gets_no_variable_that_changes_how_python_runs_nor_what_a_job_is(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PYTHONPATH", "PYTHONSTARTUP", "HPC_CONNECT_JOB_ID", "MINE"):
        monkeypatch.setenv(name, "/x")
    heard = Heard()
    line = SupervisorLink(folder, heard.take, heard.lose)
    (supervisor,) = supervisors(folder)
    environment = supervisor.environ()
    kill(supervisor)
    assert heard.lost.wait(SOON)
    line.close()
    assert environment["MINE"] == "/x"
    assert not {"PYTHONPATH", "PYTHONSTARTUP", "HPC_CONNECT_JOB_ID"} & environment.keys()


def test_when_the_line_is_closed_it_goes(folder: str) -> None:
    heard = Heard()
    line = SupervisorLink(folder, heard.take, heard.lose)
    (supervisor,) = supervisors(folder)
    gone = threading.Event()
    engine().call(lambda: (engine().unwatch(line._socket.fileno()), line.close(), gone.set()))
    assert gone.wait(SOON)
    until(lambda: ended(supervisor))
