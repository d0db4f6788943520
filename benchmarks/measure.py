"""What the benchmarks share: measuring side by side, a place of their own, and the verdict.

A promise is measured in turns with its floor in one run, so that a busy machine slows down both alike.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import statistics
import tempfile
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def in_turns(rounds: int, *actions: Callable[[], object]) -> list[list[float]]:
    """Run the actions one after the other, round by round, each first in its turn; seconds of each, by round."""
    seconds: list[list[float]] = [[] for _ in actions]
    for turn in range(rounds):
        order = [*range(turn % len(actions), len(actions)), *range(turn % len(actions))]
        for which in order:
            start = time.perf_counter()
            actions[which]()
            seconds[which].append(time.perf_counter() - start)
    return seconds


def over_floor(times: list[float], floor: list[float]) -> float:
    """The median, over the rounds, of what was taken more than the floor took in the same round."""
    return statistics.median(time - bare for time, bare in zip(times, floor, strict=True))


def ratio(times: list[float], floor: list[float]) -> float:
    """The median, over the rounds, of how often the floor of the same round fits in."""
    return statistics.median(time / bare for time, bare in zip(times, floor, strict=True))


@contextlib.contextmanager
def own_place() -> Iterator[str]:
    """A working directory of its own, with no configuration and an empty store.

    It is removed at the very end: what was learned of jobs last is written when the interpreter ends.
    """
    before, directory = dict(os.environ), os.getcwd()
    place = tempfile.mkdtemp(prefix="hpc_connect-benchmark-")
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    for name in [name for name in os.environ if name.startswith(("HPC_CONNECT_", "HPCC_"))]:
        del os.environ[name]
    for kind in ("CACHE", "CONFIG", "DATA", "STATE"):
        os.environ[f"XDG_{kind}_HOME"] = os.path.join(place, kind.lower())
    os.environ["HPC_CONNECT_SITE_CONFIG"] = os.devnull
    os.chdir(place)
    try:
        yield place
    finally:
        os.chdir(directory)
        os.environ.clear()
        os.environ.update(before)


class Promises:
    """Prints each promise with what was measured; the exit code is 1 when one was not kept."""

    def __init__(self) -> None:
        self._short = False

    def at_most(self, what: str, measured: float, limit: float, unit: str, note: str = "") -> None:
        """Something must not be more than a limit."""
        kept = measured <= limit
        self._short |= not kept
        verdict = "kept " if kept else "SHORT"
        print(f"{verdict}  {what}: {measured:.2f}{unit}, at most {limit:g}{unit}{note and f'  ({note})'}")

    def exit_code(self) -> int:
        """0 when all were kept."""
        return 1 if self._short else 0
