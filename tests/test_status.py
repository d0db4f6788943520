"""What is known of a job, and what its return code says of it."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from datetime import UTC, datetime

import pytest

from hpc_connect.errors import SpecError
from hpc_connect.status import JobState, JobStatus, Reason

LIVE = ["NEW", "SUBMITTING", "QUEUED", "HELD", "RUNNING", "SUSPENDED", "UNKNOWN"]
TERMINAL = ["COMPLETED", "FAILED", "CANCELLED", "LOST"]


def test_there_are_eleven_states_and_four_of_them_are_ends() -> None:
    assert [*JobState] == [*LIVE, *TERMINAL]
    assert [state for state in JobState if state.terminal] == TERMINAL


def test_the_reasons_of_a_failure_are_a_closed_list() -> None:
    assert {*Reason} == {
        "EXIT", "SIGNAL", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAILURE", "PREEMPTED", "DEADLINE", "LAUNCH",
        "DEPENDENCY", "RESOURCE_LIMIT", "STAGING", "SUBMIT", "SCHEDULER", "OTHER",
    }  # fmt: skip


@pytest.mark.parametrize("state", [*LIVE, "LOST"])
@pytest.mark.parametrize("evidence", [{}, {"exit_code": 0}, {"exit_code": 3}, {"signal": 9}])
def test_a_job_that_lives_or_is_lost_has_no_return_code_whatever_else_is_known(
    state: str, evidence: dict[str, int]
) -> None:
    assert JobStatus(state=JobState(state), **evidence).returncode is None


@pytest.mark.parametrize(
    ("state", "exit_code", "signal", "expected"),
    [
        ("COMPLETED", 0, None, 0),
        ("COMPLETED", None, None, 0),
        ("FAILED", 3, None, 3),
        ("FAILED", 255, None, 255),
        ("FAILED", None, 9, -9),
        ("FAILED", 3, 9, -9),
        ("FAILED", 0, 125, -125),  # Slurm's word for out of memory: 0:125
        ("FAILED", None, None, 1),
        ("FAILED", 0, None, 1),  # over its time limit, but it caught the signal and left with 0
        ("FAILED", 3, 0, 3),
        ("FAILED", 0, 0, 1),
        ("CANCELLED", None, None, -15),  # in the queue
        ("CANCELLED", None, 15, -15),
        ("CANCELLED", None, 9, -9),
        ("CANCELLED", 130, None, 130),
        ("CANCELLED", 0, None, -15),  # it caught the signal and left with 0
    ],
)
def test_the_return_code_of_an_ended_job_is_its_code_or_minus_its_signal(
    state: str, exit_code: int | None, signal: int | None, expected: int
) -> None:
    assert JobStatus(state=JobState(state), exit_code=exit_code, signal=signal).returncode == expected


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED"])
@pytest.mark.parametrize("exit_code", [None, 0, 1, 255])
@pytest.mark.parametrize("signal", [None, 0, 9])
def test_a_job_that_did_not_complete_never_has_return_code_zero(
    state: str, exit_code: int | None, signal: int | None
) -> None:
    assert JobStatus(state=JobState(state), exit_code=exit_code, signal=signal).returncode != 0


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (JobStatus(), "NEW"),
        (JobStatus(state=JobState.COMPLETED, exit_code=0), "COMPLETED, exit code 0"),
        (JobStatus(state=JobState.FAILED, reason=Reason.EXIT, exit_code=3), "FAILED (EXIT), exit code 3"),
        (
            JobStatus(state=JobState.FAILED, reason=Reason.SIGNAL, signal=11),
            "FAILED (SIGNAL), ended by SIGSEGV",
        ),
        (
            JobStatus(state=JobState.FAILED, reason=Reason.OUT_OF_MEMORY, exit_code=0, signal=125),
            "FAILED (OUT_OF_MEMORY), ended by signal 125",
        ),
        (JobStatus(state=JobState.QUEUED, pending_reason="Resources"), "QUEUED: Resources"),
        (
            JobStatus(state=JobState.FAILED, reason=Reason.LAUNCH, message="no such folder:\n/a\n"),
            "FAILED (LAUNCH): no such folder: /a",
        ),
    ],
)
def test_a_status_is_described_in_one_line(status: JobStatus, expected: str) -> None:
    assert status.describe() == expected


@pytest.mark.parametrize("reason", [None, *Reason])
def test_timed_out_oom_and_preempted_are_shorthands_for_a_reason(reason: Reason | None) -> None:
    status = JobStatus(state=JobState.FAILED, reason=reason)
    assert status.timed_out == (reason == "TIMEOUT")
    assert status.oom == (reason == "OUT_OF_MEMORY")
    assert status.preempted == (reason == "PREEMPTED")


@pytest.mark.parametrize(("field", "value"), [("state", "RUNNING"), ("state", None), ("reason", "EXIT")])
def test_a_word_that_is_not_one_of_ours_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(SpecError) as caught:
        JobStatus(**{field: value})
    assert caught.value.field == field
    assert caught.value.value == value


def test_of_a_new_job_nothing_is_known_but_that_this_is_its_first_attempt() -> None:
    known = dataclasses.asdict(JobStatus())
    assert (known.pop("state"), known.pop("attempt")) == ("NEW", 1)
    assert {*known.values()} == {None, "", ()}


def test_a_status_cannot_be_changed_and_takes_no_positions() -> None:
    status = JobStatus(state=JobState.RUNNING)
    with pytest.raises(dataclasses.FrozenInstanceError):
        status.state = JobState.COMPLETED
    with pytest.raises(TypeError):
        JobStatus(JobState.RUNNING)


@pytest.mark.parametrize("duplicate", [lambda s: pickle.loads(pickle.dumps(s)), copy.copy, copy.deepcopy])
def test_a_status_survives_pickling_and_copying(duplicate: object) -> None:
    now = datetime.now(UTC)
    status = JobStatus(
        state=JobState.FAILED,
        reason=Reason.TIMEOUT,
        signal=15,
        nodes=("n1",),
        started_at=now,
        observed_at=now,
    )
    twin = duplicate(status)
    assert dataclasses.asdict(twin) == dataclasses.asdict(status)
    assert hash(twin) == hash(status)


def test_a_newer_look_at_an_unchanged_job_is_an_equal_status() -> None:
    earlier = JobStatus(state=JobState.RUNNING, observed_at=datetime(2030, 1, 1, tzinfo=UTC))
    assert earlier == dataclasses.replace(earlier, observed_at=datetime(2030, 1, 2, tzinfo=UTC))
    assert earlier != dataclasses.replace(earlier, query_error="timed out")
