"""One thread a process; and when it dies, nobody waits for it."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from hpc_connect.engine import Engine, engine
from hpc_connect.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SOON = 30.0  # seconds; only a test that fails waits as long


class Waiter:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[EngineError] = []
        self.heard = threading.Event()

    def engine_failed(self, error: EngineError) -> None:
        self.told.append(error)
        self.heard.set()


@pytest.fixture
def own() -> Iterator[Engine]:
    """An engine of the test's own, which may be killed."""
    own = Engine()
    yield own
    end(own)


def end(own: Engine) -> None:
    thread = own._thread
    if thread is not None:
        if own._failure is None:
            own.call(own._loop.stop)
        thread.join(SOON)


def on_its_thread(own: Engine, function: Callable[[], object]) -> object:
    """What a function gives on the engine's thread."""
    results: list[object] = []
    done = threading.Event()
    own.call(lambda: (results.append(function()), done.set()))
    assert done.wait(SOON)
    return results[0]


# ---------------------------------------------------------------- what it does


def test_there_is_one_for_the_process() -> None:
    assert engine() is engine()


def test_importing_it_starts_no_thread() -> None:
    program = "import threading, hpc_connect.engine as e; e.engine(); print(threading.active_count())"
    assert python(program) == "1"


def test_everything_happens_in_order_on_one_thread_that_is_its_own(own: Engine) -> None:
    seen: list[tuple[int, threading.Thread]] = []
    done = threading.Event()
    for number in range(100):
        own.call(lambda number=number: seen.append((number, threading.current_thread())))
    own.call(done.set)
    assert done.wait(SOON)
    assert [number for number, _ in seen] == [*range(100)]
    assert {thread.name for _, thread in seen} == {"hpc_connect-engine"}
    assert threading.current_thread() not in {thread for _, thread in seen}


def test_it_knows_its_own_thread(own: Engine) -> None:
    assert not own.is_current()
    assert on_its_thread(own, own.is_current)


def test_threads_that_call_first_at_the_same_moment_start_one_engine(own: Engine) -> None:
    barrier = threading.Barrier(8)

    def first(_: int) -> object:
        barrier.wait(SOON)
        return on_its_thread(own, threading.current_thread)

    with ThreadPoolExecutor(8) as pool:
        assert len({*pool.map(first, range(8))}) == 1


def test_timers_fire_in_the_order_of_their_time_unless_they_are_cancelled(own: Engine) -> None:
    fired: list[str] = []
    done = threading.Event()

    def set_timers() -> None:
        own.call_later(0.02, lambda: (fired.append("second"), done.set()))
        own.call_later(0.01, fired.append, "first")
        own.call_later(0.0, fired.append, "cancelled").cancel()

    own.call(set_timers)
    assert done.wait(SOON)
    assert fired == ["first", "second"]


def test_a_readable_descriptor_is_told_until_it_is_not_watched_any_more(own: Engine) -> None:
    reading, writing = os.pipe()
    read: list[bytes] = []
    done = threading.Event()

    def readable(marker: str) -> None:
        assert marker == "argument"
        read.append(os.read(reading, 1))
        if len(read) == 2:
            own.unwatch(reading)
            done.set()

    own.call(own.watch, reading, readable, "argument")
    os.write(writing, b"abc")
    assert done.wait(SOON)
    assert on_its_thread(own, lambda: [*read]) == [b"a", b"b"]
    os.close(reading)
    os.close(writing)


def test_a_service_is_made_once_whoever_asks_first(own: Engine) -> None:
    made: list[object] = []
    barrier = threading.Barrier(8)

    def make() -> object:
        made.append(object())
        return made[-1]

    def ask(_: int) -> object:
        barrier.wait(SOON)
        return own.service("key", make)

    with ThreadPoolExecutor(8) as pool:
        assert {*pool.map(ask, range(8))} == {*made}
    assert len(made) == 1
    assert own.service("another", make) is not made[0]


def test_a_service_that_takes_long_to_make_keeps_nobody_from_the_engine(own: Engine) -> None:
    making, go_on = threading.Event(), threading.Event()

    def make() -> str:
        making.set()
        assert go_on.wait(SOON)
        return "made"

    with ThreadPoolExecutor(1) as pool:
        service = pool.submit(own.service, "key", make)
        assert making.wait(SOON)
        assert on_its_thread(own, lambda: "alive") == "alive"
        done = threading.Event()
        own.block(done.set)
        assert done.wait(SOON)
        go_on.set()
        assert service.result(SOON) == "made"


