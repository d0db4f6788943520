"""The record folder: what is found in it, what is not, and what is left of it."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from hpc_connect.records.folder import RecordFolder
from hpc_connect.records.line import EndRecord, StartRecord, format_end, format_start, name_of_end

if TYPE_CHECKING:
    from pathlib import Path

START = StartRecord("job", "-", "4711", 1, 42, "815", "boot", "node", 1.5)
END = EndRecord("job", "-", "4711", 1, "exit", 3, "-", "node", 1.5, 2.5)
TOLD = END._replace(native="-", host="-", started=0.0, ended=0.0)


@pytest.fixture
def folder(tmp_path: Path) -> RecordFolder:
    folder = RecordFolder(str(tmp_path / "deep" / "records"))
    folder.make()
    return folder


def write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)


def files(folder: RecordFolder) -> list[str]:
    return sorted(name for _, _, names in os.walk(folder.path) for name in names)


def test_it_is_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o777)
    try:
        folder = RecordFolder(str(tmp_path / "records"))
        folder.make()
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(os.stat(path).st_mode) for path, _, _ in os.walk(folder.path)}
    assert modes == {0o700}
    folder.make()


def test_what_is_no_folder_cannot_become_one(tmp_path: Path) -> None:
    (tmp_path / "records").touch()
    with pytest.raises(FileExistsError):
        RecordFolder(str(tmp_path / "records")).make()


def test_nothing_is_found_where_nothing_was_written(folder: RecordFolder) -> None:
    elsewhere = RecordFolder(folder.path + "/absent")
    for place in (folder, elsewhere):
        assert place.find_start("job") is None
        assert place.find_native("4711") is None
        assert place.find_end("job", 1) is None
        assert place.find_end("job") is None
        assert list(place.ended()) == []
        assert place.listing() == (frozenset(), frozenset())
        place.clear("job")


def test_records_are_found_by_the_name_of_the_job(folder: RecordFolder) -> None:
    write(folder.start("job"), format_start(START))
    write(folder.end("other"), format_end(END._replace(id="other")))
    assert folder.find_start("job") == START
    assert folder.find_end("job", 1) is None
    assert folder.find_end("other", 1).id == "other"
    assert folder.listing() == ({"job.start"}, {"other"})


def test_a_job_is_found_by_the_id_of_the_scheduler(folder: RecordFolder) -> None:
    write(folder.start("job"), format_start(START))
    write(folder.start("other.7"), format_start(START._replace(id="other", array_index="7", native="4712")))
    write(folder.start("torn"), format_start(START._replace(native="4713"))[:-3])
    write(folder.end("ended.8"), format_end(END._replace(id="ended", array_index="8", native="4714")))
    found = [folder.find_native(native) for native in ("4711", "4712", "4713", "4714", "471", "-")]
    assert found == ["job", "other.7", None, "ended.8", None, None]


def test_a_record_counts_only_for_the_attempt_that_it_names(folder: RecordFolder) -> None:
    second = END._replace(attempt=2, number=4)
    write(folder.end("job"), format_end(END) + format_end(second))
    assert folder.find_end("job", 1) == END
    assert folder.find_end("job", 2) == second
    assert folder.find_end("job", 3) is None
    assert folder.find_end("job") == second


def test_of_two_ends_of_an_attempt_the_later_counts(folder: RecordFolder) -> None:
    later = END._replace(number=4)
    write(folder.end("job"), format_end(END) + format_end(later))
    assert folder.find_end("job", 1) == later


def test_an_end_beside_the_start_counts_before_it_was_moved(folder: RecordFolder) -> None:
    second = END._replace(attempt=2, number=4)
    write(folder.end("job"), format_end(END))
    write(folder.start("job"), format_start(START._replace(attempt=2)) + format_end(second))
    assert folder.find_end("job", 2) == second
    assert folder.find_end("job", 1) == END
    assert folder.find_end("job") == second


def test_a_name_tells_the_end_where_no_line_does(folder: RecordFolder) -> None:
    write(folder.end(name_of_end("job", END)), "")
    write(folder.end("job"), format_end(END)[:-4])
    assert folder.find_end("job", 1) == TOLD
    assert folder.find_end("job", 2) is None
    assert folder.find_end("job") == TOLD
    assert folder.find_end("jo", 1) is None
    assert list(folder.ended()) == [TOLD]
    assert folder.listing().ended == {"job"}


def test_one_look_finds_all_ends(folder: RecordFolder) -> None:
    ends = [END._replace(id=f"job{number}", array_index=str(number), number=number) for number in range(20)]
    for end in ends:
        write(folder.end(f"{end.id}.{end.array_index}"), format_start(START) + format_end(end))
    write(folder.end("torn"), format_end(END)[:-1])
    write(folder.end("alien"), "\0\udcff")
    os.mkdir(folder.end("folder"))
    assert sorted(folder.ended(), key=lambda end: end.number) == ends


def test_bytes_that_are_no_text_are_kept(folder: RecordFolder) -> None:
    end = END._replace(native="a\udcffb")
    write(folder.end("job"), format_end(end))
    assert folder.find_end("job", 1) == end


def test_nothing_is_left_of_a_job_whose_result_was_collected(folder: RecordFolder) -> None:
    for path in (folder.script, folder.order, folder.start, folder.receipt):
        write(path("job"), "")
    write(folder.end("job"), format_end(END._replace(attempt=2)))
    write(folder.end(name_of_end("job", END)), "")
    for name in ("job2", "job.1", "jo"):
        write(folder.start(name), "")
        write(folder.end(name), "")
    folder.clear("job")
    assert files(folder) == sorted(["job2", "job2.start", "job.1", "job.1.start", "jo", "jo.start"])


def test_the_supervisor_is_a_copy_that_an_upgrade_does_not_change(folder: RecordFolder) -> None:
    with open(folder.supervisor, "rb") as file:
        content = file.read()
    assert b"hpc_connect_main" in content
    assert stat.S_IMODE(os.stat(folder.supervisor).st_mode) == 0o600
    inode = os.stat(folder.supervisor).st_ino
    again = RecordFolder(folder.path)
    assert os.stat(again.supervisor).st_ino == inode
    assert files(folder) == [os.path.basename(folder.supervisor)]


@pytest.mark.parametrize("torn", [b"", b"# hpc_connect supervisor"])
def test_a_supervisor_that_is_not_whole_is_written_again(folder: RecordFolder, torn: bytes) -> None:
    with open(folder.supervisor, "rb") as file:
        content = file.read()
    with open(folder.supervisor, "wb") as file:
        file.write(torn)
    with open(RecordFolder(folder.path).supervisor, "rb") as file:
        assert file.read() == content
