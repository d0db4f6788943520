"""One end, told to everybody who waits for it, in whatever way."""

from __future__ import annotations

import asyncio
import pickle
import threading
from concurrent.futures import CancelledError
from concurrent.futures import wait as wait_for_futures
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from hpc_connect.errors import JobCancelled, JobFailed
from hpc_connect.group import as_completed
from hpc_connect.process import HPCProcess
from hpc_connect.status import JobState
from hpc_connect.testing.conformance.base import ConformanceBase

if TYPE_CHECKING:
    from hpc_connect.testing.conformance.base import Jobs


class Waiting(ConformanceBase):
    def test_a_time_out_leaves_the_job_alone(self, jobs: Jobs) -> None:
        job = jobs.submit(["sleep 600"])
        for timeout in (0, 0.05):
            with pytest.raises(TimeoutError):
                job.wait(timeout)
        with pytest.raises(TimeoutError):
            job.result(timeout=0.05)
        with pytest.raises(TimeoutError):
            next(as_completed([job], timeout=0.05))
        assert job.poll() is None
        assert not job.status.state.terminal

    def test_result_of_a_failed_job_raises_with_its_status_and_the_end_of_its_output(
        self, jobs: Jobs
    ) -> None:
        job = jobs.submit(["echo 'what went wrong'", "exit 3"])
        with pytest.raises(JobFailed) as caught:
            job.result(self.timeout)
        assert caught.value.status == job.status
        assert caught.value.status.exit_code == 3
        assert caught.value.job_id == job.id
        assert caught.value.output_tail == jobs.output_of(job).strip() == "what went wrong"

    def test_awaiting_gives_what_result_does(self, jobs: Jobs) -> None:
        good, bad = jobs.submit(["true"]), jobs.submit(["exit 3"])

        async def outcome(job: HPCProcess) -> int:
            return await asyncio.wait_for(job, self.timeout)

        assert asyncio.run(outcome(good)) == 0
        with pytest.raises(JobFailed):
            asyncio.run(outcome(bad))

    def test_cancelling_the_task_leaves_the_job_alone(self, jobs: Jobs) -> None:
        job = jobs.submit(["sleep 600"])

        async def impatient() -> None:
            await asyncio.wait_for(job, timeout=0.05)

        with pytest.raises(TimeoutError):
            asyncio.run(impatient())
        assert job.poll() is None

    def test_it_can_be_awaited_in_several_loops_at_once(self, jobs: Jobs) -> None:
        job = jobs.submit(["sleep 0.2"])
        results: list[int] = []

        async def wait() -> None:
            results.append(await job)

        threads = [threading.Thread(target=lambda: asyncio.run(wait())) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(self.timeout)
        assert results == [0, 0]

    def test_a_future_has_the_outcome(self, jobs: Jobs) -> None:
        good, bad = jobs.submit(["true"]).as_future(), jobs.submit(["exit 3"]).as_future()
        done, _ = wait_for_futures([good, bad], timeout=self.timeout)
        assert done == {good, bad}
        assert good.result() == 0
        with pytest.raises(JobFailed):
            bad.result()

    def test_cancelling_the_future_leaves_the_job_alone(self, jobs: Jobs) -> None:
        job = jobs.submit(["sleep 600"])
        future = job.as_future()
        assert future.cancel()
        assert wait_for_futures([future], timeout=self.timeout).done == {future}
        assert job.poll() is None

    def test_a_future_of_a_cancelled_job_tells_it(self, jobs: Jobs) -> None:
        job = jobs.submit(["sleep 600"])
        future = job.as_future()
        job.cancel()
        with pytest.raises((CancelledError, JobFailed)) as caught:
            future.result(self.timeout)
        # A handle that cannot tell a cancelled job from another that was ended by a signal says what it knows.
        knows = type(job).status is not HPCProcess.status
        assert (caught.type is CancelledError) == knows

    def test_callbacks_run_once_when_it_has_ended_and_at_once_when_it_had(self, jobs: Jobs) -> None:
        job = jobs.submit(["exit 3"])
        told: list[tuple[Any, int | None]] = []
        heard = threading.Event()

        def listen(process: HPCProcess) -> None:
            told.append((process, process.poll()))
            heard.set()

        job.add_done_callback(listen)
        assert heard.wait(self.timeout)
        assert told == [(job, 3)]
        job.add_done_callback(listen)
        assert told == [(job, 3)] * 2

    def test_errors_in_callbacks_are_kept_and_harm_nobody(self, jobs: Jobs) -> None:
        job = jobs.submit(["true"])
        heard = threading.Event()
        problems = [RuntimeError("a user's mistake"), SystemExit(3)]

        def fail(problem: BaseException, _: HPCProcess) -> None:
            raise problem

        for problem in problems:
            job.add_done_callback(partial(fail, problem))
        job.add_done_callback(lambda _: heard.set())
        assert heard.wait(self.timeout)
        assert job.wait(self.timeout) == 0
        assert job.callback_errors == problems
        assert jobs.run(["true"]).wait() == 0

    def test_as_completed_gives_them_as_they_end(self, jobs: Jobs) -> None:
        long, short = jobs.submit(["sleep 600"]), jobs.submit(["true"])
        ended = as_completed([long, short, long], timeout=self.timeout)
        assert next(ended) is short
        long.cancel()
        assert next(ended) is long
        assert list(ended) == []

    def test_result_of_a_cancelled_job_says_so(self, jobs: Jobs) -> None:
        job = jobs.submit(["sleep 600"])
        job.cancel()
        if type(job).status is HPCProcess.status:
            pytest.skip(f"{type(job).__name__} knows only return codes")
        with pytest.raises(JobCancelled):
            job.result(self.timeout)
        assert job.status.state is JobState.CANCELLED

    def test_a_handle_cannot_be_pickled_and_says_what_to_do(self, jobs: Jobs) -> None:
        job = jobs.submit(["true"])
        with pytest.raises(TypeError, match="attach"):
            pickle.dumps(job)
