"""Jobs that another process runs: attached by our id or the native one, and what is said of them."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from local_jobs import let_go, named_pipe, processes_of, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpc_connect.backends.shell import ShellBackend
    from local_jobs import Client

import pytest

from hpc_connect.errors import SpecError

ATTACH = """
job = backend.attach(arguments[0])
reach(job, JobState.RUNNING, JobState.FAILED)
say([job.id, job.native_id, job.output_path])
code = job.wait()
say([code, job.output(), job.status.state])
"""
A_JOB = """
job = backend.submit("job", ["echo hi; read line < gate; exit 3"])
reach(job, JobState.RUNNING)
say([job.id, job.native_id, job.output_path])
"""


@pytest.mark.parametrize("which", [0, 1], ids=["our id", "native id"])
@pytest.mark.parametrize("client_lives", [True, False], ids=["the client lives", "the client was killed"])
def test_a_running_job_can_be_attached_to_by(
    clients: Callable[..., Client], which: int, client_lives: bool
) -> None:
    gate = named_pipe("gate")
    owner = clients(A_JOB + "pause()")
    names = owner.hear()
    if not client_lives:
        owner.kill()
    other = clients(ATTACH, names[which])
    assert other.hear() == names
    let_go(gate)
    assert other.hear() == [3, "hi\n", "FAILED"]


@pytest.mark.parametrize("which", [0, 1], ids=["our id", "native id"])
def test_a_job_that_has_ended_can_be_attached_to_by(clients: Callable[..., Client], which: int) -> None:
    owner = clients(
        "job = backend.submit('job', ['echo hi; exit 3']); say([job.id, job.native_id, job.output_path]); job.wait()"
    )
    names, *_ = owner.hear_all()
    assert clients(ATTACH, names[which]).hear_all() == [names, [3, "hi\n", "FAILED"]]


def test_a_job_that_nobody_has_seen_end_can_be_attached_to_by_native_id(
    clients: Callable[..., Client],
) -> None:
    gate = named_pipe("gate")
    owner = clients(A_JOB + "pause()")
    names = owner.hear()
    owner.kill()
    let_go(gate)
    until(lambda: names[0] in os.listdir(os.path.join(owner.records, "ended")))
    assert clients(ATTACH, names[1]).hear_all() == [names, [3, "hi\n", "FAILED"]]


def test_the_same_handle_is_given_again(backend: ShellBackend) -> None:
    job = backend.submit("job", ["true"])
    assert backend.attach(job.id) is backend.attach(job.native_id) is job
    job.wait()
    assert backend.attach(job.native_id) is job


def test_a_process_that_only_has_the_number_is_not_taken_for_the_job(backend: ShellBackend) -> None:
    job = backend.submit("job", ["sleep 1000"])
    pid, _, ticks = job.native_id.partition(":")
    for wrong in (pid, f"{pid}:", f"{pid}:{int(ticks) + 1}", f"{os.getpid()}:{ticks}", ":", "", "nothing"):
        with pytest.raises(SpecError) as caught:
            backend.attach(wrong)
        assert caught.value.field == "native_id"
    job.cancel()
    job.wait()


def test_a_number_that_was_used_again_is_no_life_sign_of_the_job(clients: Callable[..., Client]) -> None:
    """The start record names a process that lives, but started at another time."""
    client = clients("""
        job = backend.submit("job", ["exec sleep 1000"])
        reach(job, JobState.RUNNING)
        say([job.id, job.native_id]); pause()
    """)
    job_id, native_id = client.hear()
    pid, _, ticks = native_id.partition(":")
    from local_jobs import kill, supervisors

    (supervisor,) = supervisors(client.records)
    kill(supervisor)
    client.kill()
    path = os.path.join(client.records, "live", f"{job_id}.start")
    with open(path) as file:
        record = file.read()
    with open(path, "w") as file:
        file.write(record.replace(f"ticks={ticks}", f"ticks={int(ticks) - 1}"))
    os.kill(int(pid), signal.SIGKILL)
    other = clients("""
        job = backend.attach(arguments[0])
        try:
            job.wait()
        except hpc_connect.JobLost as error:
            say(error.status.message)
    """, job_id)  # fmt: skip
    assert "left no record" in other.hear()


def test_a_requeued_job_is_followed_to_its_next_attempt(clients: Callable[..., Client]) -> None:
    gate = named_pipe("gate")
    owner = clients("""
        job = backend.submit("job", ["echo $HPC_CONNECT_ATTEMPT; read line < gate; exit 3"])
        reach(job, JobState.RUNNING)
        say(job.id); pause()
        job.requeue(); until(lambda: job.status.attempt == 2); say(job.native_id); pause()
    """)
    job_id = owner.hear()
    other = clients("""
        job = backend.attach(arguments[0])
        reach(job, JobState.RUNNING)
        say(job.status.attempt)
        until(lambda: job.status.attempt == 2)
        say(job.native_id)
        say([job.wait(), job.status.attempt, job.output()])
    """, job_id)  # fmt: skip
    assert other.hear() == 1
    owner.tell()
    native_id = owner.hear()
    assert other.hear() == native_id
    owner.kill()
    let_go(gate)
    assert other.hear() == [3, 2, "1\n2\n"]


def test_what_is_said_of_a_job_that_waits_in_another_process(clients: Callable[..., Client]) -> None:
    named_pipe("gate")
    owner = clients("""
        gate = backend.submit("gate", ["read line < gate"])
        behind = backend.submit("behind", ["true"], dependencies=[("afterok", gate)])
        held = backend.submit("held", ["true"], hold=True)
        until(lambda: behind.status.pending_reason and held.status.pending_reason)
        backend._session().runner.flush()
        say([gate.id, behind.id, held.id]); pause()
        gate.cancel(); held.cancel(); gate.wait(); held.wait(); behind.wait()
    """)
    gate, behind, held = owner.hear()
    other = clients("""
        behind, held = (backend.attach(name) for name in arguments)
        until(lambda: behind.status.pending_reason and held.status.pending_reason)
        say([[job.status.state, job.status.pending_reason] for job in (behind, held)])
        pause()
        until(lambda: "recover()" in behind.status.pending_reason and "recover()" in held.status.pending_reason)
        say([[job.status.state, job.status.pending_reason, job.poll()] for job in (behind, held)])
    """, behind, held)  # fmt: skip
    assert other.hear() == [
        ["QUEUED", f"afterok {gate}"],
        ["HELD", "held by its user; release() lets it start"],
    ]
    owner.kill()
    other.tell()
    orphan = "the process that submitted it has ended; recover() takes it over"
    assert other.hear() == [["QUEUED", orphan, None], ["HELD", orphan, None]]
    clients(
        "[job.cancel() for job in backend.recover()]; [job.wait() for job in backend.recover()]"
    ).hear_all()


def test_a_job_in_flight_whose_client_has_gone_is_unknown_and_says_what_to_do(
    clients: Callable[..., Client],
) -> None:
    owner = clients("""
        from hpc_connect.local.runner import LocalRunner
        LocalRunner.start = lambda *_, **__: None
        say(backend.submit("job", ["exit 3"]).id); pause()
    """)
    job_id = owner.hear()
    owner.kill()
    other = clients("""
        job = backend.attach(arguments[0])
        reach(job, JobState.UNKNOWN)
        say(job.status.message)
        backend.recover()
        say(job.wait())
    """, job_id)  # fmt: skip
    assert other.hear() == "the process that submitted it has ended; recover() takes it over"
    assert other.hear() == 3


def test_a_job_of_another_cluster_is_not_mistaken_for_one_of_this(clients: Callable[..., Client]) -> None:
    with open("hpc_connect.toml", "w") as file:
        file.write('[clusters.other]\nbackend = "shell"\n')
    client = clients("""
        job = hpc_connect.get_backend("other").submit("job", ["true"])
        job.wait()
        for attempt in (lambda: backend.attach(job.id),
                        lambda: backend.submit("job", ["true"], dependencies=[("afterok", job)])):
            try:
                attempt()
            except hpc_connect.SpecError as error:
                say([error.field, "'other'" in str(error)])
    """)
    assert client.hear_all() == [["native_id", True], ["dependencies", True]]


def test_a_job_on_another_host_is_believed_and_left_alone(clients: Callable[..., Client]) -> None:
    """Home folders are shared by login nodes; a process number means nothing there."""
    client = clients("""
        job = backend.submit("job", ["exec sleep 1000"])
        reach(job, JobState.RUNNING)
        say([job.id, job.native_id]); pause()
    """)
    job_id, native_id = client.hear()
    client.kill()
    path = os.path.join(client.records, "live", f"{job_id}.start")
    with open(path) as file:
        record = file.read()
    with open(path, "w") as file:
        file.write(record.replace(f"host={os.uname().nodename}", "host=elsewhere"))
    other = clients("""
        job = backend.attach(arguments[0])
        reach(job, JobState.RUNNING)
        say(list(job.status.nodes))
        for verb in (job.cancel, job.suspend, lambda: job.send_signal(9)):
            try:
                verb()
            except hpc_connect.UnsupportedError as error:
                say("elsewhere" in str(error))
        pause()
        say(job.wait())
    """, job_id)  # fmt: skip
    assert [other.hear() for _ in range(4)] == [["elsewhere"], True, True, True]
    assert processes_of(job_id) != []
    os.kill(int(native_id.partition(":")[0]), signal.SIGKILL)
    other.tell()
    assert other.hear() == -signal.SIGKILL


def test_a_forked_child_that_waits_gets_the_result(clients: Callable[..., Client]) -> None:
    gate = named_pipe("gate")
    client = clients("""
        running = backend.submit("job", ["read line < gate; exit 3"])
        ended = backend.submit("job", ["exit 4"])
        ended.wait()
        reach(running, JobState.RUNNING)
        pid = os.fork()
        if pid == 0:
            say("forked")
            say([ended.wait(), running.wait(), backend.submit("own", ["exit 5"]).wait()])
            sys.exit()
        code = running.wait()
        say(os.waitpid(pid, 0)[1])
        say([code, ended.wait(), backend.submit("own", ["exit 6"]).wait()])
    """)
    assert client.hear() == "forked"
    let_go(gate)
    assert client.hear() == [4, 3, 5]
    assert client.hear() == 0
    assert client.hear() == [3, 4, 6]


def test_a_forked_child_that_outlives_its_parent_does_not_keep_the_supervisor(
    clients: Callable[..., Client],
) -> None:
    from local_jobs import ended, supervisors

    named_pipe("gate")
    client = clients("""
        backend.submit("job", ["true"]).wait()
        if os.fork() == 0:
            sys.stdin.close(); os.close(0); os.close(1)
            with open("gate") as gate:
                gate.read()
            os._exit(0)
        say("forked"); pause()
    """)
    client.hear()
    (supervisor,) = supervisors(client.records)
    client.hear_all()
    until(lambda: ended(supervisor))
    let_go("gate")


def test_forking_while_jobs_end_hangs_nobody(clients: Callable[..., Client]) -> None:
    client = clients("""
        codes = []
        for turn in range(12):
            jobs = [backend.submit("job", ["true"]) for _ in range(3)]
            pid = os.fork()
            if pid == 0:
                signal.alarm(60)
                sys.exit(max(job.wait() for job in jobs))
            codes.append(os.waitpid(pid, 0)[1])
            [job.wait() for job in jobs]
        say(codes)
    """)
    assert client.hear() == [0] * 12


def test_many_jobs_of_another_process_are_followed_with_few_descriptors(
    clients: Callable[..., Client],
) -> None:
    gate = named_pipe("gate")
    owner = clients("""
        jobs = [backend.submit("job", ["read line < gate; exit 3"], output="/dev/null") for _ in range(40)]
        for job in jobs:
            reach(job, JobState.RUNNING)
        say([job.id for job in jobs]); pause()
    """)
    names = owner.hear()
    owner.kill()
    other = clients("""
        import resource
        backend.attach(arguments[0]).native_id
        resource.setrlimit(resource.RLIMIT_NOFILE, (30, 30))
        jobs = [backend.attach(name) for name in arguments]
        for job in jobs:
            reach(job, JobState.RUNNING)
        say("running")
        say([job.wait() for job in jobs])
    """, *names)  # fmt: skip
    assert other.hear() == "running"
    with open(gate, "w") as file:
        file.write("\n" * 40)
        file.flush()
        assert other.hear() == [3] * 40
