"""What becomes of jobs when the store, the disk or the supervisor fails them."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from hpc_connect.errors import StoreError, SubmitError
from hpc_connect.local import runner as runner_module
from hpc_connect.status import JobState, Reason
from hpc_connect.store import Store
from local_jobs import SOON, let_go, named_pipe, records_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from hpc_connect.backends.shell import ShellBackend
    from local_jobs import Client


def test_a_store_that_cannot_be_written_delays_a_job_that_waited_and_hurts_nobody(
    backend: ShellBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    note_sending, failed = Store.note_sending, threading.Event()

    def fail_once(self: Store, job_id: str) -> bool:
        if not failed.is_set():
            failed.set()
            raise StoreError("the disk is full")
        return note_sending(self, job_id)

    monkeypatch.setattr(Store, "note_sending", fail_once)
    monkeypatch.setattr(runner_module, "_STORE_PAUSE", 0.2)
    reasons = []
    job = backend.submit("job", ["true"], hold=True)
    job.add_status_callback(lambda _, status: reasons.append(status.pending_reason))
    job.release()
    assert job.wait(SOON) == 0
    assert failed.is_set()
    assert any("the disk is full" in reason for reason in reasons)


def test_a_store_that_cannot_be_read_does_not_hide_the_end_of_a_job(
    backend: ShellBackend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise StoreError("damaged")

    job = backend.submit("job", ["exit 3"], hold=True)
    monkeypatch.setattr(Store, "cancel_requested", fail)
    job.release()
    assert job.wait(SOON) == 3


def test_a_store_that_takes_no_request_does_not_keep_a_job_from_being_cancelled(
    backend: ShellBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(Store, "request_cancel", fail)
    running, waiting = backend.submit("job", ["sleep 1000"]), backend.submit("job", ["true"], hold=True)
    for job in (running, waiting):
        job.cancel()
        job.wait(SOON)
        assert job.status.state is JobState.CANCELLED


def test_an_order_that_vanished_is_not_waited_for_for_ever(clients: Callable[..., Client]) -> None:
    """Somebody has removed the files of the record folder."""
    client = clients("""
        job = backend.submit("job", ["touch started"], hold=True)
        folder = backend._session().runner.folder
        os.unlink(folder.order(job.id)); os.unlink(folder.script(job.id))
        try:
            job.wait()
        except hpc_connect.JobLost as error:
            say(error.status.message)
    """)
    assert client.hear() == "there is neither a record of it nor an order to start it"
    assert not os.path.exists("started")


def test_a_damaged_order_or_script_is_a_failure_to_launch(backend: ShellBackend) -> None:
    for damage in ("order", "script"):
        job = backend.submit("job", ["touch started"], hold=True)
        os.truncate(getattr(backend._session().runner.folder, damage)(job.id), 0)
        job.release()
        assert job.wait(SOON) == 127
        assert job.status.reason is Reason.LAUNCH
        assert not os.path.exists("started")


def test_no_supervisor_for_a_job_that_waited_is_a_failed_submission(clients: Callable[..., Client]) -> None:
    from local_jobs import kill, supervisors

    client = clients("""
        from hpc_connect.local import link
        job = backend.submit("job", ["touch started"], hold=True)
        until(lambda: job.status.pending_reason)
        say(""); pause()
        link._START = "raise SystemExit('it is Monday')"
        until(lambda: backend._session().runner.outbox._link is None)
        job.release()
        job.wait()
        say([job.status.state, job.status.reason, "it is Monday" in job.status.message, records_of(backend)])
    """)
    client.hear()
    (supervisor,) = supervisors(client.records)
    kill(supervisor)
    client.tell()
    assert client.hear() == ["FAILED", "SUBMIT", True, []]
    assert not os.path.exists("started")


def test_a_cancel_between_the_decision_to_start_and_the_start_wins_or_ends_it(backend: ShellBackend) -> None:
    for _ in range(20):
        job = backend.submit("job", ["sleep 1000"], hold=True)
        job.release()
        job.cancel()
        job.wait(SOON)
        assert job.status.state is JobState.CANCELLED
        assert not backend._session().runner.runs
        assert not backend._session().runner.waiting


def test_the_engine_thread_never_waits_for_a_supervisor_that_is_stopped(
    clients: Callable[..., Client],
) -> None:
    """More orders than the line holds go to a supervisor that does not read; other jobs' waiters are served."""
    from local_jobs import supervisors

    client = clients("""
        array = backend.submit("array", ["true"], array=range(400), output="/dev/null", hold=True)
        say(""); pause()
        array.release()
        runner = backend._session().runner
        until(lambda: sum(run.sends for run in list(runner.runs.values())) == 400)
        held = backend.submit("held", ["true"], hold=True)
        held.cancel()
        say(held.wait())
        say(array.wait())
    """)
    client.hear()
    (supervisor,) = supervisors(client.records)
    supervisor.suspend()
    client.tell()
    try:
        assert client.hear() == -15
    finally:
        supervisor.resume()
    assert client.hear() == 0


def test_a_submission_fails_when_its_supervisor_does_not_start(clients: Callable[..., Client]) -> None:
    client = clients("""
        from hpc_connect.local import link
        link._START = "raise SystemExit('no')"
        for _ in range(2):
            try:
                backend.submit("job", ["true"])
            except hpc_connect.SubmitError as error:
                say(type(error).__name__)
    """)
    assert client.hear_all() == [SubmitError.__name__] * 2


def test_handles_that_nobody_holds_are_kept_as_long_as_their_jobs_live(backend: ShellBackend) -> None:
    import gc

    ended = threading.Event()
    gate = named_pipe("gate")
    backend.submit("job", [f"read line < {gate}"]).add_done_callback(lambda _: ended.set())
    gc.collect()
    let_go(gate)
    assert ended.wait(SOON)
    assert records_of(backend) == []
