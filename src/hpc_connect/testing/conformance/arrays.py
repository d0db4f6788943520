"""An array: several jobs in one handle, with a status for each index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpc_connect.capability import Capability
from hpc_connect.group import ProcessGroup
from hpc_connect.spec import JobSpec
from hpc_connect.status import JobState
from hpc_connect.testing.conformance.base import ConformanceBase

if TYPE_CHECKING:
    from hpc_connect.backend import HPCBackend
    from hpc_connect.testing.conformance.base import Jobs


class Arrays(ConformanceBase):
    def _array(self, jobs: Jobs, command: str, *indexes: int, **fields: Any) -> ProcessGroup:
        jobs.need(Capability.ARRAY)
        array = jobs.submit([command], array=indexes, **fields)
        assert isinstance(array, ProcessGroup)
        return array

    def test_each_element_has_a_status_under_its_index(self, jobs: Jobs) -> None:
        array = self._array(jobs, 'exit "$HPC_CONNECT_ARRAY_INDEX"', 0, 3, 7)
        assert array.indexes == (0, 3, 7)
        assert array.wait(self.timeout) == 3
        assert {index: status.exit_code for index, status in array.statuses.items()} == {0: 0, 3: 3, 7: 7}
        assert array[7].wait() == 7
        assert array.status.state is JobState.FAILED

    def test_an_array_that_ends_well_is_completed(self, jobs: Jobs) -> None:
        array = self._array(jobs, "true", 1, 2)
        assert array.wait(self.timeout) == 0
        assert array.status.state is JobState.COMPLETED

    def test_an_array_ends_with_its_last_element(self, jobs: Jobs) -> None:
        array = self._array(jobs, 'test "$HPC_CONNECT_ARRAY_INDEX" = 1 || sleep 600', 1, 2)
        assert array[1].wait(self.timeout) == 0
        assert array.poll() is None
        array.cancel()
        assert array.wait(self.timeout) != 0
        assert array.statuses[1].state is JobState.COMPLETED
        assert array.statuses[2].state is JobState.CANCELLED

    def test_no_more_elements_run_at_once_than_were_asked_for(self, jobs: Jobs) -> None:
        alone = "mkdir alone || exit 9; sleep 0.05; rmdir alone"
        array = self._array(jobs, alone, *range(4), max_parallel=1)
        assert array.wait(self.timeout) == 0

    def test_equal_specifications_can_be_made_an_array(self, backend: HPCBackend, jobs: Jobs) -> None:
        jobs.need(Capability.ARRAY)
        spec = JobSpec(name="equal", commands=['exit "$HPC_CONNECT_ARRAY_INDEX"'])
        processes = backend.submit_many([spec] * 3, as_array=True)
        assert [process.wait(self.timeout) for process in processes] == [0, 1, 2]
