"""The schema of the store: whose file it is, which version, and the way to the next."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from hpc_connect.errors import StoreError
from hpc_connect.store import Store, schema
from store_processes import intent, mount_table

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "jobs.sqlite3")


def change(path: str, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def test_the_file_says_whose_it_is_and_which_version(path: str) -> None:
    with Store(path) as store:
        store.intend(intent("a"))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (int.from_bytes(b"hpcc", "big"),)
        assert connection.execute("PRAGMA user_version").fetchone() == (schema.NEWEST,)


def test_a_store_of_a_newer_version_is_refused_with_both_versions_and_not_changed(path: str) -> None:
    with Store(path) as store:
        store.intend(intent("a"))
    change(path, "PRAGMA user_version = 99")
    before = content(path)
    with Store(path) as store:
        with pytest.raises(StoreError) as caught:
            store.find("a")
        with pytest.raises(StoreError):
            store.intend(intent("b"))
    assert path in str(caught.value)
    assert "schema 99" in str(caught.value)
    assert f"up to {schema.NEWEST}" in str(caught.value)
    assert content(path) == before


def test_a_store_that_a_newer_version_takes_over_meanwhile_is_written_no_more(path: str) -> None:
    with Store(path) as store:
        store.intend(intent("a"))
        change(path, "PRAGMA user_version = 99")
        with pytest.raises(StoreError, match="schema 99"):
            store.intend(intent("b"))
    change(path, f"PRAGMA user_version = {schema.NEWEST}")
    with Store(path) as store:
        assert store.find("b") is None


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE people (name)"],
        ["PRAGMA user_version = 1"],
        ["PRAGMA application_id = 7"],
        ["PRAGMA journal_mode = WAL", "CREATE TABLE people (name)"],
    ],
)
@pytest.mark.parametrize("type_", ["ext4", "nfs4"])
def test_the_database_of_another_program_is_left_alone(
    tmp_path: Path, path: str, statements: list[str], type_: str
) -> None:
    change(path, *statements)
    before = content(path)
    with (
        Store(path, mount_table=mount_table(tmp_path, type_)) as store,
        pytest.raises(StoreError, match="of another program"),
    ):
        store.intend(intent("a"))
    assert content(path) == before


def test_an_empty_file_becomes_a_store(path: str) -> None:
    """What is left when the first process was killed before its first transaction, or the disk was full."""
    with open(path, "x"):
        pass
    with Store(path) as store:
        store.intend(intent("a"))
        assert store.find("a") is not None


def test_an_older_store_is_upgraded_step_by_step_and_keeps_its_jobs(path: str) -> None:
    with Store(path) as store:
        job = store.intend(intent("a"))
    steps = [*schema.STEPS, ["ALTER TABLE jobs ADD COLUMN mood TEXT"], ["UPDATE jobs SET mood = 'good'"]]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        schema.upgrade(connection, path, steps)
        found = connection.execute("SELECT id, mood FROM jobs").fetchall()
        version = schema.version_of(connection, path, newest=len(steps))
    assert found == [(job.id, "good")]
    assert version == len(steps)


def test_an_upgrade_that_fails_leaves_the_older_version_whole(path: str) -> None:
    with Store(path) as store:
        store.intend(intent("a"))
    broken = [*schema.STEPS, ["ALTER TABLE jobs ADD COLUMN mood TEXT", "ALTER TABLE nobody ADD COLUMN x"]]
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError):
            schema.upgrade(connection, path, broken)
        connection.rollback()
    with Store(path) as store:
        assert store.find("a") is not None
    with closing(sqlite3.connect(path)) as connection:
        assert "mood" not in {row[1] for row in connection.execute("PRAGMA table_info(jobs)")}
