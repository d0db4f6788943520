"""What every backend has from its base class: refusals by name, several at once, equality, the other form."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import threading
from typing import Any

import pytest

import hpc_connect
from handles import Plain
from hpc_connect.backend import HPCBackend, SpecBackend, new_id
from hpc_connect.capability import Capability
from hpc_connect.cluster import ClusterConfig
from hpc_connect.errors import SpecError, SubmitError, UnsupportedError
from hpc_connect.group import ProcessGroup
from hpc_connect.spec import JobSpec


class Compact(HPCBackend):
    """A plug-in with the compact form alone; notes what it is told."""

    name = "compact"

    def __init__(self, config: ClusterConfig | None = None) -> None:
        super().__init__(config)
        self.told: list[dict[str, Any]] = []

    @staticmethod
    def matches(name: str | None) -> bool:
        return name == "compact"

    def submit(self, name: str, args: Any, scriptname: Any = None, **words: Any) -> Plain:
        if "refused" in name:
            raise SubmitError("refused by the scheduler")
        self.told.append({"name": name, "args": args, **words})
        return Plain(lambda: len(name), job_id=f"id-of-{name}")


class Able(Compact):
    capabilities = frozenset(Capability)


class Full(SpecBackend):
    """A backend whose own form is the specification."""

    name = "full"
    capabilities = frozenset({Capability.CPUS_PER_TASK})

    def __init__(self, config: ClusterConfig | None = None) -> None:
        super().__init__(config)
        self.told: list[tuple[JobSpec, str | None, bool]] = []

    @staticmethod
    def matches(name: str | None) -> bool:
        return name == "full"

    def submit_spec(self, spec: JobSpec, *, key: str | None = None, rerun: bool = False) -> Plain:
        self._refuse_unsupported(spec, key)
        self.told.append((spec, key, rerun))
        return Plain(job_id=spec.name or "")


def spec(**fields: Any) -> JobSpec:
    return JobSpec(**{"name": "n", "commands": ["true"], **fields})


# ---------------------------------------------------------------- what it is


def test_a_backend_needs_a_name_a_match_and_submit_and_no_more() -> None:
    assert HPCBackend.__abstractmethods__ == {"matches", "submit"}
    assert SpecBackend.__abstractmethods__ == {"matches", "submit_spec"}


def test_making_one_does_nothing() -> None:
    threads = threading.active_count()
    backend = Compact()
    assert threading.active_count() == threads
    assert (backend.name, backend.capabilities) == ("compact", {Capability.CANCEL})


def test_it_is_called_as_its_cluster() -> None:
    config = ClusterConfig(name="mine", backend="compact", polling_frequency=7, node_count=3)
    backend = Compact(config)
    assert (backend.name, backend.config, backend.polling_frequency) == ("mine", config, 7)
    assert Compact.name == "compact"


def test_without_a_configuration_little_is_known() -> None:
    class Careless(Compact):
        def __init__(self) -> None:
            """Without a call of super()."""

    backend = Careless()
    assert backend.config == ClusterConfig(name="compact", backend="compact")
    assert backend.polling_frequency == HPCBackend.default_polling_frequency
    assert backend.supports_subscheduling


@pytest.mark.parametrize(
    ("verb", "call"),
    [
        ("attach", lambda backend: backend.attach("1")),
        ("recover", lambda backend: backend.recover()),
        ("jobs", lambda backend: backend.jobs()),
        ("explain", lambda backend: backend.explain(spec())),
    ],
)
def test_a_verb_that_it_does_not_have_is_refused_by_name(verb: str, call: Any) -> None:
    with pytest.raises(UnsupportedError, match="'compact'") as caught:
        call(Compact())
    assert caught.value.field == verb


def test_ids_are_short_and_different_and_go_into_a_file_name() -> None:
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(each) == 10 and each.isalnum() and each.lower() == each for each in ids)


# ---------------------------------------------------------------- one form and the other


def test_a_plug_in_is_told_a_specification_in_its_own_words() -> None:
    backend = Compact()
    process = backend.submit_spec(spec(env={"A": "1"}, tasks=2, time_limit="1m"))
    assert process.id == "id-of-n"
    assert backend.told == [
        {"name": "n", "args": ("true",), "variables": {"A": "1"}, "cpus": 2, "qtime": 60.0}
    ]


def test_the_compact_form_is_the_same_specification() -> None:
    backend = Full()
    backend.submit("n", ["true"], variables={"A": "1"}, cpus=2, qtime=60)
    backend.submit(spec(env={"A": "1"}, tasks=2, cpus_per_task=1, time_limit=60))
    assert backend.told[0] == backend.told[1]


def test_a_specification_says_everything() -> None:
    for more in ({"args": ["false"]}, {"cpus": 2}):
        with pytest.raises(SpecError, match="replace"):
            Full().submit(spec(), **more)


@pytest.mark.parametrize("form", ["specification", "compact"])
def test_a_key_is_handed_on_in_both_forms(form: str) -> None:
    full = type("Keyed", (Full,), {"capabilities": frozenset(Capability)})()
    what: tuple[Any, ...] = (spec(),) if form == "specification" else ("n", ["true"])
    full.submit(*what, key="once", rerun=True)
    assert full.told == [(spec(), "once", True)]


def test_a_plug_in_that_declares_keys_is_told_them() -> None:
    backend = Able()
    backend.submit_spec(spec(), key="once", rerun=True)
    backend.submit_spec(spec())
    assert [(told.get("key"), told.get("rerun")) for told in backend.told] == [("once", True), (None, None)]


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize("kind", [Compact, Full])
@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"hold": True}, "hold"),
        ({"requeue": False}, "requeue"),
        ({"dependencies": [("afterok", "1")]}, "dependencies"),
        ({"dependencies": ["singleton"]}, "dependencies"),
        ({"array": [1, 2]}, "array"),
        ({"confirm": "scheduler"}, "confirm"),
        ({"priority": 0}, "priority"),
    ],
)
def test_what_was_not_declared_is_refused_by_name_before_anything_is_sent(
    kind: type[Compact | Full], fields: dict[str, Any], field: str
) -> None:
    backend = kind()
    with pytest.raises(UnsupportedError, match=repr(backend.name)) as caught:
        backend.submit_spec(spec(**fields))
    assert caught.value.field == field
    assert caught.value.value == getattr(spec(**fields), field)
    assert backend.told == []


def test_any_of_several_dependencies_is_more_than_one_kind() -> None:
    class Some(Full):
        capabilities = frozenset({Capability.AFTEROK})

    several = [("afterok", "1"), ("afterok", "2")]
    Some().submit_spec(spec(dependencies=several))
    with pytest.raises(UnsupportedError) as caught:
        Some().submit_spec(spec(dependencies=several, dependency_mode="any"))
    assert caught.value.field == "dependency_mode"


def test_all_that_is_missing_is_said() -> None:
    with pytest.raises(UnsupportedError, match="account, hold, queue"):
        Full().submit_spec(spec(hold=True, queue="q", account="a"))


@pytest.mark.parametrize("kind", [Compact, Full])
def test_a_key_that_was_not_declared_is_refused(kind: type[Compact | Full]) -> None:
    with pytest.raises(UnsupportedError) as caught:
        kind().submit_spec(spec(), key="once")
    assert (caught.value.field, caught.value.value) == ("key", "once")


# ---------------------------------------------------------------- several at once


def test_submitn_gives_one_process_for_rows_of_lists() -> None:
    backend = Compact()
    group = backend.submitn(["a", "bb"], [["true"], ["false"]], cpus=[1, 2], variables=None)
    assert isinstance(group, ProcessGroup)
    assert backend.told == [
        {"name": "a", "args": ["true"], "cpus": 1},
        {"name": "bb", "args": ["false"], "cpus": 2},
    ]
    assert group.wait(30) == 1
    assert group.id


@pytest.mark.parametrize(
    "lists",
    [
        {"name": ["a", "b"], "args": [["true"]]},
        {"name": ["a"], "args": [["true"]], "cpus": [1, 2]},
        {"name": "ab", "args": [["true"], ["true"]]},
        {"name": ["a"], "args": [["true"]], "output": "x"},
        {"name": ["a"], "args": [["true"]], "cpus": 1},
        {"name": ["a"], "args": [["true"]], "variables": {"A": "1"}},
        {"name": None, "args": [["true"]]},
        {"name": [], "args": []},
        {"name": ["a", "b"], "args": [["true"], "echo hi"]},
        {"name": ["a", "b"], "args": [["true"]] * 2, "cpus": [1, 0]},
        {"name": ["a", "b"], "args": [["true"]] * 2, "colour": ["red", "blue"]},
    ],
)
@pytest.mark.parametrize("kind", [Compact, Full])
def test_lists_that_cannot_be_accepted_are_refused_and_nothing_is_submitted(
    kind: type[Compact | Full], lists: dict[str, Any]
) -> None:
    backend = kind()
    with pytest.raises(SpecError):
        backend.submitn(**lists)
    assert backend.told == []


def test_submitn_takes_keys_where_there_are_some() -> None:
    full = type("Keyed", (Full,), {"capabilities": frozenset(Capability)})()
    full.submitn(["a", "b"], [["true"]] * 2, key=["k", "l"])
    assert [key for _, key, _ in full.told] == ["k", "l"]


def test_submit_many_keeps_them_separate() -> None:
    processes = Compact().submit_many(spec(name=name) for name in ("a", "b"))
    assert [process.id for process in processes] == ["id-of-a", "id-of-b"]
    assert [*Compact().submit_many([])] == []


def test_one_specification_that_is_refused_keeps_the_others_from_being_submitted() -> None:
    backend = Full()
    with pytest.raises(UnsupportedError):
        backend.submit_many([spec(), spec(hold=True)])
    assert backend.told == []


def test_a_submission_that_fails_later_says_which_jobs_there_are_already() -> None:
    backend = Compact()
    names = ["a", "b", "refused", "c"]
    for submit in (
        lambda: backend.submit_many([spec(name=name) for name in names]),
        lambda: backend.submitn(names, [["true"]] * 4),
    ):
        with pytest.raises(SubmitError) as caught:
            submit()
        assert caught.value.__notes__ == ["submitted before this one: id-of-a, id-of-b"]
    with pytest.raises(SubmitError) as caught:
        backend.submit_many([spec(name="refused")])
    assert not hasattr(caught.value, "__notes__")


def test_equal_specifications_become_an_array_only_on_request() -> None:
    full = type("Arrays", (Full,), {"capabilities": frozenset(Capability)})()
    full.submit_many([spec()] * 3)
    full.submit_many([spec()] * 3, as_array=True)
    assert [told.array for told, _, _ in full.told] == [None, None, None, (0, 1, 2)]


@pytest.mark.parametrize("specs", [[], [spec(), spec(name="m")], [spec(array=[1])] * 2])
def test_what_cannot_be_an_array_is_refused(specs: list[JobSpec]) -> None:
    backend = Able()
    with pytest.raises(SpecError, match="as_array"):
        backend.submit_many(specs, as_array=True)
    assert backend.told == []


# ---------------------------------------------------------------- equal elsewhere


def test_backends_of_one_name_and_options_are_equal() -> None:
    assert hpc_connect.get_backend("shell") == hpc_connect.get_backend("shell")
    assert hash(hpc_connect.get_backend("shell")) == hash(hpc_connect.get_backend("shell"))
    assert hpc_connect.get_backend("shell") != hpc_connect.get_backend("shell", node_count=2)
    assert hpc_connect.get_backend("shell") != Compact()


def test_a_backend_is_made_again_by_name_in_another_process() -> None:
    backend = hpc_connect.get_backend("shell", polling_frequency=3)
    program = (
        "import pickle, sys, hpc_connect\n"
        "found = pickle.load(sys.stdin.buffer)\n"
        "assert found == hpc_connect.get_backend('shell', polling_frequency=3)\n"
        "assert found.polling_frequency == 3\n"
        "sys.stdout.buffer.write(pickle.dumps(found))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=pickle.dumps(backend), capture_output=True, check=True
    )
    assert pickle.loads(done.stdout) == backend


class Stateful(Compact):
    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url


def test_one_that_was_made_by_hand_is_what_it_holds() -> None:
    assert Stateful("here") == Stateful("here")
    assert Stateful("here") != Stateful("there")
    for copied in (pickle.loads(pickle.dumps(Stateful("here"))), copy.copy(Stateful("here"))):
        assert copied == Stateful("here")


def test_one_that_cannot_be_pickled_says_why() -> None:
    backend = Stateful("here")
    backend.told = threading.Lock()  # type: ignore[assignment]  # as a connection would hold
    with pytest.raises(TypeError, match="lock"):
        pickle.dumps(backend)
