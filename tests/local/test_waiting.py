"""Jobs that wait: for others of every kind, for a time, for their turn."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from hpc_connect.errors import SpecError
from hpc_connect.local.conditions import Conditions
from hpc_connect.local.waiting import Waiting
from hpc_connect.spec import JobSpec
from hpc_connect.status import JobState, JobStatus, Reason
from local_jobs import SOON, let_go, named_pipe, reach, records_of, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpc_connect.backends.shell import ShellBackend
    from hpc_connect.job import JobProcess
    from local_jobs import Client

GOOD, BAD, CANCELLED = "exit 0", "exit 3", "cancelled"
STARTS = {
    ("afterany", GOOD): True,
    ("afterany", BAD): True,
    ("afterany", CANCELLED): True,
    ("afterok", GOOD): True,
    ("afterok", BAD): False,
    ("afterok", CANCELLED): False,
    ("afternotok", GOOD): False,
    ("afternotok", BAD): True,
    ("afternotok", CANCELLED): True,
    ("afterstart", GOOD): True,
    ("afterstart", BAD): True,
    ("afterstart", CANCELLED): False,
}


@pytest.fixture
def gate() -> str:
    return named_pipe("gate")


def behind(backend: ShellBackend, *dependencies: object, **fields: object) -> JobProcess:
    return backend.submit("behind", ["echo $HPC_CONNECT_JOB_ID >> runs"], dependencies=dependencies, **fields)


def runs() -> list[str]:
    if not os.path.exists("runs"):
        return []
    with open("runs") as file:
        return file.read().split()


@pytest.mark.parametrize("when", ["while it lives", "when it has ended"])
@pytest.mark.parametrize(("kind", "end"), STARTS)
def test_a_job(backend: ShellBackend, gate: str, kind: str, end: str, when: str) -> None:
    first = backend.submit("first", [f"read line < {gate}; {end}"], hold=end == CANCELLED)

    def let_end() -> None:
        first.cancel() if end == CANCELLED else let_go(gate)
        first.wait(SOON)

    if when == "when it has ended":
        let_end()
    job = behind(backend, (kind, first))
    if when == "while it lives" and kind != "afterstart":
        until(lambda: job.status.pending_reason)
        assert (job.status.state, job.status.pending_reason) == (JobState.QUEUED, f"{kind} {first.id}")
        assert runs() == []
        let_end()
    elif when == "while it lives":
        if end != CANCELLED:
            assert job.wait(SOON) == 0  # while the first still runs
            assert first.poll() is None
        let_end()
    code = job.wait(SOON)
    if STARTS[kind, end]:
        assert (code, runs(), job.status.pending_reason) == (0, [job.id], "")
    else:
        assert (code, runs()) == (1, [])
        assert (job.status.state, job.status.reason) == (JobState.FAILED, Reason.DEPENDENCY)
        assert f"can never start: {kind} {first.id}, which is {first.status.state}" in job.status.message
        assert records_of(backend) == []


def test_a_job_starts_when_all_it_waits_for_is_so(backend: ShellBackend, gate: str) -> None:
    first, second = (backend.submit("first", [f"read line < {gate}; {text}"]) for text in (GOOD, BAD))
    job = behind(backend, ("afterok", first), ("afternotok", second))
    until(lambda: job.status.pending_reason)
    assert job.status.pending_reason == f"afterok {first.id}, afternotok {second.id}"
    let_go(gate, "\n")
    assert job.wait(SOON) == 0


def test_one_of_them_that_can_never_be_so_is_enough_to_say_so(backend: ShellBackend, gate: str) -> None:
    living, bad = backend.submit("living", [f"read line < {gate}"]), backend.submit("bad", [BAD])
    job = behind(backend, ("afterok", living), ("afterok", bad))
    assert job.wait(SOON) == 1
    assert job.status.reason is Reason.DEPENDENCY
    assert living.poll() is None
    let_go(gate)
    living.wait(SOON)


def test_with_any_one_that_is_so_is_enough(backend: ShellBackend, gate: str) -> None:
    living, bad, good = (backend.submit("job", [text]) for text in (f"read line < {gate}", BAD, GOOD))
    job = behind(backend, ("afterok", living), ("afterok", bad), ("afterok", good), dependency_mode="any")
    assert job.wait(SOON) == 0
    assert living.poll() is None
    let_go(gate)
    living.wait(SOON)


def test_with_any_it_can_never_start_only_when_none_can_be_so(backend: ShellBackend, gate: str) -> None:
    living, bad = backend.submit("living", [f"read line < {gate}; {BAD}"]), backend.submit("bad", [BAD])
    job = behind(backend, ("afterok", living), ("afterok", bad), dependency_mode="any")
    bad.wait(SOON)
    until(lambda: job.status.pending_reason == f"afterok {living.id}")
    let_go(gate)
    assert job.wait(SOON) == 1
    assert job.status.reason is Reason.DEPENDENCY


def test_a_chain_is_followed_to_its_end_and_breaks_as_a_whole(backend: ShellBackend, gate: str) -> None:
    jobs = [backend.submit("job", [f"read line < {gate}"])]
    for _ in range(5):
        jobs.append(behind(backend, ("afterok", jobs[-1])))
    broken = [backend.submit("job", [BAD])]
    for _ in range(5):
        broken.append(behind(backend, ("afterok", broken[-1])))
    let_go(gate)
    assert [job.wait(SOON) for job in jobs] == [0] * 6
    assert [job.wait(SOON) for job in broken] == [3, *[1] * 5]
    assert runs() == [job.id for job in jobs[1:]]


@pytest.mark.parametrize("how", ["our id", "native id", "handle"])
def test_the_other_job_can_be_named_by(backend: ShellBackend, gate: str, how: str) -> None:
    first = backend.submit("first", [f"read line < {gate}"])
    job = behind(
        backend, ("afterok", {"our id": first.id, "native id": first.native_id, "handle": first}[how])
    )
    let_go(gate)
    assert job.wait(SOON) == 0


@pytest.mark.parametrize("kind", ["afterok", "afterany", "afterstart", "afternotok"])
def test_a_job_that_nobody_knows_is_refused(backend: ShellBackend, kind: str) -> None:
    with pytest.raises(SpecError) as caught:
        behind(backend, (kind, "nosuchjob"))
    assert (caught.value.field, caught.value.value) == ("dependencies", "nosuchjob")
    assert os.listdir() == []
    assert records_of(backend) == []


def test_a_job_of_another_process_can_be_waited_for(clients: Callable[..., Client], gate: str) -> None:
    owner = clients("""
        jobs = [backend.submit("first", [f"read line < gate; exit {code}"]) for code in (0, 0, 3)]
        for job in jobs: reach(job, JobState.RUNNING)
        say([job.id for job in jobs]); pause()
    """)
    names = owner.hear()
    other = clients("""
        jobs = [backend.submit("behind", ["true"], dependencies=[("afterok", name)]) for name in arguments]
        started = backend.submit("behind", ["true"], dependencies=[("afterstart", arguments[2])])
        say(started.wait())
        say([job.wait() for job in jobs])
    """, *names)  # fmt: skip
    assert other.hear() == 0
    owner.kill()
    let_go(gate, "\n\n")
    assert other.hear() == [0, 0, 1]


# ---------------------------------------------------------------------- one of a name at a time


def test_of_singletons_one_runs_at_a_time_in_order_of_submission(backend: ShellBackend) -> None:
    text = "echo + $HPC_CONNECT_JOB_ID >> order; sleep 0.02; echo - $HPC_CONNECT_JOB_ID >> order"
    jobs = [backend.submit("single", [text], dependencies=["singleton"]) for _ in range(6)]
    assert [job.wait(SOON) for job in jobs] == [0] * 6
    with open("order") as file:
        assert file.read().splitlines() == [f"{sign} {job.id}" for job in jobs for sign in "+-"]


def test_a_singleton_waits_for_others_of_its_name_only(backend: ShellBackend, gate: str) -> None:
    first = backend.submit("same", [f"read line < {gate}"])
    assert backend.submit("another", ["true"], dependencies=["singleton"]).wait(SOON) == 0
    job = backend.submit("same", ["true"], dependencies=["singleton"])
    until(lambda: job.status.pending_reason == f"singleton {first.id}")
    let_go(gate)
    assert job.wait(SOON) == 0


def test_a_failed_or_cancelled_singleton_lets_the_next_one_run(backend: ShellBackend) -> None:
    single = {"dependencies": ["singleton"]}
    backend.submit("s", [BAD], **single)
    backend.submit("s", [GOOD], hold=True, **single).cancel()
    assert backend.submit("s", ["exit 4"], **single).wait(SOON) == 4


def test_singletons_of_several_processes_run_one_at_a_time(clients: Callable[..., Client]) -> None:
    program = """
        say("ready"); pause()
        text = "mkdir alone && sleep 0.02 && rmdir alone"
        say([backend.submit("s", [text], dependencies=["singleton"]).wait() for _ in range(3)])
    """
    many = [clients(program) for _ in range(3)]
    for client in many:
        client.hear()
    for client in many:
        client.tell()
    assert [client.hear() for client in many] == [[0] * 3] * 3


# ---------------------------------------------------------------------- a time


def test_a_job_begins_not_before_its_time(backend: ShellBackend) -> None:
    begin = datetime.now(UTC) + timedelta(seconds=0.5)
    job = backend.submit("job", ["date +%s.%N"], begin=begin)
    until(lambda: job.status.pending_reason)
    assert job.status.pending_reason.startswith("not before")
    assert job.wait(SOON) == 0
    assert float(job.output()) >= begin.timestamp()


def test_a_time_that_has_passed_is_no_reason_to_wait(backend: ShellBackend) -> None:
    assert backend.submit("job", ["true"], begin=datetime.now(UTC) - timedelta(days=1)).wait(SOON) == 0


def test_a_clock_that_runs_ahead_of_the_timer_does_not_leave_a_job_waiting(
    backend: ShellBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timer that fires early by the clock on the wall looks again."""
    from hpc_connect.local import waiting

    fired = []
    look_later = waiting.Waiting._look_later

    def early(self: Waiting, seconds: float) -> None:
        fired.append(seconds)
        look_later(self, seconds / 2)

    monkeypatch.setattr(waiting.Waiting, "_look_later", early)
    job = backend.submit("job", ["true"], begin=datetime.now(UTC) + timedelta(seconds=0.3))
    assert job.wait(SOON) == 0
    assert len(fired) > 1


