"""The compact form and the specification say the same, or one of them says no."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_connect.capability import Capability
from hpc_connect.compact import WORDS, spec_of, words_of
from hpc_connect.errors import SpecError, UnsupportedError
from hpc_connect.spec import FIELD_NAMES, JobSpec

NOTHING: frozenset[str] = frozenset()

line = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=10).filter(str.strip)
program = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1).filter(
    str.strip
)
compact = st.fixed_dictionaries(
    {
        "name": line,
        "args": st.lists(program | st.lists(program, min_size=1, max_size=3), min_size=1, max_size=3),
    },
    optional={
        "scriptname": line,
        "qtime": st.integers(1, 10**6) | st.floats(0.001, 1e6),
        "submit_flags": st.lists(line, min_size=1, max_size=3),
        "variables": st.dictionaries(st.from_regex("[A-Z_][A-Z0-9_]*", fullmatch=True), st.none() | program),
        "output": line,
        "error": line,
        "nodes": st.just(1),
        "cpus": st.integers(1, 100),
        "gpus": st.integers(0, 8),
    },
)


# ---------------------------------------------------------------- to a specification


def test_each_word_stands_for_its_field() -> None:
    assert spec_of(
        "n",
        ["echo hi", ["echo", "a b"]],
        scriptname="run.sh",
        qtime=90,
        submit_flags=["-q x"],
        variables={"A": "1", "B": None},
        output="out",
        error="err",
        nodes=2,
        cpus=4,
        gpus=1,
        queue="debug",
    ) == JobSpec(
        name="n",
        commands=["echo hi", ["echo", "a b"]],
        script_path="run.sh",
        time_limit=90,
        directives=["-q x"],
        env={"A": "1", "B": None},
        stdout="out",
        stderr="err",
        nodes=2,
        tasks=4,
        cpus_per_task=1,
        gpus=1,
        queue="debug",
    )


def test_what_is_not_said_is_not_asked() -> None:
    assert spec_of("n", ["true"]).given() == {"name": "n", "commands": ("true",)}


@pytest.mark.parametrize("word", ["colour", "walltime", "cpu", "commands_", "shell=", "key"])
def test_an_unknown_word_is_refused_by_name_with_those_that_there_are(word: str) -> None:
    with pytest.raises(SpecError, match="time_limit") as caught:
        spec_of("n", ["true"], **{word: 1})
    assert (caught.value.field, caught.value.value) == (word, 1)


def test_other_names_of_fields_are_accepted() -> None:
    assert spec_of("n", ["true"], partition="p", project="q") == JobSpec(
        name="n", commands=["true"], queue="p", account="q"
    )


@pytest.mark.parametrize(
    ("words", "field"),
    [
        ({"qtime": 60, "time_limit": 60}, "time_limit"),
        ({"output": "a", "stdout": "b"}, "stdout"),
        ({"variables": {}, "env": {"A": "1"}}, "env"),
        ({"commands": ["false"]}, "commands"),
        ({"cpus": 4, "tasks": 2}, "cpus"),
        ({"cpus": 4, "cpus_per_task": 2}, "cpus"),
    ],
)
def test_what_is_said_twice_is_refused(words: dict[str, Any], field: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec_of("n", ["true"], **words)
    assert caught.value.field == field


@pytest.mark.parametrize("more", [{"tasks": 4}, {"cpus_per_task": 1}, {"tasks": None, "cpus_per_task": None}])
def test_what_is_said_twice_the_same_way_is_accepted(more: dict[str, Any]) -> None:
    assert spec_of("n", ["true"], cpus=4, **more) == JobSpec(
        name="n", commands=["true"], tasks=4, cpus_per_task=1
    )


@pytest.mark.parametrize("args", [(), [], None, ""])
def test_a_script_takes_the_place_of_commands(args: Any) -> None:
    script = "#!/bin/sh\nexit 3\n"
    assert spec_of("n", args, script=script) == JobSpec(name="n", script=script)


def test_a_script_and_commands_are_refused() -> None:
    with pytest.raises(SpecError):
        spec_of("n", ["true"], script="#!/bin/sh\n")


@pytest.mark.parametrize("args", ["echo hi", [], [""], [[]], None])
def test_what_is_no_list_of_commands_is_refused(args: Any) -> None:
    with pytest.raises(SpecError) as caught:
        spec_of("n", args)
    assert caught.value.field.startswith("commands")


# ---------------------------------------------------------------- and back


@given(compact)
def test_there_and_back_is_the_same(words: dict[str, Any]) -> None:
    spec = spec_of(**words)
    assert spec_of(**words_of(spec, NOTHING, "b")) == spec


def test_a_specification_without_a_name_gets_one() -> None:
    assert words_of(JobSpec(commands=["true"]), NOTHING, "b") == {"name": "job", "args": ("true",)}


SAMPLES: dict[str, Any] = {
    "shell": "/bin/sh",
    "tasks_per_node": 2,
    "cpus_per_task": 3,
    "gpus_per_node": 1,
    "gpus_per_task": 1,
    "memory_per_node": "1GiB",
    "memory_per_cpu": "1GiB",
    "queue": "debug",
    "account": "physics",
    "qos": "high",
    "reservation": "course",
    "constraint": "skylake",
    "exclusive": True,
    "nodelist": ["a"],
    "exclude": ["b"],
    "licenses": ["x"],
    "workdir": "/",
    "stdin": "in",
    "inherit_env": False,
    "hold": True,
    "requeue": True,
    "priority": 0,
    "launcher": "mpi",
    "dependencies": ["singleton"],
    "array": range(2),
    "keep": True,
    "confirm": "scheduler",
}


@pytest.mark.parametrize("field", SAMPLES)
def test_a_field_without_a_word_is_refused_by_name_where_it_is_not_declared(field: str) -> None:
    spec = JobSpec(name="n", commands=["true"], **{field: SAMPLES[field]})
    with pytest.raises(UnsupportedError, match="'b'") as caught:
        words_of(spec, NOTHING, "b")
    assert caught.value.field == field


@pytest.mark.parametrize("field", sorted({*SAMPLES} - {"shell", "launcher", "keep"}))
def test_a_field_that_is_declared_is_a_keyword(field: str) -> None:
    spec = JobSpec(name="n", commands=["true"], **{field: SAMPLES[field]})
    words = words_of(spec, frozenset(Capability), "b")
    assert words[field] == getattr(spec, field)
    assert spec_of(**words) == spec


@pytest.mark.parametrize("kind", ["afterok", "afternotok", "afterany", "afterstart", "singleton"])
def test_one_kind_of_dependency_is_enough_to_say_all_that_belongs_to_it(kind: str) -> None:
    dependencies = ["singleton"] if kind == "singleton" else [(kind, "1"), (kind, "2")]
    spec = JobSpec(name="n", commands=["true"], dependencies=dependencies, dependency_mode="any")
    assert spec_of(**words_of(spec, {Capability(kind)}, "b")) == spec


def test_a_declared_array_has_all_that_belongs_to_it() -> None:
    spec = JobSpec(name="n", commands=["true"], array=range(3), max_parallel=2)
    assert spec_of(**words_of(spec, {Capability.ARRAY}, "b")) == spec


@pytest.mark.parametrize(
    ("known", "works"), [({Capability.NO_REQUEUE}, True), ({Capability.REQUEUE}, True), (set(), False)]
)
def test_not_to_be_started_again_is_a_wish_too(known: set[str], works: bool) -> None:
    spec = JobSpec(name="n", commands=["true"], requeue=False)
    if works:
        assert spec_of(**words_of(spec, known, "b")) == spec
    else:
        with pytest.raises(UnsupportedError):
            words_of(spec, known, "b")


@pytest.mark.parametrize(
    "fields",
    [{"hold": False}, {"exclusive": False}, {"gpus_per_node": 0}, {"keep": False}, {"confirm": "record"}],
)
def test_what_asks_for_nothing_needs_no_word(fields: dict[str, Any]) -> None:
    spec = JobSpec(name="n", commands=["true"], **fields)
    assert words_of(spec, NOTHING, "b") == {"name": "n", "args": ("true",)}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"tasks": 4}, {"cpus": 4}),
        ({"tasks": 4, "cpus_per_task": 1}, {"cpus": 4}),
        ({"tasks": 4, "cpus_per_task": 2}, {"tasks": 4, "cpus_per_task": 2}),
        ({"cpus_per_task": 2}, {"cpus_per_task": 2}),
    ],
)
def test_cpus_are_tasks_of_one_cpu_each(fields: dict[str, int], words: dict[str, int]) -> None:
    spec = JobSpec(name="n", commands=["true"], **fields)
    found = words_of(spec, {Capability.CPUS_PER_TASK}, "b")
    assert found == {"name": "n", "args": ("true",), **words}
    assert spec_of(**found).tasks == spec.tasks


def test_every_word_is_one_for_a_field() -> None:
    assert {*WORDS} <= {*FIELD_NAMES}
    assert len({*WORDS.values()}) == len(WORDS)
