"""Statuses of every kind, for property tests."""

from __future__ import annotations

from datetime import UTC, timedelta, timezone

from hypothesis import strategies as st

from hpc_connect.status import JobState, JobStatus, Reason

texts = st.text(st.characters(), max_size=20)  # halves of surrogate pairs too, as os.fsdecode makes them
offsets = st.builds(timezone, st.integers(-86_399, 86_399).map(lambda seconds: timedelta(seconds=seconds)))
times = st.none() | st.datetimes(timezones=st.just(UTC) | offsets)
every_state = st.sampled_from(JobState)
exit_codes = st.none() | st.integers(0, 255)


def statuses(states: st.SearchStrategy[JobState] = every_state) -> st.SearchStrategy[JobStatus]:
    """Any status, or one of some states."""
    return st.builds(
        JobStatus,
        state=states,
        native_state=texts,
        reason=st.none() | st.sampled_from(Reason),
        exit_code=exit_codes,
        signal=st.none() | st.integers(1, 64),
        message=texts,
        pending_reason=texts,
        attempt=st.integers(1, 3),
        nodes=st.lists(texts, max_size=3).map(tuple),
        submitted_at=times,
        started_at=times,
        ended_at=times,
        observed_at=times,
        query_error=texts,
        disagreement=texts,
    )
