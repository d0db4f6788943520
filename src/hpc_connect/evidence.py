"""Which of two things that are known of a job stands. One rule, for the store and for every handle."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from hpc_connect.status import JobState, JobStatus

SETTLED = (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)
"""The ends that rest on evidence. LOST is final for waiters, but rests on the want of it."""

_SEEN_ALIVE = (JobState.QUEUED, JobState.HELD, JobState.RUNNING, JobState.SUSPENDED)
_FILLED_LATER = ("native_state", "reason", "message", "nodes", "submitted_at", "started_at", "ended_at")
_NEVER = datetime.min.replace(tzinfo=UTC)


def updated(known: JobStatus, news: JobStatus) -> JobStatus:
    """What is known of a job once there is news of it.

    - An announced end (COMPLETED, FAILED, CANCELLED) is never reversed: news that contradicts it is kept
      in ``disagreement``, news that agrees only adds what was not known, and never a return code.
    - News of an earlier attempt is dropped. So is, within one attempt, whatever does not rest on evidence
      of an end and was observed before what is known.
    - Any other news stands, for a LOST job too.

    Applying the same news twice changes nothing the second time.
    """
    if news.attempt < known.attempt:
        return known
    if known.state in SETTLED:
        return _after_the_end(known, news)
    if news.state not in SETTLED and _older(news, known):
        return known
    return news


def _older(news: JobStatus, known: JobStatus) -> bool:
    return news.attempt == known.attempt and _observed(news) < _observed(known)


def _observed(status: JobStatus) -> datetime:
    """When it was seen; what nobody saw, such as an intent, gives way to whatever somebody did."""
    return status.observed_at or _NEVER


def _after_the_end(known: JobStatus, news: JobStatus) -> JobStatus:
    if news.state in SETTLED:
        if _contradicts(known, news):
            return _disagreeing(known, news)
        gained = {name: getattr(news, name) for name in _FILLED_LATER if not getattr(known, name)}
        return replace(known, **gained)
    if news.state in _SEEN_ALIVE and (
        news.attempt > known.attempt or _observed(news) > _observed(known) > _NEVER
    ):
        return _disagreeing(known, news)
    return known


def _contradicts(known: JobStatus, news: JobStatus) -> bool:
    if (news.attempt, news.state) != (known.attempt, known.state):
        return True
    how_it_left = news.exit_code is not None or news.signal is not None
    if how_it_left and news.returncode != known.returncode:
        return True
    return None not in (news.reason, known.reason) and news.reason is not known.reason


def _disagreeing(known: JobStatus, news: JobStatus) -> JobStatus:
    attempt = f" (attempt {news.attempt})" if news.attempt != known.attempt else ""
    return replace(known, disagreement=f"later news: {news.describe()}{attempt}")
