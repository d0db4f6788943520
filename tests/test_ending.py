"""An end happens once; everybody is told, and nobody is asked more often than somebody waits."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import pytest

from handles import SOON, Plain, Steered, kill, mortal_engine
from hpc_connect.ending import Ending, PolledEnding, _Poller
from hpc_connect.engine import engine
from hpc_connect.errors import EngineError, JobLost, TransportError
from hpc_connect.status import JobState, JobStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hpc_connect.engine import Engine


@pytest.fixture
def mortal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    with mortal_engine(monkeypatch) as mortal:
        yield mortal


def listener(ending: Ending) -> threading.Event:
    heard = threading.Event()
    ending.tell(heard.set)
    return heard


def on_the_engine(function: Callable[[], object]) -> None:
    done = threading.Event()
    engine().call(lambda: (function(), done.set()))
    assert done.wait(SOON)


# ---------------------------------------------------------------- telling


def test_listeners_are_told_in_order_and_late_ones_at_once() -> None:
    ending, heard = Ending(), list[str]()
    for name in "abc":
        ending.tell(lambda name=name: heard.append(name))
    assert (ending.happened, heard) == (False, [])
    ending.happen()
    ending.tell(lambda: heard.append("late"))
    assert heard == ["a", "b", "c", "late"]


def test_it_happens_once() -> None:
    ending, heard = Ending(), list[int]()
    ending.tell(lambda: heard.append(1))
    ending.happen()
    ending.happen(EngineError("too late"))
    assert heard == [1]
    assert ending.failure is None


def test_who_was_forgotten_is_not_told() -> None:
    ending, heard = Ending(), list[str]()
    gone, there = lambda: heard.append("gone"), lambda: heard.append("there")
    ending.tell(gone)
    ending.tell(there)
    ending.forget(gone)
    ending.forget(gone)
    ending.happen()
    assert heard == ["there"]


@pytest.mark.parametrize("problem", [ValueError("a mistake"), SystemExit(3), KeyboardInterrupt()])
def test_a_listener_that_fails_harms_no_other(
    problem: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise problem

    ending, heard = Ending(), list[str]()
    ending.tell(fail)
    ending.tell(lambda: heard.append("told"))
    ending.happen()
    assert heard == ["told"]
    assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [problem]


def test_listeners_that_come_while_it_happens_are_all_told_once() -> None:
    for _ in range(100):
        ending, counts = Ending(), [0] * 8
        barrier = threading.Barrier(9)

        def count(number: int, counts: list[int] = counts) -> None:
            counts[number] += 1

        def come(number: int, ending: Ending = ending, barrier: threading.Barrier = barrier) -> None:
            barrier.wait(SOON)
            ending.tell(partial(count, number))

        with ThreadPoolExecutor(8) as pool:
            coming = [pool.submit(come, number) for number in range(8)]
            barrier.wait(SOON)
            ending.happen()
            for one in coming:
                one.result(SOON)
        assert counts == [1] * 8


def test_waiting_gives_whether_it_happened() -> None:
    ending = Ending()
    assert not ending.wait(0.01)
    threading.Timer(0.05, ending.happen).start()
    assert ending.wait(SOON)
    assert ending.wait(0)


def test_who_has_waited_in_vain_leaves_nothing_behind() -> None:
    ending = Ending()
    for _ in range(10):
        ending.wait(0.001)
    assert len(ending._listeners) == 0
    assert ending not in engine()._waiters


def test_the_engines_thread_is_not_let_wait() -> None:
    ending, refused = Ending(), list[str]()

    def wait() -> None:
        with pytest.raises(EngineError) as caught:
            ending.wait()
        refused.append(str(caught.value))

    on_the_engine(wait)
    assert "callback" in refused[0]


def test_the_engines_thread_need_not_wait_for_what_has_happened() -> None:
    ending = Ending()
    ending.happen()
    results = list[bool]()
    on_the_engine(lambda: results.append(ending.wait()))
    assert results == [True]


# ---------------------------------------------------------------- a dead engine


def test_the_death_of_the_engine_ends_the_waiting(mortal: Engine) -> None:
    ending = Ending()
    heard = listener(ending)
    kill(mortal)
    assert heard.wait(SOON)
    assert isinstance(ending.failure, EngineError)


def test_who_comes_after_the_death_of_the_engine_is_told_at_once(mortal: Engine) -> None:
    ending = Ending()
    mortal.call(int)
    kill(mortal)
    assert listener(ending).is_set()
    assert isinstance(ending.failure, EngineError)


def test_what_had_happened_before_stays_as_it_was(mortal: Engine) -> None:
    ending = Ending()
    heard = listener(ending)
    ending.happen()
    kill(mortal)
    assert heard.is_set()
    assert ending.failure is None


# ---------------------------------------------------------------- asking


def test_a_handle_is_asked_until_it_has_ended() -> None:
    answers = iter([None, None, 0])
    process = Plain(lambda: next(answers))
    assert listener(PolledEnding(process)).wait(SOON)
    assert process.asked == 3


def test_nobody_is_asked_before_somebody_waits() -> None:
    process = Steered()
    ending = PolledEnding(process)
    engine().finish()
    on_the_engine(lambda: None)
    assert process.asked == 0
    listener(ending)
    process.code = 0
    assert ending.wait(SOON)


def test_nobody_is_asked_any_more_when_nobody_waits() -> None:
    process = Steered()
    ending = PolledEnding(process)
    assert not ending.wait(0.05)
    _until_idle(ending)
    asked = process.asked
    assert asked > 0
    process.code = 0
    assert not ending.happened
    assert ending.wait(SOON)  # asked again, as somebody waits again
    assert process.asked == asked + 1


def _until_idle(ending: PolledEnding) -> None:
    for _ in range(3000):
        if not ending._asking:
            return
        threading.Event().wait(0.01)
    raise AssertionError("it is asked for ever")


def test_a_handle_that_nobody_holds_or_waits_for_is_freed() -> None:
    process = Steered()
    gone = weakref.ref(process)
    ending = PolledEnding(process)
    ending.wait(0.02)
    _until_idle(ending)
    del process, ending
    for _ in range(3000):
        gc.collect()
        if gone() is None:
            return
        threading.Event().wait(0.01)
    raise AssertionError("something holds it")


def test_a_thousand_handles_are_asked_in_one_thread_at_a_time() -> None:
    lock, at_once, most, threads = threading.Lock(), 0, 0, set[str]()
    processes = []

    def ask() -> int:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
            threads.add(threading.current_thread().name)
        with lock:
            at_once -= 1
        return 0

    before = threading.active_count()
    processes = [Plain(ask) for _ in range(1000)]
    heard = [listener(PolledEnding(process)) for process in processes]
    assert all(event.wait(SOON) for event in heard)
    assert most == 1
    assert threads == {"hpc_connect-blocking"}
    assert threading.active_count() <= before + 5  # the engine, and at most four that block


def test_one_that_comes_when_the_last_was_just_asked_is_not_forgotten() -> None:
    class Steps:
        """An engine whose work is done step by step."""

        def __init__(self) -> None:
            self.blocking: list[Callable[[], object]] = []
            self.calls: list[Callable[[], object]] = []

        def block(self, function: Callable[[], object], *, owed: bool) -> None:
            self.blocking.append(function)

        def call(self, function: Callable[[], object]) -> None:
            self.calls.append(function)

    class Asked:
        times = 0

        def ask(self) -> None:
            self.times += 1

    steps, first, late = Steps(), Asked(), Asked()
    poller = _Poller(steps)  # type: ignore[arg-type]  # as far as it is needed
    poller.add(first)  # type: ignore[arg-type]
    steps.blocking.pop()()
    poller.add(late)  # type: ignore[arg-type]
    assert steps.blocking == []  # one at a time
    steps.calls.pop()()
    steps.blocking.pop()()
    assert (first.times, late.times) == (1, 1)


def test_a_poll_that_hangs_holds_up_only_handles_of_its_class() -> None:
    class Other(Plain):
        pass

    go_on = threading.Event()

    def hang() -> int:
        assert go_on.wait(SOON)
        return 0

    hanging = [listener(PolledEnding(Plain(hang))) for _ in range(10)]
    assert listener(PolledEnding(Other(lambda: 0))).wait(SOON)
    done = threading.Event()
    engine().block(done.set)
    assert done.wait(SOON)
    assert not any(event.is_set() for event in hanging)
    go_on.set()
    assert all(event.wait(SOON) for event in hanging)


# ---------------------------------------------------------------- a handle that fails


@pytest.mark.parametrize(
    "problem", [ValueError("a mistake"), StopIteration(), SystemExit(3), KeyboardInterrupt()]
)
def test_whatever_poll_raises_is_told_to_who_waits_and_to_nobody_else(problem: BaseException) -> None:
    def fail() -> int:
        raise problem

    ending, other = PolledEnding(Plain(fail, "bad")), PolledEnding(Plain(lambda: 0, "good"))
    assert listener(ending).wait(SOON)
    assert isinstance(ending.failure, EngineError)
    assert ending.failure.__cause__ is problem
    assert "job bad" in str(ending.failure)
    assert listener(other).wait(SOON)
    assert other.failure is None
    engine().check()


def test_news_that_poll_raises_is_passed_on_as_it_is() -> None:
    lost = JobLost("x", JobStatus(state=JobState.LOST))

    def fail() -> int:
        raise lost

    ending = PolledEnding(Plain(fail))
    assert listener(ending).wait(SOON)
    assert ending.failure is lost


@pytest.mark.parametrize("problem", [ConnectionError("reset"), TransportError("cut off")])
def test_a_question_that_could_not_be_asked_is_asked_again(
    problem: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    answers: Iterator[object] = iter([None, problem, problem, None, problem, 0])

    def poll() -> int | None:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[return-value]

    ending = PolledEnding(Plain(poll))
    assert listener(ending).wait(SOON)
    assert ending.failure is None
    assert len(caplog.records) == 2  # one for each time that it went wrong


def test_a_question_that_cannot_be_asked_for_the_grace_window_ends_the_waiting() -> None:
    def fail() -> int:
        raise TransportError("the host is gone")

    process = Plain(fail)
    process.grace_window = 0.05
    ending = PolledEnding(process)
    assert listener(ending).wait(SOON)
    assert isinstance(ending.failure, EngineError)
    assert "the host is gone" in str(ending.failure)
    assert process.asked > 1


@pytest.mark.parametrize("frequency", [-1.0, float("nan"), float("inf"), None, "often"])
def test_a_polling_frequency_that_is_none_harms_only_this_job(frequency: object) -> None:
    process = Steered()
    process.polling_frequency = frequency  # type: ignore[assignment]  # that is the point
    ending = PolledEnding(process)
    assert listener(ending).wait(SOON)
    assert "polling_frequency" in str(ending.failure)
    engine().check()


def test_the_death_of_the_engine_ends_the_asking(mortal: Engine) -> None:
    process = Steered()
    ending = PolledEnding(process)
    heard = listener(ending)
    kill(mortal)
    assert heard.wait(SOON)
    mortal.finish()
    assert isinstance(ending.failure, EngineError)
