"""The journal of submissions: written before a job is sent, and reconciled with what is found afterwards.

    store = Store(path)
    job = store.intend(Intent(id="k3v9q2", cluster="local", backend="shell", name="hello", spec=spec))
    ...                                       # send it
    store.note_sent(job.id, native_id="4711")

Threads, processes and hosts of one user may use one store at once. What a call did is on the disk when it returns,
and what it could not do whole it did not do at all. The file is described in docs/reference/store.md.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from hpc_connect.errors import SpecError, StoreError
from hpc_connect.evidence import SETTLED, updated
from hpc_connect.identity import ProcessIdentity
from hpc_connect.status import JobState, JobStatus
from hpc_connect.store import table
from hpc_connect.store.file import StoreFile
from hpc_connect.store.mounts import MOUNT_TABLE
from hpc_connect.store.rows import Intent, StoredJob, Value, sender_columns, status_columns
from hpc_connect.store.schema import LIVE, OPEN

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping
    from datetime import datetime

__all__ = ["Intent", "Store", "StoredJob"]


class Store:
    """The journal in one file. Making one does nothing; the file is opened when it is first needed.

    Every method raises :class:`~hpc_connect.errors.StoreError` where the file cannot be used, with what to
    do. After a fork parent and child may both go on with it.
    """

    def __init__(self, path: str, *, patience: float = 30.0, mount_table: str = MOUNT_TABLE) -> None:
        """Remember where the journal lies.

        Args:
            path: its file; made when missing, with the folders above it, for the user alone.
            patience: seconds to wait for other processes before giving up.
            mount_table: where to read which file system the file lies on.
        """
        self._file = StoreFile(path, patience=patience, mount_table=mount_table)

    @property
    def path(self) -> str:
        """The file, as an absolute path."""
        return self._file.path

    def close(self) -> None:
        """Close the file. Using the store again opens it again."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------ submitting

    def intend(self, intent: Intent, *, rerun: bool = False) -> StoredJob:
        """Note that a job is going to be sent; see :meth:`intend_many`."""
        return self.intend_many([intent], rerun=rerun)[0]

    def intend_many(self, intents: Iterable[Intent], *, rerun: bool = False) -> list[StoredJob]:
        """Note jobs that are going to be sent: all of them, or after an error none.

        Args:
            intents: the jobs, with ids that were never used.
            rerun: with a key whose job FAILED, was CANCELLED or is LOST: intend it anew. The old job stays
                in the store without its key.

        Returns:
            For each the job to go on with. Its id is the one in the intent, or, when the key was given
            before with an equal specification, that of the job which has the key: then send nothing.

        Raises:
            SpecError: the key belongs to a job with another specification.
            StoreError: an id, or an index of an array, is in the store already.
        """
        with self._file.writing() as connection:
            return [_intended(connection, intent, rerun) for intent in intents]

    def note_sending(self, job_id: str) -> bool:
        """Count one more sending before it happens, and ask whether it may.

        Returns:
            True when this process is the job's sender, nobody asked to cancel the job, and it has not
            ended. Only then send it.
        """
        with self._file.writing() as connection:
            return table.count_sending(connection, job_id, ProcessIdentity.here())

    def note_sent(self, job_id: str, native_id: str, status: JobStatus | None = None) -> StoredJob:
        """Note the scheduler's id of a job that was sent, or was found to have been.

        Args:
            job_id: our id.
            native_id: the scheduler's. A later attempt, as ``status`` tells, may have another.
            status: what is known now; QUEUED when not given.

        Raises:
            StoreError: no such job; or another id is noted for this attempt, which is then left alone.
        """
        news = status or JobStatus(state=JobState.QUEUED)
        with self._file.writing() as connection:
            job = _known(connection, job_id)
            if job.native_id not in (None, native_id) and news.attempt <= job.native_attempt:
                raise StoreError(
                    f"{self.path}: job {job_id} is {job.native_id} on {job.cluster} already, and not "
                    f"{native_id} as well. The job's start record tells which of the two runs"
                )
            return _changed(connection, job, news, native_id)

    # ------------------------------------------------------------ news

    def note_status(self, job_id: str, status: JobStatus) -> JobStatus:
        """Note what was learned of a job; see :meth:`note_statuses`.

        Raises:
            StoreError: no such job.
        """
        stored = self.note_statuses({job_id: status})
        if job_id not in stored:
            raise _no_such_job(job_id)
        return stored[job_id]

    def note_statuses(
        self, statuses: Mapping[str, JobStatus], native_ids: Mapping[str, str] | None = None
    ) -> dict[str, JobStatus]:
        """Note what was learned of many jobs, at the price of one; of some also the scheduler's id.

        An end that was announced is never reversed, see :func:`hpc_connect.evidence.updated`. Nothing is
        written where nothing but ``observed_at`` is new.

        Args:
            statuses: what was learned, by our id.
            native_ids: the scheduler's ids where they were learned too. The first that is noted for an
                attempt stays.

        Returns:
            What is stored now, by id: perhaps not the news but an end that another process noted before.
            Jobs that are not in the store are left out.
        """
        stored = {}
        with self._file.writing() as connection:
            for job_id, news in statuses.items():
                job = table.select_one(connection, "id = ?", job_id)
                if job is None:
                    continue
                job = _changed(connection, job, news, (native_ids or {}).get(job_id))
                stored[job_id] = job.status
        return stored

    def request_cancel(self, job_id: str) -> bool:
        """Note that somebody wants the job to end, for the process that sends it. The first time is kept.

        Returns:
            False when it has ended already.

        Raises:
            StoreError: no such job.
        """
        with self._file.writing() as connection:
            job = _known(connection, job_id)
            if job.state in SETTLED:
                return False
            if job.cancel_requested_at is None:
                table.change(connection, job, cancel_requested_at=time.time())
            return True

    def cancel_requested(self, job_id: str) -> datetime | None:
        """When somebody first asked for the job's end; None when nobody did, or there is no such job."""
        job = self.find(job_id)
        return None if job is None else job.cancel_requested_at

    def mark_collected(self, job_ids: Iterable[str]) -> None:
        """Note that the results of jobs were read. The first time is kept."""
        with self._file.writing() as connection:
            table.mark_collected(connection, job_ids)

    def adopt(self, job_id: str, sender: ProcessIdentity | None = None) -> bool:
        """Take over a job whose sender is dead. Of many processes that try exactly one gets it.

        Args:
            job_id: our id of the job.
            sender: who takes it; this process when not given.

        Returns:
            False when the sender lives, when that cannot be seen from this host, when the job has ended,
            or when there is no such job.
        """
        with self._file.writing() as connection:
            job = table.select_one(connection, "id = ?", job_id)
            if job is None or job.state in SETTLED or job.sender.alive() is not False:
                return False
            table.change(connection, job, **sender_columns(sender or ProcessIdentity.here()))
            return True

    def prune(self, before: datetime) -> int:
        """Forget jobs that ended, whose results were read, and that last changed before then.

        One with a key is kept, since its key must still be known.

        Returns:
            How many were forgotten.
        """
        with self._file.writing() as connection:
            return table.delete_collected(connection, before)

    # ------------------------------------------------------------ looking up

    def find(self, job_id: str) -> StoredJob | None:
        """The job with our id, or None."""
        return self._one("id = ?", job_id)

    def find_native(self, cluster: str, native_id: str) -> StoredJob | None:
        """The job with the scheduler's id, or None. Of several (ids are used again) the latest."""
        return self._one("cluster = ? AND native_id = ?", cluster, native_id)

    def find_key(self, cluster: str, key: str) -> StoredJob | None:
        """The job that has the key, or None."""
        return self._one("cluster = ? AND key = ?", cluster, key)

    def elements(self, array_id: str) -> list[StoredJob]:
        """The elements of an array, in the order of their indexes."""
        return self._all("array_id = ? ORDER BY array_index", array_id)

    def unfinished(self, cluster: str) -> list[StoredJob]:
        """The jobs of a cluster without evidence of an end, LOST ones too, in the order they were stored."""
        return self._all(f"cluster = ? AND {OPEN} ORDER BY sequence", cluster)

    def named(self, cluster: str, name: str, *, live: bool = True) -> list[StoredJob]:
        """The jobs of that name, in the order they were stored; with ``live`` only those that have not ended."""
        condition = f"AND {LIVE}" if live else ""
        return self._all(f"cluster = ? AND name = ? {condition} ORDER BY sequence", cluster, name)

    def _one(self, condition: str, *values: str) -> StoredJob | None:
        with self._file.reading() as connection:
            return table.select_one(connection, condition, *values)

    def _all(self, condition: str, *values: str) -> list[StoredJob]:
        with self._file.reading() as connection:
            return table.select_all(connection, condition, *values)


