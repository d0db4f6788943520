"""A client is killed, and others find its jobs again: each runs exactly once, and nothing of its end is lost."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from hpc_connect.records.line import EndRecord, format_end
from local_jobs import ended, kill, let_go, named_pipe, supervisors, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from local_jobs import Client

RECOVER = """
jobs = backend.recover()
say(sorted(job.id for job in jobs))
say(sorted([job.id, job.wait()] for job in jobs))
"""
RUN_ONCE = "echo $HPC_CONNECT_JOB_ID >> runs"


def runs() -> list[str]:
    """The jobs that have run, once for each time."""
    if not os.path.exists("runs"):
        return []
    with open("runs") as file:
        return sorted(file.read().split())


# ---------------------------------------------------------------------- one client after another


def test_running_jobs_are_found_with_their_end(clients: Callable[..., Client]) -> None:
    gates = [named_pipe(f"gate.{code}") for code in (0, 3)]  # two readers of one pipe may share a line
    client = clients("""
        say([backend.submit("job", [f"read line < gate.{code}; exit {code}"]).id for code in (0, 3)])
        pause()
    """)
    good, bad = client.hear()
    client.kill()
    other = clients(RECOVER)
    assert other.hear() == sorted([good, bad])
    for gate in gates:
        let_go(gate)
    assert other.hear() == sorted([[good, 0], [bad, 3]])


def test_ends_that_nobody_has_seen_are_found(clients: Callable[..., Client]) -> None:
    client = clients("""
        names = [backend.submit("job", [text]).id for text in ("exit 0", "exit 3", "kill -9 $$")]
        say(names)
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    names = client.hear()
    for supervisor in supervisors(client.records):
        until(lambda supervisor=supervisor: ended(supervisor))
    other = clients(RECOVER + "say(records_of(backend)); say(len(backend.recover()))")
    assert other.hear() == sorted(names)
    assert dict(other.hear()) == dict(zip(names, (0, 3, -9), strict=True))
    assert other.hear() == []
    assert other.hear() == 0


def test_what_was_noted_before_the_client_ended_is_no_news(clients: Callable[..., Client]) -> None:
    clients("backend.submit('job', ['exit 3']).wait()").hear_all()
    assert clients("say(backend.recover())").hear_all() == [[]]


STOP_AT = {
    "the files are there, the store knows nothing": "store.Store.intend_many",
    "the store knows, nothing was sent": "local.runner.LocalRunner.start",
    "on its way to the supervisor": "local.outbox.Outbox.pump",
}


@pytest.mark.parametrize("place", STOP_AT.values(), ids=STOP_AT)
def test_a_client_is_killed_when(clients: Callable[..., Client], place: str) -> None:
    client = clients(
        """
        from importlib import import_module
        backend.submit("first", ["true"]).wait()
        backend._session().runner.flush()
        module, owner, method = arguments[0].rsplit(".", 2)
        def stop(*_, **__):
            say("there")
            pause()
        setattr(getattr(import_module("hpc_connect." + module), owner), method, stop)
        backend.submit("job", [arguments[1]])
        """,
        place,
        RUN_ONCE,
    )
    assert client.hear() == "there"
    assert runs() == []
    client.kill()
    other = clients(RECOVER)
    found = other.hear()
    assert len(found) == (0 if place.startswith("store") else 1)
    assert other.hear() == [[name, 0] for name in found]
    assert runs() == found


STOP_SUPERVISOR_AT = {
    "the supervisor has not taken it": "Supervisor._start",
    "the supervisor has the claim": "Claim.read_order",
    "the supervisor has read the order": "spawn",
    "the job is started and nobody was told": "Supervisor._set_timers",
    "the job has ended and nobody knows": "Claim.note_end",
}
SUPERVISOR_STOPS = """
from hpc_connect.local import link
stop = f'''
import os
from hpc_connect.local import supervisor
{arguments[0].rpartition(".")[0] and "owner = supervisor." + arguments[0].rpartition(".")[0] or "owner = supervisor"}
before = owner.{arguments[0].rpartition(".")[2]}
def stop(*a, **k):
    with open({os.path.abspath("there")!r}, "w") as pipe:
        pipe.write("there")
    with open({os.path.abspath("go on")!r}) as pipe:
        pipe.read()
    owner.{arguments[0].rpartition(".")[2]} = before
    return before(*a, **k)
owner.{arguments[0].rpartition(".")[2]} = stop
main(folder)
'''
link._START = link._START.replace("main(folder)", stop)
job = backend.submit("job", [arguments[1]])
say(job.id)
pause()
"""


