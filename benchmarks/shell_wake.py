"""How long after the end of a job `wait()` returns.

The last thing a job does is to write the time; from then to the return of `wait()` passes the end of its shell, what
the kernel, the supervisor and the engine do, and the waking of the thread that waits. The floor is the same shell
under `subprocess`.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from measure import Promises, own_place

import hpc_connect

JOBS = 200
LAST_ACT = "sleep 0.02; echo $EPOCHREALTIME"  # the sleep lets whoever submitted it get as far as wait()
SHELL = "/bin/bash"


def main() -> int:
    """Measure, print, and return the exit code."""
    promises = Promises()
    with own_place():
        backend = hpc_connect.get_backend("shell")
        after_job(backend)  # starts the supervisor
        floor, ours = [], []
        for _ in range(JOBS):
            floor.append(after_process())
            ours.append(after_job(backend))
    typical, bare = statistics.median(ours), statistics.median(floor)
    print(f"subprocess: {1000 * bare:.2f} ms (median of {JOBS})")
    slowest = 1000 * statistics.quantiles(ours, n=100)[94]
    note = f"{typical / bare:.1f} times subprocess; 95 of 100 within {slowest:.2f} ms"
    promises.at_most("from the end of a job to wait() returning", 1000 * typical, 5, " ms", note)
    return promises.exit_code()


def after_job(backend: hpc_connect.HPCBackend) -> float:
    """Seconds from the last act of a job to the return of `wait()`."""
    job = backend.submit_spec(hpc_connect.JobSpec(name="wake", commands=[LAST_ACT], shell=SHELL))
    job.wait()
    now = time.time()
    assert isinstance(job, hpc_connect.JobProcess)
    return now - float(job.output())


def after_process() -> float:
    """The same for a process of one's own."""
    process = subprocess.Popen([SHELL, "-c", LAST_ACT], stdout=subprocess.PIPE, text=True)
    process.wait()
    now = time.time()
    output, _ = process.communicate()
    return now - float(output)


if __name__ == "__main__":
    sys.exit(main())
