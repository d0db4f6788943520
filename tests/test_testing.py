"""The testing kit is there for everybody; what needs pytest says so where there is none."""

from __future__ import annotations

import subprocess
import sys

import pytest

import hpc_connect.testing


def without_pytest(statement: str) -> subprocess.CompletedProcess[str]:
    """Run something where pytest is not installed."""
    program = f"import sys; sys.modules['pytest'] = None\n{statement}"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def test_every_name_is_there() -> None:
    for name in hpc_connect.testing.__all__:
        assert getattr(hpc_connect.testing, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="FakeCluster"):
        hpc_connect.testing.FakeCluster  # noqa: B018 - reading it is the test


def test_the_fakes_do_without_pytest() -> None:
    done = without_pytest(
        "from hpc_connect.testing import FakeClock, FakeTransport; FakeTransport(FakeClock())"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_needs_pytest_says_how_to_get_it() -> None:
    done = without_pytest("from hpc_connect.testing import BackendConformance")
    assert "BackendConformance needs pytest: pip install pytest" in done.stderr.splitlines()[-1]


def test_nothing_of_it_is_loaded_by_using_the_library() -> None:
    program = "import sys, hpc_connect; hpc_connect.get_backend('shell'); print('hpc_connect.testing' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
