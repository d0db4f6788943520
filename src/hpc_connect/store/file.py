"""The file of the store: one SQLite database that threads, processes and hosts of one user write safely.

Why it is done this way is told in docs/decisions/0005-the-store.md.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
import weakref
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from hpc_connect.errors import StoreError
from hpc_connect.store import schema
from hpc_connect.store.faults import ELSEWHERE, explained
from hpc_connect.store.mounts import MOUNT_TABLE, Mount, mount_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIRST_BYTE_SQLITE_LOCKS = 0x40000000


class StoreFile:
    """Transactions on one database file. It is opened when first used, and again after :meth:`close`.

    One connection serves all threads, one at a time. No connection is open while the process forks, so
    parent and child each open their own afterwards.
    """

    def __init__(self, path: str, *, patience: float = 30.0, mount_table: str = MOUNT_TABLE) -> None:
        """Do nothing yet.

        Args:
            path: the database; it and the folders above it are made when missing, for the user alone.
            patience: seconds to wait for other processes before giving up.
            mount_table: where to read which file system the file lies on.
        """
        self.path = os.path.abspath(path)
        self._patience = patience
        self._mount_table = mount_table
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._turns: int | None = None
        self._inode: tuple[int, int] | None = None
        self._watches_forks = False

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection to read with.

        Raises:
            StoreError: says what is wrong with the file, and what to do.
        """
        with self._lock, self._faults_explained():
            yield self._opened()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: at the end of the block all of it is on the disk, or after an error nothing.

        Raises:
            StoreError: says what is wrong with the file, and what to do.
        """
        with self._lock, self._faults_explained():
            connection = self._opened()
            with self._turn(), _transaction(connection):
                schema.check_version(connection, self.path)
                yield connection

    def close(self) -> None:
        """Close the file. Using it again opens it again."""
        with self._lock:
            self._drop()

    def __del__(self) -> None:
        self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()
        turns, self._turns = self._turns, None
        if turns is not None:
            os.close(turns)

    @contextmanager
    def _faults_explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            self._drop()
            raise explained(error, self.path, self._patience) from error

    # ------------------------------------------------------------ opening

    def _opened(self) -> sqlite3.Connection:
        if self._connection is not None and _inode(self.path) == self._inode:
            return self._connection
        self._drop()  # a file that somebody moved or removed: what goes there would be lost
        if not self._watches_forks:
            _close_when_forking(weakref.ref(self))
            self._watches_forks = True
        try:
            return self._open()
        except OSError as error:
            self._drop()
            raise StoreError(
                f"{self.path}: cannot be opened: {error.strerror}. Mend that, or {ELSEWHERE}"
            ) from error
        except BaseException:
            self._drop()
            raise

    def _open(self) -> sqlite3.Connection:
        folder = os.path.dirname(self.path)
        _make_private(folder)
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        self._inode = _inode(self.path)
        self._connection = sqlite3.connect(
            self.path, timeout=self._patience, isolation_level=None, check_same_thread=False
        )
        self._prepare(self._connection, mount_of(folder, self._mount_table))
        return self._connection

    def _prepare(self, connection: sqlite3.Connection, mount: Mount) -> None:
        if mount.shared:
            self._insist_on_locks(mount)
            self._leave_wal(connection)
        else:
            self._turns = os.open(self.path + "-turn", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not schema.is_newest(connection):
            with self._turn():
                if not mount.shared and schema.version_of(connection, self.path) == 0:
                    connection.execute("PRAGMA journal_mode = WAL")
                with _transaction(connection):
                    schema.upgrade(connection, self.path)
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        # EXTRA is FULL, and a commit that deletes the rollback journal outlives a loss of power too.
        connection.execute(f"PRAGMA synchronous = {'FULL' if mode == 'wal' else 'EXTRA'}")

    def _leave_wal(self, connection: sqlite3.Connection) -> None:
        """Turn a store that was made on the file server itself into one that can be shared.

        WAL needs memory that all processes share, so before it is left that memory must not be touched:
        with an exclusive lock SQLite does not need it.
        """
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        schema.version_of(connection, self.path)  # whose file it is, before anything in it is changed
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA locking_mode = NORMAL")

    def _insist_on_locks(self, mount: Mount) -> None:
        probe = f"{self.path}-probe.{os.uname().nodename}.{os.getpid()}.{id(self)}"
        try:
            descriptor = os.open(probe, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _FIRST_BYTE_SQLITE_LOCKS)
            finally:
                os.close(descriptor)
                os.unlink(probe)
        except OSError as error:
            raise StoreError(
                f"{self.path}: files on {mount.point} ({mount.type}) cannot be locked: {error.strerror}. "
                f"Please {ELSEWHERE}"
            ) from error
        if mount.locks_stay_here:
            self._insist_on_host(mount)

    def _insist_on_host(self, mount: Mount) -> None:
        """Where other hosts do not see our locks one host alone may use the file: the first one."""
        record, here = self.path + "-host", os.uname().nodename
        with suppress(FileExistsError):
            os.symlink(here, record)  # made whole, or not at all
        owner = os.readlink(record)
        if owner != here:
            raise StoreError(
                f"{self.path}: is used by host {owner}, and locks on {mount.point} "
                f"({mount.locks_stay_here}) are not seen by {here}. Work on {owner}, or {ELSEWHERE}"
            )

    # ------------------------------------------------------------ taking turns

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """On a local disk: no other process commits, or copies the log into the database, meanwhile."""
        if self._turns is None:
            yield
            return
        self._take_turn(self._turns)
        try:
            yield
        finally:
            if self._turns is not None:
                fcntl.flock(self._turns, fcntl.LOCK_UN)

    def _take_turn(self, turns: int) -> None:
        last = time.monotonic() + self._patience
        pause = 0.0002
        while True:
            try:
                fcntl.flock(turns, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > last:
                    raise explained(error, self.path, self._patience) from error
                time.sleep(pause)
                pause = min(2 * pause, 0.01)
            else:
                return


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.rollback()
        raise


def _inode(path: str) -> tuple[int, int] | None:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def _make_private(folder: str) -> None:
    """Make a folder, and what is missing above it, for the user alone, so that it outlives a loss of power."""
    if os.path.isdir(folder):
        return
    above = os.path.dirname(folder)
    _make_private(above)
    with suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    descriptor = os.open(above, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _close_when_forking(reference: weakref.ref[StoreFile]) -> None:
    """SQLite: a connection must not be carried over a fork, not even to close it in the child."""

    def before() -> None:
        file = reference()
        if file is not None:
            file._lock.acquire()  # noqa: SLF001 - of this module
            file._drop()  # noqa: SLF001

    def after() -> None:
        file = reference()
        if file is not None:
            file._lock.release()  # noqa: SLF001

    os.register_at_fork(before=before, after_in_parent=after, after_in_child=after)