# ---------------------------------------------------------------- what blocks


def test_what_blocks_runs_elsewhere_in_at_most_four_threads(own: Engine) -> None:
    threads: set[threading.Thread] = set()
    go_on = threading.Semaphore(0)

    def block() -> None:
        threads.add(threading.current_thread())
        assert go_on.acquire(timeout=SOON)

    for _ in range(20):
        own.block(block)
    assert on_its_thread(own, lambda: "alive") == "alive"
    go_on.release(20)
    own.finish()
    assert 1 <= len(threads) <= 4
    assert own._thread not in threads


@pytest.mark.parametrize("problem", [ValueError("a mistake"), SystemExit(3)])
def test_an_error_in_what_blocks_is_logged_and_ends_nothing(
    own: Engine, problem: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise problem

    for _ in range(5):
        own.block(fail)
    own.finish()
    done = threading.Event()
    own.block(done.set)
    assert done.wait(SOON)
    assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [problem] * 5
    own.check()


def test_a_program_ends_only_when_what_it_owes_is_done() -> None:
    program = """
import threading, time
from hpc_connect.engine import engine
begun = threading.Event()
def owed():
    begun.set()
    time.sleep(0.2)
    print("done", flush=True)
engine().block(owed)
begun.wait()
"""
    assert python(program) == "done"


def test_a_program_does_not_wait_for_what_it_does_not_owe() -> None:
    program = """
import threading
from hpc_connect.engine import engine
begun = threading.Event()
def hang():
    begun.set()
    threading.Event().wait()
engine().block(hang, owed=False)
begun.wait()
print("ends")
"""
    assert python(program) == "ends"


def test_it_can_be_used_by_what_runs_at_the_end_of_the_program() -> None:
    program = """
import atexit
from hpc_connect.engine import engine
atexit.register(lambda: engine().block(lambda: print("cancelled", flush=True)))
"""
    assert python(program) == "cancelled"


def test_where_no_thread_can_be_started_any_more_the_caller_does_it(
    own: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading.Thread, "start", lambda _: _raise(RuntimeError("the interpreter ends")))
    threads: list[threading.Thread] = []
    own.block(lambda: threads.append(threading.current_thread()))
    assert threads == [threading.current_thread()]
    own.finish()


# ---------------------------------------------------------------- how it dies


def _raise(error: BaseException) -> None:
    raise error


def _mistake(own: Engine) -> None:
    own.call(_raise, ValueError("a mistake of ours"))


def _mistake_in_a_timer(own: Engine) -> None:
    own.call(own.call_later, 0.0, _raise, ValueError("a mistake of ours"))


def _mistake_in_a_watcher(own: Engine) -> None:
    descriptor = os.eventfd(1)
    own.call(own.watch, descriptor, lambda: (os.close(descriptor), _raise(ValueError("a mistake of ours"))))


def _stopped(own: Engine) -> None:
    own.call(int)
    own.call(own._loop.stop)


def _exits(own: Engine) -> None:
    own.call(sys.exit, 3)


def _interrupted(own: Engine) -> None:
    own.call(_raise, KeyboardInterrupt())


def _killed_from_another_thread(own: Engine) -> None:
    thread_id = on_its_thread(own, threading.get_ident)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), ctypes.py_object(SystemExit))
    own.call(int)  # such an exception is raised when the thread next runs


def _deaf(own: Engine) -> None:
    def select(_: float | None) -> None:
        raise OSError(errno.EBADF, "somebody has closed all descriptors")

    on_its_thread(own, lambda: setattr(own._loop._selector, "select", select))


WAYS_TO_DIE = [
    _mistake,
    _mistake_in_a_timer,
    _mistake_in_a_watcher,
    _stopped,
    _exits,
    _interrupted,
    _killed_from_another_thread,
    _deaf,
]


@pytest.mark.parametrize("kill", WAYS_TO_DIE)
def test_however_it_dies_everybody_who_waits_is_told_once(
    own: Engine, kill: Callable[[Engine], object]
) -> None:
    waiters = [Waiter() for _ in range(10)]
    for waiter in waiters:
        own.register(waiter)
    kill(own)
    for waiter in waiters:
        assert waiter.heard.wait(SOON)
    end(own)
    assert {len(waiter.told) for waiter in waiters} == {1}


