"""What a job waits for."""

from __future__ import annotations

import itertools
import pickle
from dataclasses import dataclass
from typing import Any

import pytest

from hpc_connect.capability import Capability
from hpc_connect.dependency import KINDS, Dependency, dependencies
from hpc_connect.errors import SpecError


@dataclass
class Handle:
    """Whatever a backend gives out: all that is asked of it is an ``id``."""

    id: Any


def refusal(value: Any) -> SpecError:
    with pytest.raises(SpecError) as caught:
        dependencies(value, "dependencies")
    return caught.value


@pytest.mark.parametrize("kind", ["afterstart", "afterany", "afterok", "afternotok", "aftercorr"])
def test_a_dependency_is_a_kind_and_a_handle_or_an_id(kind: str) -> None:
    expected = (Dependency(kind, "12;cluster"),)
    assert dependencies([(kind, Handle("12;cluster"))], "dependencies") == expected
    assert dependencies([(kind, "12;cluster")], "dependencies") == expected
    assert dependencies(expected, "dependencies") == expected


@pytest.mark.parametrize("written", ["singleton", ("singleton",), ("singleton", ""), Dependency("singleton")])
def test_singleton_has_no_target(written: Any) -> None:
    assert dependencies([written], "dependencies") == (Dependency("singleton"),)


def test_dependencies_keep_their_order_and_may_come_from_a_generator() -> None:
    pairs = (("afterok", Handle(name)) for name in "ab")
    assert dependencies(pairs, "dependencies") == (Dependency("afterok", "a"), Dependency("afterok", "b"))


def test_an_empty_list_of_dependencies_asks_for_nothing() -> None:
    assert dependencies([], "dependencies") is None


def test_every_kind_is_a_capability_of_the_same_name() -> None:
    assert [Dependency(kind).capability for kind in KINDS] == [Capability(kind) for kind in KINDS]


@pytest.mark.parametrize("kind", ["after", "AFTEROK", "", None, 4, ["afterok"], "before"])
def test_an_unknown_kind_is_refused_with_the_known_ones(kind: Any) -> None:
    error = refusal([("afterok", "1"), (kind, "2")])
    assert (error.field, error.value) == ("dependencies[1]", kind)
    assert all(known in error.allowed for known in KINDS)


@pytest.mark.parametrize("target", [12, None, b"12", ["12"], "a\nb", Handle(12), Handle(None), Handle("")])
def test_an_id_that_is_no_line_of_text_is_refused(target: Any) -> None:
    assert refusal([("afterok", target)]).field == "dependencies[0]"


@pytest.mark.parametrize("written", ["afterok", ("afterok",), ("afterok", "")])
def test_a_kind_without_the_job_it_waits_for_is_told_what_is_missing(written: Any) -> None:
    error = refusal([written])
    assert (error.field, error.value) == ("dependencies[0]", "afterok")
    assert "needs the job it waits for" in error.allowed


@pytest.mark.parametrize("target", ["12", Handle("12")])
def test_singleton_with_a_target_is_refused(target: Any) -> None:
    assert "no target" in refusal([("singleton", target)]).allowed


@pytest.mark.parametrize(
    "value",
    [
        "singleton",
        "afterok",
        Dependency("afterok", "1"),
        Handle("1"),
        {"afterok": "1"},
        {("afterok", "1")},
        4,
        None,
    ],
)
def test_what_is_no_list_of_dependencies_is_refused_with_an_example(value: Any) -> None:
    error = refusal(value)
    assert (error.field, error.value) == ("dependencies", value)
    assert "[('afterok', job)]" in error.allowed


@pytest.mark.parametrize("item", [Handle("1"), 4, None, ["afterok", "1"], ("afterok", "1", "2"), ()])
def test_an_element_that_is_no_pair_is_refused_by_its_place(item: Any) -> None:
    assert refusal([item]).field == "dependencies[0]"


def test_a_pair_given_for_the_list_is_refused() -> None:
    assert refusal(("afterok", "1")).field == "dependencies[0]"


def test_a_list_that_does_not_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpc_connect.fields._MOST_ITEMS", 10)
    assert refusal(itertools.repeat(("afterok", "1"))).field == "dependencies"


def test_a_dependency_survives_pickling() -> None:
    dependency = Dependency("afterok", "1")
    assert pickle.loads(pickle.dumps(dependency)) == dependency
