"""Jobs are found again: by another handle, by another process, by a key."""

from __future__ import annotations

import pickle
import sys
from typing import TYPE_CHECKING

import pytest

from hpc_connect.capability import Capability
from hpc_connect.errors import SpecError
from hpc_connect.spec import JobSpec
from hpc_connect.testing.conformance.base import ConformanceBase
from hpc_connect.transport.local import LocalTransport

if TYPE_CHECKING:
    from hpc_connect.backend import HPCBackend
    from hpc_connect.testing.conformance.base import Jobs

START = "import pickle, sys; backend = pickle.loads(bytes.fromhex(sys.argv[1])); "


class Finding(ConformanceBase):
    def test_a_backend_is_equal_to_itself_elsewhere(self, backend: HPCBackend) -> None:
        again = pickle.loads(self._pickled(backend))  # noqa: S301 - our own
        assert again == backend
        assert hash(again) == hash(backend)
        assert backend != object()

    def test_a_job_is_found_by_its_ids(self, backend: HPCBackend, jobs: Jobs) -> None:
        jobs.need(Capability.ATTACH)
        job = jobs.submit(["while ! test -e go; do sleep 0.05; done", "exit 3"])
        assert job.native_id
        found = [backend.attach(job.native_id), backend.attach(job.id)]
        jobs.run(["touch go"])
        assert [again.wait(self.timeout) for again in found] == [3, 3]
        assert {again.id for again in found} == {job.id}
        assert backend.attach(job.id).wait(self.timeout) == 3  # it has ended long ago

    def test_an_id_of_no_job_is_refused_or_unknown(self, backend: HPCBackend, jobs: Jobs) -> None:
        jobs.need(Capability.ATTACH)
        try:
            assert not backend.attach("0000000000").status.state.terminal
        except SpecError as error:
            assert error.value == "0000000000"  # noqa: PT017 - both are right

    def test_another_process_can_wait_for_a_job(self, backend: HPCBackend, jobs: Jobs) -> None:
        jobs.need(Capability.ATTACH)
        job = jobs.submit(["sleep 0.5; exit 3"])
        program = START + "print(backend.attach(sys.argv[2]).wait(60))"
        assert self._printed(backend, program, job.id) == ["3"]
        assert job.wait(self.timeout) == 3

    def test_jobs_that_have_not_ended_are_recovered(self, backend: HPCBackend, jobs: Jobs) -> None:
        jobs.need(Capability.RECOVER)
        ended = jobs.run(["true"])
        job = jobs.submit(["sleep 600"])
        program = START + "print(*(found.id for found in backend.recover()))"
        found = self._printed(backend, program)
        assert job.id in found
        assert ended.id not in found

    def test_a_key_gives_the_same_job_for_the_same_specification(
        self, backend: HPCBackend, jobs: Jobs
    ) -> None:
        jobs.need(Capability.KEY)
        job = jobs.submit(["exit 3"], key="once")
        again = jobs.submit(["exit 3"], key="once")
        assert again.id == job.id
        assert again.wait(self.timeout) == 3
        assert jobs.submit(["exit 3"], key="once").id == job.id
        spec = JobSpec(name="conformance", commands=["exit 4"])
        with pytest.raises(SpecError, match="once"):
            backend.submit_spec(spec, key="once")

    def test_a_failed_job_of_a_key_runs_again_only_on_request(self, backend: HPCBackend, jobs: Jobs) -> None:
        jobs.need(Capability.KEY)
        spec = JobSpec(name="conformance", commands=["test -e ran && exit 0; touch ran; exit 3"])
        first = jobs.keep(lambda: backend.submit_spec(spec, key="again"))
        assert first.wait(self.timeout) == 3
        second = jobs.keep(lambda: backend.submit_spec(spec, key="again", rerun=True))
        assert second.wait(self.timeout) == 0
        third = jobs.keep(lambda: backend.submit_spec(spec, key="again", rerun=True))
        assert third.id == second.id  # it went well

    def test_without_a_key_equal_specifications_are_different_jobs(self, jobs: Jobs) -> None:
        assert jobs.run(["true"]).id != jobs.run(["true"]).id

    def test_jobs_are_listed(self, backend: HPCBackend, jobs: Jobs) -> None:
        jobs.need(Capability.JOBS)
        job = jobs.submit(["sleep 600"])
        assert job.native_id in [found.native_id for found in backend.jobs()]

    def _pickled(self, backend: HPCBackend) -> bytes:
        try:
            return pickle.dumps(backend)
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            pytest.skip(f"cannot be pickled, and says why: {error}")

    def _printed(self, backend: HPCBackend, program: str, *arguments: str) -> list[str]:
        """The words that a program prints in another process."""
        argv = [sys.executable, "-c", program, self._pickled(backend).hex(), *arguments]
        done = LocalTransport().run(argv, timeout=self.timeout)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().split()
