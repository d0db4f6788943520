"""Durations and amounts of memory: one unit inside, strict text forms outside."""

from __future__ import annotations

import re
from datetime import timedelta
from fractions import Fraction
from math import ceil
from typing import TypeAlias

from hpc_connect.errors import SpecError

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST = timedelta(days=10_000)

# More than twenty digits are far above the largest amounts, and in the end too long for int().
_WHOLE = r"\d{1,20}"
_NUMBER = rf"{_WHOLE}(?:\.{_WHOLE})?"
_CLOCK = re.compile(
    rf"(?:(?P<days>{_WHOLE})-)?(?P<hours>{_WHOLE}):(?P<minutes>[0-5]\d):(?P<seconds>[0-5]\d)", re.ASCII
)
_WITH_UNIT = re.compile(rf"(?P<number>{_NUMBER})(?P<unit>[smhd])", re.ASCII)
_TWO_PARTS = re.compile(rf"(?P<first>{_WHOLE}):(?P<second>[0-5]\d)", re.ASCII)
_BARE_NUMBER = re.compile(_NUMBER, re.ASCII)

_DURATION_FORMS = (
    "a duration above zero and up to 10000 days is a timedelta, a number of seconds, "
    "'H:MM:SS', 'D-HH:MM:SS', or a number with a unit such as '90s', '30m', '36h', '2d'"
)


class Duration(timedelta):
    """A length of time above zero: exact to the microsecond, never wrapped at 24 hours.

    A ``timedelta``, so it compares and adds as one.
    """

    @classmethod
    def parse(cls, value: DurationLike, field: str = "duration") -> Duration:
        """Read any of the accepted forms.

        Args:
            value: timedelta, int or float seconds, ``"H:MM:SS"``, ``"D-HH:MM:SS"`` (both exact, minutes
                and seconds below 60, hours after days below 24), or a number with one of the units
                s, m, h, d.
            field: what to call it in the error.

        Raises:
            SpecError: not one of these forms, not above zero, or longer than 10,000 days.
        """
        length: timedelta | None = None
        if isinstance(value, timedelta):
            length = value
        elif isinstance(value, str):
            length = _from_seconds(_seconds(value, field))
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            length = _from_seconds(value)
        if length is None or not timedelta(0) < length <= _LONGEST:
            raise SpecError(field, value, _DURATION_FORMS)
        return cls(length.days, length.seconds, length.microseconds)

    @property
    def whole_seconds(self) -> int:
        """The length in seconds, rounded up: what is asked for is never cut."""
        return self.days * 86400 + self.seconds + (1 if self.microseconds else 0)

    @property
    def whole_minutes(self) -> int:
        """The length in minutes, rounded up."""
        return -(-self.whole_seconds // 60)

    def hours_minutes_seconds(self) -> str:
        """``H:MM:SS`` with hours that may exceed 24, rounded up to the second."""
        minutes, seconds = divmod(self.whole_seconds, 60)
        return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"

    def days_hours_minutes_seconds(self) -> str:
        """``D-HH:MM:SS``, rounded up to the second."""
        days, seconds = divmod(self.whole_seconds, 86400)
        minutes, seconds = divmod(seconds, 60)
        return f"{days}-{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"


def _from_seconds(seconds: float | Fraction) -> timedelta | None:
    """None for what a timedelta cannot hold: infinite, not a number, too long."""
    try:
        return timedelta(microseconds=round(Fraction(seconds) * 10**6))
    except (OverflowError, ValueError):
        return None


def _seconds(text: str, field: str) -> Fraction:
    clock = _CLOCK.fullmatch(text)
    if clock and not (clock["days"] and int(clock["hours"]) > 23):
        days, hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        return Fraction(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
    with_unit = _WITH_UNIT.fullmatch(text)
    if with_unit:
        return Fraction(with_unit["number"]) * _UNIT_SECONDS[with_unit["unit"]]
    two_parts = _TWO_PARTS.fullmatch(text)
    if two_parts:
        hours, minutes = divmod(int(two_parts["first"]), 60)
        as_minutes = f"{hours}:{minutes:02d}:{two_parts['second']}"
        raise SpecError(
            field, text, f"minutes and seconds, or hours and minutes? Write '{as_minutes}' or '{text}:00'"
        )
    if _BARE_NUMBER.fullmatch(text):
        raise SpecError(
            field,
            text,
            f"in which unit? Write '{text}s' or the number {text} for seconds, '{text}m' for minutes",
        )
    raise SpecError(field, text, _DURATION_FORMS)


_UNIT_BYTES = {"B": 1} | {
    prefix + suffix: base ** (power + 1)
    for power, prefix in enumerate("KMGTP")
    for suffix, base in (("", 1024), ("iB", 1024), ("B", 1000))
}
_MEMORY = re.compile(rf"(?P<number>{_NUMBER}) ?(?P<unit>[A-Za-z]+)", re.ASCII)
_MOST_BYTES = 2**60
_MEMORY_FORMS = (
    "an amount of memory is an int of bytes from 1 to 2**60, or a number with a unit: "
    "'K', 'M', 'G', 'T', 'P' (or 'KiB' ...) are powers of 1024, 'KB', 'MB', 'GB', 'TB', 'PB' of 1000"
)


class Memory(int):
    """An amount of memory above zero, in bytes.

    An ``int``, so it compares and adds as one.
    """

    @classmethod
    def parse(cls, value: MemoryLike, field: str = "memory") -> Memory:
        """Read bytes, or text with a unit (``"4GiB"`` = ``"4G"`` = 2³² bytes, ``"4GB"`` = 4 × 10⁹).

        A fraction such as ``"1.5G"`` is rounded up to a whole byte.

        Args:
            value: int bytes, or a string of a number and a unit.
            field: what to call it in the error.

        Raises:
            SpecError: another form, no unit in a string, zero, negative, or above 2**60 bytes.
        """
        if isinstance(value, int) and not isinstance(value, bool):
            amount = int(value)
        elif isinstance(value, str):
            match = _MEMORY.fullmatch(value)
            if not match or match["unit"] not in _UNIT_BYTES:
                raise SpecError(field, value, _MEMORY_FORMS)
            amount = ceil(Fraction(match["number"]) * _UNIT_BYTES[match["unit"]])
        else:
            raise SpecError(field, value, _MEMORY_FORMS)
        if not 0 < amount <= _MOST_BYTES:
            raise SpecError(field, value, _MEMORY_FORMS)
        return cls(amount)

    @property
    def mebibytes(self) -> int:
        """The amount in units of 2²⁰ bytes, rounded up."""
        return -(-self // 2**20)

    @property
    def kibibytes(self) -> int:
        """The amount in units of 2¹⁰ bytes, rounded up."""
        return -(-self // 2**10)


DurationLike: TypeAlias = timedelta | float | str
MemoryLike: TypeAlias = int | str
