"""Time passes when a test says so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_connect.testing import FakeClock


def test_time_stands_still_until_it_is_let_pass() -> None:
    clock = FakeClock(start=5)
    assert clock.now() == 5
    clock.advance(2.5)
    assert clock.now() == 7.5
    clock.advance(0)
    assert clock.now() == 7.5


def test_time_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="seconds=-1"):
        FakeClock().advance(-1)


def test_what_is_due_is_called_at_its_time_and_in_order() -> None:
    clock, seen = FakeClock(), list[tuple[str, float]]()

    def note(name: str) -> None:
        seen.append((name, clock.now()))

    clock.call_later(3, note, "third")
    clock.call_later(1, note, "first")
    clock.call_later(1, note, "second")
    clock.call_later(10, note, "later")
    clock.advance(5)
    assert seen == [("first", 1), ("second", 1), ("third", 3)]
    assert (clock.now(), clock.timers) == (5, 1)


def test_what_is_started_meanwhile_is_called_too() -> None:
    clock, seen = FakeClock(), list[float]()

    def tick() -> None:
        seen.append(clock.now())
        clock.call_later(2, tick)

    clock.call_later(0, tick)
    clock.advance(5)
    assert seen == [0, 2, 4]


def test_a_timer_that_was_cancelled_is_not_called() -> None:
    clock, seen = FakeClock(), list[str]()
    other = clock.call_later(2, seen.append, "by another")
    clock.call_later(1, other.cancel)
    clock.call_later(1, seen.append, "at once").cancel()
    clock.advance(10)
    assert seen == []


def test_a_call_that_lets_time_pass_does_not_set_it_back() -> None:
    clock, seen = FakeClock(), list[float]()
    clock.call_later(1, clock.advance, 10)
    clock.call_later(2, lambda: seen.append(clock.now()))
    clock.advance(3)
    assert (seen, clock.now()) == ([2], 11)


@given(st.lists(st.floats(0, 100)), st.lists(st.floats(0, 50), max_size=5))
def test_everything_is_called_once_and_never_early(waits: list[float], steps: list[float]) -> None:
    clock, seen = FakeClock(), list[float]()
    for wait in waits:
        clock.call_later(wait, lambda wait=wait: seen.append(wait))
    for step in steps:
        clock.advance(step)
        assert sorted(seen) == sorted(wait for wait in waits if wait <= clock.now())
    assert seen == sorted(seen)
