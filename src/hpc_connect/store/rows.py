"""What goes into the store and what comes out of it: an intent, and a job."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from hpc_connect.errors import StoreError
from hpc_connect.identity import ProcessIdentity
from hpc_connect.status import JobState, JobStatus

if TYPE_CHECKING:
    from hpc_connect.spec import JobSpec

Value: TypeAlias = "str | bytes | int | float | None"
"""What SQLite keeps."""


_SUBMITTING = JobStatus(state=JobState.SUBMITTING)


@dataclass(frozen=True, kw_only=True, slots=True)
class Intent:
    """A job that is going to be sent.

    Attributes:
        id: our id of the job, its token.
        cluster: name of the cluster it goes to.
        backend: name of the kind of backend.
        name: name of the job.
        spec: what was asked for. The store keeps of ``env`` the names and a hash, never the values; and for
            an element of an array nothing, since its array has it.
        key: what the caller calls this job, once a cluster; None for a job without one.
        array_id, array_index: for an element of an array, the id of the array's own row and its index.
        output_path, error_path: where the job writes, None where that is not known yet.
        keep: whether records of the job stay after they were read.
        sending: whether it is sent at once; False for one that waits in this process for others.
        status: what is known of it.
        sender: the process that is going to send it.
    """

    id: str
    cluster: str
    backend: str
    name: str
    spec: JobSpec
    key: str | None = None
    array_id: str | None = None
    array_index: int | None = None
    output_path: str | None = None
    error_path: str | None = None
    keep: bool = False
    sending: bool = True
    status: JobStatus = _SUBMITTING
    sender: ProcessIdentity = field(default_factory=ProcessIdentity.here)


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredJob:
    """A job as the store knows it, see :class:`Intent` for the fields that both have.

    Attributes:
        sequence: counts up in the order in which jobs were stored, by whichever process.
        fingerprint: of the specification, see :meth:`~hpc_connect.spec.JobSpec.fingerprint`; None for an
            element of an array.
        native_id: the scheduler's id, None as long as it is not known.
        native_attempt: the attempt that has this id, 0 as long as it is not known.
        status: the last that was stored; its ``observed_at`` is when that was first seen.
        sends: how often it was going to be sent; 0 is proof that it never was.
        created_at, updated_at: when the row was made, and last changed.
        cancel_requested_at: when somebody first asked for its end, else None.
        collected_at: when its result was first read, else None.
    """

    sequence: int
    id: str
    cluster: str
    backend: str
    name: str
    fingerprint: str | None
    key: str | None
    array_id: str | None
    array_index: int | None
    native_id: str | None
    native_attempt: int
    status: JobStatus
    sends: int
    sender: ProcessIdentity
    output_path: str | None
    error_path: str | None
    keep: bool
    created_at: datetime
    updated_at: datetime
    cancel_requested_at: datetime | None
    collected_at: datetime | None
    spec_json: str | None = field(repr=False)

    @property
    def state(self) -> JobState:
        """The state in ``status``."""
        return self.status.state

    @property
    def spec(self) -> dict[str, Any] | None:
        """What was asked for, as :meth:`~hpc_connect.spec.JobSpec.record` gives it: no values of variables.

        None for an element of an array.
        """
        return None if self.spec_json is None else dict(json.loads(self.spec_json))


def row(intent: Intent, fingerprint: str | None, now: float) -> dict[str, Value]:
    """The columns of a new row."""
    return {
        "id": intent.id,
        "cluster": intent.cluster,
        "backend": intent.backend,
        "name": intent.name,
        "spec": None if fingerprint is None else _json(intent.spec.record()),
        "fingerprint": fingerprint,
        "key": intent.key,
        "array_id": intent.array_id,
        "array_index": intent.array_index,
        **status_columns(intent.status),
        "sends": int(intent.sending),
        **sender_columns(intent.sender),
        "output_path": _path_bytes(intent.output_path),
        "error_path": _path_bytes(intent.error_path),
        "keep": int(intent.keep),
        "created_at": now,
        "updated_at": now,
    }


def status_columns(status: JobStatus) -> dict[str, Value]:
    """The columns that hold a status; two of its fields again, to search by."""
    return {
        "state": str(status.state),
        "attempt": status.attempt,
        "status": _json(status.record()),
    }


def sender_columns(sender: ProcessIdentity) -> dict[str, Value]:
    """The columns that tell who sends."""
    return {
        "sender_pid": sender.pid,
        "sender_start": sender.start_ticks,
        "sender_boot": sender.boot_id,
        "sender_namespace": sender.pid_namespace,
        "sender_host": sender.host,
    }


COLUMNS = (
    "sequence, id, cluster, backend, name, fingerprint, key, array_id, array_index, "
    "native_id, native_attempt, status, sends, "
    "sender_pid, sender_start, sender_boot, sender_namespace, sender_host, "
    "output_path, error_path, keep, created_at, updated_at, cancel_requested_at, collected_at, spec"
)
"""In the order that :func:`stored_job` takes."""


def stored_job(values: tuple[Any, ...]) -> StoredJob:
    """The job of a row of :data:`COLUMNS`.

    Raises:
        StoreError: it holds a status that is none.
    """
    (sequence, job_id, cluster, backend, name, fingerprint, key, array_id, array_index) = values[:9]
    (native_id, native_attempt, status, sends), sender = values[9:13], values[13:18]
    (output, error, keep, created, updated, cancel_requested, collected, spec) = values[18:]
    return StoredJob(
        sequence=sequence,
        id=job_id,
        cluster=cluster,
        backend=backend,
        name=name,
        fingerprint=fingerprint,
        key=key,
        array_id=array_id,
        array_index=array_index,
        native_id=native_id,
        native_attempt=native_attempt,
        status=_status(job_id, status),
        sends=sends,
        sender=ProcessIdentity(*sender),
        output_path=_path(output),
        error_path=_path(error),
        keep=bool(keep),
        created_at=moment(created),
        updated_at=moment(updated),
        cancel_requested_at=None if cancel_requested is None else moment(cancel_requested),
        collected_at=None if collected is None else moment(collected),
        spec_json=spec,
    )


def moment(seconds: float) -> datetime:
    """A time of the store as an aware one."""
    return datetime.fromtimestamp(seconds, UTC)


def _status(job_id: str, written: str) -> JobStatus:
    try:
        return JobStatus.from_record(json.loads(written))
    except (ValueError, TypeError, KeyError) as error:
        raise StoreError(f"the store holds no status of job {job_id} but {written!r}: {error}") from error


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _path_bytes(path: str | None) -> bytes | None:
    """A path may hold bytes that are not UTF-8, and SQLite's text may not."""
    return None if path is None else path.encode(errors="surrogateescape")


def _path(written: bytes | None) -> str | None:
    return None if written is None else written.decode(errors="surrogateescape")
