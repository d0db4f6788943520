"""Jobs on their way out, step by step."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from hpc_connect.local import proc, signalling
from hpc_connect.local.signalling import Endings, Tree
from local_jobs import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IGNORES = (
    "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); sys.stdin.read()"
)
LEAVES = IGNORES.replace("signal.SIG_IGN", "lambda *_: sys.exit(7)")


@pytest.fixture
def now() -> list[float]:
    """A clock that stands still until it is set."""
    return [100.0]


@pytest.fixture
def endings(now: list[float]) -> Endings:
    return Endings(lambda: now[0])


@pytest.fixture
def start() -> Iterator[Callable[[str], tuple[subprocess.Popen[str], Tree]]]:
    started = []

    def start(text: str) -> tuple[subprocess.Popen[str], Tree]:
        process = subprocess.Popen(
            [sys.executable, "-c", text],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        process.stdout.readline()
        return process, Tree(f"job{process.pid}", process.pid, proc.stat(process.pid).ticks)

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_with_nothing_under_way_nothing_is_due() -> None:
    assert (Endings().due(), Endings().look()) == (None, [])


def test_a_job_that_leaves_is_over_when_all_has_ended(
    endings: Endings, now: list[float], start: Callable
) -> None:
    process, tree = start(LEAVES)
    endings.add(tree, signal.SIGTERM, 10)
    assert tree.name in endings
    assert endings.due() == now[0]
    assert endings.look() == []
    assert process.wait() == 7
    endings.hurry(tree.name)
    assert endings.look() == [tree.name]
    assert tree.name not in endings
    assert endings.due() is None


def test_before_it_is_due_nobody_looks(
    endings: Endings, now: list[float], start: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, tree = start(IGNORES)
    endings.add(tree, signal.SIGTERM, 10)
    endings.look()
    assert endings.due() > now[0]
    monkeypatch.setattr(signalling, "_snapshot", lambda: pytest.fail("it looked"))
    assert endings.look() == []


def test_one_that_does_not_leave_is_killed_when_the_grace_time_is_over_and_not_before(
    endings: Endings, now: list[float], start: Callable
) -> None:
    process, tree = start(IGNORES)
    endings.add(tree, signal.SIGTERM, 10)
    while now[0] < 109.9:
        assert endings.look() == []
        assert endings.due() <= 110
        now[0] = endings.due()
    assert process.poll() is None
    now[0] = 110
    assert endings.look() == []
    assert process.wait() == -signal.SIGKILL
    now[0] = endings.due()
    assert endings.look() == [tree.name]


def test_a_signal_is_sent_to_each_process_once(endings: Endings, now: list[float], start: Callable) -> None:
    process, tree = start(
        "import signal, sys; signal.signal(signal.SIGUSR1, lambda *_: print('signal', flush=True)); print(flush=True)\n"
        "for line in sys.stdin: print(line, flush=True)"
    )
    endings.add(tree, signal.SIGUSR1, 10)
    for _ in range(5):
        endings.look()
        now[0] = endings.due()
    assert process.stdout.readline() == "signal\n"
    process.stdin.write("end\n")
    process.stdin.flush()
    assert process.stdout.readline() == "end\n"


@pytest.mark.parametrize(("first", "second", "end"), [(10, 1, 101), (1, 10, 101)])
def test_a_second_request_makes_the_grace_time_no_longer(
    endings: Endings, now: list[float], start: Callable, first: float, second: float, end: float
) -> None:
    process, tree = start(IGNORES)
    endings.add(tree, signal.SIGTERM, first)
    endings.look()
    endings.add(tree, signal.SIGTERM, second)
    now[0] = end
    endings.look()
    assert process.wait() == -signal.SIGKILL


def test_what_the_kernel_does_not_let_go_of_is_given_up(
    endings: Endings, now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stubborn:
        def members(self, *_: object) -> dict[int, str]:
            return {2**22 + 1: "1"}

        def send(self, *_: object) -> None:
            """It is not impressed."""

    monkeypatch.setattr(signalling, "_snapshot", Stubborn)
    endings.add(Tree("job", 2**22 + 1, "1"), signal.SIGTERM, 1)
    while (due := endings.due()) is not None:
        now[0] = due
        over = endings.look()
    assert over == ["job"]
    assert 110 < now[0] < 112


def test_many_jobs_are_looked_at_at_the_price_of_one(
    endings: Endings, now: list[float], start: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    snapshot = signalling._snapshot
    monkeypatch.setattr(signalling, "_snapshot", lambda: (looks.append(1), snapshot())[1])
    processes = []
    for _ in range(3):
        process, tree = start(LEAVES)
        processes.append(process)
        endings.add(tree, signal.SIGTERM, 10)
    endings.look()
    assert looks == [1]
    assert [process.wait() for process in processes] == [7] * 3


def test_a_stopped_process_gets_the_signal_too(endings: Endings, start: Callable) -> None:
    process, tree = start(LEAVES)
    signalling.send_signal(tree, signal.SIGSTOP)
    until(lambda: proc.stat(process.pid).state == "T")
    endings.add(tree, signal.SIGTERM, 10)
    endings.look()
    assert process.wait() == 7
