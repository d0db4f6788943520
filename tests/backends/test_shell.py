"""The shell backend as a whole; its parts are tested in folder ``shell`` beside this, and under ``tests/local``."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import psutil
import pytest

import hpc_connect
from hpc_connect.backends.shell import ShellBackend
from hpc_connect.errors import SpecError, SubmitError, UnsupportedError
from hpc_connect.local import machine
from hpc_connect.spec import JobSpec
from hpc_connect.status import JobState
from local_jobs import records_of, supervisors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from local_jobs import Client


def test_a_job_in_three_lines(own_environment: Path) -> None:
    program = """if True:
        import hpc_connect
        backend = hpc_connect.get_backend("shell")
        proc = backend.submit("hello-world", ["echo 'Hello, world!'"], cpus=1)
        assert proc.wait() == 0
        print(proc.output(), end="")
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Hello, world!\n", "")


def test_it_goes_by_its_name_alone() -> None:
    assert ShellBackend.matches("shell")
    assert not any(ShellBackend.matches(name) for name in (None, "", "SHELL", "shell2", "slurm"))


def test_it_can_be_used_here() -> None:
    assert ShellBackend.unusable_here() == ""


def test_importing_and_making_one_starts_and_writes_nothing(own_environment: Path) -> None:
    program = """if True:
        import os, threading
        import hpc_connect
        before = os.listdir("/proc/self/fd")
        backend = hpc_connect.get_backend("shell")
        assert threading.active_count() == 1, threading.enumerate()
        assert os.listdir("/proc/self/fd") == before
        assert not os.path.exists(f"/proc/{os.getpid()}/task/{os.getpid()}/children") or \\
            open(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read() == ""
    """
    subprocess.run([sys.executable, "-c", program], check=True)
    assert [name for _, _, names in os.walk(own_environment) for name in names] == []


def test_the_environment_of_the_program_is_left_alone(backend: ShellBackend) -> None:
    before = dict(os.environ)
    backend.submit("job", ["true"], variables={"NEW": "value", "HOME": None}, qtime=60).wait()
    assert dict(os.environ) == before


def test_it_says_how_big_this_machine_is(backend: ShellBackend) -> None:
    config = backend.config
    assert (config.node_count, config.cpus_per_node, config.gpus_per_node) == (
        1,
        machine.cpus(),
        machine.gpus(),
    )
    assert config.nodes_required(max_cpus=config.cpus_per_node) == 1
    assert backend.supports_subscheduling is True


def test_what_is_configured_of_the_machine_stands() -> None:
    config = hpc_connect.get_backend("shell", cpus_per_node=3, gpus_per_node=2).config
    assert (config.cpus_per_node, config.gpus_per_node) == (3, 2)


def test_it_is_equal_in_another_process(backend: ShellBackend) -> None:
    assert pickle.loads(pickle.dumps(backend)) == backend


@pytest.mark.parametrize(
    ("field", "value"), [("nodes", 2), ("queue", "fast"), ("account", "me"), ("memory_per_node", "1GB")]
)
def test_what_it_cannot_do_is_refused_by_name(backend: ShellBackend, field: str, value: object) -> None:
    with pytest.raises(UnsupportedError) as caught:
        backend.submit("job", ["true"], **{field: value})
    assert caught.value.field == field
    assert records_of(backend) == []


def test_gpus_that_are_not_there_are_refused(backend: ShellBackend) -> None:
    wanted = machine.gpus() + 1
    for field in ("gpus", "gpus_per_node", "gpus_per_task"):
        with pytest.raises(UnsupportedError) as caught:
            backend.submit(JobSpec(commands=["true"], **{field: wanted}))
        assert (caught.value.field, caught.value.value) == ("gpus", wanted)


def test_more_cpus_than_there_are_can_be_asked_for(backend: ShellBackend) -> None:
    assert backend.submit("job", ["true"], cpus=10_000).wait() == 0


def test_explain_shows_the_script_and_what_runs_it(backend: ShellBackend) -> None:
    text = backend.explain(
        JobSpec(commands=["echo hi"], shell="/bin/sh", directives=["--flag"], time_limit=90)
    )
    assert text.splitlines()[:2] == ["#!/bin/sh", "#BASH --flag"]
    assert "echo hi" in text.splitlines()
    assert "# /bin/sh SCRIPT" in text.splitlines()
    assert "0:01:30" in text


