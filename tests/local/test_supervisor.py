"""The supervisor: time limits, and how long it lives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from hpc_connect.status import JobState, Reason
from local_jobs import SOON, ended, kill, let_go, named_pipe, processes_of, supervisors, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpc_connect.backends.shell import ShellBackend
    from local_jobs import Client


# ---------------------------------------------------------------------- time limits


def test_a_job_out_of_time_is_ended_and_says_so(backend: ShellBackend) -> None:
    job = backend.submit("job", ["sleep 1000"], qtime=0.3)
    assert job.wait(SOON) == -signal.SIGTERM
    assert (job.status.state, job.status.reason) == (JobState.FAILED, Reason.TIMEOUT)
    assert job.status.timed_out
    assert (job.status.ended_at - job.status.started_at).total_seconds() >= 0.3
    assert processes_of(job.id) == []


def test_a_job_inside_its_limit_is_left_alone(backend: ShellBackend) -> None:
    assert backend.submit("job", ["sleep 0.1"], qtime=100).wait(SOON) == 0


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    from hpc_connect.local import orders
    from hpc_connect.quantities import Duration

    monkeypatch.setattr(orders, "DEFAULT_GRACE", Duration(seconds=0.2))


def test_one_that_ignores_that_is_killed_after_the_grace_time(
    backend: ShellBackend, short_grace: None
) -> None:
    job = backend.submit("job", ["trap '' TERM; setsid sleep 1000 & while :; do sleep 0.01; done"], qtime=0.3)
    assert job.wait(SOON) == -signal.SIGKILL
    assert job.status.timed_out
    assert processes_of(job.id) == []


def test_a_child_that_ignores_it_is_killed_though_the_script_has_ended(
    backend: ShellBackend, short_grace: None
) -> None:
    job = backend.submit("job", ["(trap '' TERM; sleep 1000; sleep 1000) & wait"], qtime=0.3)
    assert job.wait(SOON) == -signal.SIGTERM
    assert job.status.timed_out
    assert processes_of(job.id) == []


def test_the_exit_code_of_a_job_that_leaves_in_time_is_kept(backend: ShellBackend) -> None:
    job = backend.submit("job", ["trap 'exit 5' TERM; while :; do sleep 0.01; done"], qtime=0.3)
    assert job.wait(SOON) == 5
    assert (job.status.reason, job.status.exit_code) == (Reason.TIMEOUT, 5)


def test_a_job_that_leaves_with_success_at_its_limit_has_not_completed(backend: ShellBackend) -> None:
    job = backend.submit("job", ["trap 'exit 0' TERM; while :; do sleep 0.01; done"], qtime=0.3)
    assert job.wait(SOON) != 0
    assert (job.status.state, job.status.reason) == (JobState.FAILED, Reason.TIMEOUT)


def test_a_suspended_job_is_out_of_time_too(backend: ShellBackend) -> None:
    job = backend.submit("job", ["sleep 1000"], qtime=0.5)
    assert job.native_id
    job.suspend()
    assert job.wait(SOON) == -signal.SIGTERM


def test_a_job_can_be_warned_before_its_limit(backend: ShellBackend) -> None:
    job = backend.submit(
        "job",
        ["trap 'echo warned' USR2; while :; do sleep 0.01; done"],
        qtime=0.8,
        signal_before_end=("USR2", 0.5),
    )
    job.wait(SOON)
    assert job.status.timed_out
    assert "warned" in job.output().splitlines()


def test_the_limit_holds_when_the_client_was_killed_at_once(clients: Callable[..., Client]) -> None:
    client = clients("""
        job = backend.submit("job", ["sleep 1000"], qtime=0.5)
        say(job.id)
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    job_id = client.hear()
    other = clients(
        "job = backend.attach(arguments[0]); job.wait(); say([job.status.state, job.status.reason])", job_id
    )
    assert other.hear() == ["FAILED", "TIMEOUT"]


def test_many_limits_at_the_same_moment(backend: ShellBackend) -> None:
    jobs = [backend.submit("job", ["sleep 1000"], qtime=1) for _ in range(30)]
    assert {job.wait(SOON) for job in jobs} == {-signal.SIGTERM}
    assert all(job.status.timed_out for job in jobs)


def test_a_limit_of_days_can_be_given(backend: ShellBackend) -> None:
    pipe = named_pipe("pipe")
    for limit in ("25d", "30d", "10000d"):
        job = backend.submit("job", [f"read line < {pipe}; exit 3"], qtime=limit)
        assert job.native_id
        let_go(pipe)
        assert job.wait(SOON) == 3


# ---------------------------------------------------------------------- its life


def test_it_goes_when_the_client_has_and_no_job_runs(clients: Callable[..., Client]) -> None:
    client = clients("backend.submit('job', ['true']).wait(); say(''); pause()")
    client.hear()
    (supervisor,) = supervisors(client.records)
    assert not ended(supervisor)
    client.tell()
    assert client.process.wait() == 0
    until(lambda: ended(supervisor))