def _known(connection: sqlite3.Connection, job_id: str) -> StoredJob:
    job = table.select_one(connection, "id = ?", job_id)
    if job is None:
        raise _no_such_job(job_id)
    return job


def _changed(
    connection: sqlite3.Connection, job: StoredJob, news: JobStatus, native_id: str | None
) -> StoredJob:
    """The job after news of its status and perhaps its native id; written where something is new."""
    columns: dict[str, Value] = {}
    status = updated(job.status, news)
    if status != job.status:
        columns.update(status_columns(status))
    if native_id is not None and news.attempt > job.native_attempt:
        columns.update(native_id=native_id, native_attempt=news.attempt)
    return table.change(connection, job, **columns) if columns else job


def _no_such_job(job_id: str) -> StoreError:
    return StoreError(f"the store holds no job {job_id!r}; it may have been pruned, or lie in another store")


def _intended(connection: sqlite3.Connection, intent: Intent, rerun: bool) -> StoredJob:
    fingerprint = intent.spec.fingerprint() if intent.array_id is None else None
    if intent.key is not None:
        holder = table.select_one(connection, "cluster = ? AND key = ?", intent.cluster, intent.key)
        if holder is not None:
            if holder.fingerprint != fingerprint:
                raise SpecError(
                    "key",
                    intent.key,
                    f"belongs to job {holder.id} on {intent.cluster}, whose specification is another; "
                    f"give this job a key of its own, or none",
                )
            if not (rerun and holder.state.terminal and holder.state is not JobState.COMPLETED):
                return holder
            table.change(connection, holder, key=None)
    return table.insert(connection, intent, fingerprint)