@pytest.mark.parametrize("place", STOP_SUPERVISOR_AT.values(), ids=STOP_SUPERVISOR_AT)
def test_a_client_is_killed_and_others_recover_while(clients: Callable[..., Client], place: str) -> None:
    named_pipe("there"), named_pipe("go on")
    client = clients(SUPERVISOR_STOPS, place, RUN_ONCE)
    job_id = client.hear()
    with open("there") as pipe:
        assert pipe.read() == "there"
    client.kill()
    others = [clients(RECOVER) for _ in range(2)]
    found = [other.hear() for other in others]
    with open("go on", "w") as pipe:
        pipe.write("\n")
    ends = [other.hear() for other in others]
    assert runs() == [job_id]
    # Where nobody had the claim, one of them may have run it before the other looked.
    assert [job_id] in found
    assert ends == [[[name, 0] for name in names] for names in found]
    assert place == "Supervisor._start" or found == [[job_id]] * 2


# ---------------------------------------------------------------------- the supervisor is killed


@pytest.mark.parametrize("place", ["Claim.read_order", "spawn"])
def test_a_supervisor_that_is_killed_with_the_claim_leaves_a_job_that_never_runs(
    clients: Callable[..., Client], place: str
) -> None:
    named_pipe("there"), named_pipe("go on")
    client = clients(
        SUPERVISOR_STOPS.replace("pause()", "")
        + """
try:
    job.wait()
except hpc_connect.JobLost as error:
    say(str(error))
""",
        place,
        RUN_ONCE,
    )
    client.hear()
    with open("there") as pipe:
        pipe.read()
    (supervisor,) = supervisors(client.records)
    kill(supervisor)
    assert "LOST" in client.hear()
    assert runs() == []


def test_a_supervisor_that_is_killed_before_the_claim_is_replaced(clients: Callable[..., Client]) -> None:
    client = clients(
        """
        backend.submit("first", ["true"]).wait()
        say(""); pause()
        job = backend.submit("job", [arguments[0]])
        say(job.id)
        say(job.wait())
        """,
        RUN_ONCE,
    )
    client.hear()
    (supervisor,) = supervisors(client.records)
    supervisor.suspend()
    client.tell()
    job_id = client.hear()
    kill(supervisor)
    assert client.hear() == 0
    assert runs() == [job_id]


def test_running_jobs_of_a_killed_supervisor_are_followed_until_nobody_can_know(
    clients: Callable[..., Client],
) -> None:
    gate = named_pipe("gate")
    client = clients("""
        job = backend.submit("job", ["read line < gate; exit 3"])
        waiting = backend.submit("waiting", ["exit 4"], dependencies=[("afterany", job)])
        reach(job, JobState.RUNNING)
        seen = []
        job.add_status_callback(lambda _, status: (seen.append(status.state), say([status.state, status.message])))
        say("running"); pause()
        say(job.poll()); pause()
        try:
            job.wait()
        except hpc_connect.JobLost as error:
            say("lost")
        say([waiting.wait(), waiting.status.reason])
    """)
    assert client.hear() == "running"
    (supervisor,) = supervisors(client.records)
    kill(supervisor)
    client.tell()
    assert client.hear() is None  # it lives
    client.tell()
    let_go(gate)
    assert client.hear() == ["UNKNOWN", "its processes are gone and left no record of how it ended"]
    assert client.hear()[0] == "LOST"
    assert client.hear() == "lost"
    assert client.hear() == [1, "DEPENDENCY"]


def test_a_lost_job_whose_record_turns_up_is_found_by_recover(clients: Callable[..., Client]) -> None:
    client = clients("""
        job = backend.submit("job", ["exec sleep 1000"])
        reach(job, JobState.RUNNING)
        say([job.id, job.native_id])
        try:
            job.wait()
        except hpc_connect.JobLost:
            say("lost")
    """)
    job_id, native_id = client.hear()
    (supervisor,) = supervisors(client.records)
    kill(supervisor)
    os.kill(int(native_id.partition(":")[0]), signal.SIGKILL)
    assert client.hear() == "lost"
    client.hear_all()
    record = EndRecord(job_id, "-", native_id, 1, "exit", 3, "-", os.uname().nodename, 1.0, 2.0)
    with open(os.path.join(client.records, "ended", job_id), "w") as file:
        file.write(format_end(record))
    assert clients(RECOVER).hear_all() == [[job_id], [[job_id, 3]]]


# ---------------------------------------------------------------------- many at once


