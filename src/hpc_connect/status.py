"""What is known of a job: its state, why it ended, and how fresh that knowledge is."""

from __future__ import annotations

import signal as signals
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from hpc_connect.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Mapping


class JobState(StrEnum):
    """The eleven states. Everything else about a job is a field of :class:`JobStatus`."""

    NEW = "NEW"
    """A specification exists, nothing was sent."""
    SUBMITTING = "SUBMITTING"
    """The intent is stored; the outcome of the submission is not known yet."""
    QUEUED = "QUEUED"
    """Accepted, not executing."""
    HELD = "HELD"
    """Will not start until somebody releases it."""
    RUNNING = "RUNNING"
    """Executing, or finishing."""
    SUSPENDED = "SUSPENDED"
    """Started, stopped for now."""
    UNKNOWN = "UNKNOWN"
    """Absent from every source that answered, inside the grace window."""
    COMPLETED = "COMPLETED"
    """Ended with exit code 0."""
    FAILED = "FAILED"
    """Ended otherwise; the reason says how."""
    CANCELLED = "CANCELLED"
    """Ended because somebody asked for it."""
    LOST = "LOST"
    """Gone, and no evidence of its end turned up inside the grace window."""

    @property
    def terminal(self) -> bool:
        """Whether a job in this state has ended, as far as its waiters are concerned."""
        return self in _TERMINAL


_TERMINAL = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.LOST})


class Reason(StrEnum):
    """Why a job is FAILED (a closed list)."""

    EXIT = "EXIT"
    SIGNAL = "SIGNAL"
    TIMEOUT = "TIMEOUT"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    NODE_FAILURE = "NODE_FAILURE"
    PREEMPTED = "PREEMPTED"
    DEADLINE = "DEADLINE"
    LAUNCH = "LAUNCH"
    DEPENDENCY = "DEPENDENCY"
    RESOURCE_LIMIT = "RESOURCE_LIMIT"
    STAGING = "STAGING"
    SUBMIT = "SUBMIT"
    SCHEDULER = "SCHEDULER"
    OTHER = "OTHER"


@dataclass(frozen=True, kw_only=True, slots=True)
class JobStatus:
    """One observation of a job. Frozen; a newer observation is a new value.

    Attributes:
        state: one of the eleven states.
        native_state: the scheduler's own word, verbatim; empty when it said none.
        reason: why it FAILED, otherwise None.
        exit_code: exit code of the job, None when unknown or when a signal ended it.
        signal: number of the signal that ended it, else None.
        message: one sentence for people: what happened, or what to do.
        pending_reason: why it does not start yet; empty when it does.
        attempt: 1, and one more for every requeue.
        nodes: names of the nodes it runs or ran on.
        submitted_at, started_at, ended_at: aware times, None when not known.
        observed_at: when the source was last asked and answered.
        query_error: why the last query failed; empty when it did not. It says nothing about the job.
        disagreement: later news that contradicts an announced end, which is never reversed.
    """

    state: JobState = JobState.NEW
    native_state: str = ""
    reason: Reason | None = None
    exit_code: int | None = None
    signal: int | None = None
    message: str = ""
    pending_reason: str = ""
    attempt: int = 1
    nodes: tuple[str, ...] = ()
    submitted_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    observed_at: datetime | None = field(default=None, compare=False)
    query_error: str = ""
    disagreement: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.state, JobState):
            raise SpecError("state", self.state, f"must be a JobState: {', '.join(JobState)}")
        if self.reason is not None and not isinstance(self.reason, Reason):
            raise SpecError("reason", self.reason, f"must be None or a Reason: {', '.join(Reason)}")

    def record(self) -> dict[str, Any]:
        """What is known, as values for JSON: the state, and each field that says something."""
        found: dict[str, Any] = {"state": str(self.state)}
        for name, nothing in _NOTHING_KNOWN.items():
            value = getattr(self, name)
            if value != nothing:
                found[name] = _plain(value)
        return found

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """What :meth:`record` was made from; of a time zone its offset. Fields not known here are ignored.

        Raises:
            ValueError: a state, reason or time that is none.
        """
        known: dict[str, Any] = {name: record[name] for name in _NOTHING_KNOWN if name in record}
        if "reason" in known:
            known["reason"] = Reason(known["reason"])
        if "nodes" in known:
            known["nodes"] = tuple(known["nodes"])
        for name in _TIMES.intersection(known):
            known[name] = datetime.fromisoformat(known[name])
        return cls(state=JobState(record["state"]), **known)

    @property
    def returncode(self) -> int | None:
        """The exit code, or minus the number of the signal that ended the job, or None.

        None while the job lives and when nothing is known of its end. It is 0 for a COMPLETED job and
        for no other: a CANCELLED one without a code of its own (it never started, or it caught the signal
        and left with 0) has −15, a FAILED one 1.
        """
        if not self.state.terminal or self.state is JobState.LOST:
            return None
        if self.signal:
            return -self.signal
        if self.exit_code:
            return self.exit_code
        if self.state is JobState.CANCELLED:
            return -int(signals.SIGTERM)
        return 1 if self.state is JobState.FAILED else 0

    @property
    def timed_out(self) -> bool:
        """Whether the job was ended because its time limit had passed."""
        return self.reason is Reason.TIMEOUT

    @property
    def oom(self) -> bool:
        """Whether the job was ended because it used too much memory."""
        return self.reason is Reason.OUT_OF_MEMORY

    @property
    def preempted(self) -> bool:
        """Whether the job was ended to make room for another."""
        return self.reason is Reason.PREEMPTED

    def describe(self) -> str:
        """One line for people: state, reason, exit code or signal, message."""
        text = str(self.state)
        if self.reason is not None:
            text += f" ({self.reason})"
        if self.signal:
            text += f", ended by {_signal_name(self.signal)}"
        elif self.exit_code is not None:
            text += f", exit code {self.exit_code}"
        for detail in (self.message, self.pending_reason):
            if detail:
                text += f": {' '.join(detail.split())}"
        return text


_NOTHING_KNOWN = {field.name: field.default for field in fields(JobStatus) if field.name != "state"}
_TIMES = frozenset({"submitted_at", "started_at", "ended_at", "observed_at"})


def _plain(value: object) -> object:
    """A value for JSON."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Reason) else value


def _signal_name(number: int) -> str:
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"
