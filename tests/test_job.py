"""A handle of the library's own: its status is pushed, its end is announced once, its verbs are its backend's."""

from __future__ import annotations

import gc
import logging
import signal
import subprocess
import sys
import threading
import tracemalloc
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from handles import COMPLETED, RUNNING, SOON, SUBMITTING, Control, job, kill, mortal_engine, observe
from hpc_connect.capability import Capability
from hpc_connect.engine import engine
from hpc_connect.errors import EngineError, JobFailed, JobLost, SpecError, UnsupportedError
from hpc_connect.job import JobProcess
from hpc_connect.status import JobState, JobStatus, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpc_connect.engine import Engine

QUEUED = JobStatus(state=JobState.QUEUED)
FAILED = JobStatus(state=JobState.FAILED, reason=Reason.EXIT, exit_code=3)
LOST = JobStatus(state=JobState.LOST)


@pytest.fixture
def mortal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    with mortal_engine(monkeypatch) as mortal:
        yield mortal


# ---------------------------------------------------------------- status


def test_news_is_seen_at_once() -> None:
    process = job(QUEUED)
    observe(process, RUNNING, "77")
    assert (process.status, process.native_id, process.jobid) == (RUNNING, "77", "77")
    assert "RUNNING" in repr(process)
    assert "on test" in repr(process)


def test_an_end_is_never_reversed_and_what_contradicts_it_is_kept_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    process = job()
    observe(process, COMPLETED)
    with caplog.at_level(logging.WARNING):
        observe(process, FAILED)
        observe(process, FAILED)
    assert (process.wait(), process.status.state) == (0, JobState.COMPLETED)
    assert "exit code 3" in process.status.disagreement
    assert ["exit code 3" in record.getMessage() for record in caplog.records] == [True]


def test_a_job_that_was_lost_and_turned_up_has_its_true_end() -> None:
    process = job()
    observe(process, LOST)
    with pytest.raises(JobLost):
        process.wait(SOON)
    observe(process, FAILED)
    assert process.wait(SOON) == 3


def test_a_job_that_was_lost_and_is_seen_alive_can_be_waited_for_anew() -> None:
    process, told = job(), list[int | None]()
    process.add_done_callback(lambda ended: told.append(ended.returncode))
    observe(process, LOST)
    observe(process, RUNNING)
    assert process.poll() is None
    with pytest.raises(TimeoutError):
        process.wait(0.01)
    process.add_done_callback(lambda ended: told.append(ended.returncode))
    observe(process, FAILED)
    assert process.wait(SOON) == 3
    assert told == [None, 3]  # each was told once, what was known then


# ---------------------------------------------------------------- status callbacks


def test_every_change_is_told_on_the_engines_thread_until_the_end() -> None:
    process = job(QUEUED)
    told: list[tuple[JobProcess, JobState, bool]] = []
    process.add_status_callback(
        lambda changed, status: told.append((changed, status.state, engine().is_current()))
    )
    observe(process, QUEUED)  # no change
    observe(process, replace(QUEUED, observed_at=datetime.now(UTC)))  # seen again, and no other
    observe(process, replace(RUNNING, observed_at=datetime.now(UTC)))
    observe(process, FAILED)
    observe(process, COMPLETED)  # contradicts, and comes too late
    assert told == [(process, JobState.RUNNING, True), (process, JobState.FAILED, True)]


def test_an_error_in_a_status_callback_is_kept_and_harms_nobody() -> None:
    process, told = job(), list[JobState]()
    problem = SystemExit(3)

    def fail(_: JobProcess, status: JobStatus) -> None:
        raise problem

    process.add_status_callback(fail)
    process.add_status_callback(lambda _, status: told.append(status.state))
    observe(process, COMPLETED)
    assert process.callback_errors == [problem]
    assert told == [JobState.COMPLETED]
    engine().check()


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads that take turns as often as they can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("hasty_threads")
def test_no_callback_is_lost_when_several_threads_add_them() -> None:
    for _ in range(50):
        process, told = job(QUEUED), list[int]()

        def add(number: int, process: JobProcess = process, told: list[int] = told) -> None:
            process.add_status_callback(lambda *_: told.append(number))

        with ThreadPoolExecutor(8) as pool:
            assert [*pool.map(add, range(64))] == [None] * 64
        observe(process, RUNNING)
        assert sorted(told) == [*range(64)]


def test_a_status_that_was_read_after_adding_a_callback_cannot_be_missed() -> None:
    for _ in range(200):
        process, changed = job(QUEUED), threading.Event()
        engine().call(process.observe, RUNNING)
        process.add_status_callback(lambda *_, changed=changed: changed.set())
        assert process.status == RUNNING or changed.wait(SOON)


# ---------------------------------------------------------------- native id


