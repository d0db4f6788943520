"""Tables of the reference say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import hpc_connect
from hpc_connect.capability import Capability
from hpc_connect.plugins.discovery import BACKEND, built_in_names
from hpc_connect.status import JobState, Reason

REFERENCE = Path(__file__).parent.parent / "docs" / "reference"


def rows(page: str, first: str) -> list[list[str]]:
    """The cells of the table whose first column has this title, without its head."""
    text = (REFERENCE / page).read_text(encoding="utf-8")
    table = re.search(rf"^\| {re.escape(first)} .*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert table is not None
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table[1].splitlines()]


def columns(page: str, first: str) -> list[str]:
    text = (REFERENCE / page).read_text(encoding="utf-8")
    head = re.search(rf"^\| {re.escape(first)} .*$", text, re.MULTILINE)
    assert head is not None
    return [cell.strip(" `") for cell in head[0].strip("|").split("|")]


def test_every_capability_has_a_row() -> None:
    assert {row[0].strip("`") for row in rows("capabilities.md", "Capability")} == {*Capability}


def test_every_built_in_backend_has_a_column() -> None:
    assert columns("capabilities.md", "Capability")[2:] == sorted(built_in_names(BACKEND))


@pytest.mark.parametrize("backend", sorted(built_in_names(BACKEND)))
def test_the_table_says_what_the_backend_declares(backend: str) -> None:
    column = columns("capabilities.md", "Capability").index(backend)
    said = {
        row[0].strip("`") for row in rows("capabilities.md", "Capability") if row[column].startswith("yes")
    }
    assert said == {*hpc_connect.schedulers()[backend].capabilities}
    assert {row[column].partition(" ")[0].strip(",") for row in rows("capabilities.md", "Capability")} <= {
        "yes",
        "no",
    }


def test_every_state_has_a_row_and_ends_are_marked() -> None:
    table = {row[0].strip("`"): row[1] == "end" for row in rows("handles-and-states.md", "State")}
    assert table == {str(state): state.terminal for state in JobState}


def test_every_reason_is_named() -> None:
    text = (REFERENCE / "handles-and-states.md").read_text(encoding="utf-8")
    sentence = re.search(r"^Reasons of a `FAILED` job: (.*?)\n\n", text, re.MULTILINE | re.DOTALL)
    assert sentence is not None
    assert re.findall(r"`([A-Z_]+)`", sentence[1]) == [*map(str, Reason)]
