"""2,000 jobs through the shell backend, eight at once, beside a loop of `subprocess.Popen`.

Store, records and output files included. Also: threads, open files, and the memory of a handle whose job has ended.
"""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
import threading
import tracemalloc
from collections import deque
from typing import TYPE_CHECKING, Protocol

import psutil
from measure import Promises, in_turns, own_place, ratio

import hpc_connect

if TYPE_CHECKING:
    from collections.abc import Callable

JOBS = 2000
ROUNDS = 10
AT_ONCE = 8
HANDLES = 500


class Waitable(Protocol):
    """A process, or a job."""

    def wait(self) -> int:
        """Wait for its end."""


def main() -> int:
    """Measure, print, and return the exit code."""
    promises = Promises()
    with own_place():
        backend = hpc_connect.get_backend("shell")

        def job() -> hpc_connect.HPCProcess:
            return backend.submit("true", ["true"], cpus=1)

        first = job()
        first.wait()
        supervisor = psutil.Process(supervisor_of(backend))
        files_before = open_files(os.getpid()), open_files(supervisor.pid)

        each = JOBS // ROUNDS
        bare, ours = Work(bare_process, each, supervisor), Work(job, each, supervisor)
        floor_times, times = in_turns(ROUNDS, bare.run, ours.run)
        for what, seconds, work in (("subprocess", floor_times, bare), ("shell backend", times, ours)):
            print(
                f"{what}: {1000 * statistics.median(seconds) / each:.2f} ms a job, "
                f"{1000 * work.cpu / JOBS:.2f} ms of CPU ({JOBS} jobs in {ROUNDS} rounds, {AT_ONCE} at once)"
            )
        note = f"{ours.cpu / bare.cpu:.2f} times the CPU"
        promises.at_most("time of a job", ratio(times, floor_times), 5, " times subprocess", note)

        names = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
        engines = names.count("hpc_connect-engine")
        promises.at_most("threads of the engine", engines, 1, "")
        promises.at_most("threads for what blocks", len(names) - engines, 4, "")

        files_after = open_files(os.getpid()), open_files(supervisor.pid)
        for who, before, after in zip(("here", "in the supervisor"), files_before, files_after, strict=True):
            promises.at_most(f"open files {who} more than before", after - before, 0, "")
        promises.at_most("open files for each running job", files_of_running(backend, supervisor.pid), 2, "")
        promises.at_most("memory of a handle whose job has ended", memory_of_a_handle(job), 4096, " bytes")
    return promises.exit_code()


def bare_process() -> subprocess.Popen[bytes]:
    """The floor."""
    return subprocess.Popen(["sh", "-c", "true"])


class Work:
    """So many jobs, never more than eight at once; and the CPU time of all that had a part in them."""

    def __init__(self, start: Callable[[], Waitable], count: int, supervisor: psutil.Process) -> None:
        self._start = start
        self._count = count
        self._supervisor = supervisor
        self.cpu = 0.0

    def run(self) -> None:
        """Run them."""
        before = self._cpu_so_far()
        running: deque[Waitable] = deque()
        for _ in range(self._count):
            if len(running) == AT_ONCE:
                check(running.popleft())
            running.append(self._start())
        while running:
            check(running.popleft())
        self.cpu += self._cpu_so_far() - before

    def _cpu_so_far(self) -> float:
        return sum(os.times()[:4]) + sum(self._supervisor.cpu_times()[:4])


def check(process: Waitable) -> None:
    """Wait for its end; it must be a good one."""
    code = process.wait()
    if code != 0:
        raise SystemExit(f"{process} ended with {code}")


def supervisor_of(backend: hpc_connect.HPCBackend) -> int:
    """The process that runs our jobs, as one of them tells."""
    job = backend.submit("parent", ["echo $PPID"], cpus=1)
    job.wait()
    assert isinstance(job, hpc_connect.JobProcess)
    return int(job.output())


def open_files(pid: int) -> int:
    """How many descriptors a process has."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def files_of_running(backend: hpc_connect.HPCBackend, supervisor: int) -> float:
    """How many descriptors a running job costs, here and in the supervisor."""
    before = open_files(os.getpid()) + open_files(supervisor)
    jobs = [backend.submit("sleep", ["sleep 60"], cpus=1) for _ in range(AT_ONCE)]
    while any(job.status.state is not hpc_connect.JobState.RUNNING for job in jobs):
        os.sched_yield()
    during = open_files(os.getpid()) + open_files(supervisor)
    for job in jobs:
        job.cancel()
    for job in jobs:
        job.wait()
    return (during - before) / AT_ONCE


def memory_of_a_handle(start: Callable[[], Waitable]) -> float:
    """Bytes of Python objects that are kept for each handle whose job has ended."""
    tracemalloc.start()
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    kept = []
    for _ in range(HANDLES // AT_ONCE):
        started = [start() for _ in range(AT_ONCE)]
        for process in started:
            check(process)
        kept += started
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (after - before) / len(kept)


if __name__ == "__main__":
    sys.exit(main())
