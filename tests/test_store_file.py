"""The file of the store when things go wrong: killed writers, full disks, forks, other hosts, foreign content."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import threading
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

import syscalls
from hpc_connect.errors import StoreError
from hpc_connect.store import Store
from store_processes import (
    Child,
    fork,
    fork_while_writing,
    intend_in_steps,
    intend_many_times,
    intend_until_killed_at,
    intend_while_failing,
    intend_with_small_files,
    intent,
    keep_open,
    mount_table,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOST = os.uname().nodename
SOON = 0.2
"""Patience, in seconds, of a store that is going to wait in vain."""

needs_seccomp = pytest.mark.skipif(
    not syscalls.KNOWN, reason="system calls of this machine are not in the table"
)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "state" / "hpc_connect" / "jobs.sqlite3")


@pytest.fixture(params=["local", "shared"])
def options(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, object]:
    """For a store on a local file system, and for one on a network file system whose locks work."""
    return (
        {}
        if request.param == "local"
        else {"mount_table": mount_table(tmp_path, "nfs4", "rw,local_lock=none")}
    )


def ids(store: Store) -> set[str]:
    return {job.id for job in store.named("here", "job", live=False)}


def is_whole(path: str) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def journal_mode(path: str) -> str:
    with closing(sqlite3.connect(path)) as connection:
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    return str(mode)


# ------------------------------------------------------------ making and opening


def test_making_a_store_touches_nothing(path: str) -> None:
    Store(path).close()
    assert not os.path.exists(os.path.dirname(path))


def test_folder_and_file_are_for_the_user_alone_whatever_the_umask(
    path: str, options: dict[str, object]
) -> None:
    before = os.umask(0)
    try:
        with Store(path, **options) as store:
            store.intend(intent("a"))
            folder = os.path.dirname(path)
            modes = {
                name: stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode) for name in os.listdir(folder)
            }
    finally:
        os.umask(before)
    assert set(modes.values()) == {0o600}
    assert os.path.basename(path) in modes
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(os.path.dirname(folder)).st_mode) == 0o700


def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with Store(str(tmp_path / "jobs.sqlite3")) as store:
        store.intend(intent("a"))
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_closed_store_is_opened_again_when_needed(path: str) -> None:
    store = Store(path)
    store.intend(intent("a"))
    store.close()
    store.close()
    assert ids(store) == {"a"}
    store.close()


def test_a_closed_or_forgotten_store_leaves_no_descriptor(path: str) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with Store(path) as store:
        store.intend(intent("a"))
    forgotten = Store(path)
    forgotten.intend(intent("b"))
    del forgotten
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_working_directory_may_change_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Store("jobs.sqlite3") as store:
        assert store.path == str(tmp_path / "jobs.sqlite3")
        monkeypatch.chdir("/")
        store.intend(intent("a"))
    assert (tmp_path / "jobs.sqlite3").exists()


@pytest.mark.parametrize("name", ["a b?c=d#e%41.sqlite3", "file:x?mode=memory", "\udcff.sqlite3", ":memory:"])
def test_any_name_of_a_file_will_do(tmp_path: Path, name: str) -> None:
    with Store(str(tmp_path / name)) as store:
        store.intend(intent("a"))
    assert os.path.exists(tmp_path / name)


def test_processes_that_open_it_first_at_the_same_moment_agree(path: str, options: dict[str, object]) -> None:
    with ExitStack() as stack:
        children = [
            stack.enter_context(Child(intend_many_times, path, f"child{number}", 1, **options))
            for number in range(6)
        ]
        for child in children:
            assert child.hear() == "ready"
        for child in children:
            child.go_on()
        assert [child.hear_all() for child in children] == [[f"child{number}-0"] for number in range(6)]


def test_a_file_that_was_removed_meanwhile_is_made_anew(path: str, options: dict[str, object]) -> None:
    """What went into the old one would be lost."""
    with Store(path, **options) as store:
        store.intend(intent("a"))
        shutil.rmtree(os.path.dirname(path))
        store.intend(intent("b"))
        assert ids(store) == {"b"}
    with Store(path, **options) as store:
        assert ids(store) == {"b"}


# ------------------------------------------------------------ killed writers


@pytest.mark.parametrize(
    ("step", "stored"), [("BEGIN", False), ("INSERT", False), ("COMMIT", False), ("returned", True)]
)
def test_a_writer_killed_at_a_step_leaves_all_or_nothing(
    path: str, options: dict[str, object], step: str, stored: bool
) -> None:
    with Store(path, **options) as store:
        store.intend(intent("earlier"))
        with Child(intend_in_steps, path, "late", **options) as child:
            while child.hear() != step:
                child.go_on()
            child.kill()
        assert ids(store) == ({"earlier", "late"} if stored else {"earlier"})
        store.intend(intent("after"))
    with Store(path, **options) as store:
        assert ids(store) == ({"earlier", "late", "after"} if stored else {"earlier", "after"})
    assert is_whole(path)


@needs_seccomp
@pytest.mark.parametrize("call", ["write", "sync"])
def test_a_writer_killed_inside_a_commit_leaves_all_or_nothing(
    path: str, options: dict[str, object], call: str
) -> None:
    with Store(path, **options) as store:
        store.intend(intent("earlier"))
    with Child(intend_until_killed_at, path, "late", call, **options) as child:
        assert child.hear() == "ready"
        assert child.hear() is None
        assert child.end() == -signal.SIGSYS
    with Store(path, **options) as store:
        assert ids(store) in ({"earlier"}, {"earlier", "late"})
        store.intend(intent("after"))
    assert is_whole(path)


def test_a_store_goes_on_after_each_of_many_killed_writers(path: str, options: dict[str, object]) -> None:
    said: set[str] = set()
    for number in range(5):
        with Child(intend_many_times, path, f"child{number}", 1_000_000, **options) as child:
            assert child.hear() == "ready"
            child.go_on()
            said.update(child.hear() for _ in range(3 + number))
            child.kill()
            said.update(child.hear_all())
    with Store(path, **options) as store:
        assert said <= ids(store)
    assert is_whole(path)


# ------------------------------------------------------------ failing disks


@needs_seccomp
@pytest.mark.parametrize("job_id", ["first", "late"])
@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        ("write", "ENOSPC", "full"),
        ("write", "EDQUOT", "quota"),
        ("write", "EIO", "the disk is failing"),
        ("sync", "EIO", "the disk is failing"),
    ],
)
def test_what_did_not_reach_the_disk_is_an_error_and_not_there(
    path: str, options: dict[str, object], job_id: str, call: str, error: str, said: str
) -> None:
    with Store(path, **options) as store:
        store.intend(intent("earlier"))
    with Child(intend_while_failing, path, job_id, call, error, **options) as child:
        kind, message = child.hear()
    assert kind == "StoreError"
    assert said in message
    assert path in message
    with Store(path, **options) as store:
        assert ids(store) == {"earlier"}


def test_a_file_that_may_not_grow_is_an_error_and_nothing_half_done(
    path: str, options: dict[str, object]
) -> None:
    with Store(path, **options) as store:
        store.intend(intent("earlier"))
    with Child(intend_with_small_files, path, 70_000, **options) as child:
        *stored, (kind, message) = child.hear_all()
    assert kind == "StoreError"
    assert "quota" in message
    with Store(path, **options) as store:
        assert ids(store) == {"earlier", *stored}
        store.intend(intent("after"))
    assert is_whole(path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one mebibyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"needs the right to mount: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_on_a_full_disk_nothing_is_half_done_and_afterwards_it_goes_on(
    small_disk: Path, options: dict[str, object]
) -> None:
    with Store(str(small_disk / "jobs.sqlite3"), **options) as store:
        store.intend(intent("earlier"))
        with open(small_disk / "ballast", "wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(bytes(4096))
        stored = {"earlier"}
        with pytest.raises(StoreError, match="full"):
            stored.update(store.intend(intent(f"late-{number}")).id for number in range(1000))
        assert ids(store) == stored
        (small_disk / "ballast").unlink()
        store.intend(intent("after"))
        assert ids(store) == {*stored, "after"}
    assert is_whole(str(small_disk / "jobs.sqlite3"))


def test_on_a_disk_that_is_full_from_the_start_there_is_one_clear_error(
    small_disk: Path, options: dict[str, object]
) -> None:
    with open(small_disk / "ballast", "wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(bytes(4096))
    with Store(str(small_disk / "jobs.sqlite3"), **options) as store:
        with pytest.raises(StoreError, match="XDG_STATE_HOME"):
            store.intend(intent("a"))
        (small_disk / "ballast").unlink()
        store.intend(intent("b"))
        assert ids(store) == {"b"}


@pytest.mark.parametrize("there", [True, False])
def test_a_disk_that_may_not_be_written_is_one_clear_error(
    small_disk: Path, options: dict[str, object], there: bool
) -> None:
    path = str(small_disk / "jobs.sqlite3")
    if there:
        with Store(path, **options) as store:
            store.intend(intent("earlier"))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with Store(path, **options) as store, pytest.raises(StoreError, match="XDG_STATE_HOME") as caught:
        store.intend(intent("late"))
    assert path in str(caught.value)


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = str(tmp_path / "file" / "hpc_connect" / "jobs.sqlite3")
    with Store(path) as store, pytest.raises(StoreError, match=r"Not a directory.*XDG_STATE_HOME") as caught:
        store.intend(intent("a"))
    assert path in str(caught.value)


# ------------------------------------------------------------ damaged files


@pytest.mark.parametrize(
    "content", [b"not a database at all\n" * 50, b"SQLite format 3\0" + bytes(range(256)) * 40]
)
def test_a_damaged_file_is_one_clear_error_and_stays_as_it_is(
    path: str, options: dict[str, object], content: bytes
) -> None:
    os.makedirs(os.path.dirname(path))
    with open(path, "wb") as file:
        file.write(content)
    with Store(path, **options) as store:
        for _ in range(2):
            with pytest.raises(StoreError, match=r"damaged.*XDG_STATE_HOME") as caught:
                store.intend(intent("a"))
    assert path in str(caught.value)
    with open(path, "rb") as file:
        assert file.read() == content


def test_a_store_damaged_in_the_middle_is_an_error_too(path: str, options: dict[str, object]) -> None:
    with Store(path, **options) as store:
        store.intend_many(intent(f"job-{number}") for number in range(200))
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (os.path.getsize(path) - 4096))
    with open(path, "rb") as file:
        before = file.read()
    with Store(path, **options) as store, pytest.raises(StoreError, match="damaged"):
        store.intend(intent("late"))
    with open(path, "rb") as file:
        assert file.read() == before


# ------------------------------------------------------------ threads and forks


def test_threads_share_one_store(path: str, options: dict[str, object]) -> None:
    with Store(path, **options) as store:

        def write(label: str) -> None:
            for number in range(25):
                store.intend(intent(f"{label}-{number}"))
                assert store.find(f"{label}-{number}") is not None

        threads = [threading.Thread(target=write, args=(f"thread{number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(ids(store)) == 100


def test_parent_and_child_of_a_fork_go_on_and_share_no_descriptor(
    path: str, options: dict[str, object]
) -> None:
    with Child(fork, path, **options) as child:
        targets = child.hear()
        assert child.end() == 0
    assert not [target for target in targets if os.path.basename(path) in target]
    with Store(path, **options) as store:
        assert ids(store) == {"before", "child", "parent"}
    assert is_whole(path)


def test_a_process_may_fork_while_another_thread_writes(path: str, options: dict[str, object]) -> None:
    with Child(fork_while_writing, path, 8, **options) as child:
        assert child.hear_all() == [0] * 8
        assert child.end() == 0
    with Store(path, **options) as store:
        assert {f"forked-{number}" for number in range(8)} <= ids(store)
    assert is_whole(path)


# ------------------------------------------------------------ other processes in the way


def test_another_process_that_keeps_the_store_locked_is_an_error_after_a_while(
    path: str, options: dict[str, object]
) -> None:
    with Store(path, **options, patience=SOON) as store:
        store.intend(intent("a"))
        with Child(intend_in_steps, path, "late", **options) as child:
            while child.hear() != "INSERT":
                child.go_on()
            with pytest.raises(StoreError, match=r"kept locked by another process.* for 0\.2 s.*fuser"):
                store.intend(intent("b"))
        store.intend(intent("c"))
        assert ids(store) == {"a", "c"}


def test_locally_no_commit_and_no_copying_of_the_log_happen_at_the_same_moment(path: str) -> None:
    """Versions of SQLite before 3.51.3 can then lose what was committed (sqlite.org/wal.html, "WAL-reset bug")."""
    with Store(path, patience=SOON) as store:
        store.intend(intent("a"))
        with open(path + "-turn") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            with pytest.raises(StoreError, match="locked by another process"):
                store.intend(intent("b"))
        store.intend(intent("c"))
        assert ids(store) == {"a", "c"}


# ------------------------------------------------------------ file systems of several hosts


def test_locally_the_log_is_written_ahead_and_on_a_network_never(path: str, tmp_path: Path) -> None:
    with Store(path) as store:
        store.intend(intent("a"))
    assert journal_mode(path) == "wal"
    with Store(path + "2", mount_table=mount_table(tmp_path, "lustre", "rw,flock")) as store:
        store.intend(intent("a"))
        assert not os.path.exists(path + "2-wal")
        assert not os.path.exists(path + "2-shm")
    assert journal_mode(path + "2") == "delete"


def test_a_commit_outlives_a_loss_of_power(path: str, options: dict[str, object]) -> None:
    full, extra = 2, 3  # sqlite.org/pragma.html#pragma_synchronous
    with Store(path, **options) as store, store._file.reading() as connection:
        (synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
    assert synchronous == (extra if options else full)


def test_a_local_store_that_is_reached_over_a_network_changes_for_good(path: str, tmp_path: Path) -> None:
    """As on a file server, where the same home is local."""
    shared = mount_table(tmp_path, "nfs4")
    with Store(path) as store:
        store.intend(intent("a"))
    os.mkdir(path + "-shm")  # the memory that processes on one host share cannot be had
    with Store(path, mount_table=shared) as store:
        assert ids(store) == {"a"}
    os.rmdir(path + "-shm")
    assert journal_mode(path) == "delete"
    with Store(path) as local, Store(path, mount_table=shared) as remote:
        local.intend(intent("b"))
        remote.intend(intent("c"))
        assert ids(local) == ids(remote) == {"a", "b", "c"}
    assert journal_mode(path) == "delete"


def test_a_local_store_in_use_on_the_file_server_is_not_shared_meanwhile(path: str, tmp_path: Path) -> None:
    with Store(path) as store:
        store.intend(intent("a"))
    with (
        Child(keep_open, path) as child,
        Store(path, mount_table=mount_table(tmp_path, "nfs4"), patience=SOON) as remote,
    ):
        assert child.hear() == "open"
        with pytest.raises(StoreError, match="locked by another process"):
            remote.intend(intent("b"))
        assert child.end() == 0
        remote.intend(intent("c"))
        assert ids(remote) == {"a", "c"}


@pytest.mark.parametrize(
    ("type_", "option"), [("nfs", "nolock"), ("lustre", "localflock"), ("fuse.sshfs", "rw")]
)
def test_where_locks_stay_on_their_host_the_first_host_alone_uses_the_store(
    path: str, tmp_path: Path, type_: str, option: str
) -> None:
    table = mount_table(tmp_path, type_, option)
    for job_id in "ab":
        with Store(path, mount_table=table) as store:
            store.intend(intent(job_id))
    os.unlink(path + "-host")
    os.symlink("login2", path + "-host")
    with Store(path, mount_table=table) as store, pytest.raises(StoreError) as caught:
        store.intend(intent("c"))
    message = str(caught.value)
    assert all(word in message for word in (path, "login2", HOST, type_, "XDG_STATE_HOME"))
    with Store(path) as store:
        assert ids(store) == {"a", "b"}


def test_where_locks_work_between_hosts_no_host_is_recorded(path: str, tmp_path: Path) -> None:
    with Store(path, mount_table=mount_table(tmp_path, "nfs4", "local_lock=none")) as store:
        store.intend(intent("a"))
    assert os.listdir(os.path.dirname(path)) == [os.path.basename(path)]


@needs_seccomp
@pytest.mark.parametrize("error", ["ENOLCK", "ENOSYS"])
def test_where_locks_do_not_work_the_store_is_refused_with_the_remedy(
    path: str, tmp_path: Path, error: str
) -> None:
    with Child(
        intend_while_failing,
        path,
        "first",
        "lock",
        error,
        mount_table=mount_table(tmp_path, "lustre", "noflock"),
    ) as child:
        kind, message = child.hear()
    assert kind == "StoreError"
    assert "cannot be locked" in message
    assert all(word in message for word in (path, "lustre", "XDG_STATE_HOME"))
    assert [name for name in os.listdir(os.path.dirname(path)) if "probe" in name] == []
