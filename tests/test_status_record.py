"""A status as JSON, and back."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given

from hpc_connect.status import JobState, JobStatus, Reason
from job_statuses import statuses


@given(statuses())
def test_what_was_recorded_comes_back(status: JobStatus) -> None:
    again = JobStatus.from_record(json.loads(json.dumps(status.record())))
    assert again == status
    assert again.observed_at == status.observed_at  # which == of statuses leaves out
    for name in ("submitted_at", "started_at", "ended_at", "observed_at"):
        before, after = getattr(status, name), getattr(again, name)
        assert before is None or before.utcoffset() == after.utcoffset()


def test_states_and_reasons_come_back_as_themselves() -> None:
    again = JobStatus.from_record({"state": "FAILED", "reason": "OUT_OF_MEMORY"})
    assert again.state is JobState.FAILED
    assert again.reason is Reason.OUT_OF_MEMORY


def test_a_record_holds_the_state_and_what_is_known_and_nothing_else() -> None:
    status = JobStatus(state=JobState.COMPLETED, exit_code=0, ended_at=datetime(2026, 1, 2, 3, tzinfo=UTC))
    assert status.record() == {"state": "COMPLETED", "exit_code": 0, "ended_at": "2026-01-02T03:00:00+00:00"}


def test_a_field_of_a_later_version_is_ignored() -> None:
    assert JobStatus.from_record({"state": "QUEUED", "mood": "good"}) == JobStatus(state=JobState.QUEUED)


@pytest.mark.parametrize(
    "record", [{"state": "BORED"}, {"state": "FAILED", "reason": "WHY"}, {"state": "NEW", "ended_at": "soon"}]
)
def test_what_is_no_status_is_refused(record: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"BORED|WHY|soon"):
        JobStatus.from_record(record)
