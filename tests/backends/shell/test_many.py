"""Two thousand jobs leave nothing behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local_jobs import supervisors

if TYPE_CHECKING:
    from collections.abc import Callable

    from local_jobs import Client

JOBS = 2000


def test_two_thousand_jobs_leave_no_process_descriptor_thread_or_file(clients: Callable[..., Client]) -> None:
    client = clients(
        """
        from collections import deque
        def run(count):
            running = deque()
            for _ in range(count):
                if len(running) == 8:
                    assert running.popleft().wait() == 0
                running.append(backend.submit("job", ["true"], output="/dev/null"))
            while running:
                assert running.popleft().wait() == 0
        def counts():
            backend._session().runner.flush()
            return [len(os.listdir("/proc/self/fd")), len(records_of(backend))]
        run(20)
        say(counts()); pause()
        run(arguments[0])
        say(counts())
        names = sorted(thread.name for thread in threading.enumerate())
        say(names); pause()
        """,
        JOBS,
    )
    before = client.hear()
    (supervisor,) = supervisors(client.records)
    descriptors, memory = supervisor.num_fds(), supervisor.memory_info().rss
    client.tell()
    assert client.hear() == before == [before[0], 0]
    names = client.hear()
    assert names.count("hpc_connect-engine") == 1
    assert len(names) <= 2 + 4
    assert supervisor.children() == []
    assert supervisor.num_fds() == descriptors
    assert supervisor.memory_info().rss < memory + 1_000_000


def test_a_handle_whose_job_has_ended_is_small(clients: Callable[..., Client]) -> None:
    """Python objects that 200 handles keep, after everything that is made once was made."""
    client = clients("""
        import gc, tracemalloc
        def run(count):
            jobs = [backend.submit("job", ["true"]) for _ in range(count)]
            for job in jobs:
                job.wait()
            backend._session().runner.flush()
            return jobs
        run(20)
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        kept = run(200)
        gc.collect()
        say((tracemalloc.get_traced_memory()[0] - before) / len(kept))
    """)
    assert client.hear() <= 4096
