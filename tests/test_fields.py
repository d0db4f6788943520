"""The checks of single fields: converted or refused by name, with a remedy."""

from __future__ import annotations

import copy
import dataclasses
import enum
import itertools
import os
import pathlib
import pickle
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_connect import fields
from hpc_connect.errors import SpecError
from hpc_connect.fields import Field, FrozenDict

HALF_A_PAIR = "\ud800"
"""Half of a surrogate pair: a character that no encoding can write."""


class Queue(str, enum.Enum):  # noqa: UP042 - one that prints as "Queue.SHORT" is what this is about
    """A str that prints as something else."""

    SHORT = "short"


class Number(enum.IntEnum):
    FOUR = 4


def refusal(check: Any, value: object) -> SpecError:
    with pytest.raises(SpecError) as caught:
        check(value, "field")
    assert caught.value.field.startswith("field")
    assert caught.value.allowed
    return caught.value


# ---------------------------------------------------------------- the descriptor


@dataclasses.dataclass(frozen=True, kw_only=True)
class Value:
    size: Field[int, int] = Field(fields.count)
    names: Field[list[str], tuple[str, ...]] = Field(fields.lines)


def test_a_field_is_converted_when_the_value_is_made_and_none_is_the_default() -> None:
    assert Value(names=["a", "b"]).names == ("a", "b")
    assert Value().size is None
    assert Value(size=None) == Value()


def test_an_empty_list_asks_for_nothing() -> None:
    assert Value(names=[]) == Value()


def test_a_field_that_is_refused_is_named() -> None:
    with pytest.raises(SpecError, match=r"^size=0: "):
        Value(size=0)


def test_a_value_pickled_before_a_field_existed_has_none_for_it() -> None:
    old = copy.copy(Value(size=1))
    vars(old).pop("names")
    assert pickle.loads(pickle.dumps(old)).names is None


# ---------------------------------------------------------------- numbers and flags


@pytest.mark.parametrize(
    ("check", "least", "most"),
    [
        (fields.count, 1, 100_000_000),
        (fields.count_or_zero, 0, 100_000_000),
        (fields.integer, -(2**31), 2**31 - 1),
    ],
)
def test_a_whole_number_is_an_int_within_its_limits(check: Any, least: int, most: int) -> None:
    assert (check(least, "field"), check(most, "field")) == (least, most)
    for value in (least - 1, most + 1, 10**5000, 1.0, 1.5, True, False, "4", "x", b"4", None, [4], 4j):
        assert refusal(check, value).value is value


def test_a_member_of_an_enumeration_is_kept_as_the_plain_value_it_stands_for() -> None:
    assert type(fields.count(Number.FOUR, "field")) is int
    for check in (fields.line, fields.text, fields.path, fields.variable_name, fields.one_of("short")):
        kept = check(Queue.SHORT, "field")
        assert (type(kept), f"{kept}") == (str, "short")


@pytest.mark.parametrize("value", [0, 1, "yes", "true", None, []])
def test_a_flag_is_true_or_false_and_nothing_that_looks_like_it(value: object) -> None:
    assert [fields.flag(given, "field") for given in (True, False)] == [True, False]
    refusal(fields.flag, value)


# ---------------------------------------------------------------- text


@pytest.mark.parametrize(
    "name",
    ["a b", " ", "it's", '"', "a/b", "back\\slash", "$(touch pwned)", "$$", "`x`", "a;b", "%j", "{id}",
    "x" * 4000,
     "模拟", "é", "\U0001f600", "\u200b", "\xa0", "-n", "#SBATCH", "~"],
)  # fmt: skip
def test_one_line_of_any_characters_is_kept_whole(name: str) -> None:
    assert fields.line(name, "field") == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a\nb",
        "a\n",
        "a\rb",
        "a\0b",
        "\t",
        "\x1b[2J",
        "\x1f",
        "\x7f",
        "\x80",
        "\x85",
        "\x9f",
        "\u2028",
        "\u2029",
        HALF_A_PAIR,
    ],
)
def test_what_would_break_a_line_or_cannot_be_written_is_refused(name: str) -> None:
    assert refusal(fields.line, name).value == name


@given(st.text(st.characters(codec=None), min_size=1))
def test_a_line_that_is_accepted_is_one_line_of_utf8(name: str) -> None:
    try:
        kept = fields.line(name, "field")
    except SpecError:
        return
    assert kept == name
    assert kept.splitlines() == [kept]
    assert kept.encode().decode() == kept


@pytest.mark.parametrize("value", [b"bytes", 4, None, ["a"], pathlib.Path("a")])
def test_text_is_a_str(value: object) -> None:
    refusal(fields.line, value)
    refusal(fields.text, value)


@given(st.binary())
def test_every_byte_but_nul_can_be_in_a_text(raw: bytes) -> None:
    text = os.fsdecode(raw.replace(b"\0", b""))
    assert os.fsencode(fields.text(text, "field")) == raw.replace(b"\0", b"")


