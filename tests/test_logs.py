"""Showing what the library does."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from hpc_connect.logs import set_debug

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    set_debug(False)


def test_what_the_library_does_is_shown_on_stderr_until_it_is_switched_off(
    capsys: pytest.CaptureFixture[str],
) -> None:
    below = logging.getLogger("hpc_connect.somewhere")
    below.debug("before")
    set_debug(True)
    below.debug("while on")
    set_debug(False)
    below.debug("after")
    shown = capsys.readouterr()
    assert [line.split()[-1] for line in shown.err.splitlines()] == ["on"]
    assert "hpc_connect.somewhere" in shown.err
    assert shown.out == ""


def test_switching_it_on_twice_shows_each_thing_once(capsys: pytest.CaptureFixture[str]) -> None:
    set_debug()
    set_debug()
    logging.getLogger("hpc_connect").debug("once")
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_handlers_of_others_are_left_alone() -> None:
    logger = logging.getLogger("hpc_connect")
    mine = logging.NullHandler()
    logger.addHandler(mine)
    try:
        set_debug(True)
        set_debug(False)
        assert mine in logger.handlers
        assert logger.level == logging.NOTSET
    finally:
        logger.removeHandler(mine)
