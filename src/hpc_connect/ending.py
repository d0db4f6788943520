"""The end of a job as those who wait for it see it: it happens once, and who comes late is told at once.

Everything that waits (``wait``, futures, ``await``, callbacks, ``as_completed``) hangs on an :class:`Ending`. That
of the library's own handles is told by whoever observes the job; a :class:`PolledEnding` asks.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from hpc_connect.engine import engine, guarded
from hpc_connect.errors import EngineError, HPCConnectError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpc_connect.engine import Engine

_log = logging.getLogger("hpc_connect")

_SHORTEST_PAUSE = 0.01  # seconds


class Ending:
    """The end of one job, for one engine.

    Attributes:
        happened: whether it has.
        failure: why nobody will ever tell how; None where somebody does.
        errors: what callbacks have raised.
        lock: held for a moment by whoever changes this, or what of the handle must change in one piece.
    """

    __slots__ = ("_listeners", "engine", "errors", "failure", "happened", "lock")

    def __init__(self) -> None:
        self.engine: Engine = engine()
        self.happened = False
        self.failure: HPCConnectError | None = None
        self.errors: list[BaseException] = []
        self.lock = threading.RLock()  # a signal handler may come in between
        self._listeners: dict[Callable[[], object], None] = {}

    def tell(self, listener: Callable[[], object]) -> None:
        """Call ``listener`` when it happens: on the engine thread, or at once if it has."""
        failure = None
        with self.lock:
            if not self.happened:
                self._listeners[listener] = None
                try:
                    self.engine.register(self)
                except EngineError as error:
                    failure = error
                else:
                    self._somebody_waits()
                    return
        if failure is not None:
            self.happen(failure)
        else:
            guarded(listener)

    def forget(self, listener: Callable[[], object]) -> None:
        """Do not call it any more."""
        with self.lock:
            self._listeners.pop(listener, None)
            if not self._listeners:
                self.engine.unregister(self)

    def happen(self, failure: HPCConnectError | None = None) -> None:
        """Let it happen; a second time changes nothing."""
        with self.lock:
            if self.happened:
                return
            self.happened = True
            self.failure = failure
            listeners, self._listeners = self._listeners, {}
            self.engine.unregister(self)
        for listener in listeners:
            guarded(listener)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has happened, at most so many seconds; whether it has.

        Raises:
            EngineError: on the engine's thread, which would wait for itself.
        """
        if not self.happened:
            self.refuse_engine_thread()
            event = threading.Event()
            self.tell(event.set)
            try:
                event.wait(timeout)
            finally:
                self.forget(event.set)
        return self.happened

    def refuse_engine_thread(self) -> None:
        """Refuse to wait where that would never end.

        Raises:
            EngineError: this is the engine's thread.
        """
        if self.engine.is_current():
            raise EngineError(
                "a callback must not wait for a job: it would wait for itself. Add one to that job"
            )

    def engine_failed(self, error: EngineError) -> None:
        """Nobody will tell any more."""
        self.happen(error)

    def _somebody_waits(self) -> None:
        """A listener has come; called with the lock."""


class Pollable(Protocol):
    """A handle that can be asked."""

    @property
    def id(self) -> str:
        """Our id."""

    @property
    def polling_frequency(self) -> float:
        """Seconds between two looks."""

    @property
    def grace_window(self) -> float:
        """Seconds for which asking may fail."""

    def poll(self) -> int | None:
        """None while the job lives."""


class PolledEnding(Ending):
    """The end of a job whose handle has only ``poll``: it is asked as long as somebody waits."""

    __slots__ = ("_asking", "_failing_since", "_job", "_poller", "_process")

    def __init__(self, process: Pollable) -> None:
        super().__init__()
        self._process = process
        self._job = process.id
        self._poller = self.engine.service(type(process), lambda: _Poller(self.engine))
        self._asking = False
        self._failing_since: float | None = None

    def ask(self) -> None:
        """Ask once, and have the engine do what follows from the answer; errors of ``poll`` stay in this job."""
        try:
            pause = _seconds(self._process.polling_frequency)
            ended = self._poll()
        except HPCConnectError as error:
            self.engine.call(self.happen, error)
        except BaseException as error:  # noqa: BLE001 - SystemExit too: those who wait must hear of it
            self.engine.call(self.happen, self._cannot_tell(error))
        else:
            if ended:
                self.engine.call(self.happen)
            else:
                self.engine.call(self._ask_again, max(pause, _SHORTEST_PAUSE))

    def _poll(self) -> bool:
        """Whether the job has ended; a question that could not be asked is no news, until the grace window is over."""
        try:
            ended = self._process.poll() is not None
        except (OSError, TransportError) as error:
            now = self.engine.now()
            if self._failing_since is None:
                self._failing_since = now
                _log.warning("job %s cannot be asked for now: %r", self._job, error)
            if now - self._failing_since >= self._process.grace_window:
                raise self._cannot_tell(error) from error
            return False
        self._failing_since = None
        return ended

    def _cannot_tell(self, error: BaseException) -> EngineError:
        failure = EngineError(f"nobody can tell how job {self._job} ends: its poll() raised {error!r}")
        failure.__cause__ = error
        return failure

    def _somebody_waits(self) -> None:
        if not self._asking:
            self._asking = True
            self.engine.call(self._poller.add, self)

    def _ask_again(self, pause: float) -> None:
        with self.lock:
            self._asking = bool(self._listeners)
        if self._asking:
            self.engine.call_later(pause, self._poller.add, self)


def _seconds(frequency: object) -> float:
    if isinstance(frequency, (int, float)) and 0 <= frequency < float("inf"):
        return frequency
    raise ValueError(f"polling_frequency={frequency!r} must be a number of seconds from 0")


class _Poller:
    """Asks all handles of one class, one after the other, in one thread of the engine's at a time."""

    def __init__(self, its_engine: Engine) -> None:
        self._engine = its_engine
        self._due: deque[PolledEnding] = deque()
        self._at_work = False

    def add(self, ending: PolledEnding) -> None:
        """Ask this one soon; on the engine thread."""
        self._due.append(ending)
        self._go_on()

    def _go_on(self) -> None:
        if self._due and not self._at_work:
            self._at_work = True
            self._engine.block(self._work, owed=False)

    def _work(self) -> None:
        with suppress(EngineError):  # whoever waits has been told
            while self._due:
                self._due.popleft().ask()
            self._engine.call(self._rest)

    def _rest(self) -> None:
        self._at_work = False
        self._go_on()