def test_of_many_that_recover_at_once_each_job_is_run_by_one(clients: Callable[..., Client]) -> None:
    """Running, waiting for another, held behind the store, and in flight."""
    named_pipe("gate")
    client = clients(
        """
        gate = backend.submit("gate", ["read line < gate"])
        reach(gate, JobState.RUNNING)
        behind = [backend.submit("behind", [arguments[0]], dependencies=[("afterany", gate)]) for _ in range(5)]
        array = backend.submit("array", [arguments[0]], dependencies=[("afterany", gate)], array=range(6))
        from hpc_connect.local.runner import LocalRunner
        LocalRunner.start = lambda *_, **__: None
        flight = [backend.submit("flight", [arguments[0]]) for _ in range(5)]
        say([gate.id, array.id, *[job.id for job in behind + flight]])
        pause()
        """,
        RUN_ONCE,
    )
    names = client.hear()
    client.kill()
    others = [clients("say('ready'); pause()" + RECOVER) for _ in range(5)]
    assert [other.hear() for other in others] == ["ready"] * 5
    for other in others:
        other.tell()
    assert [other.hear() for other in others] == [sorted(names)] * 5
    let_go("gate")
    for other in others:
        assert dict(other.hear()) == dict.fromkeys(names, 0)
    gate, array = names[:2]
    assert runs() == sorted([*names[2:], *(f"{array}.{index}" for index in range(6))])
    assert gate not in runs()


def test_a_limit_of_how_many_run_at_once_holds_in_whoever_takes_over(clients: Callable[..., Client]) -> None:
    text = "echo + >> count; read line < gate; echo - >> count"
    client = clients("""
        array = backend.submit("array", [arguments[0]], array=range(6), max_parallel=2)
        reach(array[0], JobState.RUNNING); reach(array[1], JobState.RUNNING)
        say(array.id); pause()
    """, text)  # fmt: skip
    named_pipe("gate")
    array = client.hear()
    client.kill()
    others = [clients(RECOVER) for _ in range(3)]
    assert [other.hear() for other in others] == [[array]] * 3
    with open("gate", "w") as gate:
        gate.write("\n" * 6)
        gate.flush()
        assert [other.hear() for other in others] == [[[array, 0]]] * 3
    running = most = 0
    with open("count") as file:
        for sign in file.read().split():
            running += 1 if sign == "+" else -1
            most = max(most, running)
    assert (running, most) == (0, 2)


# ---------------------------------------------------------------------- jobs that waited


def test_a_job_that_waited_for_another_goes_on_waiting(clients: Callable[..., Client]) -> None:
    gate = named_pipe("gate")
    client = clients(
        """
        first = backend.submit("first", ["read line < gate; exit 3"])
        good = backend.submit("good", [arguments[0]], dependencies=[("afternotok", first)])
        bad = backend.submit("bad", [arguments[0]], dependencies=[("afterok", first)])
        reach(first, JobState.RUNNING)
        say([first.id, good.id, bad.id]); pause()
        """,
        RUN_ONCE,
    )
    first, good, bad = client.hear()
    client.kill()
    other = clients("""
        handles = {job.id: job for job in backend.recover()}
        until(lambda: all(handles[name].status.pending_reason for name in arguments[1:]))
        say([handles[name].status.pending_reason for name in arguments])
        say({name: job.wait() for name, job in handles.items()})
        say(handles[arguments[2]].status.reason)
    """, first, good, bad)  # fmt: skip
    assert other.hear() == ["", f"afternotok {first}", f"afterok {first}"]
    let_go(gate)
    assert other.hear() == {first: 3, good: 0, bad: 1}
    assert other.hear() == "DEPENDENCY"
    assert runs() == [good]


def test_a_job_that_was_held_stays_held(clients: Callable[..., Client]) -> None:
    client = clients("""
        gate = backend.submit("gate", ["read line < gate"])
        released = backend.submit("released", [arguments[0]], hold=True, dependencies=[("afterany", gate)])
        released.release()
        held = backend.submit("held", [arguments[0]], hold=True)
        reach(released, JobState.QUEUED)
        backend._session().runner.flush()
        say([released.id, held.id]); pause()
    """, RUN_ONCE)  # fmt: skip
    gate = named_pipe("gate")
    released, held = client.hear()
    client.kill()
    other = clients("""
        handles = {job.id: job for job in backend.recover()}
        released, held = (handles[name] for name in arguments)
        say(held.status.state)
        say([released.wait(), held.poll()])
        held.release()
        say(held.wait())
    """, released, held)  # fmt: skip
    assert other.hear() == "HELD"
    let_go(gate)
    assert other.hear() == [0, None]
    assert other.hear() == 0
    assert runs() == sorted([released, held])


