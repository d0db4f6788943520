"""The claim on a job: one gets it, and writes what happened, on a full disk too."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from hpc_connect.local.claim import Claim
from hpc_connect.local.withdrawal import withdraw
from hpc_connect.records.folder import RecordFolder
from hpc_connect.records.line import EndRecord, StartRecord
from syscalls import KNOWN

if TYPE_CHECKING:
    from pathlib import Path

START = StartRecord("job", "-", "7:8", 1, 7, "8", "boot", "host", 1.0)
END = EndRecord("job", "-", "7:8", 1, "exit", 3, "-", "host", 1.0, 2.0)


@pytest.fixture
def folder(tmp_path: Path) -> RecordFolder:
    folder = RecordFolder(str(tmp_path / "records"))
    folder.make()
    return folder


def put_order(folder: RecordFolder, name: str = "job", script: str = "echo hi\n") -> dict[str, object]:
    order = {"script_size": len(script), "attempt": 1, "env": {"A": "b" * 1000}}
    with open(folder.script(name), "w") as file:
        file.write(script)
    with open(folder.order(name), "w") as file:
        json.dump(order, file)
    return order


def files(folder: RecordFolder) -> list[str]:
    return sorted(
        os.path.relpath(os.path.join(place, name), folder.path)
        for place, _, names in os.walk(folder.path)
        for name in names
    )


def test_who_has_it_can_read_the_order(folder: RecordFolder) -> None:
    order = put_order(folder)
    claim = Claim.take(folder, "job")
    assert claim.name == "job"
    assert claim.read_order() == order
    assert files(folder) == ["live/job.sh", "live/job.start"]


def test_nobody_gets_it_twice_or_without_an_order(folder: RecordFolder) -> None:
    put_order(folder)
    Claim.take(folder, "job")
    for name in ("job", "other"):
        with pytest.raises(FileNotFoundError):
            Claim.take(folder, name)


def test_of_many_that_try_at_once_one_gets_it(folder: RecordFolder) -> None:
    for turn in range(50):
        name = f"job{turn}"
        put_order(folder, name)
        gate, got = threading.Barrier(4), []

        def take(name: str = name, gate: threading.Barrier = gate, got: list[Claim] = got) -> None:
            gate.wait()
            try:
                got.append(Claim.take(folder, name))
            except FileNotFoundError:
                return

        threads = [threading.Thread(target=take) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(got) == 1


@pytest.mark.parametrize("damage", ["the order is empty", "the script is empty", "the script is gone"])
def test_what_a_crash_of_the_machine_cut_off_is_not_run(folder: RecordFolder, damage: str) -> None:
    put_order(folder)
    if damage == "the order is empty":
        os.truncate(folder.order("job"), 0)
    elif damage == "the script is empty":
        os.truncate(folder.script("job"), 0)
    else:
        os.unlink(folder.script("job"))
    claim = Claim.take(folder, "job")
    with pytest.raises((OSError, ValueError)):
        claim.read_order()


def test_the_start_takes_the_place_of_the_order(folder: RecordFolder) -> None:
    put_order(folder)
    claim = Claim.take(folder, "job")
    assert folder.find_start("job") is None
    claim.note_start(START)
    assert folder.find_start("job") == START
    with open(folder.start("job")) as file:
        assert "b" * 1000 not in file.read()


def test_the_start_of_a_later_attempt_takes_the_place_of_the_one_before(folder: RecordFolder) -> None:
    put_order(folder)
    claim = Claim.take(folder, "job")
    claim.note_start(START)
    later = START._replace(attempt=2, pid=9, ticks="10", native="9:10")
    claim.note_start(later)
    assert folder.find_start("job") == later
    assert files(folder) == ["live/job.sh", "live/job.start"]


def test_the_end_is_where_the_ends_are_and_nothing_else_is_left(folder: RecordFolder) -> None:
    put_order(folder)
    claim = Claim.take(folder, "job")
    claim.note_start(START)
    claim.note_end(END)
    assert folder.find_end("job") == folder.find_end("job", 1) == END
    assert folder.find_start("job") is None
    assert files(folder) == ["ended/job"]
    folder.clear("job")
    assert files(folder) == []


def test_an_end_that_was_written_and_not_moved_is_found(folder: RecordFolder) -> None:
    """The supervisor was killed between the two."""
    put_order(folder)
    claim = Claim.take(folder, "job")
    claim.note_start(START)
    claim.note_end(END)
    os.rename(folder.end("job"), folder.start("job"))
    assert folder.find_end("job") == END
    folder.clear("job")
    assert files(folder) == []


WRITE_WITHOUT_ROOM = """
import contextlib, errno, os, sys
import syscalls
from hpc_connect.local.claim import Claim
from hpc_connect.records.folder import RecordFolder
from hpc_connect.records.line import EndRecord, StartRecord

folder = RecordFolder(sys.argv[1])
claim = Claim.take(folder, "job")
syscalls.fail("write", errno.ENOSPC)
with contextlib.suppress(OSError):
    claim.note_start(StartRecord("job", "-", "7:8", 1, 7, "8", "boot", "host", 1.0))
claim.note_end(EndRecord("job", "-", "7:8", 1, "exit", 3, "-", "host", 1.0, 2.0))
"""


@pytest.mark.skipif(not KNOWN, reason="the numbers of the system calls of this machine are not known here")
def test_on_a_full_disk_the_end_survives_in_a_name(folder: RecordFolder) -> None:
    put_order(folder)
    subprocess.run(
        [sys.executable, "-c", WRITE_WITHOUT_ROOM, folder.path],
        check=True,
        env={**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(__file__))},
    )
    assert files(folder) == ["ended/job~v1~1~exit~3~-"]
    found = folder.find_end("job")
    assert (found.how, found.number, found.attempt) == ("exit", 3, 1)
    folder.clear("job")
    assert files(folder) == []


def test_where_nothing_can_be_written_that_is_told(folder: RecordFolder) -> None:
    put_order(folder)
    claim = Claim.take(folder, "job")
    os.rename(folder.path, folder.path + ".away")
    with pytest.raises(OSError, match=os.strerror(errno.ENOENT)):
        claim.note_end(END)


# ---------------------------------------------------------------------- withdrawal


def test_a_job_that_nobody_has_claimed_can_be_withdrawn(folder: RecordFolder) -> None:
    put_order(folder, "job.3")
    assert withdraw(folder, "job.3", 1)
    end = folder.find_end("job.3")
    assert (end.name, end.native, end.started) == ("job.3", "-", 0.0)
    assert files(folder) == ["ended/job.3"]
    with pytest.raises(FileNotFoundError):
        Claim.take(folder, "job.3")


def test_a_job_that_somebody_has_claimed_cannot(folder: RecordFolder) -> None:
    put_order(folder)
    Claim.take(folder, "job")
    before = files(folder)
    assert not withdraw(folder, "job", 1)
    assert files(folder) == before
