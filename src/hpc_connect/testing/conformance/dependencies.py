"""Jobs that wait for others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpc_connect.capability import Capability
from hpc_connect.group import ProcessGroup
from hpc_connect.status import JobState, Reason
from hpc_connect.testing.conformance.base import ConformanceBase

if TYPE_CHECKING:
    from hpc_connect.process import HPCProcess
    from hpc_connect.testing.conformance.base import Jobs


class Dependencies(ConformanceBase):
    @pytest.mark.parametrize(
        ("kind", "code", "starts"),
        [
            ("afterok", 0, True),
            ("afterok", 3, False),
            ("afternotok", 0, False),
            ("afternotok", 3, True),
            ("afterany", 0, True),
            ("afterany", 3, True),
        ],
    )
    @pytest.mark.parametrize("late", [False, True], ids=["before it ends", "after it ended"])
    def test_a_job_starts_or_never_does_by_the_end_of_another(
        self, jobs: Jobs, kind: str, code: int, starts: bool, late: bool
    ) -> None:
        jobs.need(Capability(kind))
        first = jobs.submit(["while ! test -e go; do sleep 0.05; done", f"touch ended; exit {code}"])
        if late:
            jobs.run(["touch go"])
            first.wait(self.timeout)
        second = jobs.submit(["test -e ended"], dependencies=[(kind, first)])
        if not late:
            self._waits(jobs, second)
            jobs.run(["touch go"])
        if starts:
            assert second.wait(self.timeout) == 0
        else:
            self._never_starts(jobs, second)

    def test_a_job_starts_once_another_has_started(self, jobs: Jobs) -> None:
        jobs.need(Capability.AFTERSTART)
        jobs.need(Capability.HOLD)
        first = jobs.submit(["sleep 600"], hold=True)
        second = jobs.submit(["true"], dependencies=[("afterstart", first)])
        self._waits(jobs, second)
        first.release()
        assert second.wait(self.timeout) == 0
        assert first.poll() is None

    def test_elements_wait_for_the_elements_of_another_array(self, jobs: Jobs) -> None:
        jobs.need(Capability.AFTERCORR, Capability.ARRAY)
        first = jobs.submit(['exit "$HPC_CONNECT_ARRAY_INDEX"'], array=[0, 1])
        second = jobs.submit(["true"], array=[0, 1], dependencies=[("aftercorr", first)])
        assert isinstance(second, ProcessGroup)
        assert second[0].wait(self.timeout) == 0
        self._never_starts(jobs, second[1])

    def test_of_jobs_of_one_name_only_one_runs_at_a_time(self, jobs: Jobs) -> None:
        jobs.need(Capability.SINGLETON)
        alone = ["mkdir alone || exit 9; sleep 0.1; rmdir alone"]
        made = [jobs.submit(alone, name="the only one", dependencies=["singleton"]) for _ in range(3)]
        assert [job.wait(self.timeout) for job in made] == [0, 0, 0]

    def test_all_dependencies_must_hold(self, jobs: Jobs) -> None:
        jobs.need(Capability.AFTEROK, Capability.AFTERANY)
        good, bad = jobs.submit(["true"]), jobs.submit(["false"])
        both = jobs.submit(["true"], dependencies=[("afterok", good), ("afterany", bad)])
        never = jobs.submit(["true"], dependencies=[("afterok", good), ("afterok", bad)])
        assert both.wait(self.timeout) == 0
        self._never_starts(jobs, never)

    def test_any_of_the_dependencies_is_enough_where_that_was_asked(self, jobs: Jobs) -> None:
        jobs.need(Capability.AFTEROK, Capability.ANY_DEPENDENCY)
        good, bad = jobs.submit(["true"]), jobs.submit(["false"])
        dependencies = [("afterok", bad), ("afterok", good)]
        assert jobs.submit(["true"], dependencies=dependencies, dependency_mode="any").wait(self.timeout) == 0

    def test_a_dependency_may_be_named_by_id(self, jobs: Jobs) -> None:
        jobs.need(Capability.AFTEROK)
        first = jobs.submit(["true"])
        for target in (first.id, first.native_id):
            assert jobs.submit(["true"], dependencies=[("afterok", target)]).wait(self.timeout) == 0

    def _waits(self, jobs: Jobs, job: HPCProcess) -> None:
        status = jobs.until(job, lambda status: bool(status.pending_reason))
        assert status.state is JobState.QUEUED
        with pytest.raises(TimeoutError):
            job.wait(0.1)

    def _never_starts(self, jobs: Jobs, job: HPCProcess) -> None:
        """It says so, and ends; or, where the scheduler keeps such a job, it waits and says why."""
        try:
            code = job.wait(self.timeout / 10)
        except TimeoutError:
            assert job.status.state in (JobState.QUEUED, JobState.HELD)
            assert job.status.pending_reason
        else:
            assert code != 0
            assert (job.status.state, job.status.reason) == (JobState.FAILED, Reason.DEPENDENCY)
        assert job.status.started_at is None