def test_the_script_that_runs_is_the_one_that_was_explained(backend: ShellBackend) -> None:
    spec = JobSpec(commands=["a=1", ["echo", "$a"]], env={"A": "b"}, directives=["-x"], script_path="here.sh")
    backend.submit(spec).wait()
    with open("here.sh") as file:
        assert backend.explain(spec).startswith(file.read())


def test_status_times_are_aware_and_in_order(backend: ShellBackend) -> None:
    job = backend.submit("job", ["true"])
    job.wait()
    status = job.status
    times = [status.submitted_at, status.started_at, status.ended_at, status.observed_at]
    assert all(time.utcoffset() is not None for time in times)
    assert times == sorted(times)


def test_the_store_knows_the_same_times(backend: ShellBackend) -> None:
    job = backend.submit("job", ["true"])
    job.wait()
    backend._session().runner.flush()
    stored = backend._session().runner.store.find(job.id)
    assert stored.status == job.status
    assert stored.native_id == job.native_id


def test_a_job_knows_where_it_runs(backend: ShellBackend) -> None:
    job = backend.submit("job", ["echo $HPC_CONNECT_JOB_ID $HPC_CONNECT_JOB_NAME $HPC_CONNECT_ATTEMPT"])
    assert job.wait() == 0
    assert job.output() == f"{job.id} job 1\n"
    assert job.status.nodes == (os.uname().nodename,)
    pid, _, ticks = job.native_id.partition(":")
    assert int(pid) > 0
    assert int(ticks) > 0


def test_two_equal_specifications_are_two_jobs(backend: ShellBackend) -> None:
    spec = JobSpec(commands=["true"], name="same")
    jobs = backend.submit_many([spec, spec])
    assert len({job.id for job in jobs}) == 2
    assert len({job.native_id for job in jobs}) == 2
    assert [job.wait() for job in jobs] == [0, 0]


def test_when_it_is_read_nothing_is_left_in_the_record_folder(backend: ShellBackend) -> None:
    jobs = [backend.submit("job", [command]) for command in ("true", "false", "kill -9 $$")]
    assert [job.wait() for job in jobs] == [0, 1, -9]
    backend._session().runner.flush()
    assert records_of(backend) == []


def test_a_record_that_is_to_be_kept_is_kept(clients: Callable[..., Client]) -> None:
    client = clients("""
        job = backend.submit("job", ["exit 3"], keep=True)
        job.wait()
        backend._session().runner.flush()
        say(job.id)
        say(records_of(backend))
    """)
    job_id, records = client.hear(), client.hear()
    assert records == [job_id]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o277])
def test_records_are_for_their_owner_alone_whatever_the_umask(
    clients: Callable[..., Client], umask: int
) -> None:
    client = clients(f"""
        os.umask({umask})
        held = backend.submit("job", ["true"], hold=True)
        kept = backend.submit("job", ["true"], keep=True)
        kept.wait()
        backend._session().runner.flush()
        root = backend._session().runner.folder.path
        for folder, _, names in os.walk(root):
            say(["", oct(os.stat(folder).st_mode & 0o777)])
            for name in names:
                kind = os.path.splitext(name)[1]
                say([kind, oct(os.stat(os.path.join(folder, name)).st_mode & 0o777)])
        held.cancel()
        held.wait()
    """)
    modes = {"": set(), ".sh": set(), ".order": set()}
    for kind, mode in client.hear_all():
        modes[kind].add(mode)
    assert modes[""] == {"0o700", "0o600"}  # folders, and the record of the end
    assert (modes[".sh"], modes[".order"]) == ({"0o700"}, {"0o600"})


def test_a_folder_for_records_may_have_any_name(
    clients: Callable[..., Client], own_environment: Path
) -> None:
    folders = [
        str(own_environment / name) for name in ("a b", "with\nnewline", "wi'th\"quo$(te)", "täglich 文")
    ]
    client = clients(
        """
        for folder in arguments:
            job = hpc_connect.get_backend("shell", work_dir=folder).submit("job", ["exit 3"])
            say([job.wait(), os.path.isdir(os.path.join(folder, "ended"))])
        """,
        *folders,
    )
    assert client.hear_all() == [[3, True]] * len(folders)


