"""Backends pass the tests that every backend has to pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import hpc_connect
from hpc_connect.testing import BackendConformance

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One journal and one supervisor for all of these tests, as a user has them."""
    return tmp_path_factory.mktemp("home")


class TestShell(BackendConformance):
    @pytest.fixture
    def backend(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> hpc_connect.HPCBackend:
        monkeypatch.setenv("XDG_STATE_HOME", str(home))
        monkeypatch.setenv("XDG_DATA_HOME", str(home))
        return hpc_connect.get_backend("shell")
