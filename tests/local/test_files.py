"""The files of a submission, and that they go again."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from hpc_connect.errors import SpecError, SubmitError
from hpc_connect.local.files import Files

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def files() -> Files:
    return Files("id")


@pytest.fixture(params=[0o000, 0o022, 0o777])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def here(name: str) -> str:
    return os.path.abspath(name)


def test_what_was_made_is_taken_back_and_nothing_else(files: Files) -> None:
    os.makedirs("mine")
    with open("mine/file", "w"):
        pass
    files.prepare_output(here("mine/new/folder/out"), "stdout")
    files.write_user_script(here("mine/scripts/script"), b"text")
    files.write_own(here("mine/own"), b"text", 0o600)
    files.take_back()
    assert [*os.walk("mine")] == [("mine", [], ["file"])]


def test_a_folder_that_somebody_uses_by_then_stays(files: Files) -> None:
    files.prepare_output(here("a/b/out"), "stdout")
    with open("a/theirs", "w"):
        pass
    files.take_back()
    assert [*os.walk("a")] == [("a", [], ["theirs"])]


def test_an_output_is_neither_made_nor_changed_before_the_job_starts(files: Files) -> None:
    with open("old", "w") as file:
        file.write("content")
    for name in ("old", "new", "/dev/null"):
        files.prepare_output(here(name), "stdout")
    assert os.listdir() == ["old"]
    assert os.path.getsize("old") == 7


def test_files_of_ours_have_their_mode_whatever_the_umask(files: Files, umask: int) -> None:
    for mode in (0o600, 0o700):
        files.write_own(here(f"own-{mode}"), b"text", mode)
        assert stat.S_IMODE(os.stat(f"own-{mode}").st_mode) == mode


def test_a_script_of_the_users_has_the_mode_that_the_umask_leaves(files: Files, umask: int) -> None:
    files.write_user_script(here("script"), b"text")
    assert stat.S_IMODE(os.stat("script").st_mode) == 0o777 & ~umask


def test_a_file_of_ours_is_never_written_over(files: Files) -> None:
    with open("there", "w") as file:
        file.write("somebody's")
    with pytest.raises(SubmitError, match="File exists"):
        files.write_own(here("there"), b"text", 0o600)


def test_a_file_of_ours_that_cannot_be_written_says_what_to_do(files: Files) -> None:
    with pytest.raises(SubmitError, match="work_dir"):
        files.write_own(here("no/such/folder"), b"text", 0o600)


def test_a_script_is_written_whole_or_not_at_all(files: Files) -> None:
    with open("script", "w") as file:
        file.write("old")
    os.mkdir(f".hpc_connect-{'id'}")  # in the way of the part that is renamed
    with pytest.raises(SpecError):
        files.write_user_script(here("script"), b"new")
    with open("script") as file:
        assert file.read() == "old"
