"""The table of jobs: the statements that the store is made of."""

# ruff: noqa: S608 - statements are put together from our own names of columns; every value is bound

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

from hpc_connect.errors import StoreError
from hpc_connect.store.rows import COLUMNS, Intent, StoredJob, Value, row, sender_columns, stored_job
from hpc_connect.store.schema import LIVE

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from hpc_connect.identity import ProcessIdentity

_SENDER = ("sender_pid", "sender_start", "sender_boot", "sender_namespace", "sender_host")


def select_one(connection: sqlite3.Connection, condition: str, *values: Value) -> StoredJob | None:
    """The job for which ``condition`` holds, the latest of several, or None."""
    found = connection.execute(
        f"SELECT {COLUMNS} FROM jobs WHERE {condition} ORDER BY sequence DESC LIMIT 1", values
    ).fetchone()
    return None if found is None else stored_job(found)


def select_all(connection: sqlite3.Connection, condition: str, *values: Value) -> list[StoredJob]:
    """The jobs for which ``condition``, which may end in an order, holds."""
    found = connection.execute(f"SELECT {COLUMNS} FROM jobs WHERE {condition}", values).fetchall()
    return [stored_job(values) for values in found]


def insert(connection: sqlite3.Connection, intent: Intent, fingerprint: str | None) -> StoredJob:
    """A new row.

    Raises:
        StoreError: its id, or its index in its array, is there already.
    """
    columns = row(intent, fingerprint, time.time())
    try:
        inserted = connection.execute(
            f"INSERT INTO jobs ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
            tuple(columns.values()),
        )
    except sqlite3.IntegrityError as error:
        element = (
            "" if intent.array_id is None else f" or index {intent.array_index} of array {intent.array_id}"
        )
        raise StoreError(
            f"job {intent.id}{element} is in the store already; give every job an id of its own"
        ) from error
    return select_all(connection, "sequence = ?", inserted.lastrowid)[0]


def change(connection: sqlite3.Connection, job: StoredJob, **columns: Value) -> StoredJob:
    """Other values in some columns; the job as it is then."""
    columns["updated_at"] = time.time()
    assignments = ", ".join(f"{column} = ?" for column in columns)
    connection.execute(f"UPDATE jobs SET {assignments} WHERE sequence = ?", (*columns.values(), job.sequence))
    return select_all(connection, "sequence = ?", job.sequence)[0]


def count_sending(connection: sqlite3.Connection, job_id: str, sender: ProcessIdentity) -> bool:
    """Count a sending by ``sender``, if it is its job, and one that should still run."""
    is_sender = " AND ".join(f"{column} = :{column}" for column in _SENDER)
    counted = connection.execute(
        f"UPDATE jobs SET sends = sends + 1, updated_at = :now "
        f"WHERE id = :id AND {is_sender} AND cancel_requested_at IS NULL AND {LIVE}",
        {**sender_columns(sender), "id": job_id, "now": time.time()},
    )
    return counted.rowcount == 1


def mark_collected(connection: sqlite3.Connection, job_ids: Iterable[str]) -> None:
    """Note the time, where none is noted yet."""
    now = time.time()
    connection.executemany(
        "UPDATE jobs SET collected_at = ?, updated_at = ? WHERE id = ? AND collected_at IS NULL",
        [(now, now, job_id) for job_id in job_ids],
    )


def delete_collected(connection: sqlite3.Connection, before: datetime) -> int:
    """Forget ended and collected jobs without a key that last changed before then; how many."""
    deleted = connection.execute(
        f"DELETE FROM jobs WHERE NOT ({LIVE}) AND collected_at IS NOT NULL AND key IS NULL AND updated_at < ?",
        (before.timestamp(),),
    )
    return deleted.rowcount
