"""Notes for the store are written in batches, and before the program ends."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from hpc_connect.engine import engine
from hpc_connect.errors import StoreError
from hpc_connect.journal import Journal
from hpc_connect.spec import JobSpec
from hpc_connect.status import JobState, JobStatus
from hpc_connect.store import Intent, Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOON = 30.0
RUNNING = JobStatus(state=JobState.RUNNING)
GOOD = JobStatus(state=JobState.COMPLETED, exit_code=0)
LOST = JobStatus(state=JobState.LOST)


class Watched(Store):
    """Counts what is written, and can be made to fail."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.written: list[dict[str, JobStatus]] = []
        self.threads: list[str] = []
        self.error: StoreError | None = None
        self.tried = threading.Event()

    def note_statuses(
        self, statuses: dict[str, JobStatus], native_ids: object = None
    ) -> dict[str, JobStatus]:
        self.threads.append(threading.current_thread().name)
        try:
            if self.error is not None:
                raise self.error
            self.written.append(dict(statuses))
            return super().note_statuses(statuses, native_ids)
        finally:
            self.tried.set()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Watched]:
    with Watched(str(tmp_path / "jobs.sqlite3")) as store:
        spec = JobSpec(commands=["true"])
        store.intend_many(
            Intent(id=name, cluster="c", backend="shell", name="n", spec=spec) for name in ("a", "b", "c")
        )
        yield store


@pytest.fixture
def settled() -> list[str]:
    return []


@pytest.fixture
def journal(store: Watched, settled: list[str]) -> Journal:
    return Journal(store, settled.append)


def test_what_is_noted_is_stored_soon_and_not_on_the_engines_thread(journal: Journal, store: Watched) -> None:
    journal.note("a", GOOD, "7:8")
    assert store.tried.wait(SOON)
    journal.flush()
    stored = store.find("a")
    assert (stored.status, stored.native_id) == (GOOD, "7:8")
    assert "hpc_connect-engine" not in store.threads


def test_all_that_happens_in_a_moment_is_one_write(journal: Journal, store: Watched) -> None:
    for name in "abc":
        journal.note(name, RUNNING)
        journal.note(name, GOOD)
    journal.flush()
    assert store.written == [dict.fromkeys("abc", GOOD)]


def test_a_flush_with_nothing_to_write_writes_nothing(journal: Journal, store: Watched) -> None:
    journal.flush()
    assert store.written == []


def test_of_jobs_whose_end_is_stored_it_tells(journal: Journal, settled: list[str]) -> None:
    for name, status in {"a": GOOD, "b": RUNNING, "c": LOST}.items():
        journal.note(name, status)
    journal.flush()
    assert settled == ["a"]


def test_of_jobs_that_are_not_in_this_store_it_tells_nothing(journal: Journal, settled: list[str]) -> None:
    """Their records are still needed by those who have them in theirs."""
    journal.note("another", GOOD)
    journal.flush()
    assert settled == []


def test_a_store_that_takes_nothing_keeps_the_records_where_they_are(
    journal: Journal, store: Watched, settled: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    store.error = StoreError("the disk is full")
    with caplog.at_level(logging.ERROR, "hpc_connect"):
        journal.note("a", GOOD)
        journal.flush()
    assert settled == []
    assert "the disk is full" in caplog.text
    store.error = None
    journal.note("b", GOOD)
    journal.flush()
    assert settled == ["b"]


def test_notes_that_come_while_others_are_written_are_written_after_them(
    journal: Journal, store: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, go_on = threading.Event(), threading.Event()
    write = Store.note_statuses

    def slow(self: Store, *arguments: object) -> object:
        writing.set()
        assert go_on.wait(SOON)
        return write(self, *arguments)

    monkeypatch.setattr(Store, "note_statuses", slow)
    journal.note("a", RUNNING)
    first = threading.Thread(target=journal.flush)
    first.start()
    assert writing.wait(SOON)
    journal.note("a", GOOD)  # does not wait for the disk
    second = threading.Thread(target=journal.flush)
    second.start()
    go_on.set()
    first.join()
    second.join()
    assert [written["a"] for written in store.written] == [RUNNING, GOOD]


def test_the_engine_does_not_wait_for_the_disk(
    journal: Journal, store: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(Store, "note_statuses", lambda *_: (go_on.wait(SOON), {})[1])
    journal.note("a", GOOD)
    assert store.tried.wait(0.2) is False
    alive = threading.Event()
    engine().call(alive.set)
    assert alive.wait(SOON)
    go_on.set()
    assert store.tried.wait(SOON)


AT_EXIT = """if True:
    import os, sys
    from hpc_connect.engine import engine
    from hpc_connect.journal import Journal
    from hpc_connect.spec import JobSpec
    from hpc_connect.status import JobState, JobStatus
    from hpc_connect.store import Intent, Store

    store = Store(sys.argv[1])
    store.intend(Intent(id="a", cluster="c", backend="shell", name="n", spec=JobSpec(commands=["true"])))
    journal = Journal(store, print)
    journal._lock.acquire() if sys.argv[2] == "locked" else None
    if sys.argv[2] != "noted":
        pid = os.fork()
        if pid == 0:
            sys.exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        journal._lock.release() if sys.argv[2] == "locked" else None
    journal.note("a", JobStatus(state=JobState.COMPLETED, exit_code=0))
"""


@pytest.mark.parametrize("how", ["noted", "forked", "locked"])
def test_what_was_noted_is_stored_before_the_program_ends_and_only_by_it(tmp_path: Path, how: str) -> None:
    path = str(tmp_path / "jobs.sqlite3")
    done = subprocess.run(
        [sys.executable, "-c", AT_EXIT, path, how], capture_output=True, text=True, timeout=SOON
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "a\n", "")
    with Store(path) as store:
        assert store.find("a").state is JobState.COMPLETED
    assert os.listdir() == []
