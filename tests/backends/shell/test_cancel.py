"""Nothing of a job survives that is cancelled, and who waits for it is told so."""

from __future__ import annotations

import os
import signal
import sys
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from hpc_connect.errors import JobCancelled
from hpc_connect.status import JobState
from local_jobs import SOON, kill, let_go, named_pipe, processes_of, reach, records_of, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpc_connect.backends.shell import ShellBackend
    from hpc_connect.job import JobProcess
    from local_jobs import Client

SAY_READY = "echo > ready; "

DAEMON = f"""exec {os.path.realpath(sys.executable)} -c '
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open("ready", "w").close()
        time.sleep(1000)
    os._exit(0)
os.wait()
time.sleep(1000)
'"""

HARD_TO_END = {
    "a child that ignores SIGTERM": f"(trap '' TERM; {SAY_READY} sleep 1000; sleep 1000) & wait",
    "a daemon that has forked twice": DAEMON,
    "a session of its own": f"setsid sh -c 'trap \"\" TERM; {SAY_READY} sleep 1000 & wait; sleep 1000' & wait",
    "an empty environment": f"env -i sh -c '{SAY_READY} sleep 1000 & wait' & wait",
    "a session of its own and an empty environment": f"env -i setsid sh -c '{SAY_READY} sleep 1000 & wait' & wait",
    "children that die and fork": f"trap '' TERM; {SAY_READY} while :; do sleep 0.01; done",
    "a stopped child": "sh -c 'echo > ready; kill -STOP $$; sleep 1000' & wait",
    "many of them": f"for n in $(seq 30); do (trap '' TERM; sleep 1000; sleep 1000) & done; {SAY_READY} wait",
}


def everything_of(job: JobProcess) -> list[int]:
    """The numbers of its processes, found another way: all that the first has ever started."""
    import psutil

    leader = psutil.Process(int(job.native_id.partition(":")[0]))
    return [leader.pid, *(child.pid for child in leader.children(recursive=True))]


def ready(job: JobProcess) -> None:
    with open("ready") as pipe:
        pipe.read()
    reach(job, JobState.RUNNING)


@pytest.mark.parametrize("text", HARD_TO_END.values(), ids=HARD_TO_END)
def test_nothing_is_left_of_a_job_with(backend: ShellBackend, text: str) -> None:
    named_pipe("ready")
    job = backend.submit("job", [text])
    ready(job)
    numbers = everything_of(job)
    job.cancel(grace=0.2)
    assert job.wait(SOON) in (-signal.SIGTERM, -signal.SIGKILL, 143)
    assert job.status.state is JobState.CANCELLED
    assert [number for number in numbers if os.path.exists(f"/proc/{number}") and alive(number)] == []
    assert processes_of(job.id) == []


def alive(number: int) -> bool:
    from hpc_connect.local import proc

    found = proc.stat(number)
    return found is not None and found.lives


def test_a_job_can_end_itself_in_the_grace_time(backend: ShellBackend) -> None:
    named_pipe("ready")
    job = backend.submit("job", [f"trap 'echo saved; exit 5' TERM; {SAY_READY} sleep 1000 & wait"])
    ready(job)
    job.cancel()
    assert job.wait(SOON) == 5
    assert (job.status.state, job.status.exit_code) == (JobState.CANCELLED, 5)
    assert job.output() == "saved\n"


def test_another_signal_can_be_the_first(backend: ShellBackend) -> None:
    named_pipe("ready")
    job = backend.submit("job", [f"trap 'exit 6' USR1; {SAY_READY} while :; do sleep 0.01; done"])
    ready(job)
    job.cancel(signal="USR1")
    assert job.wait(SOON) == 6
    assert job.status.state is JobState.CANCELLED


def test_next_to_no_grace_time_ends_it_at_once(backend: ShellBackend) -> None:
    named_pipe("ready")
    job = backend.submit("job", [f"trap '' TERM; {SAY_READY} while :; do sleep 0.01; done"])
    ready(job)
    job.cancel(grace=0.001)
    assert job.wait(SOON) == -signal.SIGKILL


def test_a_second_cancel_may_shorten_the_grace_time(backend: ShellBackend) -> None:
    named_pipe("ready")
    job = backend.submit("job", [f"trap '' TERM; {SAY_READY} while :; do sleep 0.01; done"])
    ready(job)
    job.cancel(grace=1000)
    job.cancel(grace=0.05)
    assert job.wait(SOON) == -signal.SIGKILL


def test_a_job_just_submitted(backend: ShellBackend) -> None:
    for _ in range(20):
        job = backend.submit("job", ["sleep 1000"])
        job.cancel()
        assert job.wait(SOON) == -signal.SIGTERM
        assert job.status.state is JobState.CANCELLED
        assert processes_of(job.id) == []


@pytest.mark.parametrize("how", ["held", "behind another", "later"])
def test_a_job_that_waits_is_cancelled_at_once_and_never_starts(backend: ShellBackend, how: str) -> None:
    pipe = named_pipe("pipe")
    first = backend.submit("first", [f"read line < {pipe}"])
    fields = {
        "held": {"hold": True},
        "behind another": {"dependencies": [("afterany", first)]},
        "later": {"begin": datetime.now(UTC) + timedelta(days=1)},
    }[how]
    job = backend.submit("job", ["touch started"], **fields)
    job.cancel()
    assert job.wait(SOON) == -signal.SIGTERM
    assert (job.status.state, job.status.signal, job.status.started_at) == (JobState.CANCELLED, None, None)
    assert job.status.pending_reason == ""
    with pytest.raises(JobCancelled):
        job.result()
    let_go(pipe)
    first.wait()
    assert not os.path.exists("started")
    assert records_of(backend) == []


