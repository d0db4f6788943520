"""Fixtures for the record protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from supervised import Supervised

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def supervised(shell: list[str], tmp_path: Path) -> Iterator[Supervised]:
    """One under the shell of the test; ends what the test has left running on purpose."""
    supervised = Supervised(shell, str(tmp_path / "records"))
    yield supervised
    supervised.end_all()