# ---------------------------------------------------------------------- what they keep alive


def test_jobs_that_wait_no_more_are_not_kept_by_the_one_they_waited_for(
    backend: ShellBackend, gate: str
) -> None:
    import gc
    import weakref

    first = backend.submit("first", [f"read line < {gate}"])
    waiting = []
    for _ in range(20):
        job = behind(backend, ("afterany", first), ("afterstart", first))
        waiting.append(weakref.ref(backend._session().runner.waiting[job.id]))
        job.cancel()
        job.wait(SOON)
    del job
    gc.collect()
    until(lambda: not any(reference() for reference in waiting))
    let_go(gate)
    first.wait(SOON)


class Handle:
    """As much of a handle as waiting needs."""

    def __init__(self) -> None:
        self.status = JobStatus(state=JobState.QUEUED)


def test_hold_and_start_never_both_win() -> None:
    """Whoever is first decides, whatever thread asks."""
    lock = threading.RLock()
    for _ in range(200):
        started: list[object] = []
        waiting = Waiting(Handle(), Conditions(), started.append, lambda *_: None, lock)
        gate = threading.Barrier(2)
        held: list[bool] = []

        def hold(waiting: Waiting = waiting, gate: threading.Barrier = gate, held: list[bool] = held) -> None:
            gate.wait()
            held.append(waiting.hold())

        thread = threading.Thread(target=hold)
        thread.start()
        gate.wait()
        waiting.look()
        thread.join()
        assert bool(started) != held[0]
        waiting.drop()


def test_conditions_that_hold_are_no_reason_to_wait(backend: ShellBackend) -> None:
    first = backend.submit("first", [GOOD])
    reach(first, JobState.COMPLETED)
    job = backend.submit(JobSpec(commands=["true"], dependencies=[("afterok", first)], hold=False))
    assert job.wait(SOON) == 0
