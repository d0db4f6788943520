"""The engine: the one thread of a process on which everything about jobs happens.

It is an asyncio event loop in a daemon thread, started when it is first needed. Timers, descriptors that
become readable, and messages between threads are asyncio's; here is only what the rest of the library asks of
them, and the promise that nobody waits for a dead engine: when the loop ends, for whatever reason, everybody who
registered is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
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
    """One thread, started by the first call. Methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._waiters: set[Waiter] = set()
        self._services: dict[object, Any] = {}
        self._failure: EngineError | None = None

    def is_current(self) -> bool:
        """Whether the caller is the engine's own thread, which must not wait for itself."""
        return threading.current_thread() is self._thread

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        """Run ``function`` on the engine thread, soon.

        Raises:
            EngineError: the engine has failed.
        """
        if self.is_current():
            self._running_loop().call_soon(function, *arguments)
        else:
            self._running_loop().call_soon_threadsafe(function, *arguments)

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
        with self._lock:
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

    def block(self, function: Callable[[], object]) -> None:
        """Run something that blocks, in one of at most four threads of their own; errors are logged."""
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(_BLOCKING_THREADS, thread_name_prefix="hpc_connect-blocking")
            self._pool.submit(_logged, function)

    def register(self, waiter: Waiter) -> None:
        """Tell ``waiter`` when the engine fails, until :meth:`unregister`. Also keeps it alive.

        Raises:
            EngineError: the engine has failed.
        """
        self._running_loop()
        self._waiters.add(waiter)

    def unregister(self, waiter: Waiter) -> None:
        """Forget a waiter."""
        self._waiters.discard(waiter)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._failure is not None:
            raise self._failure
        return self._loop or self._start()

    def _start(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = self._new_loop()
            return self._loop

    def _new_loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(self._on_error)
        self._thread = threading.Thread(
            target=self._run, args=(loop,), name="hpc_connect-engine", daemon=True
        )
        self._thread.start()
        return loop

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        problem: BaseException | None = None
        try:
            loop.run_forever()
        except BaseException as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            problem = error
        if self._failure is None:
            self._failure = EngineError(
                f"the engine thread of hpc_connect has ended ({problem!r}); the jobs go on: attach to them again, "
                f"or call recover(), in a new process"
            )
            self._failure.__cause__ = problem
        for waiter in list(self._waiters):
            waiter.engine_failed(self._failure)
        self._waiters.clear()
        with contextlib.suppress(Exception):
            loop.close()

    def _on_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A callback raised: what it was to settle never will be, so nobody may rely on this engine again."""
        error = context.get("exception")
        _log.error("internal error in the engine: %s", context.get("message"), exc_info=error)
        self._failure = EngineError(
            f"internal error in the engine of hpc_connect: {error!r}; please report it"
        )
        self._failure.__cause__ = error
        loop.stop()


def _logged(function: Callable[[], object]) -> None:
    try:
        function()
    except Exception:  # noqa: BLE001 - nobody waits for this result; it must not vanish
        _log.exception("a background action of hpc_connect failed")


class _Current:
    """The engine of this process; a forked child makes one of its own."""

    def __init__(self) -> None:
        self.engine = Engine()
        os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._parents = (
            self.engine
        )  # kept: its selector is shared with the parent and must not be closed here
        self.engine = Engine()


_current = _Current()


def engine() -> Engine:
    """The engine of this process."""
    return _current.engine