@pytest.mark.parametrize("text", ["a\0b", "\0", HALF_A_PAIR, "\udc7f"])
def test_nul_and_what_is_no_byte_is_refused_in_a_text(text: str) -> None:
    refusal(fields.text, text)


def test_a_path_is_kept_as_it_was_written() -> None:
    assert fields.path("../a//b/", "field") == "../a//b/"
    assert fields.path(pathlib.Path("a b") / "c", "field") == "a b/c"


@pytest.mark.parametrize("value", ["", b"", b"/tmp", "a\0b", None, 4, ["/tmp"]])
def test_what_is_no_path_is_refused(value: object) -> None:
    refusal(fields.path, value)


@pytest.mark.parametrize(
    "value",
    ["bash", "./sh", "", "/opt/my shell", "/bin/sh\n", "/bin/sh\t-e", "/bin/sh\u00a0", b"/bin/sh", None],
)
def test_a_shell_that_cannot_stand_in_the_first_line_of_a_script_is_refused(value: object) -> None:
    assert fields.shell(pathlib.Path("/bin/sh"), "field") == "/bin/sh"
    refusal(fields.shell, value)


# ---------------------------------------------------------------- lists

NO_LISTS = [
    "one string",
    "",
    b"bytes",
    bytearray(b"x"),
    {"a", "b"},
    frozenset(),
    {"a": 1},
    4,
    None,
    True,
    object(),
]


@pytest.mark.parametrize("check", [fields.lines, fields.commands, fields.indexes])
@pytest.mark.parametrize("value", NO_LISTS, ids=lambda value: type(value).__name__)
def test_text_and_what_has_no_order_is_not_taken_for_a_list(check: Any, value: object) -> None:
    error = refusal(check, value)
    assert error.field == "field"
    assert error.value is value
    assert "a list" in error.allowed


@pytest.mark.parametrize("check", [fields.lines, fields.commands, fields.indexes])
def test_a_list_that_does_not_end_is_refused(check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fields, "_MOST_ITEMS", 10)
    assert len(fields.indexes(range(10), "field")) == 10
    assert len(fields.indexes(iter(range(10)), "field")) == 10
    refusal(fields.indexes, range(11))
    refusal(check, itertools.repeat("a"))
    refusal(check, range(10**12))


@pytest.mark.parametrize("make", [list, tuple, iter, lambda items: (item for item in items)])
def test_lists_tuples_and_generators_are_lists(make: Any) -> None:
    assert fields.lines(make(["a", "b"]), "field") == ("a", "b")
    assert fields.commands(make(["a", "b"]), "field") == ("a", "b")
    assert fields.indexes(make([2, 1]), "field") == (2, 1)


def test_the_element_that_is_refused_is_named() -> None:
    assert refusal(fields.lines, ["a", "b\n"]).field == "field[1]"
    assert refusal(fields.commands, ["a", 4]).field == "field[1]"
    assert refusal(fields.commands, ["a", ["b", "c\0"]]).field == "field[1][1]"
    assert refusal(fields.indexes, [1, -1]).field == "field[1]"


@pytest.mark.parametrize("value", [[], [1, 1], [1.0], ["1"], [True], [-1], [10**9]])
def test_the_indexes_of_an_array_are_whole_numbers_each_once(value: list[object]) -> None:
    refusal(fields.indexes, value)


def test_a_range_is_a_list_of_indexes() -> None:
    assert fields.indexes(range(0, 10, 3), "field") == (0, 3, 6, 9)


# ---------------------------------------------------------------- commands


def test_a_command_is_a_shell_program_or_an_argument_vector() -> None:
    given_forms = [
        "cd /tmp && ls > f",
        ["echo", "", "a b", "$HOME\n"],
        ("true",),
        (word for word in ["a", "b"]),
    ]
    kept = ("cd /tmp && ls > f", ("echo", "", "a b", "$HOME\n"), ("true",), ("a", "b"))
    assert fields.commands(given_forms, "field") == kept


def test_a_plain_string_is_told_how_to_write_a_list_of_commands() -> None:
    error = refusal(fields.commands, "echo hi")
    assert isinstance(error, TypeError)
    assert error.allowed == "must be a list of commands; write [command] for a single one"


@pytest.mark.parametrize(
    "command",
    ["", " \n", b"ls", 4, None, [], [""], ["", "a"], ["a", None], ["a", b"b"], {"a": 1}, {"a"}, "a\0"],
)
def test_what_is_no_command_is_refused_by_its_place(command: object) -> None:
    assert refusal(fields.commands, ["true", command]).field.startswith("field[1]")


def test_no_command_is_refused() -> None:
    refusal(fields.commands, [])
    refusal(fields.commands, iter(()))


# ---------------------------------------------------------------- environment