def test_it_stays_until_the_last_job_of_a_client_that_has_gone_has_ended(
    clients: Callable[..., Client],
) -> None:
    gate = named_pipe("gate")
    client = clients("say(backend.submit('job', ['read line < gate; exit 3']).native_id)")
    client.hear_all()
    (supervisor,) = supervisors(client.records)
    with open(gate, "w") as file:
        assert not ended(supervisor)
        file.write("\n")
    until(lambda: ended(supervisor))


def test_no_signal_that_a_terminal_sends_ends_it(clients: Callable[..., Client]) -> None:
    client = clients(
        "backend.submit('job', ['true']).wait(); say(''); pause(); say(backend.submit('job', ['exit 4']).wait())"
    )
    client.hear()
    (supervisor,) = supervisors(client.records)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        supervisor.send_signal(number)
    client.tell()
    assert client.hear() == 4
    assert not ended(supervisor)


def test_it_is_of_no_session_and_family_of_the_client(clients: Callable[..., Client]) -> None:
    client = clients("backend.submit('job', ['true']).wait(); say(''); pause()")
    client.hear()
    (supervisor,) = supervisors(client.records)
    assert os.getsid(supervisor.pid) != os.getsid(client.pid)
    assert supervisor.ppid() != client.pid
    assert supervisor.cwd() == "/"
    assert not any(child.pid == supervisor.pid for child in client_children(client))


def client_children(client: Client) -> list[object]:
    import psutil

    return psutil.Process(client.pid).children(recursive=True)


def test_a_client_that_is_stopped_does_not_hold_it_up(clients: Callable[..., Client]) -> None:
    """More news than the line takes, while nobody reads it; time limits and records go on."""
    client = clients("""
        jobs = [backend.submit("job", [f"read line < gate; echo {'x' * 50}"], output="/dev/null") for _ in range(300)]
        last = backend.submit("job", ["sleep 1000"], qtime=1)
        say([job.id for job in jobs] + [last.id])
        say([job.wait() for job in [*jobs, last]])
    """)
    named_pipe("gate")
    names = client.hear()
    os.kill(client.pid, signal.SIGSTOP)
    with open("gate", "w") as file:
        file.write("\n" * 300)
        file.flush()
        ends = os.path.join(client.records, "ended")
        until(lambda: {*names} <= {*os.listdir(ends)})
    os.kill(client.pid, signal.SIGCONT)
    assert client.hear() == [0] * 300 + [-signal.SIGTERM]


def test_no_zombie_is_left_and_no_descriptor_open(clients: Callable[..., Client]) -> None:
    client = clients("""
        backend.submit("job", ["true"]).wait()
        say(""); pause()
        for job in [backend.submit("job", ["true"]) for _ in range(50)]:
            job.wait()
        say(""); pause()
    """)
    client.hear()
    (supervisor,) = supervisors(client.records)
    before = supervisor.num_fds()
    client.tell()
    client.hear()
    assert supervisor.children() == []
    assert supervisor.num_fds() == before


def test_what_it_needs_is_found_wherever_the_client_found_it(clients: Callable[..., Client]) -> None:
    """Nor do files of the user's that are named as modules of Python's own get in its way."""
    program = """if True:
        import os, sys
        import hpc_connect, hpc_connect.local.session
        backend = hpc_connect.get_backend("shell")
        for name in ("socket", "json", "signal", "heapq"):
            with open(name + ".py", "w") as file:
                file.write("raise SystemExit(3)")
        sys.path[:0] = ["", os.getcwd()]
        print(backend.submit("job", ["true"]).wait())
    """
    variables = {"PYTHONSTARTUP": "x", "PYTHONINSPECT": "1", "PYTHONPATH": os.getcwd()}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
        input="",
    )
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr


def test_one_that_cannot_start_is_a_clear_error_and_nothing_is_left(clients: Callable[..., Client]) -> None:
    client = clients("""
        from hpc_connect.local import link
        link._START = "raise SystemExit('it is Monday')"
        try:
            backend.submit("job", ["true"])
        except hpc_connect.SubmitError as error:
            say([error.returncode, str(error), records_of(backend), os.listdir(), backend.recover()])
    """)
    code, text, *left = client.hear()
    assert code == 1
    assert "the supervisor of local jobs does not start" in text
    assert "it is Monday" in text
    assert left == [[], [], []]


def test_a_crash_of_it_is_written_down(clients: Callable[..., Client]) -> None:
    client = clients("""
        from hpc_connect.local import link
        broken = "from hpc_connect.local import supervisor; supervisor.Supervisor._start = lambda *_: 1 / 0"
        link._START = link._START.replace("main(folder)", broken + "; main(folder)")
        job = backend.submit("job", ["true"])
        job.wait()
        say([job.status.state, job.status.reason, job.status.message])
        say([name.partition("-")[0] for name in records_of(backend)])
    """)
    state, reason, message = client.hear()
    assert (state, reason) == ("FAILED", "SUBMIT")
    assert "supervisor" in message
    assert set(client.hear()) == {"supervisor"}


def test_it_can_be_killed_and_another_takes_its_place(clients: Callable[..., Client]) -> None:
    client = clients("""
        backend.submit("job", ["true"]).wait()
        say(""); pause()
        say(backend.submit("job", ["exit 5"]).wait())
    """)
    client.hear()
    (supervisor,) = supervisors(client.records)
    kill(supervisor)
    client.tell()
    assert client.hear() == 5
