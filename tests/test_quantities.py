"""Durations and memory: what is read is exact, what is printed is never less, what is unclear is refused."""

from __future__ import annotations

import math
import pickle
from contextlib import suppress
from datetime import timedelta
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hpc_connect.errors import SpecError
from hpc_connect.quantities import Duration, Memory

MINUTE, HOUR, DAY = 60, 3600, 86400
LONGEST = 10_000 * DAY

seconds = st.integers(1, 30 * DAY) | st.integers(1, LONGEST)
microseconds = st.integers(1, LONGEST * 10**6)


@given(seconds)
@example(1)
@example(59)
@example(60)
@example(DAY - 1)
@example(DAY)
@example(25 * HOUR)
@example(48 * HOUR)
@example(72 * HOUR)
@example(100 * HOUR)
@example(30 * DAY)
@example(LONGEST)
def test_whole_seconds_come_back_unchanged_from_both_printed_forms(total: int) -> None:
    duration = Duration.parse(total)
    assert duration.total_seconds() == total
    assert Duration.parse(duration.hours_minutes_seconds()) == duration
    assert Duration.parse(duration.days_hours_minutes_seconds()) == duration


@given(st.integers(0, 9_999), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
@example(0, 0, 0, 1)
@example(30, 0, 0, 0)
def test_every_form_means_the_same_length(days: int, hours: int, minutes: int, secs: int) -> None:
    total = ((days * 24 + hours) * 60 + minutes) * 60 + secs
    if not total:
        return
    expected = timedelta(days=days, hours=hours, minutes=minutes, seconds=secs)
    assert Duration.parse(expected) == expected
    assert Duration.parse(total) == expected
    assert Duration.parse(float(total)) == expected
    assert Duration.parse(f"{total}s") == expected
    assert Duration.parse(f"{days}-{hours:02d}:{minutes:02d}:{secs:02d}") == expected
    assert Duration.parse(f"{days * 24 + hours}:{minutes:02d}:{secs:02d}") == expected


@pytest.mark.parametrize(
    ("given_form", "expected"),
    [
        ("90s", 90), ("30m", 30 * MINUTE), ("36h", 36 * HOUR), ("2d", 2 * DAY), ("1.5s", 1.5),
        ("0.5h", 30 * MINUTE), ("1.5d", 36 * HOUR), (1.5, 1.5), (0.000001, 0.000001), ("0.000001s",
        0.000001), ("0:00:01", 1),
        ("00:00:59", 59), ("0:01:00", 60), ("23:59:59", DAY - 1), ("24:00:00", DAY), ("25:00:00", 25 * HOUR),
        ("100:00:00", 100 * HOUR), ("1-00:00:00", DAY), ("0-00:00:01", 1), ("30-00:00:00", 30 * DAY),
        (timedelta(hours=72), 72 * HOUR), ("10000d", LONGEST),
    ],
)  # fmt: skip
def test_a_form_is_read_exactly(given_form: object, expected: float) -> None:
    assert Duration.parse(given_form) == timedelta(seconds=expected)


@given(microseconds)
@example(1)
@example(1_500_000)
@example(59_999_999)
def test_what_is_printed_is_the_next_whole_second_and_never_less(total: int) -> None:
    duration = Duration.parse(timedelta(microseconds=total))
    expected = -(-total // 10**6)
    assert duration.whole_seconds == expected
    assert duration.whole_minutes == -(-total // (60 * 10**6))
    for printed in (duration.hours_minutes_seconds(), duration.days_hours_minutes_seconds()):
        *days, clock = printed.split("-")
        hours, minutes, secs = map(int, clock.split(":"))
        assert int(days[0] if days else 0) * DAY + hours * HOUR + minutes * MINUTE + secs == expected
        assert minutes < 60
        assert secs < 60
        assert hours < 24 or not days


@given(microseconds)
def test_a_fraction_in_text_is_exact_to_the_microsecond(total: int) -> None:
    text = f"{total // 10**6}.{total % 10**6:06d}s"
    assert Duration.parse(text) == timedelta(microseconds=total)


@pytest.mark.parametrize(
    ("total", "clock", "with_days"),
    [
        (1, "0:00:01", "0-00:00:01"),
        (1.5, "0:00:02", "0-00:00:02"),
        (59, "0:00:59", "0-00:00:59"),
        (60, "0:01:00", "0-00:01:00"),
        (DAY - 1, "23:59:59", "0-23:59:59"),
        (DAY - 0.5, "24:00:00", "1-00:00:00"),
        (DAY, "24:00:00", "1-00:00:00"),
        (25 * HOUR, "25:00:00", "1-01:00:00"),
        (48 * HOUR, "48:00:00", "2-00:00:00"),
        (72 * HOUR, "72:00:00", "3-00:00:00"),
        (100 * HOUR, "100:00:00", "4-04:00:00"),
        (30 * DAY, "720:00:00", "30-00:00:00"),
    ],
)
def test_a_day_and_more_is_not_wrapped(total: float, clock: str, with_days: str) -> None:
    duration = Duration.parse(total)
    assert duration.hours_minutes_seconds() == clock
    assert duration.days_hours_minutes_seconds() == with_days


@pytest.mark.parametrize(
    "value",
    [
        0, -1, 0.0, -0.5, 1e-9, timedelta(0), timedelta(seconds=-1), "0s", "0:00:00", "0-00:00:00", "-1s",
        LONGEST + 1, 1e300, 10**400, timedelta.max, "10001d", "9" * 400 + "s", "9" * 5000 + "d",
        "9" * 5000 + ":00:00",
        math.nan, math.inf, -math.inf, "nan", "inf", "infs", "infinite", "UNLIMITED",
        True, False, None, b"90s", ["90s"], (1, 2), object(), Fraction(3, 2), 1j,
        "", " ", "s", "h", ":", "::", "0::1", "1:2:3", "1:02:3", "01:2:03", "1:60:00", "1:00:60", "24:61:00",
        "1-24:00:00", "1-25:00:00", "1-00:00", "1-00", "--1:00:00", "1:00:00:00", "1:00:00.5",
        " 90s", "90s ", "90 s", "90s\n", "1 :00:00", "9_0s", "+90s", "90S", "90sec", "90 seconds",
        "1h30m", "1,5s", ".5s", "5.s", "1e3s", "0x10s", "٣s", "\uff19s", "\uff11:00:00", "²s", "2w", "3y",
        "P1D", "PT1H",
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_the_forms_that_are_accepted(value: object) -> None:
    with pytest.raises(SpecError) as caught:
        Duration.parse(value, "time_limit")
    assert caught.value.field == "time_limit"
    assert caught.value.value is value
    assert "'H:MM:SS'" in caught.value.allowed


@pytest.mark.parametrize(
    ("ambiguous", "readings"),
    [
        ("10:00", [10 * MINUTE, 10 * HOUR]),
        ("0:30", [30, 30 * MINUTE]),
        ("90:00", [90 * MINUTE, 90 * HOUR]),
        ("1:05", [65, 65 * MINUTE]),
        ("600", [600, 600 * MINUTE]),
        ("1.5", [1.5, 90]),
    ],
)
def test_what_could_mean_two_things_is_refused_with_both_written_out(
    ambiguous: str, readings: list[float]
) -> None:
    with pytest.raises(SpecError) as caught:
        Duration.parse(ambiguous, "time_limit")
    suggested = caught.value.allowed.split("'")[1::2]
    assert [Duration.parse(form).total_seconds() for form in suggested] == readings


@given(st.text(max_size=12))
def test_any_text_is_either_a_duration_or_a_spec_error(text: str) -> None:
    with suppress(SpecError):
        assert Duration.parse(text) > timedelta(0)


def test_a_duration_is_a_timedelta_that_survives_pickling() -> None:
    duration = Duration.parse("1.5h")
    assert duration == timedelta(minutes=90)
    assert duration + timedelta(minutes=30) == timedelta(hours=2)
    twin = pickle.loads(pickle.dumps(duration))
    assert (type(twin), twin) == (Duration, duration)


# ---------------------------------------------------------------- memory


@pytest.mark.parametrize(
    ("given_form", "expected"),
    [
        (1, 1), (2**60, 2**60), ("1B", 1), ("1152921504606846976B", 2**60), ("1K", 2**10), ("1KiB", 2**10),
        ("1KB", 10**3), ("1M", 2**20), ("1MiB", 2**20), ("1MB", 10**6), ("4G", 2**32), ("4GiB", 2**32),
        ("4GB", 4 * 10**9), ("4 GB", 4 * 10**9),
        ("1T", 2**40), ("1TiB", 2**40), ("1TB", 10**12), ("1P", 2**50), ("1PiB", 2**50), ("1PB", 10**15),
        ("1.5G", 3 * 2**29), ("0.5K", 512), ("0.1K", 103), ("0.0001B", 1),
    ],
)  # fmt: skip
def test_a_bare_letter_is_a_power_of_1024_and_a_letter_with_b_a_power_of_1000(
    given_form: int | str, expected: int
) -> None:
    memory = Memory.parse(given_form)
    assert memory == expected
    assert type(memory) is Memory


@given(st.integers(1, 2**60))
@example(2**20)
@example(2**20 + 1)
def test_larger_units_are_rounded_up(amount: int) -> None:
    memory = Memory.parse(amount)
    assert 0 <= memory.mebibytes * 2**20 - amount < 2**20
    assert 0 <= memory.kibibytes * 2**10 - amount < 2**10
    assert Memory.parse(f"{memory.kibibytes}K") >= memory


@pytest.mark.parametrize(
    "value",
    [
        0, -1, 2**60 + 1, 10**400, "0G", "0.0G", "-1G", "2049P", "9" * 5000 + "K",
        True, False, None, 1.5, 1e9, math.nan, b"4G", ["4G"], object(),
        "", " ", "G", "4", "4 g", "4g", "4gb", "4gib", "4kB", "4E", "4  G", " 4G", "4G ", "4G\n", "4\tG",
        "1e3K",
        "1_0K", "+4G", "4,5G", ".5G", "4.G", "٤G", "\uff14G", "4GG", "4GiBs", "4 Words", "1/2G", "inf",
        "nanG",
    ],
)  # fmt: skip
def test_any_other_amount_is_refused_with_the_forms_that_are_accepted(value: object) -> None:
    with pytest.raises(SpecError) as caught:
        Memory.parse(value, "memory_per_node")
    assert caught.value.field == "memory_per_node"
    assert caught.value.value is value
    assert "powers of 1024" in caught.value.allowed


@given(st.text(max_size=12))
def test_any_text_is_either_an_amount_of_memory_or_a_spec_error(text: str) -> None:
    with suppress(SpecError):
        assert Memory.parse(text) > 0


def test_an_amount_of_memory_is_an_int_that_survives_pickling() -> None:
    memory = Memory.parse("1K")
    assert memory + 1 == 1025
    twin = pickle.loads(pickle.dumps(memory))
    assert (type(twin), twin) == (Memory, memory)