@pytest.mark.parametrize("kill", WAYS_TO_DIE)
def test_once_it_is_dead_nobody_can_begin_to_wait(own: Engine, kill: Callable[[Engine], object]) -> None:
    last = Waiter()
    own.register(last)
    kill(own)
    assert last.heard.wait(SOON)
    for use in (own.check, lambda: own.call(int), lambda: own.register(Waiter())):
        with pytest.raises(EngineError):
            use()


def test_the_error_tells_what_happened(own: Engine) -> None:
    waiter = Waiter()
    own.register(waiter)
    _mistake(own)
    assert waiter.heard.wait(SOON)
    with pytest.raises(EngineError, match="a mistake of ours") as caught:
        own.check()
    assert isinstance(caught.value.__cause__, ValueError)


def test_raising_the_error_again_and_again_does_not_make_it_grow(own: Engine) -> None:
    waiter = Waiter()
    own.register(waiter)
    _mistake(own)
    assert waiter.heard.wait(SOON)
    lengths = set()
    for _ in range(5):
        with pytest.raises(EngineError) as caught:
            own.check()
        lengths.add(len(caught.traceback))
    assert len(lengths) == 1


def test_who_was_forgotten_is_not_told(own: Engine) -> None:
    gone, there = Waiter(), Waiter()
    own.register(gone)
    own.register(there)
    own.unregister(gone)
    _stopped(own)
    assert there.heard.wait(SOON)
    end(own)
    assert gone.told == []


def test_a_waiter_that_fails_keeps_no_other_from_being_told(own: Engine) -> None:
    class Failing(Waiter):
        def engine_failed(self, error: EngineError) -> None:
            super().engine_failed(error)
            raise SystemExit(3)

    waiters = [Failing() for _ in range(5)]
    for waiter in waiters:
        own.register(waiter)
    _stopped(own)
    for waiter in waiters:
        assert waiter.heard.wait(SOON)


def test_who_registers_while_it_dies_is_told_or_refused() -> None:
    for _ in range(20):
        own = Engine()
        waiters = [Waiter() for _ in range(50)]

        def register(waiter: Waiter, own: Engine = own) -> bool:
            try:
                own.register(waiter)
            except EngineError:
                return False
            return True

        own.call(int)
        with ThreadPoolExecutor(4) as pool:
            registered = pool.map(register, waiters[:25])
            own.call(_raise, ValueError("dies now"))
            late = pool.map(register, waiters[25:])
            for accepted, waiter in zip([*registered, *late], waiters, strict=True):
                assert not accepted or waiter.heard.wait(SOON)
        end(own)


def test_the_first_mistake_is_the_one_that_is_told(own: Engine) -> None:
    waiter = Waiter()
    own.register(waiter)
    own.call(lambda: [own.call(_raise, ValueError(which)) for which in ("first", "second")])
    assert waiter.heard.wait(SOON)
    with pytest.raises(EngineError, match="first"):
        own.check()


def test_a_thread_that_cannot_be_started_is_an_error_and_may_be_tried_again(
    own: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda _: _raise(RuntimeError("can't start new thread")))
        with pytest.raises(EngineError, match="can't start new thread"):
            own.call(int)
    assert on_its_thread(own, lambda: "alive") == "alive"


# ---------------------------------------------------------------- fork


def test_a_forked_child_has_an_engine_of_its_own_and_the_parents_goes_on() -> None:
    program = """
import gc, os, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from hpc_connect.engine import engine

def thread_of_the_engine():
    names, done = [], threading.Event()
    engine().call(lambda: (names.append(threading.current_thread().ident), done.set()))
    assert done.wait(30)
    return names[0]

parents, service = engine(), engine().service("key", object)
thread_of_the_engine()
if os.fork() == 0:
    assert engine() is not parents
    assert engine().service("key", object) is not service
    del parents  # whatever becomes of it here must not touch that of the parent
    gc.collect()
    thread_of_the_engine()
    if os.fork() == 0:
        gc.collect()
        thread_of_the_engine()
        os._exit(7)
    os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
print(os.waitstatus_to_exitcode(os.wait()[1]), engine() is parents, thread_of_the_engine() > 0)
"""
    assert python(program) == "7 True True"


def python(program: str) -> str:
    """What a program prints that runs by itself."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=2 * SOON,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()
