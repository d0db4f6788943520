"""The schema of the store, and the way from each version to the next. Written down in docs/reference/store.md.

The SQL keeps to what SQLite 3.24 (2018) understands: Python is often linked to the SQLite of an old system.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpc_connect.errors import StoreError
from hpc_connect.evidence import SETTLED
from hpc_connect.status import JobState

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

APPLICATION_ID = 0x68706363  # "hpcc": file(1) and every other reader can tell whose database it is

OPEN = f"state NOT IN ({', '.join(f'{str(state)!r}' for state in SETTLED)})"
"""Jobs without evidence of an end. A query that says it word for word as the index does can use the index."""

LIVE = f"{OPEN} AND state <> '{JobState.LOST}'"
"""Jobs that have not ended for their waiters either."""

_FIRST = (
    """
    CREATE TABLE jobs (
        sequence INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        cluster TEXT NOT NULL,
        backend TEXT NOT NULL,
        name TEXT NOT NULL,
        spec TEXT,
        fingerprint TEXT,
        key TEXT,
        array_id TEXT,
        array_index INTEGER,
        native_id TEXT,
        native_attempt INTEGER NOT NULL DEFAULT 0,
        state TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        status TEXT NOT NULL,
        sends INTEGER NOT NULL,
        sender_pid INTEGER NOT NULL,
        sender_start INTEGER NOT NULL,
        sender_boot TEXT NOT NULL,
        sender_namespace TEXT NOT NULL,
        sender_host TEXT NOT NULL,
        output_path BLOB,
        error_path BLOB,
        keep INTEGER NOT NULL,
        created_at REAL NOT NULL,
        updated_at REAL NOT NULL,
        cancel_requested_at REAL,
        collected_at REAL
    )
    """,
    "CREATE UNIQUE INDEX jobs_by_key ON jobs (cluster, key) WHERE key IS NOT NULL",
    "CREATE INDEX jobs_by_native_id ON jobs (cluster, native_id) WHERE native_id IS NOT NULL",
    "CREATE UNIQUE INDEX jobs_by_array ON jobs (array_id, array_index) WHERE array_id IS NOT NULL",
    f"CREATE INDEX jobs_open ON jobs (cluster, name) WHERE {OPEN}",
)

STEPS = (_FIRST,)
"""``STEPS[n]`` leads from version n to n + 1. A released step is never changed; a change is a step more."""

NEWEST = len(STEPS)


def upgrade(connection: sqlite3.Connection, path: str, steps: Sequence[Sequence[str]] = STEPS) -> None:
    """Bring an empty or older store to the newest version, inside the transaction that is open.

    Raises:
        StoreError: the file is of a newer version, or another program's.
    """
    for step in steps[version_of(connection, path, len(steps)) :]:
        for statement in step:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {len(steps)}")


def version_of(connection: sqlite3.Connection, path: str, newest: int = NEWEST) -> int:
    """The version of the store; 0 is an empty file. To be called where no other process may change it.

    Raises:
        StoreError: the file is of a newer version, or another program's.
    """
    version: int = _pragma(connection, "user_version")
    application = _pragma(connection, "application_id")
    if application != APPLICATION_ID:
        (things,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application or version or things:
            raise StoreError(
                f"{path}: is a database of another program. Move it away, "
                f"or set XDG_STATE_HOME to another folder"
            )
    if version > newest:
        raise StoreError(
            f"{path}: was written by a newer hpc_connect (schema {version}, this one knows up to {newest}). "
            f"Renew this installation, or give it a store of its own: set XDG_STATE_HOME to another folder"
        )
    return version


def is_newest(connection: sqlite3.Connection) -> bool:
    """Whether there is nothing to upgrade, and nothing to refuse."""
    return _pragma(connection, "user_version") == NEWEST and (
        _pragma(connection, "application_id") == APPLICATION_ID
    )


def check_version(connection: sqlite3.Connection, path: str) -> None:
    """Refuse to go on when a newer version took the store over since it was opened."""
    if _pragma(connection, "user_version") != NEWEST:
        version_of(connection, path)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)
