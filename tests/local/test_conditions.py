"""What jobs wait for, without any jobs."""

from __future__ import annotations

import pytest

from hpc_connect.errors import SpecError
from hpc_connect.group import ProcessGroup
from hpc_connect.local.conditions import Conditions, Requirements, Slots
from hpc_connect.process import HPCProcess
from hpc_connect.spec import JobSpec


class Handle(HPCProcess):
    """A job that ends when it is told to."""

    def __init__(self, name: str) -> None:
        self.id = name
        self.code: int | None = None

    def poll(self) -> int | None:
        return self.code

    def cancel(self) -> None:
        """Nothing."""


ARRAY = ProcessGroup("array", [Handle("array.3"), Handle("array.5")], [3, 5])
ONE = Handle("one")
JOBS = {"array": ARRAY, "one": ONE}


def requirements(**fields: object) -> Requirements:
    return Requirements(JobSpec(commands=["true"], **fields), JOBS.__getitem__, None)


def test_a_specification_that_asks_for_nothing_waits_for_nothing() -> None:
    assert not requirements()
    assert not requirements(array=range(5))
    assert not requirements().of(None)


@pytest.mark.parametrize(
    "fields", [{"hold": True}, {"dependencies": [("afterok", "one")]}, {"dependencies": ["singleton"]}]
)
def test_a_specification_that_asks_for_something_waits(fields: dict[str, object]) -> None:
    assert requirements(**fields)


def test_aftercorr_is_about_the_element_of_the_same_index() -> None:
    found = requirements(dependencies=[("aftercorr", "array")], array=[5, 3])
    assert [other for _, other in found.of(5).dependencies] == [ARRAY[5]]


@pytest.mark.parametrize(("target", "array"), [("one", [3]), ("array", [3, 4])])
def test_aftercorr_needs_an_array_with_all_the_indexes(target: str, array: list[int]) -> None:
    with pytest.raises(SpecError) as caught:
        requirements(dependencies=[("aftercorr", target)], array=array)
    assert caught.value.field == "dependencies"
    assert target in str(caught.value)


def test_afterstart_of_an_array_is_about_each_of_its_elements() -> None:
    found = requirements(dependencies=[("afterstart", "array")])
    assert [other for _, other in found.of(None).dependencies] == list(ARRAY.processes)


def test_other_kinds_are_about_the_array_as_a_whole() -> None:
    found = requirements(dependencies=[("afterok", "array")])
    assert [other for _, other in found.of(None).dependencies] == [ARRAY]


def test_whether_a_job_is_held_now_may_differ_from_what_was_asked() -> None:
    assert requirements(hold=True).of(None).held
    assert not requirements(hold=True).of(None, held=False).held
    assert requirements().of(None, held=True).held


def test_of_no_dependencies_nothing_stands_in_the_way() -> None:
    assert Conditions().verdict() == (False, "")
    assert Conditions(any_of_them=True).verdict() == (False, "")


# ---------------------------------------------------------------------- slots


def test_slots_are_given_as_long_as_there_are_any() -> None:
    slots = Slots(2)
    assert [slots.take() for _ in range(3)] == [True, True, False]


def test_who_waits_for_a_slot_gets_it_in_order() -> None:
    slots, got = Slots(1), []
    slots.take()
    for name in "abc":
        slots.when_free(lambda name=name: slots.take() and got.append(name))
    for expected in (["a"], ["a", "b"], ["a", "b", "c"]):
        slots.give_back()
        assert got == expected


def test_a_slot_that_somebody_wants_no_more_goes_to_the_next() -> None:
    """An element that was cancelled while it waited for its turn."""
    slots, got = Slots(1), []
    slots.take()
    slots.when_free(lambda: None)
    slots.when_free(lambda: slots.take() and got.append("next"))
    slots.give_back()
    assert got == ["next"]


def test_only_as_many_are_asked_as_there_are_slots() -> None:
    """With 500 that wait, each end wakes one, not all."""
    slots, asked = Slots(1), []
    slots.take()
    for number in range(500):
        slots.when_free(lambda number=number: (asked.append(number), slots.take()))
    slots.give_back()
    assert asked == [0]


def test_elements_that_run_already_occupy_slots_even_more_than_there_are() -> None:
    slots = Slots(2)
    for _ in range(3):
        slots.occupy()
    slots.give_back()
    assert not slots.take()
    slots.give_back()
    assert slots.take()
