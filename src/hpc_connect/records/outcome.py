"""What an end record says of a job."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hpc_connect.status import JobState, JobStatus, Reason

if TYPE_CHECKING:
    from hpc_connect.records.line import EndRecord

_REASONS = {"timeout": Reason.TIMEOUT, "launch": Reason.LAUNCH}


def outcome(record: EndRecord, known: JobStatus, *, cancelled: bool, message: str = "") -> JobStatus:
    """The status of a job with this end.

    Args:
        record: how its attempt ended.
        known: what was known of it before.
        cancelled: whether its end was asked for. A job that ended with code 0 has completed all the same.
        message: what else is known of its end.
    """
    ends_well = record.how == "exit" and record.number == 0
    reason = _REASONS.get(record.reason)
    if reason is None and ends_well:
        state = JobState.COMPLETED
    elif reason is None and cancelled:
        state = JobState.CANCELLED
    else:
        state = JobState.FAILED
        reason = reason or (Reason.SIGNAL if record.how == "signal" else Reason.EXIT)
    return replace(
        known,
        state=state,
        reason=reason,
        exit_code=None if record.how == "signal" else record.number,
        signal=record.number if record.how == "signal" else None,
        message=message,
        pending_reason="",
        attempt=record.attempt,
        nodes=known.nodes or ((record.host,) if record.host != "-" else ()),
        started_at=known.started_at or _moment(record.started),
        ended_at=_moment(record.ended),
        observed_at=datetime.now(UTC),
        query_error="",
    )


def _moment(seconds: float) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
