"""What tests of the commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from stand_ins import on_path

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def bin_folder(own_environment: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on ``PATH`` that may hold launchers, empty at first."""
    folder = own_environment / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", on_path(folder))
    return folder
