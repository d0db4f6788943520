"""What SQLite's errors mean for the store, and what to do about them."""

from __future__ import annotations

import shlex
import sqlite3

from hpc_connect.errors import StoreError

ELSEWHERE = "keep the store elsewhere: set XDG_STATE_HOME to a folder on a local disk"
"""The last remedy in every message."""

_READ_ONLY = "may not be written. Give yourself the right to write to it and to its folder"
_HELD = (
    "has been kept locked by another process, here or on another host, for {patience:g} s. "
    "See which of this host: fuser {path}"
)
_DAMAGED = (
    "is damaged; nothing in it was changed. Move it away, with the files beside it whose names begin as its "
    "own, to begin a new one: the jobs in it go on, but are not known any more. "
    "To see what is left of it: sqlite3 {path} .recover"
)
_REMEDIES = {
    sqlite3.SQLITE_BUSY: _HELD,
    sqlite3.SQLITE_LOCKED: _HELD,
    sqlite3.SQLITE_PROTOCOL: _HELD,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_FORMAT: _DAMAGED,
    sqlite3.SQLITE_FULL: "could not grow: the disk is full. Free some space",
    sqlite3.SQLITE_IOERR: "could not be read or written: the disk or a quota is full, or the disk is failing",
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_PERM: _READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: "cannot be opened. Give yourself the right to write to its folder",
}


def explained(error: sqlite3.Error | BlockingIOError, path: str, patience: float) -> StoreError:
    """The error to raise: the file, what happened to it, what to do, and SQLite's own words."""
    extended = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_BUSY if isinstance(error, OSError) else 0)
    remedy = _REMEDIES.get(extended & 0xFF, "cannot be used")  # the low byte is the primary result code
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    said = remedy.format(path=shlex.quote(path), patience=patience)
    return StoreError(f"{path}: {said}. Or {ELSEWHERE} ({name}: {error})")