def test_a_folder_under_the_home_folder_can_be_named(
    clients: Callable[..., Client], own_environment: Path
) -> None:
    client = clients("say(backend.submit('job', ['true']).wait())", options={"work_dir": "~/records"})
    assert client.hear_all() == [0]
    assert (own_environment / "home" / "records" / "live").is_dir()


def test_a_home_folder_that_cannot_be_written_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, own_environment: Path
) -> None:
    (own_environment / "file").touch()
    monkeypatch.setenv("HOME", str(own_environment / "file"))
    backend = hpc_connect.get_backend("shell")
    for attempt in (lambda: backend.submit("job", ["true"]), backend.recover, lambda: backend.attach("abc")):
        with pytest.raises(SubmitError, match="set work_dir of cluster 'shell'"):
            attempt()
    assert os.listdir() == []


def test_a_store_that_cannot_be_written_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, own_environment: Path, clients: Callable[..., Client]
) -> None:
    (own_environment / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(own_environment / "file"))
    client = clients("""
        try:
            backend.submit("job", ["true"])
        except hpc_connect.StoreError as error:
            say(["XDG_STATE_HOME" in str(error), records_of(backend), os.listdir()])
    """)
    assert client.hear_all() == [[True, [], []]]


def test_a_program_that_submits_nothing_has_no_supervisor(clients: Callable[..., Client]) -> None:
    client = clients("""
        say(backend.recover())
        try:
            backend.attach("nosuchjob")
        except hpc_connect.SpecError as error:
            say([error.field, error.value])
        pause()
    """)
    assert client.hear() == []
    assert client.hear() == ["native_id", "nosuchjob"]
    assert supervisors(client.records) == []


def test_a_folder_that_is_gone_is_told(backend: ShellBackend) -> None:
    os.mkdir("gone")
    os.chdir("gone")
    os.rmdir("../gone")
    with pytest.raises(SpecError) as caught:
        backend.submit("job", ["true"])
    assert caught.value.field == "workdir"
    assert backend.submit("job", ["true"], workdir="/", output="/dev/null").wait() == 0


def test_one_thread_for_everything(clients: Callable[..., Client]) -> None:
    client = clients("""
        jobs = [backend.submit("job", ["true"]) for _ in range(20)]
        for job in jobs:
            job.wait()
        say(sorted(thread.name for thread in threading.enumerate()))
    """)
    (names,) = client.hear_all()
    assert [name for name in names if "blocking" not in name] == ["MainThread", "hpc_connect-engine"]
    assert len(names) <= 2 + 4


def test_callbacks_run_on_the_engine_and_may_submit(backend: ShellBackend) -> None:
    second: list[object] = []
    done = threading.Event()

    def submit_another(job: object) -> None:
        second.append(backend.submit("second", ["echo second"]))
        done.set()

    first = backend.submit("first", ["true"])
    first.add_done_callback(submit_another)
    assert done.wait(30)
    assert second[0].wait() == 0
    assert first.callback_errors == []


def test_a_client_that_ends_at_once_says_nothing(clients: Callable[..., Client]) -> None:
    client = clients(
        """
        jobs = [backend.submit("job", ["exit 1"]) for _ in range(5)]
        jobs[2].wait()
        """,
        stderr=subprocess.PIPE,
    )
    assert client.hear_all() == []
    with client.process.stderr as stream:
        assert stream.read() == ""


def test_states_are_told_in_order(backend: ShellBackend) -> None:
    seen: list[JobState] = []
    job = backend.submit("job", ["true"], hold=True)
    job.add_status_callback(lambda _, status: seen.append(status.state))
    job.release()
    job.wait()
    order = [JobState.HELD, JobState.QUEUED, JobState.RUNNING, JobState.COMPLETED]
    assert [state for state in order if state in seen] == seen
    assert seen[-2:] == order[-2:]


def test_a_process_number_of_the_job_is_a_real_process(backend: ShellBackend) -> None:
    job = backend.submit("job", ["sleep 100"])
    leader = psutil.Process(int(job.native_id.partition(":")[0]))
    assert os.getsid(leader.pid) == leader.pid
    job.cancel()
    job.wait()
