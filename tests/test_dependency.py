"""What a job waits for."""

from __future__ import annotations

import itertools
import pickle
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from hpc_connect.capability import Capability
from hpc_connect.dependency import KINDS, Dependency, dependencies, fulfilled
from hpc_connect.errors import SpecError
from hpc_connect.status import JobState, JobStatus


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


# ---------------------------------------------------------------- when it is fulfilled

STARTED = datetime(2030, 1, 1, tzinfo=UTC)
YES, NEVER, NOT_YET = True, False, None


@pytest.mark.parametrize(
    ("state", "afterstart", "afterany", "afterok", "afternotok", "singleton"),
    [
        ("NEW", NOT_YET, NOT_YET, NOT_YET, NOT_YET, NOT_YET),
        ("SUBMITTING", NOT_YET, NOT_YET, NOT_YET, NOT_YET, NOT_YET),
        ("QUEUED", NOT_YET, NOT_YET, NOT_YET, NOT_YET, NOT_YET),
        ("HELD", NOT_YET, NOT_YET, NOT_YET, NOT_YET, NOT_YET),
        ("RUNNING", YES, NOT_YET, NOT_YET, NOT_YET, NOT_YET),
        ("SUSPENDED", YES, NOT_YET, NOT_YET, NOT_YET, NOT_YET),
        ("UNKNOWN", NOT_YET, NOT_YET, NOT_YET, NOT_YET, NOT_YET),
        ("COMPLETED", YES, YES, YES, NEVER, YES),
        ("FAILED", YES, YES, NEVER, YES, YES),
        ("CANCELLED", NEVER, YES, NEVER, YES, YES),  # in the queue
        ("LOST", NEVER, NEVER, NEVER, NEVER, YES),
    ],
)
def test_a_job_may_start_now_never_or_perhaps_later_by_the_state_of_another(
    state: str,
    afterstart: bool | None,
    afterany: bool | None,
    afterok: bool | None,
    afternotok: bool | None,
    singleton: bool | None,
) -> None:
    started = STARTED if state in {"COMPLETED", "FAILED"} else None
    status = JobStatus(state=JobState(state), started_at=started)
    assert {kind: fulfilled(kind, status) for kind in KINDS} == {
        "afterstart": afterstart,
        "afterany": afterany,
        "afterok": afterok,
        "afternotok": afternotok,
        "aftercorr": afterok,
        "singleton": singleton,
    }


@pytest.mark.parametrize("state", ["QUEUED", "UNKNOWN", "FAILED", "CANCELLED", "LOST"])
def test_a_job_that_once_started_has_started(state: str) -> None:
    assert fulfilled("afterstart", JobStatus(state=JobState(state), started_at=STARTED)) is True
    assert fulfilled("afterstart", JobStatus(state=JobState(state))) is not True
