"""Several jobs: as one handle, or one after the other as they end."""

from __future__ import annotations

import queue
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from hpc_connect.ending import Ending
from hpc_connect.errors import HPCConnectError, JobLost, SpecError, UnsupportedError
from hpc_connect.process import HPCProcess
from hpc_connect.status import JobState, JobStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence


_LIVELINESS = (
    JobState.RUNNING,
    JobState.SUSPENDED,
    JobState.UNKNOWN,
    JobState.QUEUED,
    JobState.HELD,
    JobState.SUBMITTING,
    JobState.NEW,
)


class ProcessGroup(HPCProcess):
    """Several jobs as one: an array, or what ``submitn`` gives.

    ``returncode`` is 0 if all are 0, else the first that is not, in order, and None until all have ended. A verb is
    for those of the jobs that it applies to; when it applies to none, the error of the first is raised.

    Attributes:
        processes: the handles, in order.
        indexes: the array index of each; 0, 1, 2 … for jobs that are no array.
    """

    def __init__(
        self, job_id: str, processes: Sequence[HPCProcess], indexes: Sequence[int] | None = None
    ) -> None:
        if not processes:
            raise SpecError("processes", processes, "must hold at least one job")
        self.id = job_id
        self.processes = tuple(processes)
        self.indexes = tuple(range(len(self.processes)) if indexes is None else indexes)
        self._by_index = dict(zip(self.indexes, self.processes, strict=True))

    def __repr__(self) -> str:
        return f"<{len(self.processes)} jobs {self.id}>"

    def __len__(self) -> int:
        return len(self.processes)

    def __iter__(self) -> Iterator[HPCProcess]:
        return iter(self.processes)

    def __getitem__(self, index: int) -> HPCProcess:
        """The handle of one array index."""
        return self._by_index[index]

    @property
    def statuses(self) -> dict[int, JobStatus]:
        """The status of each, by index."""
        return {index: process.status for index, process in self._by_index.items()}

    @property
    def status(self) -> JobStatus:
        """Of all: the liveliest state while any lives, then the first end that is not well, else COMPLETED."""
        statuses = [process.status for process in self.processes]
        living = [status for status in statuses if not status.state.terminal]
        if living:
            return min(living, key=lambda status: _LIVELINESS.index(status.state))
        return next((status for status in statuses if status.state is not JobState.COMPLETED), statuses[0])

    def poll(self) -> int | None:
        """0 if all are 0, else the first other code by order; None until all have ended.

        Raises:
            JobLost: all have ended, and nothing tells how one of them did.
            EngineError: nobody will ever tell.
        """
        verdict, lost = 0, None
        for process in self.processes:
            try:
                code = process.poll()
            except JobLost as error:
                lost = lost or error
                continue
            if code is None:
                return None
            verdict = verdict or code
        if lost is not None:
            raise lost
        return verdict

    def output(self) -> str:
        """What they have written, one after the other."""
        return "".join(process.output() for process in self.processes)

    def _went_well(self) -> bool:
        return all(process._went_well() for process in self.processes)  # noqa: SLF001 - a method of the same class

    def _outcome(self) -> HPCConnectError | None:
        outcomes = (process._outcome() for process in self.processes)  # noqa: SLF001 - a method of the same class
        return next((error for error in outcomes if error is not None), None)

    # ------------------------------------------------------------------ what can be asked of them

    def cancel(self, **how: object) -> None:
        """Ask for the end of all that live.

        Args:
            **how: ``signal`` and ``grace``, where the handles take them.
        """
        self._each(lambda process: process.cancel(**how))

    def hold(self) -> None:
        """Keep those that are queued from starting."""
        self._each(lambda process: process.hold())

    def release(self) -> None:
        """Let those that are held start."""
        self._each(lambda process: process.release())

    def suspend(self) -> None:
        """Stop those that run for now."""
        self._each(lambda process: process.suspend())

    def resume(self) -> None:
        """Continue those that are suspended."""
        self._each(lambda process: process.resume())

    def requeue(self) -> None:
        """End those that run and start them again."""
        self._each(lambda process: process.requeue())

    def send_signal(self, signal: int | str) -> None:
        """Send a signal to every process of those that run."""
        self._each(lambda process: process.send_signal(signal))

    def _each(self, verb: Callable[[HPCProcess], object]) -> None:
        """Try it with all of them, whatever one of them says."""
        refused: list[Exception] = []
        failed: list[Exception] = []
        for process in self.processes:
            try:
                verb(process)
            except UnsupportedError as error:
                refused.append(error)
            except Exception as error:  # noqa: BLE001 - raised below, when the others were asked too
                failed.append(error)
        if failed:
            raise failed[0]
        if len(refused) == len(self.processes):
            raise refused[0]

    # ------------------------------------------------------------------ how it works

    def _new_ending(self) -> Ending:
        ending = Ending()
        _Countdown(ending, [process._ending() for process in self.processes])  # noqa: SLF001 - of the same class
        return ending


class _Countdown:
    """Lets one ending happen when the last of others has."""

    def __init__(self, ending: Ending, others: list[Ending]) -> None:
        self._ending = ending
        self._others = others
        self._living = len(others)
        self._lock = threading.Lock()
        for position, other in enumerate(others):
            other.tell(partial(self._one_less, position))

    def _one_less(self, _: int) -> None:
        with self._lock:
            self._living -= 1
            if self._living:
                return
        failures = [other.failure for other in self._others if other.failure is not None]
        self._ending.happen(failures[0] if failures else None)


def as_completed(processes: Iterable[HPCProcess], timeout: float | None = None) -> Iterator[HPCProcess]:
    """Give the processes in the order in which they end, each once.

    Args:
        processes: any mix of handles, of any backends.
        timeout: seconds for all of them, from the first that is asked for.

    Raises:
        TimeoutError: some have not ended in time; they are left alone.
        EngineError: in a callback, which must not wait.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    unique = {id(process): process for process in processes}
    ended: queue.SimpleQueue[HPCProcess] = queue.SimpleQueue()
    waiting = [(process._ending(), partial(ended.put, process)) for process in unique.values()]  # noqa: SLF001 - ours
    try:
        for ending, listener in waiting:
            ending.tell(listener)
        for count in range(len(waiting)):
            if ended.empty():
                waiting[0][0].refuse_engine_thread()
            try:
                yield ended.get(timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise TimeoutError(
                    f"{len(waiting) - count} of {len(waiting)} jobs have not ended within {timeout} s"
                ) from None
    finally:
        for ending, listener in waiting:
            ending.forget(listener)
