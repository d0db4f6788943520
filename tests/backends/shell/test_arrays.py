"""Arrays of jobs, and several jobs as one."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from hpc_connect.errors import SpecError
from hpc_connect.group import ProcessGroup
from hpc_connect.spec import JobSpec
from hpc_connect.status import JobState, Reason
from local_jobs import SOON, let_go, named_pipe, processes_of, reach, records_of, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpc_connect.backends.shell import ShellBackend
    from local_jobs import Client

COUNT = "echo + >> count; sleep 0.02; echo - >> count"


def most_at_once() -> int:
    """How many ran at the same time, as they say themselves."""
    running = most = 0
    with open("count") as file:
        for sign in file.read().split():
            running += 1 if sign == "+" else -1
            most = max(most, running)
    assert running == 0
    return most


def test_each_element_knows_its_index_and_has_its_own_end_and_output(backend: ShellBackend) -> None:
    array = backend.submit(
        "array", ["echo $HPC_CONNECT_ARRAY_INDEX; exit $HPC_CONNECT_ARRAY_INDEX"], array=[7, 0, 3]
    )
    assert isinstance(array, ProcessGroup)
    assert array.wait(SOON) == 3  # the first that is not 0, by index
    assert {index: status.exit_code for index, status in array.statuses.items()} == {7: 7, 0: 0, 3: 3}
    assert array.status.state is JobState.FAILED
    assert array[3].output() == "3\n"
    assert array[3].id == f"{array.id}.3"
    assert array.output() == "0\n3\n7\n"
    assert sorted(os.listdir()) == sorted(f"array.{array.id}.{index}.out" for index in (7, 0, 3))


def test_an_array_of_good_ones_is_good(backend: ShellBackend) -> None:
    array = backend.submit("array", ["true"], array=range(5))
    assert array.wait(SOON) == 0
    assert array.status.state is JobState.COMPLETED
    assert records_of(backend) == []


def test_outputs_of_elements_may_be_named_by_index(backend: ShellBackend) -> None:
    backend.submit("array", ["echo hi"], array=range(2), output="out/{index}/{name}-{id}").wait(SOON)
    assert sorted(os.listdir("out")) == ["0", "1"]


def test_no_more_run_at_once_than_may(backend: ShellBackend) -> None:
    array = backend.submit("array", [COUNT], array=range(12), max_parallel=3)
    assert array.wait(SOON) == 0
    assert most_at_once() == 3


def test_those_that_wait_for_their_turn_say_so(backend: ShellBackend) -> None:
    gate = named_pipe("gate")
    array = backend.submit("array", [f"read line < {gate}"], array=range(3), max_parallel=1)
    until(lambda: array[2].status.pending_reason)
    assert "max_parallel" in array[2].status.pending_reason
    assert array[2].status.state is JobState.QUEUED
    with open(gate, "w") as file:
        file.write("\n" * 3)
        file.flush()
        assert array.wait(SOON) == 0


def test_an_element_cancelled_while_it_waits_takes_nobody_s_turn(backend: ShellBackend) -> None:
    gate = named_pipe("gate")
    array = backend.submit("array", [f"read line < {gate}"], array=range(4), max_parallel=1)
    reach(array[0], JobState.RUNNING)
    array[1].cancel()
    assert array[1].wait(SOON) == -signal.SIGTERM
    with open(gate, "w") as file:
        file.write("\n" * 3)
        file.flush()
        assert array.wait(SOON) == -signal.SIGTERM
    assert [array[index].wait() for index in (0, 2, 3)] == [0, 0, 0]


def test_one_that_fails_to_start_gives_its_turn_on(backend: ShellBackend) -> None:
    array = backend.submit("array", ["true"], array=range(3), max_parallel=1, output="{index}/out", hold=True)
    os.rmdir("1")
    with open("1", "w"):
        array.release()
    assert array.wait(SOON) == 127
    assert array.statuses[1].reason is Reason.LAUNCH
    assert [array[index].wait() for index in (0, 2)] == [0, 0]


def test_the_whole_of_it_can_be_cancelled(backend: ShellBackend) -> None:
    array = backend.submit("array", ["trap '' TERM; sleep 1000; sleep 1000"], array=range(12), max_parallel=6)
    for index in range(6):
        reach(array[index], JobState.RUNNING)
    array.cancel(grace=0.1)
    array.wait(SOON)
    assert {status.state for status in array.statuses.values()} == {JobState.CANCELLED}
    assert [processes_of(job.id) for job in array] == [[]] * 12
    assert records_of(backend) == []


def test_the_whole_of_it_can_be_held_and_released(backend: ShellBackend) -> None:
    array = backend.submit("array", ["true"], array=range(3), hold=True)
    assert {status.state for status in array.statuses.values()} == {JobState.HELD}
    array.release()
    assert array.wait(SOON) == 0


def test_an_array_of_five_hundred(backend: ShellBackend) -> None:
    text = "[ $HPC_CONNECT_ARRAY_INDEX != 321 ] || exit 9"
    array = backend.submit("array", [text], array=range(500), output="/dev/null", max_parallel=20)
    assert array.wait(60) == 9
    assert sum(status.state is JobState.COMPLETED for status in array.statuses.values()) == 499


def test_an_array_of_five_hundred_can_be_cancelled(backend: ShellBackend) -> None:
    array = backend.submit("array", ["sleep 1000"], array=range(500), output="/dev/null", max_parallel=100)
    until(lambda: sum(status.state is JobState.RUNNING for status in array.statuses.values()) == 100)
    array.cancel()
    array.wait(60)
    assert {status.state for status in array.statuses.values()} == {JobState.CANCELLED}
    assert {status.returncode for status in array.statuses.values()} == {-signal.SIGTERM}


def test_element_after_element(backend: ShellBackend) -> None:
    first = backend.submit("first", ["exit $HPC_CONNECT_ARRAY_INDEX"], array=range(3))
    second = backend.submit("second", ["true"], array=range(2), dependencies=[("aftercorr", first)])
    assert second.wait(SOON) == 1
    assert [second.statuses[index].state for index in (0, 1)] == [JobState.COMPLETED, JobState.FAILED]
    assert second.statuses[1].reason is Reason.DEPENDENCY


def test_an_element_starts_as_soon_as_its_own_has_ended(backend: ShellBackend) -> None:
    gate = named_pipe("gate")
    first = backend.submit(
        "first", [f"[ $HPC_CONNECT_ARRAY_INDEX = 0 ] || read line < {gate}"], array=range(2)
    )
    second = backend.submit("second", ["true"], array=range(2), dependencies=[("aftercorr", first)])
    assert second[0].wait(SOON) == 0
    assert second[1].poll() is None
    let_go(gate)
    assert second.wait(SOON) == 0


@pytest.mark.parametrize(("kind", "code"), [("afterok", 1), ("afternotok", 0), ("afterany", 0)])
def test_a_job_after_an_array_waits_for_all_of_it(backend: ShellBackend, kind: str, code: int) -> None:
    gate = named_pipe("gate")
    text = f"[ $HPC_CONNECT_ARRAY_INDEX = 0 ] && exit 3; read line < {gate}"
    first = backend.submit("first", [text], array=range(2))
    job = backend.submit("job", ["true"], dependencies=[(kind, first)])
    first[0].wait(SOON)
    assert job.poll() is None
    let_go(gate)
    assert job.wait(SOON) == code


def test_a_job_after_the_start_of_an_array_waits_for_all_to_start(backend: ShellBackend) -> None:
    gate = named_pipe("gate")
    first = backend.submit("first", [f"read line < {gate}"], array=range(2), max_parallel=1)
    job = backend.submit("job", ["true"], dependencies=[("afterstart", first)])
    reach(first[0], JobState.RUNNING)
    assert job.poll() is None
    let_go(gate)
    assert job.wait(SOON) == 0
    let_go(gate)
    first.wait(SOON)


def test_an_array_is_found_again_by_another_process(clients: Callable[..., Client]) -> None:
    gate = named_pipe("gate")
    owner = clients("""
        array = backend.submit("array", ["read line < gate; exit $HPC_CONNECT_ARRAY_INDEX"], array=[4, 0])
        for job in array: reach(job, JobState.RUNNING)
        say(array.id); pause()
    """)
    name = owner.hear()
    owner.kill()
    other = clients("""
        array, element = backend.attach(arguments[0]), backend.attach(arguments[0] + ".4")
        say([array.indexes, element is array[4]])
        say([array.wait(), element.wait()])
        say([job.id for job in backend.recover()])
    """, name)  # fmt: skip
    assert other.hear() == [[0, 4], True]
    let_go(gate, "\n")
    assert other.hear() == [4, 4]
    assert other.hear() == []


def test_equal_specifications_can_be_made_an_array(backend: ShellBackend) -> None:
    spec = JobSpec(commands=["exit $HPC_CONNECT_ARRAY_INDEX"], name="same")
    jobs = backend.submit_many([spec] * 3, as_array=True)
    assert [job.wait(SOON) for job in jobs] == [0, 1, 2]
    assert len({job.id.partition(".")[0] for job in jobs}) == 1


def test_specifications_stay_separate_jobs(backend: ShellBackend) -> None:
    jobs = backend.submit_many([JobSpec(commands=[f"exit {code}"]) for code in (0, 3)])
    assert [job.wait(SOON) for job in jobs] == [0, 3]
    assert len({job.id for job in jobs}) == 2


def test_lists_of_equal_length_give_one_process_for_all(backend: ShellBackend) -> None:
    commands = [["exit 0"], ["exit 3"], ["exit 4"]]
    group = backend.submitn(["a", "b", "c"], commands, cpus=[1, 1, 1], output=["1", "2", "3"])
    assert group.wait(SOON) == 3
    assert [job.wait() for job in group] == [0, 3, 4]
    assert sorted(os.listdir()) == ["1", "2", "3"]


def test_an_array_whose_outputs_cannot_be_made_leaves_nothing(backend: ShellBackend) -> None:
    with open("blocked", "w"):
        pass
    with pytest.raises(SpecError) as caught:
        backend.submit("array", ["true"], array=range(5), output="new/{index}/out", error="blocked/{index}")
    assert caught.value.field == "stderr"
    assert os.listdir() == ["blocked"]
    assert records_of(backend) == []
