"""A record arrives as it was written, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_connect.records.line import (
    EndRecord,
    StartRecord,
    end_from_name,
    format_end,
    format_start,
    name_of_end,
    read_ends,
    read_start,
)

words = st.text(st.characters(exclude_categories=["Cc", "Cs", "Z"]), min_size=1, max_size=30)
ids = st.from_regex(r"[A-Za-z0-9_-]{1,16}", fullmatch=True)
indexes = st.just("-") | st.integers(0, 10**7).map(str)
attempts = st.integers(1, 10**6)
times = st.integers(0, 2**33 * 10**6).map(lambda microseconds: microseconds / 10**6)
hows = st.sampled_from(["exit", "signal", "unclear"])
reasons = st.sampled_from(["-", "timeout", "launch"])
starts = st.builds(
    StartRecord, ids, indexes, words, attempts, st.integers(1, 2**22), words, words, words, times
)
ends = st.builds(
    EndRecord, ids, indexes, words, attempts, hows, st.integers(0, 255), reasons, words, times, times
)

START = StartRecord("job", "-", "4711", 1, 42, "815", "boot", "node", 1.5)
END = EndRecord("job", "-", "4711", 1, "exit", 3, "-", "node", 1.5, 2.5)


@given(starts, ends)
def test_records_are_read_as_they_were_written(start: StartRecord, end: EndRecord) -> None:
    text = format_start(start) + format_end(end)
    assert read_start(text) == start
    assert read_ends(text) == [end]


@given(st.lists(ends, max_size=4), st.text(max_size=50))
def test_a_record_is_read_whatever_stands_around_it(records: list[EndRecord], rest: str) -> None:
    found = read_ends(rest + "".join(format_end(record) + rest for record in records))
    assert [record for record in found if record in records] == records


@given(starts, ends, st.sampled_from(["", "\n", format_start(START), "\n" + format_end(END)]))
def test_a_record_that_was_cut_off_anywhere_is_not_read(
    start: StartRecord, end: EndRecord, behind: str
) -> None:
    following_start, following_ends = read_start(behind), read_ends(behind)
    for whole in (format_start(start), format_end(end)):
        for length in range(len(whole) - 1):
            assert read_start(whole[:length] + behind) == following_start
            assert read_ends(whole[:length] + behind) == following_ends


def test_a_record_without_its_newline_is_still_being_written() -> None:
    assert read_ends(format_end(END)[:-1]) == []
    assert read_ends(format_end(END)) == [END]


def test_of_two_attempts_the_later_start_counts() -> None:
    again = START._replace(attempt=2, pid=43)
    assert read_start(format_start(START) + format_start(again)) == again
    cut_off = format_start(again)[:-5]
    assert read_start(format_start(START) + cut_off) == START


def test_words_of_a_later_version_are_passed_over() -> None:
    assert read_ends(format_end(END).replace(" END", " cgroup=a=b flag END")) == [END]
    assert read_start(format_start(START).replace(" id=", " site=x id=")) == START


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("hpc_connect v1", "hpc_connect v2"),
        ("hpc_connect v1", "hpc_connect v11"),
        ("hpc_connect v1", "xhpc_connect v1"),
        (" exit ", " start "),
        (" exit ", " "),
        ("how=exit", "how=well"),
        ("number=3", "number="),
        ("number=3", "number=-3"),
        ("number=3", "number=3.0"),
        ("number=3", "number=٣"),
        ("number=3", "number=1_0"),
        ("number=3", "num=3"),
        ("ended=2.5", "ended=nan"),
        ("ended=2.5", "ended=-1"),
        (" reason=-", ""),
        (" END", " end"),
        (" END", " ENDE"),
        ("\n", "\r\n"),
    ],
)
def test_what_is_no_record_of_version_1_costs_itself_only(old: str, new: str) -> None:
    line = format_end(END)
    assert old in line
    assert read_ends(line.replace(old, new) + line) == [END]


@pytest.mark.parametrize("value", ["", " ", "a b", "a\nb", "a\tb"])
def test_what_would_break_a_record_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="native="):
        format_start(START._replace(native=value))
    with pytest.raises(ValueError, match="host="):
        format_end(END._replace(host=value))


@given(ends)
def test_a_name_tells_how_a_job_ended(end: EndRecord) -> None:
    name = end.id if end.array_index == "-" else f"{end.id}.{end.array_index}"
    told = end_from_name(name_of_end(name, end))
    assert told == end._replace(native="-", host="-", started=0.0, ended=0.0)


@pytest.mark.parametrize(
    "name",
    [
        "job",
        "job~",
        "job~v1~1~exit~0",
        "job~v2~1~exit~0~-",
        "job~v1~1~well~0~-",
        "job~v1~x~exit~0~-",
        "job~v1~1~exit~-1~-",
        "job~v1~1~exit~0~-~-",
    ],
)
def test_other_names_tell_nothing(name: str) -> None:
    assert end_from_name(name) is None


def test_a_start_record_knows_the_name_of_the_files() -> None:
    assert START.name == "job"
    assert START._replace(array_index="7").name == "job.7"
