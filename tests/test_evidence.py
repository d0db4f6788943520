"""Which of two things that are known of a job stands."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_connect.evidence import SETTLED, updated
from hpc_connect.status import JobState, JobStatus, Reason
from job_statuses import statuses

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=1)

LIVE = [state for state in JobState if not state.terminal]
SEEN_ALIVE = [JobState.QUEUED, JobState.HELD, JobState.RUNNING, JobState.SUSPENDED]
NO_EVIDENCE = [JobState.NEW, JobState.SUBMITTING, JobState.UNKNOWN, JobState.LOST]

settled = statuses(st.sampled_from(SETTLED))


def status(state: JobState, **known: object) -> JobStatus:
    return JobStatus(state=state, **known)  # type: ignore[arg-type]  # fields of the test's choice


def verdict(known: JobStatus) -> tuple[object, ...]:
    return known.state, known.returncode, known.attempt, known.exit_code, known.signal


@given(settled, st.lists(statuses(), max_size=4))
def test_an_announced_end_is_never_reversed(known: JobStatus, news: list[JobStatus]) -> None:
    announced = known
    for one in news:
        known = updated(known, one)
    assert verdict(known) == verdict(announced)
    assert announced.reason in (None, known.reason)


@given(statuses(), statuses())
def test_the_same_news_twice_changes_nothing_more(known: JobStatus, news: JobStatus) -> None:
    once = updated(known, news)
    assert updated(once, news) == once


@given(statuses(), st.lists(statuses(), max_size=4))
def test_the_attempt_never_goes_back(known: JobStatus, news: list[JobStatus]) -> None:
    for one in news:
        after = updated(known, one)
        assert after.attempt >= known.attempt
        known = after


@pytest.mark.parametrize("known", SETTLED)
@pytest.mark.parametrize("news", SETTLED)
def test_an_end_that_contradicts_the_announced_one_is_kept_as_disagreement(
    known: JobState, news: JobState
) -> None:
    after = updated(status(known), status(news, message="so it says"))
    if known is news:
        assert after.disagreement == ""
    else:
        assert after.state is known
        assert str(news) in after.disagreement
        assert "so it says" in after.disagreement


@pytest.mark.parametrize(
    ("known", "news"),
    [
        ({"exit_code": 1}, {"exit_code": 2}),
        ({"exit_code": 1}, {"signal": 9}),
        ({}, {"exit_code": 3}),  # announced with return code 1
        ({"reason": Reason.EXIT, "exit_code": 1}, {"reason": Reason.TIMEOUT}),
        ({"attempt": 1}, {"attempt": 2}),
    ],
)
def test_another_code_reason_or_attempt_of_the_same_state_is_disagreement_too(
    known: dict[str, object], news: dict[str, object]
) -> None:
    announced = status(JobState.FAILED, **known)
    after = updated(announced, status(JobState.FAILED, **news))
    assert after.disagreement
    assert replace(after, disagreement="") == announced


def test_disagreement_names_the_attempt_it_speaks_of() -> None:
    after = updated(status(JobState.COMPLETED), status(JobState.FAILED, attempt=2))
    assert "attempt 2" in after.disagreement


def test_news_that_agrees_adds_what_was_not_known() -> None:
    known = status(JobState.FAILED, exit_code=1, nodes=("a",), ended_at=NOON)
    after = updated(
        known,
        status(
            JobState.FAILED, exit_code=1, reason=Reason.EXIT, native_state="F", nodes=("b",), started_at=NOON
        ),
    )
    assert after == replace(known, reason=Reason.EXIT, native_state="F", started_at=NOON)


@pytest.mark.parametrize("known", SETTLED)
@pytest.mark.parametrize("news", NO_EVIDENCE)
def test_the_want_of_evidence_says_nothing_against_an_end(known: JobState, news: JobState) -> None:
    announced = status(known, observed_at=NOON)
    assert updated(announced, status(news, observed_at=LATER)) == announced


@pytest.mark.parametrize("news", SEEN_ALIVE)
def test_a_job_seen_alive_after_its_end_is_disagreement_and_before_it_is_old_news(news: JobState) -> None:
    announced = status(JobState.COMPLETED, observed_at=NOON)
    assert updated(announced, status(news, observed_at=NOON)) == announced
    assert updated(announced, status(news)) == announced
    assert str(news) in updated(announced, status(news, observed_at=LATER)).disagreement


@pytest.mark.parametrize("news", SEEN_ALIVE)
def test_an_end_of_which_nobody_knows_when_it_was_seen_is_not_doubted(news: JobState) -> None:
    announced = status(JobState.COMPLETED)
    assert updated(announced, status(news, observed_at=LATER)) == announced


@pytest.mark.parametrize("known", [*LIVE, JobState.LOST])
@pytest.mark.parametrize("news", list(JobState))
def test_news_of_an_earlier_attempt_is_dropped(known: JobState, news: JobState) -> None:
    now = status(known, attempt=2, observed_at=NOON)
    assert updated(now, status(news, attempt=1, observed_at=LATER)) == now


@pytest.mark.parametrize("known", [*LIVE, JobState.LOST])
@pytest.mark.parametrize("news", [*LIVE, JobState.LOST])
def test_of_one_attempt_the_later_observation_stands(known: JobState, news: JobState) -> None:
    earlier, later = status(known, observed_at=NOON), status(news, observed_at=LATER)
    assert updated(earlier, later) is later
    assert updated(later, earlier) is later


@pytest.mark.parametrize("known", [*LIVE, JobState.LOST])
@pytest.mark.parametrize("news", SETTLED)
def test_evidence_of_an_end_counts_whenever_it_was_observed(known: JobState, news: JobState) -> None:
    """The clocks of two hosts may differ; that a job has ended does not wear off."""
    end = status(news, observed_at=NOON)
    assert updated(status(known, observed_at=LATER), end) is end


@pytest.mark.parametrize("news", SEEN_ALIVE)
def test_a_lost_job_that_turns_up_is_not_lost(news: JobState) -> None:
    seen = status(news, observed_at=LATER)
    assert updated(status(JobState.LOST, observed_at=NOON), seen) is seen


def test_an_intent_does_not_displace_what_was_seen() -> None:
    seen = status(JobState.RUNNING, observed_at=NOON)
    assert updated(seen, status(JobState.QUEUED)) is seen
    assert updated(status(JobState.QUEUED), seen) is seen


def test_a_new_attempt_stands_whenever_it_was_observed() -> None:
    again = status(JobState.QUEUED, attempt=2, observed_at=NOON)
    assert updated(status(JobState.RUNNING, observed_at=LATER), again) is again


def test_a_failed_query_keeps_the_time_of_the_last_good_one_and_says_so() -> None:
    known = status(JobState.RUNNING, observed_at=NOON)
    failed = replace(known, query_error="squeue: time-out")
    assert updated(known, failed) is failed
