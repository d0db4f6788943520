"""What can be asked of a job: to end, to wait, to stop for a while, to start again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpc_connect.capability import Capability
from hpc_connect.job import JobProcess
from hpc_connect.process import HPCProcess
from hpc_connect.status import JobState, Reason
from hpc_connect.testing.conformance.base import ConformanceBase

if TYPE_CHECKING:
    from pathlib import Path

    from hpc_connect.testing.conformance.base import Jobs, Lifeline

ALIVE = "echo alive; while :; do sleep 0.1; done"


class Control(ConformanceBase):
    # ------------------------------------------------------------------ cancel

    def test_a_cancelled_job_is_gone_with_all_that_it_started(self, jobs: Jobs, lifeline: Lifeline) -> None:
        jobs.need(Capability.CANCEL)
        child = f"sh -c '{lifeline.call}; sleep 600; true'"
        job = jobs.submit([lifeline.hold, f"sleep 600 & {child} & wait"])
        lifeline.wait_until_called()
        job.cancel()
        assert job.wait(self.timeout) != 0
        lifeline.wait_until_gone()

    def test_a_cancelled_job_ends_and_says_that_it_did_not_end_well(self, jobs: Jobs) -> None:
        jobs.need(Capability.CANCEL)
        job = jobs.submit(["sleep 600"])
        job.cancel()
        code = job.wait(self.timeout)
        assert code != 0
        assert job.returncode == code
        state = job.status.state
        if type(job).status is HPCProcess.status:  # it knows only return codes
            assert state is JobState.FAILED
        else:
            assert state is JobState.CANCELLED

    def test_cancelling_again_or_too_late_changes_nothing(self, jobs: Jobs) -> None:
        jobs.need(Capability.CANCEL)
        job = jobs.submit(["sleep 600"])
        job.cancel()
        job.cancel()
        code = job.wait(self.timeout)
        job.cancel()
        assert job.wait() == code
        ended = jobs.run(["exit 3"])
        ended.cancel()
        assert ended.wait() == 3
        assert ended.status.reason is Reason.EXIT

    def test_a_job_that_ignores_the_signal_is_killed_after_the_grace_time(
        self, jobs: Jobs, lifeline: Lifeline
    ) -> None:
        jobs.need(Capability.CANCEL)
        handle = jobs.submit(["true"])
        if not isinstance(handle, JobProcess):
            pytest.skip(f"{type(handle).__name__} has a cancel() of its own")
        job = jobs.submit(["trap '' TERM", lifeline.hold, lifeline.call, "while :; do sleep 0.1; done"])
        lifeline.wait_until_called()
        assert isinstance(job, JobProcess)
        job.cancel(grace=0.1)
        assert job.wait(self.timeout) != 0
        lifeline.wait_until_gone()
        assert job.status.state is JobState.CANCELLED

    def test_a_job_that_has_not_started_can_be_cancelled(self, jobs: Jobs, folder: Path) -> None:
        jobs.need(Capability.CANCEL, Capability.HOLD)
        job = jobs.submit(["touch ran"], hold=True)
        jobs.until(job, lambda status: status.state is JobState.HELD)
        job.cancel()
        assert job.wait(self.timeout) == -15
        assert job.status.state is JobState.CANCELLED
        assert job.status.started_at is None
        assert not (folder / "ran").exists()

    # ------------------------------------------------------------------ hold and release

    def test_a_job_submitted_held_starts_when_it_is_released(self, jobs: Jobs) -> None:
        jobs.need(Capability.HOLD)
        job = jobs.submit(["true"], hold=True)
        jobs.until(job, lambda status: status.state is JobState.HELD and status.pending_reason != "")
        job.release()
        assert job.wait(self.timeout) == 0

    def test_a_queued_job_can_be_held(self, jobs: Jobs) -> None:
        jobs.need(Capability.HOLD, Capability.AFTERANY)
        first = jobs.submit(["true"], hold=True)
        second = jobs.submit(["true"], dependencies=[("afterany", first)])
        second.hold()
        first.release()
        first.wait(self.timeout)
        jobs.until(second, lambda status: status.state is JobState.HELD)
        second.release()
        assert second.wait(self.timeout) == 0

    # ------------------------------------------------------------------ suspend and resume

    def test_a_suspended_job_stands_still_until_it_is_resumed(self, jobs: Jobs) -> None:
        jobs.need(Capability.SUSPEND)
        job = jobs.submit(["echo started; while ! test -e go; do sleep 0.05; done"])
        jobs.until_printed(job, "started")
        job.suspend()
        jobs.until(job, lambda status: status.state is JobState.SUSPENDED)
        jobs.run(["touch go"])
        with pytest.raises(TimeoutError):
            job.wait(0.3)
        job.resume()
        jobs.until(job, lambda status: status.state is not JobState.SUSPENDED)
        assert job.wait(self.timeout) == 0

    # ------------------------------------------------------------------ requeue

    def test_a_requeued_job_starts_again_as_its_next_attempt(self, jobs: Jobs) -> None:
        jobs.need(Capability.REQUEUE)
        job = jobs.submit(["if test -e before; then exit 6; fi", "touch before", ALIVE], requeue=True)
        jobs.until_printed(job, "alive")
        job.requeue()
        assert job.wait(self.timeout) == 6
        assert job.status.attempt == 2

    # ------------------------------------------------------------------ signals

    @pytest.mark.parametrize("signal", [10, "USR1", "SIGUSR1"])
    def test_a_signal_reaches_the_job(self, jobs: Jobs, signal: int | str) -> None:
        jobs.need(Capability.SEND_SIGNAL)
        job = jobs.submit(["trap 'exit 7' USR1", ALIVE])
        jobs.until_printed(job, "alive")
        job.send_signal(signal)
        assert job.wait(self.timeout) == 7
        job.send_signal(signal)  # nobody is there any more
        assert job.status.state is JobState.FAILED

    # ------------------------------------------------------------------ time limit

    def test_a_job_that_exceeds_its_time_limit_is_ended(self, jobs: Jobs, lifeline: Lifeline) -> None:
        job = jobs.submit([lifeline.hold, "sleep 600 & sleep 600"], time_limit=self.shortest_time_limit)
        assert job.wait(self.timeout) != 0
        lifeline.wait_until_gone()
        if type(job).status is not HPCProcess.status:
            assert (job.status.state, job.status.reason) == (JobState.FAILED, Reason.TIMEOUT)
            assert job.status.timed_out