def test_variables_are_set_to_text_or_unset_in_the_order_given() -> None:
    kept = fields.environment({"B": "x y\n", "A_1": "", "_c": None}, "field")
    assert kept is not None
    assert [*kept.items()] == [("B", "x y\n"), ("A_1", ""), ("_c", None)]
    assert fields.environment({}, "field") is None


@pytest.mark.parametrize(
    "name", ["", "1A", "A-B", "A B", "A=B", "A\n", "é", "A\0", "$A", "a.b", "BASH_FUNC_x%%", 4, None, b"A"]
)
def test_what_is_no_name_of_a_variable_is_refused(name: object) -> None:
    assert refusal(fields.environment, {name: "x"}).value == name
    assert refusal(fields.inherited_environment, ["A", name]).field == "field[1]"


@pytest.mark.parametrize("value", [4, True, b"x", ["x"], "a\0b", HALF_A_PAIR])
def test_the_value_of_a_variable_that_is_refused_is_named_by_its_variable(value: object) -> None:
    assert refusal(fields.environment, {"A": "x", "B": value}).field == "field['B']"


@pytest.mark.parametrize("name", ["UID", "RANDOM", "_"])
def test_a_variable_that_shells_keep_for_themselves_is_refused_to_set_but_not_to_inherit(name: str) -> None:
    assert refusal(fields.environment, {name: "x"}).field == f"field[{name!r}]"
    assert refusal(fields.environment, {name: None}).field == f"field[{name!r}]"
    assert fields.inherited_environment([name], "field") == (name,)


@pytest.mark.parametrize("value", [[("A", "b")], "A=b", ["A=b"], None, 4])
def test_an_environment_is_a_mapping(value: object) -> None:
    refusal(fields.environment, value)


def test_the_environment_to_inherit_is_all_none_or_the_named_variables() -> None:
    for given_form, kept in ((True, True), (False, False), ([], False), (["A", "B"], ("A", "B"))):
        assert fields.inherited_environment(given_form, "field") == kept


@pytest.mark.parametrize("value", ["PATH", 1, None, {"PATH": "x"}])
def test_another_environment_to_inherit_is_refused_with_the_three_ways(value: object) -> None:
    assert refusal(fields.inherited_environment, value).allowed.startswith("must be True, False or a list")


# ---------------------------------------------------------------- times and words


def test_a_naive_time_is_local_time_and_every_other_stays_the_same_moment() -> None:
    naive = datetime(2030, 1, 2, 3, 4, 5)  # noqa: DTZ001 - a naive time is what this is about
    kept = fields.moment(naive, "field")
    assert kept.tzinfo is not None
    assert kept.replace(tzinfo=None) == naive
    elsewhere = datetime(2030, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=9)))
    assert fields.moment(elsewhere, "field") == elsewhere


@pytest.mark.parametrize(
    "value",
    [
        "2030-01-01", 1.9e9, None, timedelta(1), datetime(2030, 1, 1, tzinfo=UTC).date(),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=5))),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-5))),
    ],
)  # fmt: skip
def test_what_is_no_moment_is_refused(value: object) -> None:
    refusal(fields.moment, value)


@pytest.mark.parametrize("value", ["ALL", "", None, 1, ["all"], {}])
def test_a_word_that_is_not_one_of_a_few_is_refused_with_the_few(value: object) -> None:
    check = fields.one_of("all", "any")
    assert check("any", "field") == "any"
    assert refusal(check, value).allowed == "must be one of: 'all', 'any'"


# ---------------------------------------------------------------- FrozenDict

variables = st.dictionaries(st.text(), st.none() | st.text(), max_size=5)


@given(variables, st.randoms())
def test_a_frozen_dict_equals_and_hashes_as_its_items_in_any_order(
    items: dict[str, str | None], random: Any
) -> None:
    shuffled = [*items.items()]
    random.shuffle(shuffled)
    assert FrozenDict(items) == FrozenDict(shuffled) == items
    assert hash(FrozenDict(items)) == hash(FrozenDict(shuffled))


@given(variables)
def test_a_frozen_dict_keeps_order_and_survives_pickling_and_copying(items: dict[str, str | None]) -> None:
    frozen = FrozenDict(items)
    for twin in (frozen, pickle.loads(pickle.dumps(frozen)), copy.copy(frozen), copy.deepcopy(frozen)):
        assert type(twin) is FrozenDict
        assert [*twin.items()] == [*items.items()]
        assert len(twin) == len(items)


def test_a_frozen_dict_does_not_follow_the_dict_it_was_made_from_and_cannot_be_changed() -> None:
    source = {"A": "1"}
    frozen: Any = FrozenDict(source)
    source["B"] = "2"
    assert frozen == {"A": "1"}
    with pytest.raises(TypeError):
        frozen["B"] = "2"
    with pytest.raises(TypeError):
        del frozen["A"]
    with pytest.raises(AttributeError):
        frozen.update({"B": "2"})
