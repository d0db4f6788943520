"""Fields of a specification that a backend says it can honour, as far as a job itself can tell."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from hpc_connect.capability import Capability
from hpc_connect.status import JobState
from hpc_connect.testing.conformance.base import ConformanceBase

if TYPE_CHECKING:
    from pathlib import Path

    from hpc_connect.testing.conformance.base import Jobs


class Fields(ConformanceBase):
    @pytest.mark.parametrize(
        "fields",
        [
            {"nodes": 1},
            {"tasks": 1},
            {"tasks": 1, "tasks_per_node": 1},
            {"tasks": 1, "cpus_per_task": 1},
            {"gpus": 0},
            {"time_limit": "1h"},
        ],
        ids=" ".join,
    )
    def test_the_smallest_request_can_be_met(self, jobs: Jobs, fields: dict[str, Any]) -> None:
        jobs.need(*(Capability(field) for field, value in fields.items() if value))
        assert jobs.run(["true"], **fields).wait() == 0

    def test_a_job_runs_in_the_folder_that_was_named(self, jobs: Jobs, folder: Path) -> None:
        jobs.need(Capability.WORKDIR)
        assert jobs.run(['test "$PWD" = /'], workdir="/", stdout=str(folder / "out")).wait() == 0

    def test_a_job_can_read_a_file(self, jobs: Jobs, folder: Path) -> None:
        jobs.need(Capability.STDIN)
        jobs.run(["echo 'from the file' > input"])
        assert jobs.printed(["cat"], stdin="input") == "from the file\n"
        assert jobs.printed(["cat"]) == ""  # with none, there is nothing to read

    @pytest.mark.parametrize(
        ("inherit", "expected"), [(True, "yes both"), (["ONE"], "yes"), (False, ""), (None, "yes both")]
    )
    def test_a_job_inherits_the_variables_it_is_to(
        self, jobs: Jobs, monkeypatch: pytest.MonkeyPatch, inherit: bool | list[str] | None, expected: str
    ) -> None:
        jobs.need(Capability.INHERIT_ENV)
        monkeypatch.setenv("ONE", "yes")
        monkeypatch.setenv("TWO", "both")
        assert jobs.printed(["echo $ONE $TWO"], inherit_env=inherit).strip() == expected

    def test_a_script_runs_under_its_own_interpreter(self, jobs: Jobs) -> None:
        jobs.need(Capability.SCRIPT)
        script = "#!/usr/bin/env -S awk -f\nBEGIN { exit 11 }\n"
        assert jobs.run(None, script=script).wait() == 11

    def test_a_job_does_not_begin_before_its_time(self, jobs: Jobs) -> None:
        jobs.need(Capability.BEGIN)
        begin = datetime.now(UTC) + timedelta(seconds=1)
        job = jobs.submit(["true"], begin=begin)
        status = jobs.until(job, lambda status: bool(status.pending_reason))
        assert status.state is JobState.QUEUED
        assert job.wait(self.timeout) == 0
        assert job.status.started_at is not None
        assert job.status.started_at >= begin - timedelta(milliseconds=50)  # clocks of one machine

    def test_a_job_is_warned_before_its_time_limit(self, jobs: Jobs) -> None:
        jobs.need(Capability.SIGNAL_BEFORE_END, Capability.TIME_LIMIT)
        commands = ["trap 'exit 7' USR1", "while :; do sleep 0.1; done"]
        job = jobs.submit(commands, time_limit="61s", signal_before_end=("USR1", "60s"))
        assert job.wait(self.timeout) == 7
