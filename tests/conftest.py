"""What every test gets: an environment of its own, repeatable properties, and nothing left running."""

from __future__ import annotations

import os
import tempfile
import uuid
from typing import TYPE_CHECKING

import psutil
import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

# The same examples in every run, so that the gate is the same at hand and in CI. To look for new ones:
# pytest --hypothesis-profile=explore
settings.register_profile(
    "gate", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", settings.get_profile("gate"), derandomize=False, max_examples=2000)
settings.load_profile("gate")

FOREIGN = ("HPC_CONNECT_", "HPCC_", "SLURM_", "SBATCH_", "PBS_", "PMI", "OMPI_", "PMIX_", "HYDRA_", "XDG_")
"""Variables of an enclosing job, launcher or user, which must not decide how a test goes."""

MARK = "_TESTS_OF_HPC_CONNECT"
"""Carries the name of the test session into every process that a test starts, detached ones too."""


REAL_ONES_ARE_REQUIRED = os.environ.get("HPC_CONNECT_TEST_REQUIRE_REAL") == "1"
"""Whether this machine must have all real components, so that no test may be skipped for want of one."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    skipped = isinstance(report.longrepr, tuple)  # an expected failure has no such place and reason
    if skipped and REAL_ONES_ARE_REQUIRED and item.get_closest_marker("real"):
        report.outcome = "failed"
        report.longrepr = f"{report.longrepr[2]} (HPC_CONNECT_TEST_REQUIRE_REAL=1)"
    return report


@pytest.fixture(scope="session", autouse=True)
def nothing_left_running() -> Iterator[str]:
    """Fails the run when a process that a test started is still there after the last one; ends it by pid."""
    session = uuid.uuid4().hex
    yield session
    left = _started_by(session)
    psutil.wait_procs(left, timeout=5)  # what was told to end may need a moment
    left = _started_by(session)
    if left:
        report = "\n".join(f"  {process.pid}: {_command_line(process)}" for process in left)
        for process in left:
            process.kill()
        psutil.wait_procs(left, timeout=5)
        pytest.fail(f"tests left processes running, or did not wait for their end:\n{report}", pytrace=False)


@pytest.fixture(autouse=True)
def own_environment(
    nothing_left_running: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A fresh home, folder for temporary files and working directory, and no variables of others.

    Returns the folder that holds the three.
    """
    place = tmp_path_factory.mktemp("own")
    for name in [name for name in os.environ if name.startswith(FOREIGN)]:
        monkeypatch.delenv(name)
    for variable, folder in (("HOME", "home"), ("TMPDIR", "tmp")):
        (place / folder).mkdir()
        monkeypatch.setenv(variable, str(place / folder))
    monkeypatch.setattr(tempfile, "tempdir", None)  # it remembers an earlier TMPDIR
    (place / "work").mkdir()
    monkeypatch.chdir(place / "work")
    monkeypatch.setenv(MARK, nothing_left_running)
    return place


def _started_by(session: str) -> list[psutil.Process]:
    """The children of this process, and every process anywhere that carries the mark of this session."""
    own = psutil.Process()
    found = {child.pid: child for child in own.children(recursive=True) if not _ends_with_us(child)}
    for process in psutil.process_iter():
        try:
            if process != own and process.environ().get(MARK) == session and not _ends_with_us(process):
                found[process.pid] = process
        except psutil.Error:
            continue  # it has ended meanwhile, or is not ours to look at
    return list(found.values())


def _ends_with_us(process: psutil.Process) -> bool:
    """Whether it is one that lives exactly as long as its client; the jobs of a supervisor are looked at anyway."""
    return any(
        name in _command_line(process)
        for name in ("multiprocessing.resource_tracker", "hpc_connect.local.supervisor")
    )


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()) or f"{process.name()} ({process.status()})"
    except psutil.Error:
        return "(ended)"
