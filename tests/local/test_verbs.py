"""Hold and release, suspend and resume, signals, requeue. Cancelling is in ``tests/backends/shell/test_cancel.py``."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from hpc_connect.errors import UnsupportedError
from hpc_connect.local import proc
from hpc_connect.status import JobState
from local_jobs import SOON, let_go, named_pipe, processes_of, reach, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpc_connect.backends.shell import ShellBackend
    from hpc_connect.job import JobProcess
    from local_jobs import Client


def hear(pipe: str) -> str:
    with open(pipe) as file:
        return file.read()


def running(backend: ShellBackend, text: str = "sleep 1000", first: str = "") -> JobProcess:
    """A job that has come so far as to say so."""
    pipe = named_pipe("running")
    job = backend.submit("job", [f"{first} echo > {pipe}; {text}"])
    hear(pipe)
    reach(job, JobState.RUNNING)
    return job


def end(job: JobProcess) -> None:
    job.cancel(grace=0.1)
    job.wait(SOON)


# ---------------------------------------------------------------------- hold and release


def test_a_job_submitted_held_starts_when_it_is_released(backend: ShellBackend) -> None:
    job = backend.submit("job", ["touch started"], hold=True)
    assert job.status.state is JobState.HELD
    until(lambda: job.status.pending_reason)
    assert "release()" in job.status.pending_reason
    assert job.poll() is None
    assert not os.path.exists("started")
    job.release()
    assert job.wait(SOON) == 0
    assert job.status.pending_reason == ""
    assert os.path.exists("started")


def test_a_job_that_waits_can_be_held_and_stays_so_when_what_it_waited_for_is_over(
    backend: ShellBackend,
) -> None:
    gate = named_pipe("gate")
    first = backend.submit("first", [f"read line < {gate}"])
    job = backend.submit("job", ["true"], dependencies=[("afterok", first)])
    job.hold()
    reach(job, JobState.HELD)
    let_go(gate)
    first.wait(SOON)
    reach(job, JobState.HELD)
    job.release()
    assert job.wait(SOON) == 0


def test_hold_is_never_too_late_without_saying_so(backend: ShellBackend) -> None:
    for _ in range(20):
        job = backend.submit("job", ["true"], hold=True)
        job.release()
        try:
            job.hold()
        except UnsupportedError:
            assert job.wait(SOON) == 0
            continue
        reach(job, JobState.HELD)
        assert job.poll() is None
        end(job)


@pytest.mark.parametrize("verb", ["hold", "release"])
def test_a_job_that_has_started_can_be_neither_held_nor_released(backend: ShellBackend, verb: str) -> None:
    job = running(backend)
    with pytest.raises(UnsupportedError) as caught:
        getattr(job, verb)()
    assert (caught.value.field, caught.value.value) == (verb, job.id)
    assert "RUNNING" in str(caught.value)
    end(job)


def test_only_the_process_that_submitted_a_job_can_hold_and_release_it(
    clients: Callable[..., Client],
) -> None:
    owner = clients("say(backend.submit('job', ['true'], hold=True).id); pause()")
    other = clients(
        """
        job = backend.attach(arguments[0])
        for verb in (job.hold, job.release):
            try:
                verb()
            except hpc_connect.UnsupportedError as error:
                say(str(error))
        job.cancel(); job.wait()
        """,
        owner.hear(),
    )
    said = other.hear_all()
    assert len(said) == 2
    assert all("waits in another process" in text for text in said)


# ---------------------------------------------------------------------- suspend and resume


def states(job: JobProcess) -> set[str]:
    """What the kernel says of all processes that the job has started."""
    leader = psutil.Process(int(job.native_id.partition(":")[0]))
    found = (proc.stat(process.pid) for process in [leader, *leader.children(recursive=True)])
    return {stat.state for stat in found if stat is not None and stat.lives}


def test_all_processes_of_a_suspended_job_stand_still_and_go_on_when_it_is_resumed(
    backend: ShellBackend,
) -> None:
    job = running(backend, "setsid sleep 1000 & (while :; do :; done) & env -i sleep 1000 & wait")
    until(lambda: len(processes_of(job.id)) >= 3)
    job.suspend()
    until(lambda: states(job) == {"T"})  # one that is on a CPU stops when it is next interrupted
    reach(job, JobState.SUSPENDED)
    assert job.poll() is None
    job.resume()
    until(lambda: "T" not in states(job))
    reach(job, JobState.RUNNING)
    end(job)


def test_a_job_that_forks_as_fast_as_it_can_stands_still_too(backend: ShellBackend) -> None:
    job = running(backend, "while :; do /bin/true; done")
    job.suspend()
    until(lambda: states(job) == {"T"})  # one that is on a CPU stops when it is next interrupted
    cpu = psutil.Process(int(job.native_id.partition(":")[0])).cpu_times()
    assert psutil.Process(int(job.native_id.partition(":")[0])).cpu_times() == cpu
    end(job)


def test_a_suspended_job_can_be_cancelled(backend: ShellBackend) -> None:
    job = running(backend, "while :; do sleep 0.01; done", first="trap 'exit 5' TERM;")
    job.suspend()
    job.cancel()
    assert job.wait(SOON) == 5
    assert job.status.state is JobState.CANCELLED


def test_another_process_can_suspend_and_resume(clients: Callable[..., Client]) -> None:
    owner = clients("""
        job = backend.submit("job", ["sleep 1000"])
        reach(job, JobState.RUNNING)
        say([job.id, job.native_id])
        job.wait()
        say(job.status.state)
    """)
    job_id, native_id = owner.hear()
    other = clients(
        """
        job = backend.attach(arguments[0])
        reach(job, JobState.RUNNING)
        job.suspend(); reach(job, JobState.SUSPENDED); say("suspended"); pause()
        job.resume(); reach(job, JobState.RUNNING); say("resumed"); pause()
        job.cancel(); job.wait()
        """,
        job_id,
    )
    pid = int(native_id.partition(":")[0])
    assert other.hear() == "suspended"
    assert proc.stat(pid).state == "T"
    other.tell()
    assert other.hear() == "resumed"
    assert proc.stat(pid).state != "T"
    other.tell()
    assert owner.hear() == "CANCELLED"


@pytest.mark.parametrize("verb", ["suspend", "resume", "requeue"])
def test_a_job_that_waits_does_not_run(backend: ShellBackend, verb: str) -> None:
    job = backend.submit("job", ["true"], hold=True)
    with pytest.raises(UnsupportedError) as caught:
        getattr(job, verb)()
    assert caught.value.field == verb
    end(job)


# ---------------------------------------------------------------------- signals


def test_a_signal_reaches_every_process_of_a_job(backend: ShellBackend) -> None:
    for name in ("one", "two"):
        named_pipe(name)
    job = running(
        backend,
        "trap 'echo one > one' USR1; "
        "setsid sh -c \"trap 'echo two > two; exit' USR1; touch ready; while :; do sleep 0.01; done\" & "
        "while :; do sleep 0.01; done",
    )
    until(lambda: os.path.exists("ready"))
    job.send_signal("USR1")
    assert (hear("one"), hear("two")) == ("one\n", "two\n")
    assert job.poll() is None
    end(job)


def test_a_signal_that_ends_a_job_is_no_cancelling(backend: ShellBackend) -> None:
    job = running(backend, "exec sleep 1000")
    job.send_signal(signal.SIGINT)
    assert job.wait(SOON) == -signal.SIGINT
    assert job.status.state is JobState.FAILED


# ---------------------------------------------------------------------- requeue


def test_a_requeued_job_is_ended_and_runs_again_as_its_next_attempt(backend: ShellBackend) -> None:
    gate = named_pipe("gate")
    job = running(
        backend,
        f"echo attempt $HPC_CONNECT_ATTEMPT; setsid sleep 1000 & "
        f"[ $HPC_CONNECT_ATTEMPT = 3 ] || read line < {gate}; kill %1; exit 4",
    )
    for attempt in (1, 2):
        until(lambda attempt=attempt: job.output().splitlines()[-1:] == [f"attempt {attempt}"])
        native_id, first = job.native_id, processes_of(job.id)
        job.requeue()
        if attempt == 1:
            hear("running")
        until(lambda native_id=native_id: job.native_id != native_id)
        assert [process for process in first if process.is_running() and process.status() != "zombie"] == []
        assert job.status.attempt == attempt + 1
        if attempt == 2:
            hear("running")
    assert job.wait(SOON) == 4
    assert job.status.attempt == 3
    assert job.output() == "attempt 1\nattempt 2\nattempt 3\n"


def test_who_waits_for_a_requeued_job_waits_for_its_last_attempt(backend: ShellBackend) -> None:
    job = running(backend, "[ $HPC_CONNECT_ATTEMPT = 2 ] || sleep 1000")
    future = job.as_future()
    job.requeue()
    hear("running")
    assert future.result(SOON) == 0


def test_requeueing_a_job_that_ends_by_itself_starts_it_again_or_leaves_it(backend: ShellBackend) -> None:
    for _ in range(20):
        job = backend.submit("job", ["echo x"])
        reach(job, JobState.RUNNING, JobState.COMPLETED)
        try:
            job.requeue()
        except UnsupportedError:
            assert job.status.state is JobState.COMPLETED
        assert job.wait(SOON) == 0
        assert 1 <= len(job.output().splitlines()) <= job.status.attempt  # the first may have come to nothing


def test_a_job_that_is_being_cancelled_is_not_requeued(backend: ShellBackend) -> None:
    job = running(backend, "while :; do sleep 0.01; done", first="trap '' TERM;")
    job.cancel(grace=1000)
    with pytest.raises(UnsupportedError, match="cancelled"):
        job.requeue()
    end(job)


def test_a_requeued_job_can_be_cancelled(backend: ShellBackend) -> None:
    job = running(backend)
    job.requeue()
    job.cancel()
    assert job.wait(SOON) in (-signal.SIGTERM, -signal.SIGKILL)
    assert job.status.state is JobState.CANCELLED
    assert processes_of(job.id) == []


def test_only_the_process_that_submitted_a_job_can_requeue_it(clients: Callable[..., Client]) -> None:
    owner = clients(
        "job = backend.submit('job', ['sleep 1000']); reach(job, JobState.RUNNING); say(job.id); say(job.wait())"
    )
    other = clients(
        """
        job = backend.attach(arguments[0])
        reach(job, JobState.RUNNING)
        try:
            job.requeue()
        except hpc_connect.UnsupportedError as error:
            say(str(error))
        say(job.status.state)
        job.cancel(); job.wait()
        """,
        owner.hear(),
    )
    error, state = other.hear_all()
    assert "only the process that submitted it" in error
    assert state == "RUNNING"


def test_the_time_limit_of_a_requeued_job_begins_anew(backend: ShellBackend) -> None:
    job = backend.submit("job", ["sleep 1000"], qtime=2)
    reach(job, JobState.RUNNING)
    begun = time.monotonic()
    until(lambda: time.monotonic() - begun > 1)
    job.requeue()
    assert job.wait(SOON) == -signal.SIGTERM
    assert job.status.timed_out
    status = job.status
    assert (status.ended_at - status.started_at).total_seconds() > 1.9
