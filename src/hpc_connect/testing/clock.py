"""Time that passes when a test says so."""

from __future__ import annotations

import heapq
import itertools
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class FakeTimer:
    """What :meth:`FakeClock.call_later` gives."""

    def __init__(self, when: float, function: Callable[[], object]) -> None:
        self.when = when
        self._function: Callable[[], object] | None = function

    def cancel(self) -> None:
        """Do not call it any more."""
        self._function = None

    def fire(self) -> None:
        """Call it, if it was not cancelled."""
        if self._function is not None:
            self._function()


class FakeClock:
    """A clock and its timers, with the words of the engine: ``now`` and ``call_later``.

    Code that is given a clock, rather than looking for one, can be led through hours in no time:

        clock = FakeClock()
        clock.call_later(3600, print, "an hour later")
        clock.advance(3599)   # nothing
        clock.advance(1)      # prints

    Attributes:
        timers: how many wait.
    """

    def __init__(self, start: float = 0.0) -> None:
        self._now = start
        self._lock = threading.RLock()
        self._order = itertools.count()
        self._timers: list[tuple[float, int, FakeTimer]] = []

    @property
    def timers(self) -> int:
        """How many timers wait, those that were cancelled included."""
        return len(self._timers)

    def now(self) -> float:
        """Seconds since whenever."""
        return self._now

    def call_later(self, seconds: float, function: Callable[..., object], *arguments: Any) -> FakeTimer:
        """Call ``function`` when so many seconds have passed. The result has ``cancel()``."""
        with self._lock:
            timer = FakeTimer(self._now + max(0.0, seconds), lambda: function(*arguments))
            heapq.heappush(self._timers, (timer.when, next(self._order), timer))
            return timer

    def advance(self, seconds: float) -> None:
        """Let time pass: everything that is due is called, at its time, in order, in this thread.

        What a call starts anew is called as well, if it falls into the same time.
        """
        if seconds < 0:
            raise ValueError(f"seconds={seconds}: time does not go back")
        end = self._now + seconds
        while (timer := self._next(end)) is not None:
            timer.fire()
        self._now = max(self._now, end)

    def _next(self, end: float) -> FakeTimer | None:
        with self._lock:
            if not self._timers or self._timers[0][0] > end:
                return None
            when, _, timer = heapq.heappop(self._timers)
            self._now = max(self._now, when)
            return timer
