"""Several jobs: as one handle, or one after the other as they end."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from handles import COMPLETED, RUNNING, SOON, Control, Plain, Steered, job, observe
from hpc_connect.capability import Capability
from hpc_connect.errors import (
    EngineError,
    JobCancelled,
    JobFailed,
    JobLost,
    SpecError,
    TransportError,
    UnsupportedError,
)
from hpc_connect.group import ProcessGroup, as_completed
from hpc_connect.status import JobState, JobStatus, Reason

if TYPE_CHECKING:
    from hpc_connect.job import JobProcess

FAILED = JobStatus(state=JobState.FAILED, reason=Reason.EXIT, exit_code=3)
CANCELLED = JobStatus(state=JobState.CANCELLED)
LOST = JobStatus(state=JobState.LOST)


def status(state: JobState) -> JobStatus:
    return JobStatus(state=state)


def group(*statuses: JobStatus, control: Control | None = None) -> ProcessGroup:
    processes = [job(each, control, f"job{number}") for number, each in enumerate(statuses)]
    return ProcessGroup("group", processes)


# ---------------------------------------------------------------- what it holds


def test_an_element_is_found_by_its_index() -> None:
    processes = [job(job_id=name) for name in "abc"]
    array = ProcessGroup("array", processes, [2, 5, 9])
    assert array[5] is processes[1]
    assert [*array] == processes
    assert len(array) == 3
    assert array.indexes == (2, 5, 9)
    assert array.statuses == {2: RUNNING, 5: RUNNING, 9: RUNNING}
    with pytest.raises(KeyError):
        array[0]


def test_jobs_that_are_no_array_are_counted() -> None:
    assert group(RUNNING, RUNNING).indexes == (0, 1)


def test_a_group_of_none_is_refused() -> None:
    with pytest.raises(SpecError):
        ProcessGroup("group", [])


# ---------------------------------------------------------------- status


@pytest.mark.parametrize(
    ("states", "state"),
    [
        (["COMPLETED", "RUNNING", "QUEUED"], "RUNNING"),
        (["FAILED", "QUEUED"], "QUEUED"),
        (["HELD", "QUEUED", "UNKNOWN"], "UNKNOWN"),
        (["SUSPENDED", "HELD"], "SUSPENDED"),
        (["NEW", "SUBMITTING"], "SUBMITTING"),
        (["COMPLETED", "CANCELLED", "FAILED"], "CANCELLED"),
        (["COMPLETED", "LOST"], "LOST"),
        (["COMPLETED", "COMPLETED"], "COMPLETED"),
    ],
)
def test_the_status_is_that_of_the_liveliest_or_the_first_that_went_wrong(
    states: list[str], state: str
) -> None:
    assert group(*(status(JobState(each)) for each in states)).status.state is JobState(state)


@pytest.mark.parametrize("state", [state for state in JobState if not state.terminal])
def test_while_one_lives_nothing_is_decided(state: JobState) -> None:
    for statuses in ((FAILED, status(state)), (status(state), FAILED), (LOST, status(state))):
        living = group(*statuses)
        assert living.status.state is state
        assert (living.poll(), living.returncode) == (None, None)


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        ([COMPLETED, COMPLETED], 0),
        ([COMPLETED, FAILED, CANCELLED], 3),
        ([COMPLETED, CANCELLED, FAILED], -15),
    ],
)
def test_the_return_code_is_the_first_that_is_not_0(statuses: list[JobStatus], code: int) -> None:
    ended = group(*statuses)
    assert (ended.poll(), ended.returncode, ended.wait()) == (code, code, code)


def test_a_lost_element_is_raised_once_all_have_ended() -> None:
    lost = group(LOST, RUNNING)
    assert lost.poll() is None
    with pytest.raises(TimeoutError):
        lost.wait(0.01)
    observe(lost.processes[1], COMPLETED)  # type: ignore[arg-type]
    for ask in (lost.poll, lost.wait, lost.result):
        with pytest.raises(JobLost, match="job0"):
            ask()


# ---------------------------------------------------------------- waiting


def test_it_ends_with_the_last_of_them() -> None:
    polled, pushed = Steered(), job(job_id="pushed")
    both = ProcessGroup("group", [polled, pushed])
    told: list[object] = []
    heard = threading.Event()
    both.add_done_callback(lambda ended: (told.append(ended), heard.set()))
    observe(pushed, FAILED)
    assert told == []
    polled.code = 0
    assert both.wait(SOON) == 3
    assert heard.wait(SOON)
    assert told == [both]
    assert next(as_completed([both])) is both


def test_the_same_job_twice_is_counted_once_or_twice_but_not_for_ever() -> None:
    process = job()
    twice = ProcessGroup("group", [process, process])
    future = twice.as_future()
    observe(process, COMPLETED)
    assert future.result(SOON) == 0


def test_groups_can_be_in_groups() -> None:
    inner = group(COMPLETED, RUNNING)
    outer = ProcessGroup("outer", [inner, job(COMPLETED)])
    assert outer.poll() is None
    observe(inner.processes[1], FAILED)  # type: ignore[arg-type]
    assert outer.wait(SOON) == 3


def test_nobody_is_asked_before_somebody_waits() -> None:
    process = Steered()
    waiting = ProcessGroup("group", [process])
    assert process.asked == 0
    process.code = 0
    assert waiting.wait(SOON) == 0


def test_the_result_tells_which_job_went_wrong_and_reads_no_other_output() -> None:
    control = Control()
    control.files = {"/good": b"fine", "/bad": b"oops"}
    good = job(COMPLETED, control, "good", output_path="/good")
    bad = job(FAILED, control, "bad", output_path="/bad")
    cancelled = job(CANCELLED, control, "cancelled")
    with pytest.raises(JobFailed) as caught:
        ProcessGroup("group", [good, bad, cancelled]).result()
    assert (caught.value.job_id, caught.value.output_tail) == ("bad", "oops")
    assert {path for path, _ in control.reads} == {"/bad"}
    with pytest.raises(JobCancelled):
        ProcessGroup("group", [good, cancelled, bad]).result()
    assert ProcessGroup("group", [good, good]).result() == 0
    assert ProcessGroup("group", [good, bad]).output() == "fineoops"


def test_one_that_cannot_be_asked_fails_the_waiting_when_the_others_have_ended() -> None:
    def fail() -> int:
        raise ValueError("a mistake")

    broken, good = Plain(fail), job()
    both = ProcessGroup("group", [broken, good])
    future = both.as_future()
    broken.add_done_callback(lambda _: None)
    observe(good, COMPLETED)
    with pytest.raises(EngineError, match="a mistake"):
        future.result(SOON)
    with pytest.raises(EngineError, match="a mistake"):
        both.wait(SOON)


# ---------------------------------------------------------------- verbs

VERBS = {
    "cancel": ("cancel_job", ()),
    "hold": ("hold_job", ()),
    "release": ("release_job", ()),
    "suspend": ("suspend_job", ()),
    "resume": ("resume_job", ()),
    "requeue": ("requeue_job", ()),
    "send_signal": ("signal_job", ("USR1",)),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_for_those_that_live(verb: str) -> None:
    asked, arguments = VERBS[verb]
    control = Control()
    getattr(group(COMPLETED, RUNNING, FAILED, RUNNING, control=control), verb)(*arguments)
    assert [call[:2] for call in control.asked] == [(asked, "job1"), (asked, "job3")]


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_that_is_for_none_of_them_is_refused_by_name(verb: str) -> None:
    _, arguments = VERBS[verb]
    control = Control(frozenset())
    with pytest.raises(UnsupportedError) as caught:
        getattr(group(RUNNING, RUNNING, control=control), verb)(*arguments)
    assert caught.value.field == verb
    assert control.asked == []


def test_one_failure_keeps_no_other_from_being_asked() -> None:
    class Unreachable(Plain):
        def cancel(self) -> None:
            super().cancel()
            raise TransportError("cut off")

    processes = [Unreachable(), Plain(), Unreachable(), Plain()]
    with pytest.raises(TransportError, match="cut off"):
        ProcessGroup("group", processes).cancel()
    assert [process.cancelled for process in processes] == [1, 1, 1, 1]


def test_how_they_are_cancelled_can_be_said() -> None:
    control = Control()
    group(RUNNING, RUNNING, control=control).cancel(signal="INT", grace=1)
    assert [call[2] for call in control.asked] == ["2", "2"]


def test_plain_handles_refuse_by_name_too() -> None:
    with pytest.raises(UnsupportedError) as caught:
        ProcessGroup("group", [Plain(), Plain()]).hold()
    assert caught.value.field == "hold"


def test_a_verb_reaches_those_that_have_it() -> None:
    control = Control(frozenset({Capability.HOLD}))
    queued: JobProcess = job(status(JobState.QUEUED), control, "queued")
    ProcessGroup("group", [Plain(), queued]).hold()
    assert control.asked == [("hold_job", "queued")]


# ---------------------------------------------------------------- as_completed


def test_they_come_as_they_end_whatever_they_are() -> None:
    pushed, polled = job(), Steered()
    other = job(job_id="other")
    ended = as_completed([pushed, polled, other], timeout=SOON)
    polled.code = 3
    assert next(ended) is polled
    observe(other, FAILED)
    assert next(ended) is other
    observe(pushed, COMPLETED)
    assert [*ended] == [pushed]


def test_each_comes_once_even_if_it_was_given_twice() -> None:
    process, other = job(COMPLETED), job(COMPLETED)
    assert sorted(map(id, as_completed(iter([process, other, process])))) == sorted(map(id, [process, other]))


def test_nothing_is_completed_at_once() -> None:
    assert [*as_completed([])] == []


def test_those_that_have_ended_come_even_without_time() -> None:
    ended = as_completed([job(COMPLETED), job()], timeout=0)
    next(ended)
    with pytest.raises(TimeoutError, match="1 of 2"):
        next(ended)


@pytest.mark.parametrize("stop", ["timeout", "close"])
def test_who_stops_asking_leaves_nothing_behind(stop: str) -> None:
    process = job()
    ended = as_completed([job(COMPLETED), process], timeout=0.01)
    next(ended)
    if stop == "timeout":
        with pytest.raises(TimeoutError):
            next(ended)
    else:
        ended.close()  # type: ignore[attr-defined]  # it is a generator
    assert len(process._ending()._listeners) == 0
