"""The engine: the one thread of a process on which everything about jobs happens.

It is an asyncio event loop in a daemon thread, started when it is first needed. Timers, descriptors that
become readable, and messages between threads are asyncio's; here is only what the rest of the library asks of
them, and the promise that nobody waits for a dead engine: when the loop ends, for whatever reason, everybody who
registered is told.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import queue
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from hpc_connect.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger("hpc_connect")

_BLOCKING_THREADS = 4

_Service = TypeVar("_Service")


class Waiter(Protocol):
    """Something that hangs on the engine and must not hang for ever."""

    def engine_failed(self, error: EngineError) -> None:
        """Called when the engine has ended, from the thread that ended."""


class Engine:
    """One thread, started by the first call. Methods may be called from any thread.

    Attributes:
        making: held while something is made that there must be once; never while something is done.
    """

    def __init__(self) -> None:
        self.making = threading.RLock()
        self._lock = threading.RLock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pool = _Pool()
        self._waiters: set[Waiter] = set()
        self._services: dict[object, Any] = {}
        self._failure: EngineError | None = None

    def is_current(self) -> bool:
        """Whether the caller is the engine's own thread, which must not wait for itself."""
        return threading.current_thread() is self._thread

    def check(self) -> None:
        """Do nothing, as long as the engine works or has not been needed yet.

        Raises:
            EngineError: the engine has failed.
        """
        if self._failure is not None:
            raise self._failure.with_traceback(None)  # else it would grow with every time it is raised

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        """Run ``function`` on the engine thread, soon.

        Raises:
            EngineError: the engine has failed.
        """
        with self._lock:
            loop = self._running_loop()
            call = loop.call_soon if self.is_current() else loop.call_soon_threadsafe
            call(function, *arguments)

    def call_later(
        self, seconds: float, function: Callable[..., object], *arguments: Any
    ) -> asyncio.TimerHandle:
        """Run ``function`` after some seconds; only on the engine thread. The result has ``cancel()``."""
        return self._running_loop().call_later(seconds, function, *arguments)

    def now(self) -> float:
        """Seconds of a clock that is never set back."""
        return time.monotonic()

    def service(self, key: object, make: Callable[[], _Service]) -> _Service:
        """What there is once for each engine: made when it is first asked for, and anew in a forked child."""
        with self.making:
            if key not in self._services:
                self._services[key] = make()
            found: _Service = self._services[key]
            return found

    def watch(self, descriptor: int, function: Callable[..., object], *arguments: Any) -> None:
        """Run ``function`` whenever a descriptor is readable; only on the engine thread."""
        self._running_loop().add_reader(descriptor, function, *arguments)

    def unwatch(self, descriptor: int) -> None:
        """Stop watching a descriptor; only on the engine thread."""
        self._running_loop().remove_reader(descriptor)

    def block(self, function: Callable[[], object], *, owed: bool = True) -> None:
        """Run something that blocks, in one of at most four threads of their own; errors are logged.

        Args:
            function: what to run.
            owed: whether the program may not end before this is done.
        """
        self._pool.run(function, owed)

    def finish(self) -> None:
        """Wait until everything that :meth:`block` owes is done."""
        self._pool.finish()

    def register(self, waiter: Waiter) -> None:
        """Tell ``waiter`` when the engine fails, until :meth:`unregister`. Also keeps it alive.

        Raises:
            EngineError: the engine has failed.
        """
        with self._lock:
            self._running_loop()
            self._waiters.add(waiter)

    def unregister(self, waiter: Waiter) -> None:
        """Forget a waiter."""
        with self._lock:
            self._waiters.discard(waiter)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        self.check()
        return self._loop or self._start()

    def _start(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.SelectorEventLoop()  # whatever the program's own policy is
        loop.set_exception_handler(self._on_error)
        # Callbacks of users must not take it for theirs: tasks of theirs would run here, and their errors end it.
        loop.call_soon(asyncio._set_running_loop, None)  # noqa: SLF001 - public by asyncio's own __all__
        thread = threading.Thread(target=self._run, args=(loop,), name="hpc_connect-engine", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            loop.close()
            raise EngineError(f"the engine thread of hpc_connect does not start: {error}") from error
        self._loop, self._thread = loop, thread
        return loop

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        problem: BaseException | None = None
        try:
            loop.run_forever()
        except BaseException as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            problem = error
        finally:
            self._end(loop, problem)

    def _end(self, loop: asyncio.AbstractEventLoop, problem: BaseException | None) -> None:
        with self._lock:
            if self._failure is None:
                self._failure = EngineError(
                    f"the engine thread of hpc_connect has ended ({problem!r}); the jobs go on: attach to them "
                    f"again, or call recover(), in a new process"
                )
                self._failure.__cause__ = problem
            failure, waiters = self._failure, self._waiters
            self._waiters = set()
        _log.critical("%s", failure, exc_info=problem)
        for waiter in waiters:
            guarded(lambda waiter=waiter: waiter.engine_failed(failure))  # type: ignore[misc]  # bound here
        with contextlib.suppress(Exception):
            loop.close()

    def _on_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A callback raised: what it was to settle never will be, so nobody may rely on this engine again."""
        error = context.get("exception")
        _log.error("internal error in the engine: %s", context.get("message"), exc_info=error)
        with self._lock:
            if self._failure is None:
                self._failure = EngineError(
                    f"internal error in the engine of hpc_connect: {error!r}; please report it"
                )
                self._failure.__cause__ = error
        loop.stop()


class _Pool:
    """At most four daemon threads for what blocks: a call that hangs must not keep the program from ending."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._work: queue.SimpleQueue[tuple[Callable[[], object], bool]] = queue.SimpleQueue()
        self._threads = 0
        self._unfinished = 0
        self._owed = 0

    def run(self, function: Callable[[], object], owed: bool) -> None:
        with self._changed:
            self._unfinished += 1
            self._owed += owed
            if self._threads < min(self._unfinished, _BLOCKING_THREADS):
                self._start_thread()
            anybody_there = self._threads > 0
        if anybody_there:
            self._work.put((function, owed))
        else:
            self._do(function, owed)

    def finish(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._owed == 0)

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._serve, name="hpc_connect-blocking", daemon=True)
        # An interpreter that is ending starts no threads any more, and cancelling at exit must work.
        with contextlib.suppress(RuntimeError):
            thread.start()
            self._threads += 1

    def _serve(self) -> None:
        while True:
            self._do(*self._work.get())

    def _do(self, function: Callable[[], object], owed: bool) -> None:
        guarded(function)
        with self._changed:
            self._unfinished -= 1
            self._owed -= owed
            self._changed.notify_all()


def guarded(function: Callable[[], object]) -> None:
    """Call something whose failure must not end the thread it happens in; it is logged."""
    try:
        function()
    except BaseException:  # noqa: BLE001 - SystemExit too: it would end the thread for everybody
        _log.exception("a background action of hpc_connect failed")


class _Current:
    """The engine of this process; a forked child makes one of its own."""

    def __init__(self) -> None:
        self.engine = Engine()
        self._of_ancestors: list[Engine] = []
        os.register_at_fork(after_in_child=self._renew)
        atexit.register(self._finish)

    def _renew(self) -> None:
        # Kept, for it must not be closed here: it shares its selector with the parent.
        self._of_ancestors.append(self.engine)
        self.engine = Engine()

    def _finish(self) -> None:
        self.engine.finish()


_current = _Current()


def engine() -> Engine:
    """The engine of this process."""
    return _current.engine