def test_a_job_that_begins_later_does_so_in_whoever_takes_over(clients: Callable[..., Client]) -> None:
    client = clients(
        """
        from datetime import datetime, timedelta
        begin = datetime.now() + timedelta(seconds=2)
        job = backend.submit("job", [arguments[0]], begin=begin)
        say([job.id, begin.timestamp()]); pause()
        """,
        "date +%s.%N > when",
    )
    job_id, begin = client.hear()
    client.kill()
    assert clients(RECOVER).hear_all() == [[job_id], [[job_id, 0]]]
    with open("when") as file:
        assert float(file.read()) >= begin


def test_it_starts_with_the_environment_it_was_submitted_with(clients: Callable[..., Client]) -> None:
    client = clients("""
        os.environ["WHO"] = "submitted"
        spec = JobSpec(script="#!/bin/sh\\necho $WHO $SECRET", env={"SECRET": "kept"}, hold=True)
        compact = backend.submit("job", ["echo $WHO $SECRET"], variables={"SECRET": "kept"}, hold=True)
        say([backend.submit(spec).id, compact.id]); pause()
    """)
    client.hear()
    client.kill()
    other = clients("""
        os.environ["WHO"] = "recovered"
        jobs = backend.recover()
        for job in jobs:
            job.release(); job.wait()
        say([job.output() for job in jobs])
    """)
    assert other.hear() == ["submitted kept\n"] * 2


def test_a_job_that_depends_on_one_that_was_forgotten_can_never_start(clients: Callable[..., Client]) -> None:
    client = clients("""
        first = backend.submit("first", ["true"])
        first.wait()
        backend._session().runner.flush()
        job = backend.submit("job", ["touch started"], hold=True, dependencies=[("afterok", first)])
        say([first.id, job.id]); pause()
    """)
    first, job_id = client.hear()
    client.kill()
    other = clients("""
        from datetime import datetime, UTC
        store = backend._session().runner.store
        store.mark_collected([arguments[0]])
        store.prune(datetime.now(UTC))
        (job,) = backend.recover()
        job.wait()
        say([job.id, job.status.reason, job.status.message, records_of(backend)])
    """, first)  # fmt: skip
    found, reason, message, left = other.hear()
    assert (found, reason) == (job_id, "DEPENDENCY")
    assert first in message
    assert left == []


def test_a_job_of_a_process_that_lives_is_left_to_it(clients: Callable[..., Client]) -> None:
    owner = clients(
        "job = backend.submit('job', [arguments[0]], hold=True); say(job.id); pause(); job.release(); say(job.wait())",
        RUN_ONCE,
    )
    job_id = owner.hear()
    other = clients(
        "(job,) = backend.recover(); say([job.id, job.status.state]); job.wait(); say(job.status.state)"
    )
    assert other.hear() == [job_id, "HELD"]
    owner.tell()
    assert owner.hear() == 0
    assert other.hear() == "COMPLETED"
    assert runs() == [job_id]


def test_recovering_again_gives_the_same_handles(clients: Callable[..., Client]) -> None:
    client = clients("""
        jobs = [backend.submit("job", ["sleep 1000"]), backend.submit("job", ["true"], hold=True),
                backend.submit("job", ["true"], array=range(3), hold=True)]
        again = backend.recover()
        say([one is other for one, other in zip(jobs, again)])
        for job in jobs:
            job.cancel()
        for job in jobs:
            job.wait()
    """)
    assert client.hear_all() == [[True, True, True]]


def test_a_handle_from_attach_becomes_one_that_runs_when_the_job_is_taken_over(
    clients: Callable[..., Client],
) -> None:
    client = clients(
        "say(backend.submit('job', [arguments[0]], dependencies=['singleton']).id); pause()", RUN_ONCE
    )
    job_id = client.hear()
    until(lambda: runs() == [job_id])
    client.kill()
    named_pipe("gate")
    client = clients("""
        gate = backend.submit("gate", ["read line < gate"])
        say(backend.submit('job', [arguments[0]], dependencies=[("afterany", gate)]).id); pause()
    """, RUN_ONCE)  # fmt: skip
    job_id = client.hear()
    client.kill()
    other = clients("""
        job = backend.attach(arguments[0])
        until(lambda: "recover()" in job.status.pending_reason)
        say(job.status.state)
        handles = backend.recover()
        say(job in handles)
        say(job.wait())
    """, job_id)  # fmt: skip
    assert other.hear() == "QUEUED"
    assert other.hear() is True
    let_go("gate")
    assert other.hear() == 0
    assert runs().count(job_id) == 1
