"""Backends pass the tests that every backend has to pass."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import hpc_connect
from hpc_connect.testing import BackendConformance

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


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


class TestExample(BackendConformance):
    @pytest.fixture
    def backend(self) -> hpc_connect.HPCBackend:
        path = EXAMPLES / "my_plugin" / "src" / "my_plugin" / "backend.py"
        spec = importlib.util.spec_from_file_location("my_plugin.backend", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        made: hpc_connect.HPCBackend = module.MyBackend()
        return made
