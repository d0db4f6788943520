"""The shipped tests pass for the smallest backend there can be, and find what is wrong with others."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from hpc_connect.capability import Capability
from hpc_connect.testing import BackendConformance
from hpc_connect.testing.conformance.refusals import BACKEND_VERBS, HANDLE_VERBS, REQUESTS
from minimal_backend import MinimalBackend

TESTS = Path(__file__).parent.parent


class TestMinimal(BackendConformance):
    @pytest.fixture
    def backend(self) -> MinimalBackend:
        return MinimalBackend()


def test_every_capability_that_may_be_missing_has_its_refusal() -> None:
    every_backend = {Capability.NODES, Capability.TASKS, Capability.GPUS, Capability.TIME_LIMIT}
    covered = {*REQUESTS, *HANDLE_VERBS, *BACKEND_VERBS, Capability.KEY}
    assert covered | every_backend == {*Capability}


# ---------------------------------------------------------------- what it finds

FAULTY = """
import os, signal, subprocess
import pytest
from hpc_connect.capability import Capability
from hpc_connect.process import HPCProcess
from hpc_connect.status import JobState, JobStatus
from hpc_connect.testing import BackendConformance
from minimal_backend import MinimalBackend, MinimalProcess

class Suite(BackendConformance):
    timeout = 2.0

    @pytest.fixture
    def backend(self):
        return self.make()

class TestDropsFields(Suite):
    class make(MinimalBackend):
        def refuse(self, spec): pass

class TestPastesVariables(Suite):
    class make(MinimalBackend):
        def submit(self, name, args, *more, variables=None, **words):
            pasted = "".join(f'export {key}="{value}"\\n' for key, value in (variables or {}).items() if value)
            return self.start(pasted + "\\n".join(c if isinstance(c, str) else " ".join(c) for c in args))

class TestEndsWithTheLastCommand(Suite):
    class make(MinimalBackend):
        def start(self, script):
            return super().start(script.replace('exit "$?"', ":"))

class Well(MinimalProcess):
    def poll(self):
        return None if super().poll() is None else 0

class TestAlwaysWell(Suite):
    class make(MinimalBackend):
        def start(self, script):
            return Well(super().start(script)._process)

class Code(MinimalProcess):
    def poll(self):
        code = super().poll()
        return 128 - code if code is not None and code < 0 else code

class TestSignalsAsCodes(Suite):
    class make(MinimalBackend):
        def start(self, script):
            return Code(super().start(script)._process)

class Leaves(MinimalProcess):
    def cancel(self):
        self._process.terminate()

class TestLeavesProcesses(Suite):
    class make(MinimalBackend):
        def start(self, script):
            return Leaves(super().start(script.replace("sleep 600", "sleep 4"))._process)

class Deaf(MinimalProcess):
    def cancel(self):
        pass

class TestCancelsNothing(Suite):
    class make(MinimalBackend):
        def start(self, script):
            return Deaf(super().start(script.replace("sleep 600", "sleep 1"))._process)

class TestPromisesTooMuch(Suite):
    class make(MinimalBackend):
        capabilities = frozenset({Capability.CANCEL, Capability.HOLD, Capability.ATTACH})
"""

FOUND = {
    "TestDropsFields": [
        "test_a_field_that_was_not_declared_is_refused_by_name[compact-array]",
        "test_a_field_that_was_not_declared_is_refused_by_name[compact-queue]",
    ],
    "TestPastesVariables": [
        "test_variables_arrive_byte_for_byte_and_nothing_else_runs",
        "test_arguments_arrive_byte_for_byte_and_nothing_else_runs",
    ],
    "TestEndsWithTheLastCommand": ["test_the_first_command_that_fails_ends_the_job_with_its_code"],
    "TestAlwaysWell": [
        "test_an_exit_code_arrives_as_it_is[1]",
        "test_a_cancelled_job_ends_and_says_that_it_did_not_end_well",
        "test_submitn_gives_one_process_for_the_lot",
    ],
    "TestSignalsAsCodes": ["test_a_signal_is_no_exit_code[9]"],
    "TestLeavesProcesses": ["test_a_cancelled_job_is_gone_with_all_that_it_started"],
    "TestCancelsNothing": ["test_a_cancelled_job_ends_and_says_that_it_did_not_end_well"],
    "TestPromisesTooMuch": [
        "test_a_job_submitted_held_starts_when_it_is_released",
        "test_a_job_is_found_by_its_ids",
    ],
}


def run(tests: str, *options: str) -> str:
    """What pytest prints for a test file of somebody who has only installed the package."""
    Path("test_theirs.py").write_text(textwrap.dedent(tests))
    environment = {
        **os.environ,
        "PYTHONPATH": f"{TESTS}:{os.environ.get('PYTHONPATH', '')}",
        "PYTEST_ADDOPTS": "",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            ".",
            "-rA",
            *options,
            "test_theirs.py",
        ],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    return done.stdout + done.stderr


def outcomes(printed: str, outcome: str) -> set[str]:
    return {*re.findall(rf"^{outcome} test_theirs.py::(\S+)", printed, re.MULTILINE)}


def test_each_fault_is_found() -> None:
    chosen = {(suite, test.partition("[")[0]) for suite, tests in FOUND.items() for test in tests}
    printed = run(FAULTY, "-k", " or ".join(f"({suite} and {test})" for suite, test in sorted(chosen)))
    failed = outcomes(printed, "FAILED") | outcomes(printed, "ERROR")
    expected = {f"{suite}::{test}" for suite, tests in FOUND.items() for test in tests}
    assert expected - failed == set(), printed


def test_a_suite_without_a_backend_says_what_is_missing() -> None:
    printed = run(
        """
        from hpc_connect.testing import BackendConformance

        class TestMine(BackendConformance):
            pass
        """,
        "-k",
        "test_a_job_that_ends_well",
    )
    assert "define a fixture `backend`" in printed


def test_a_failed_assertion_shows_the_values() -> None:
    printed = run(FAULTY, "-k", "TestAlwaysWell and test_an_exit_code_arrives_as_it_is")
    assert re.search(r"assert \(0, 0, 0\) == \(255, 255, 255\)", printed), printed