def test_a_job_that_has_ended_is_left_alone(backend: ShellBackend) -> None:
    job = backend.submit("job", ["exit 3"])
    job.wait()
    job.cancel()
    assert (job.status.state, job.wait()) == (JobState.FAILED, 3)


def test_a_job_that_ends_well_in_spite_of_it_has_completed(backend: ShellBackend) -> None:
    named_pipe("ready")
    job = backend.submit("job", [f"trap 'exit 0' TERM; {SAY_READY} while :; do sleep 0.01; done"])
    ready(job)
    job.cancel()
    assert job.wait(SOON) == 0
    assert job.status.state is JobState.COMPLETED


def test_cancelling_while_it_ends_never_loses_the_end(backend: ShellBackend) -> None:
    for _ in range(30):
        job = backend.submit("job", ["true"])
        canceller = threading.Thread(target=job.cancel)
        canceller.start()
        assert job.wait(SOON) in (0, -signal.SIGTERM)
        canceller.join()


def test_a_job_in_a_job_is_a_job_of_its_own(clients: Callable[..., Client]) -> None:
    """As under any scheduler: what a job submits is not ended with it."""
    named_pipe("inner"), named_pipe("gate")
    inner = """if True:
        import hpc_connect
        job = hpc_connect.get_backend("shell").submit("inner", ["read line < gate; exit 3"])
        job.native_id
        with open("inner", "w") as pipe:
            pipe.write(job.id)
        job.wait()
    """
    client = clients(
        """
        outer = backend.submit("outer", [[sys.executable, "-c", arguments[0]]])
        with open("inner") as pipe:
            inner_id = pipe.read()
        outer.cancel()
        say([outer.wait(), outer.status.state])
        inner = backend.attach(inner_id)
        with open("gate", "w") as pipe:
            pipe.write("\\n")
        say([inner.wait(), inner.status.state])
        """,
        inner,
    )
    assert client.hear_all() == [[-signal.SIGTERM, "CANCELLED"], [3, "FAILED"]]


# ---------------------------------------------------------------------- from another process


def test_a_running_job_of_another_process(clients: Callable[..., Client]) -> None:
    named_pipe("ready")
    owner = clients("""
        job = backend.submit("job", ["trap '' TERM; echo > ready; while :; do sleep 0.01; done"])
        say(job.id)
        code = job.wait()
        say([code, job.status.state])
    """)
    job_id = owner.hear()
    with open("ready") as pipe:
        pipe.read()
    other = clients(
        "job = backend.attach(arguments[0]); job.cancel(grace=0.1); code = job.wait(); say([code, job.status.state])",
        job_id,
    )
    assert other.hear() == owner.hear() == [-signal.SIGKILL, "CANCELLED"]
    until(lambda: processes_of(job_id) == [])


def test_one_that_ignores_it_is_ended_though_who_asked_has_gone(clients: Callable[..., Client]) -> None:
    named_pipe("ready")
    owner = clients("""
        job = backend.submit("job", ["trap '' TERM; echo > ready; while :; do sleep 0.01; done"])
        say(job.id)
        say([job.wait(), job.status.state])
    """)
    job_id = owner.hear()
    with open("ready") as pipe:
        pipe.read()
    assert clients("backend.attach(arguments[0]).cancel(grace=0.1)", job_id).hear_all() == []
    assert owner.hear() == [-signal.SIGKILL, "CANCELLED"]


def test_a_job_that_waits_in_another_process(clients: Callable[..., Client]) -> None:
    owner = clients("""
        job = backend.submit("job", ["touch started"], hold=True)
        say(job.id)
        code = job.wait()
        say([code, job.status.state, job.status.message])
        job.release() if not job.status.state.terminal else None
    """)
    job_id = owner.hear()
    other = clients(
        """
        job = backend.attach(arguments[0])
        job.cancel()
        code = job.wait()
        say([code, job.status.state, job.status.message])
        """,
        job_id,
    )
    assert other.hear() == owner.hear() == [-signal.SIGTERM, "CANCELLED", "before it started"]
    assert not os.path.exists("started")


def test_a_job_whose_process_has_gone_before_it_could_start(clients: Callable[..., Client]) -> None:
    (job_id,) = clients('say(backend.submit("job", ["touch started"], hold=True).id)').hear_all()
    other = clients(
        """
        job = backend.attach(arguments[0])
        job.cancel()
        code = job.wait()
        say([code, job.status.state])
        say([handle.id for handle in backend.recover()])
        say(records_of(backend))
        """,
        job_id,
    )
    assert other.hear_all() == [[-signal.SIGTERM, "CANCELLED"], [], []]
    assert not os.path.exists("started")


def test_a_job_whose_supervisor_was_killed(clients: Callable[..., Client]) -> None:
    from local_jobs import supervisors

    named_pipe("ready")
    client = clients("""
        job = backend.submit("job", ["trap '' TERM; echo > ready; while :; do sleep 0.01; done"])
        reach(job, JobState.RUNNING)
        say(job.id)
        pause()
        job.cancel(grace=0.1)
        pause()
    """)
    job_id = client.hear()
    with open("ready") as pipe:
        pipe.read()
    (supervisor,) = supervisors(client.records)
    kill(supervisor)
    client.tell()
    until(lambda: processes_of(job_id) == [])
