"""What every place promises, whether it is a machine or stands in for one."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from hpc_connect.testing import FakeTransport
from hpc_connect.transport import Completed, Transport
from hpc_connect.transport.local import LocalTransport

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=[LocalTransport, FakeTransport])
def place(request: pytest.FixtureRequest) -> Transport:
    made: Transport = request.param()
    return made


def test_a_file_holds_what_was_written(place: Transport, tmp_path: Path) -> None:
    path = str(tmp_path / "new folder" / "deep" / "a file\n")
    assert place.read(path) is None
    for content in (b"", b"\x00\xff\r\n" * 100_000, b"shorter"):
        place.write(path, content)
        assert place.read(path) == content


def test_a_folder_lists_its_names_in_order(place: Transport, tmp_path: Path) -> None:
    assert place.list(str(tmp_path / "missing")) == ()
    for name in ("b", "a", "ü", "folder/inside", ".hidden"):
        place.write(str(tmp_path / name), b"x")
    assert place.list(str(tmp_path)) == (".hidden", "a", "b", "folder", "ü")


def test_removing_leaves_the_others_and_does_not_mind_what_is_gone(place: Transport, tmp_path: Path) -> None:
    for name in "abc":
        place.write(str(tmp_path / name), b"x")
    place.remove(str(tmp_path / name) for name in ("a", "missing", "no/such/folder", "c"))
    assert place.list(str(tmp_path)) == ("b",)


def test_what_a_command_gave_does_not_change() -> None:
    done = Completed(argv=("true",), returncode=0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        done.returncode = 1  # type: ignore[misc]  # that is the point
    assert "stdout" not in repr(Completed(argv=("x",), returncode=0, stdout=b"y" * 10**6))