def test_the_native_id_is_waited_for_while_the_submission_is_under_way() -> None:
    process = job(SUBMITTING)
    engine().call(engine().call_later, 0.05, process.observe, RUNNING, "77")
    assert process.native_id == "77"


@pytest.mark.parametrize(
    "outcome", [JobStatus(state=JobState.UNKNOWN, query_error="no answer"), FAILED, QUEUED, LOST]
)
def test_a_submission_that_gave_no_native_id_ends_the_waiting_for_it(outcome: JobStatus) -> None:
    process = job(SUBMITTING)
    engine().call(engine().call_later, 0.05, process.observe, outcome)
    assert process.native_id == ""


def test_news_that_leaves_it_under_way_does_not_end_the_waiting() -> None:
    process = job(SUBMITTING)
    engine().call(process.observe, replace(SUBMITTING, query_error="slow"))
    engine().call(engine().call_later, 0.05, process.observe, RUNNING, "77")
    assert process.native_id == "77"


def test_the_engine_does_not_wait_for_the_native_id() -> None:
    process, seen = job(SUBMITTING), list[str]()
    done = threading.Event()
    engine().call(lambda: (seen.append(process.native_id), done.set()))
    assert done.wait(SOON)
    assert seen == [""]


def test_a_native_id_that_comes_just_before_it_is_waited_for_is_not_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add = JobProcess.add_status_callback

    def too_late(process: JobProcess, function: Any) -> None:
        observe(process, RUNNING, "77")
        add(process, function)

    monkeypatch.setattr(JobProcess, "add_status_callback", too_late)
    assert job(SUBMITTING).native_id == "77"


def test_a_dead_engine_is_not_waited_for_by_who_wants_the_native_id(mortal: Engine) -> None:
    process = job(SUBMITTING)
    threading.Timer(0.05, kill, [mortal]).start()
    with pytest.raises(EngineError):
        process.native_id  # noqa: B018 - reading it is the test
    with pytest.raises(EngineError):
        process.native_id  # noqa: B018 - and again


# ---------------------------------------------------------------- a dead engine


def test_the_death_of_the_engine_is_raised_by_poll_and_said_by_the_status(mortal: Engine) -> None:
    process = job()
    kill(mortal)
    for _ in range(2):
        with pytest.raises(EngineError, match="a mistake of ours"):
            process.poll()
    assert process.status.state is JobState.RUNNING  # as far as anybody knew
    assert "a mistake of ours" in process.status.query_error
    assert process.returncode is None


# ---------------------------------------------------------------- output


def test_output_is_read_where_it_was_written() -> None:
    control = Control()
    control.files = {"/out": b"out\xff", "/err": b"err"}
    process = job(control=control, output_path="/out", error_path="/err")
    assert (process.output(), process.error_output()) == ("out\ufffd", "err")
    assert (job(control=control).output(), job(control=control).error_output()) == ("", "")


def test_of_a_long_output_only_the_end_is_read_for_an_error() -> None:
    control = Control()
    control.files = {"/out": b"x" * 1_000_000, "/err": b"what went wrong\n"}
    process = job(FAILED, control, output_path="/out", error_path="/err")
    with pytest.raises(JobFailed) as caught:
        process.result()
    assert caught.value.output_tail == "x" * 4000 + "\nwhat went wrong"
    assert all(last is not None and last <= 16_000 for _, last in control.reads)


# ---------------------------------------------------------------- verbs

