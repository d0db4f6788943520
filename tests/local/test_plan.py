"""One submission: with a key, and taken back when nothing comes of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from hpc_connect.errors import SpecError, StoreError
from hpc_connect.spec import JobSpec
from hpc_connect.status import JobState
from local_jobs import SOON, let_go, named_pipe, records_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpc_connect.backends.shell import ShellBackend
    from local_jobs import Client

RUN = ["echo $HPC_CONNECT_JOB_ID >> runs; exit 3"]


def runs() -> list[str]:
    if not os.path.exists("runs"):
        return []
    with open("runs") as file:
        return file.read().split()


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    """One that no other test uses."""
    return request.node.name


def test_the_same_key_and_specification_are_the_same_job(backend: ShellBackend, key: str) -> None:
    spec = JobSpec(commands=RUN, script_path="script", stdout="folder/{id}.out")
    gate = named_pipe("gate")
    spec = spec.replace(commands=[f"read line < {gate}", *RUN])
    job = backend.submit(spec, key=key)
    assert backend.submit(spec, key=key) is job  # while it runs
    let_go(gate)
    assert job.wait(SOON) == 3
    again = backend.submit(spec, key=key)
    assert (again.id, again.wait(SOON)) == (job.id, 3)
    assert runs() == [job.id]
    assert records_of(backend) == []
    assert os.listdir("folder") == [f"{job.id}.out"]


def test_the_compact_form_takes_a_key_too(backend: ShellBackend, key: str) -> None:
    first = backend.submit("job", RUN, key=key)
    assert backend.submit("job", RUN, key=key).id == first.id
    first.wait(SOON)


def test_another_specification_under_a_key_is_refused_and_leaves_nothing(
    backend: ShellBackend, key: str
) -> None:
    backend.submit("job", ["true"], key=key).wait(SOON)
    before = sorted(os.listdir())
    with pytest.raises(SpecError) as caught:
        backend.submit("job", ["false"], key=key, output="new/folder/out", scriptname="new/script")
    assert (caught.value.field, caught.value.value) == ("key", key)
    assert sorted(os.listdir()) == before
    assert records_of(backend) == []


def test_a_failed_job_of_a_key_is_run_again_when_asked_to(backend: ShellBackend, key: str) -> None:
    first = backend.submit("job", RUN, key=key)
    first.wait(SOON)
    second = backend.submit("job", RUN, key=key, rerun=True)
    assert second.id != first.id
    second.wait(SOON)
    assert runs() == [first.id, second.id]
    assert backend.submit("job", RUN, key=key).id == second.id


def test_a_job_that_has_completed_is_not_run_again(backend: ShellBackend, key: str) -> None:
    first = backend.submit("job", ["true"], key=key)
    first.wait(SOON)
    assert backend.submit("job", ["true"], key=key, rerun=True).id == first.id


def test_a_job_that_lives_is_not_run_again(backend: ShellBackend, key: str) -> None:
    first = backend.submit("job", ["true"], key=key, hold=True)
    assert backend.submit("job", ["true"], key=key, hold=True, rerun=True) is first
    first.cancel()
    first.wait(SOON)


def test_an_array_has_one_key(backend: ShellBackend, key: str) -> None:
    first = backend.submit("array", RUN, key=key, array=range(3))
    first.wait(SOON)
    again = backend.submit("array", RUN, key=key, array=range(3))
    assert (again.id, again.wait(SOON), len(runs())) == (first.id, 3, 3)


def test_of_two_processes_with_a_key_at_once_one_runs_it(clients: Callable[..., Client]) -> None:
    both = [
        clients(
            """
            say("ready"); pause()
            for turn in range(5):
                job = backend.submit("job", arguments[0], key=f"key {turn}")
                say([job.id, job.wait()])
            """,
            RUN,
        )
        for _ in range(2)
    ]
    for client in both:
        assert client.hear() == "ready"
    for client in both:
        client.tell()
    first, second = (client.hear_all() for client in both)
    assert first == second
    assert sorted(runs()) == sorted(job_id for job_id, _ in first)


def test_the_key_is_known_to_another_process(clients: Callable[..., Client]) -> None:
    submit = "job = backend.submit('job', arguments[0], key='k'); say([job.id, job.wait(), job.output_path])"
    first, second = (clients(submit, RUN).hear_all() for _ in range(2))
    assert first == second
    assert len(runs()) == 1


def test_a_submission_that_the_store_does_not_take_leaves_nothing(
    backend: ShellBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = backend._session().runner.store

    def full(*_: object, **__: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(type(store), "intend_many", full)
    with pytest.raises(StoreError):
        backend.submit("job", ["true"], output="new/out", scriptname="new/script", array=None)
    assert os.listdir() == []
    assert records_of(backend) == []


def test_a_job_that_starts_at_once_is_being_submitted_first(backend: ShellBackend) -> None:
    seen = []
    job = backend.submit("job", ["true"], hold=True)
    job.add_status_callback(lambda _, status: seen.append(status.state))
    assert job.status.submitted_at is not None
    job.release()
    job.wait(SOON)
    assert JobState.RUNNING in seen


def test_secrets_are_in_no_file_that_others_may_read_and_not_in_the_store(
    backend: ShellBackend, shared_folder: str
) -> None:
    secret = "s3cr3t-" + os.urandom(8).hex()
    job = backend.submit("job", ["true"], variables={"TOKEN": secret}, hold=True)
    found = {}
    for folder, _, names in os.walk(shared_folder):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                if secret.encode() in file.read():
                    found[os.path.splitext(name)[1]] = oct(os.stat(path).st_mode & 0o777)
    assert found == {".sh": "0o700"}
    job.cancel()
    job.wait(SOON)