VERBS: dict[str, tuple[Capability, tuple[Any, ...], tuple[str, ...]]] = {
    "cancel": (Capability.CANCEL, (), ("cancel_job", "ours", "15", "0:00:10")),
    "hold": (Capability.HOLD, (), ("hold_job", "ours")),
    "release": (Capability.HOLD, (), ("release_job", "ours")),
    "suspend": (Capability.SUSPEND, (), ("suspend_job", "ours")),
    "resume": (Capability.SUSPEND, (), ("resume_job", "ours")),
    "requeue": (Capability.REQUEUE, (), ("requeue_job", "ours")),
    "send_signal": (Capability.SEND_SIGNAL, ("USR1",), ("signal_job", "ours", "10")),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_the_backends(verb: str) -> None:
    _, arguments, asked = VERBS[verb]
    control = Control()
    getattr(job(control=control), verb)(*arguments)
    assert [call[: len(asked)] for call in control.asked] == [asked]


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_that_the_backend_does_not_have_is_refused_by_name(verb: str) -> None:
    capability, arguments, _ = VERBS[verb]
    control = Control(frozenset(Capability) - {capability})
    for status in (RUNNING, COMPLETED):
        with pytest.raises(UnsupportedError, match="'test'") as caught:
            getattr(job(status, control), verb)(*arguments)
        assert caught.value.field == verb
    assert control.asked == []


@pytest.mark.parametrize("verb", VERBS)
def test_a_job_that_has_ended_is_left_alone(verb: str) -> None:
    _, arguments, _ = VERBS[verb]
    control = Control()
    process = job(COMPLETED, control)
    if verb in ("cancel", "send_signal"):  # as of a process that has just gone
        getattr(process, verb)(*arguments)
    else:
        with pytest.raises(UnsupportedError, match="has ended: COMPLETED") as caught:
            getattr(process, verb)(*arguments)
        assert caught.value.field == verb
    assert control.asked == []


def test_how_a_job_is_cancelled_can_be_said() -> None:
    control = Control()
    job(control=control).cancel("INT", grace="1m")
    job(control=control).cancel(signal.SIGUSR1, grace=0.5)
    assert [call[2] for call in control.asked] == ["2", "10"]


@pytest.mark.parametrize("status", [RUNNING, COMPLETED])
@pytest.mark.parametrize("how", [{"signal": "NOPE"}, {"signal": 0}, {"grace": -1}, {"grace": "soon"}])
def test_what_cannot_be_accepted_is_refused_whatever_the_job_does(
    status: JobStatus, how: dict[str, Any]
) -> None:
    control = Control()
    with pytest.raises(SpecError) as caught:
        job(status, control).cancel(**how)
    assert caught.value.field in how
    assert control.asked == []


# ---------------------------------------------------------------- fork and memory

FORK = """
import os, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from hpc_connect.capability import Capability
from hpc_connect.engine import engine
from hpc_connect.group import ProcessGroup
from hpc_connect.job import JobProcess
from hpc_connect.process import HPCProcess
from hpc_connect.status import JobState, JobStatus

class Control:
    name, capabilities, followed = "test", frozenset(Capability), 0
    def follow_job(self, job):
        self.followed += 1
        job.status  # may be looked at while it is followed
        engine().register(job)
        engine().call(job.observe, JobStatus(state=JobState.FAILED, exit_code=3))

class Plain(HPCProcess):
    polling_frequency, code = 0.0, None
    def poll(self):
        return self.code
    def cancel(self):
        pass

control = Control()
running = JobProcess(control, "running", JobStatus(state=JobState.RUNNING))
group_of = JobProcess(control, "element", JobStatus(state=JobState.RUNNING))
submitting = JobProcess(control, "submitting", JobStatus(state=JobState.SUBMITTING))
ended = JobProcess(control, "ended", JobStatus(state=JobState.COMPLETED, exit_code=0))
plain, group = Plain(), ProcessGroup("group", [group_of])
for job in (running, submitting, group_of):
    engine().register(job)
for job in (running, plain, group):
    job.add_done_callback(lambda _: None)
    try:
        job.wait(0.05)
    except TimeoutError:
        pass
if os.fork() == 0:
    plain.code = 7
    assert (running.wait(30), group.wait(30), plain.wait(30), ended.wait(30)) == (3, 3, 7, 0)
    assert submitting.native_id == "" and submitting.wait(30) == 3
    assert control.followed == 3, control.followed
    os._exit(0)
print(os.waitstatus_to_exitcode(os.wait()[1]), control.followed, running.status.state)
"""


def test_in_a_forked_child_jobs_are_followed_anew_by_who_asks() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout.split(), done.stderr) == (["0", "0", "RUNNING"], "")


def test_who_cannot_follow_in_a_child_says_so_and_may_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    control = Control()
    process = job(control=control)
    with mortal_engine(monkeypatch):  # as in a child

        def fail(_: JobProcess) -> None:
            raise OSError("no such folder")

        monkeypatch.setattr(control, "follow_job", fail, raising=False)
        with pytest.raises(OSError, match="no such folder"):
            process.wait(SOON)
        monkeypatch.setattr(control, "follow_job", lambda job: observe(job, COMPLETED))
        assert process.wait(SOON) == 0


def test_the_handle_of_a_job_that_has_ended_is_held_by_nobody() -> None:
    process = job()
    gone = weakref.ref(process)
    process.add_done_callback(lambda _: None)
    observe(process, COMPLETED)
    del process
    gc.collect()
    assert gone() is None


def test_the_handle_of_a_job_that_has_ended_takes_little_memory() -> None:
    control = Control()

    def handles() -> list[JobProcess]:
        made = [job(RUNNING, control, f"job{number:07}", native_id=str(number)) for number in range(1000)]
        for process in made:
            process.add_done_callback(lambda _: None)
            engine().call(process.observe, replace(COMPLETED, ended_at=datetime.now(UTC)))
        made[-1].wait(SOON)
        return made

    handles()
    tracemalloc.start()
    try:
        kept = handles()
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size / len(kept) <= 2048, size / len(kept)
