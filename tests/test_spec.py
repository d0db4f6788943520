"""The job specification: what can be asked, how it is refused,
and that equal ones are the same everywhere."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import inspect
import json
import os
import pickle
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_connect.capability import Capability
from hpc_connect.dependency import Dependency
from hpc_connect.errors import SpecError
from hpc_connect.fields import FrozenDict
from hpc_connect.notices import Mail, SignalBeforeEnd
from hpc_connect.quantities import Duration, Memory
from hpc_connect.spec import ALIASES, FIELD_NAMES, JobSpec

SOON = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = SOON + timedelta(hours=5)

# Two values of each field, which go with all first values of the others but for those in EXCLUSIVE.
FIRST: dict[str, Any] = {
    "commands": ["make", ["./run", "a b"]], "shell": "/bin/sh", "name": "first", "nodes": 2, "tasks": 8,
    "tasks_per_node": 4, "cpus_per_task": 2, "gpus": 8, "gpus_per_node": 4, "gpus_per_task": 1,
    "gpu_type": "a100",
    "memory_per_node": "4G", "time_limit": "1:00:00", "queue": "short", "account": "physics", "qos": "normal",
    "reservation": "monday", "constraint": "ib", "exclusive": True, "nodelist": ["n1"], "exclude": ["n9"],
    "licenses": ["matlab:1"], "workdir": "/scratch", "stdin": "in.txt", "stdout": "{index}.out",
    "stderr": "{index}.err", "env": {"B": "1", "A": "2"}, "inherit_env": True, "hold": True, "requeue": True,
    "signal_before_end": ("USR1", "60s"), "begin": SOON, "deadline": LATER, "priority": 10,
    "mail": ("me@example.org", ["end"]), "launcher": "mpi", "directives": ["--foo"],
    "dependencies": [("afterok", "1"), ("aftercorr", "2")], "dependency_mode": "all", "array": range(4),
    "max_parallel": 2, "script_path": "job.sh", "keep": True, "confirm": "record",
}  # fmt: skip
SECOND: dict[str, Any] = {
    "commands": ["make", "./run 'a b'"], "shell": "/bin/dash", "name": "second", "nodes": 4, "tasks": 4,
    "tasks_per_node": 2, "cpus_per_task": 3, "gpus": 16, "gpus_per_node": 8, "gpus_per_task": 2,
    "gpu_type": "h100",
    "memory_per_node": "4GB", "time_limit": "1:00:01", "queue": "long", "account": "chemistry", "qos": "high",
    "reservation": "tuesday", "constraint": "gpu", "exclusive": False, "nodelist": ["n1", "n2"],
    "exclude": ["n8"],
    "licenses": ["matlab:2"], "workdir": "scratch", "stdin": "in", "stdout": "out.{index}",
    "stderr": "err.{index}",
    "env": {"B": "1", "A": None}, "inherit_env": ["A"], "hold": False, "requeue": False,
    "signal_before_end": ("USR1", "61s"), "begin": SOON + timedelta(seconds=1),
    "deadline": LATER + timedelta(seconds=1),
    "priority": -10, "mail": ("me@example.org", ["end", "fail"]), "launcher": "srun", "directives": ["--foo",
    "--bar"],
    "dependencies": [("afterany", "1"), ("aftercorr", "2")], "dependency_mode": "any", "array": range(5),
    "max_parallel": 3, "script_path": "other.sh", "keep": False, "confirm": "scheduler",
}  # fmt: skip
# Fields that cannot stand beside a field of FIRST: what takes their place there, with two values.
EXCLUSIVE: dict[str, tuple[set[str], Any, Any]] = {
    "script": ({"commands", "shell"}, "#!/bin/sh\nmake\n", "#!/bin/sh\nmake all\n"),
    "memory_per_cpu": ({"memory_per_node"}, 2**30, 10**9),
    "memory_per_gpu": ({"memory_per_node"}, "1.5G", "2G"),
}
# Fields that others contradict when they change alone.
ALONE = {"nodes", "tasks", "tasks_per_node", "gpus", "gpus_per_node", "gpus_per_task"}


def spec(**changes: Any) -> JobSpec:
    """The shortest specification, with some fields changed."""
    return JobSpec(**{"commands": ["true"], **changes})


def pair(field: str) -> tuple[JobSpec, JobSpec]:
    """Two specifications with many fields, that differ in this one only."""
    if field in EXCLUSIVE:
        excluded, first, second = EXCLUSIVE[field]
    else:
        excluded, first, second = ALONE if field in ALONE else set(), FIRST[field], SECOND[field]
    others = {name: value for name, value in FIRST.items() if name not in {field, *excluded}}
    if field in ALONE:
        others.pop("gpu_type")
    return JobSpec(**others, **{field: first}), JobSpec(**others, **{field: second})


def refusal(**given: Any) -> SpecError:
    with pytest.raises(SpecError) as caught:
        spec(**given)
    assert caught.value.allowed
    return caught.value


# ---------------------------------------------------------------- the fields


def test_every_concept_of_the_field_can_be_asked_for() -> None:
    assert {*FIELD_NAMES} == {*FIRST, *EXCLUSIVE}
    assert {*SECOND} == {*FIRST}


def test_the_docstring_explains_every_field() -> None:
    described = (inspect.getdoc(JobSpec) or "").partition("Attributes:")[2]
    heads = [
        line.partition(":")[0] for line in described.splitlines() if line[:4].isspace() and line[4:5].strip()
    ]
    explained = [name.strip() for head in heads for name in head.split(",")]
    assert sorted(explained) == sorted(FIELD_NAMES)


@pytest.mark.parametrize("field", FIELD_NAMES)
def test_a_field_not_asked_for_is_none(field: str) -> None:
    assert field == "commands" or getattr(spec(), field) is None


def test_what_is_given_is_kept_in_its_own_types() -> None:
    made = JobSpec(**FIRST)
    assert made.given() == {
        **FIRST,
        "commands": ("make", ("./run", "a b")), "memory_per_node": Memory(2**32),
        "time_limit": Duration(hours=1),
        "nodelist": ("n1",), "exclude": ("n9",), "licenses": ("matlab:1",), "env": FrozenDict({"B": "1",
        "A": "2"}),
        "signal_before_end": SignalBeforeEnd(10, Duration(minutes=1)), "mail": Mail("me@example.org",
        ("end",)),
        "directives": ("--foo",), "array": (0, 1, 2, 3),
        "dependencies": (Dependency("afterok", "1"), Dependency("aftercorr", "2")),
    }  # fmt: skip
    assert [*made.given()] == [name for name in FIELD_NAMES if name not in EXCLUSIVE]


def test_lists_are_taken_once_so_they_may_be_generators() -> None:
    made = JobSpec(
        commands=(word for word in ["a", "b"]),
        nodelist=iter(["n1"]),
        array=(index for index in range(3)),
        dependencies=(("afterok", name) for name in "xy"),
    )
    assert made.commands == ("a", "b")
    assert made.nodelist == ("n1",)
    assert made.array == (0, 1, 2)
    assert made.dependencies == (Dependency("afterok", "x"), Dependency("afterok", "y"))


def test_a_dependency_is_on_anything_that_has_an_id() -> None:
    class Handle:
        id = "0a1b"

    assert spec(dependencies=[("afterok", Handle())]) == spec(dependencies=[("afterok", "0a1b")])


@pytest.mark.parametrize("empty", [[], (), iter(())])
@pytest.mark.parametrize("field", ["nodelist", "exclude", "licenses", "directives", "dependencies"])
def test_an_empty_list_is_as_good_as_none(field: str, empty: Any) -> None:
    assert spec(**{field: empty}).given() == spec().given()


def test_an_empty_environment_is_as_good_as_none() -> None:
    assert spec(env={}) == spec()


def test_it_takes_no_positions_and_no_unknown_field() -> None:
    with pytest.raises(TypeError):
        JobSpec(["true"])
    with pytest.raises(TypeError, match="walltime"):
        spec(walltime=60)


# ---------------------------------------------------------------- bad input, each by name


@pytest.mark.parametrize("value", ["echo hi", b"echo hi", {"echo hi"}, {"echo": "hi"}, 4])
def test_commands_that_are_no_list_are_a_type_error_that_says_a_list_of_commands(value: Any) -> None:
    with pytest.raises(TypeError, match="a list of commands"):
        JobSpec(commands=value)


def test_no_command_is_refused() -> None:
    assert refusal(commands=[]).field == "commands"
    assert refusal(commands=None).field == "commands"
    assert refusal(commands=None, script="").field == "script"
    assert refusal(commands=None, script=" \n").field == "script"


COUNTS = [
    "nodes", "tasks", "tasks_per_node", "cpus_per_task", "max_parallel", "gpus", "gpus_per_node",
    "gpus_per_task",
]  # fmt: skip


@pytest.mark.parametrize("value", [-1, 1.5, 2.0, True, "4", 10**9, float("inf"), [1]])
@pytest.mark.parametrize("field", COUNTS)
def test_negative_fractional_and_absurd_resources_are_refused(field: str, value: Any) -> None:
    error = refusal(**{field: value})
    assert error.field == field
    assert error.value is value
    assert "whole number" in str(error)


@pytest.mark.parametrize("field", COUNTS[:5])
def test_zero_of_what_a_job_cannot_do_without_is_refused(field: str) -> None:
    assert refusal(**{field: 0}).field == field


@pytest.mark.parametrize("field", COUNTS[5:])
def test_no_gpu_can_be_asked_for(field: str) -> None:
    assert getattr(spec(**{field: 0}), field) == 0


@pytest.mark.parametrize("field", ["memory_per_node", "memory_per_cpu", "memory_per_gpu"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "4", "4 g", 2**61])
def test_bad_memory_is_refused_by_the_name_of_its_field(field: str, value: Any) -> None:
    assert refusal(**{field: value, "gpus": 1}).field == field


@pytest.mark.parametrize("value", [0, -1, True, "0:00:00", "10:00", "600", float("inf"), timedelta(0)])
def test_a_bad_time_limit_is_refused_by_name(value: Any) -> None:
    assert refusal(time_limit=value).field == "time_limit"


NAMES = ["name", "queue", "account", "qos", "reservation", "constraint", "gpu_type", "launcher"]


@pytest.mark.parametrize("field", NAMES)
@pytest.mark.parametrize("value", ["", "a\nb", "a\0", "\ud800", "\x1b[0m", b"a", 4, ["a"]])
def test_a_name_that_breaks_its_line_or_cannot_be_written_is_refused_by_name(field: str, value: Any) -> None:
    error = refusal(**{field: value, "gpus": 1})
    assert (error.field, error.value) == (field, value)


@pytest.mark.parametrize("field", NAMES)
@pytest.mark.parametrize(
    "value", ['it\'s "quoted"', "a/b", "back\\slash", "$(touch pwned) $$", "x" * 4000, "模拟", "-n"]
)
def test_any_other_name_is_kept_whole(field: str, value: str) -> None:
    assert getattr(spec(**{field: value, "gpus": 1}), field) == value


@pytest.mark.parametrize("field", ["nodelist", "exclude", "licenses", "directives"])
@pytest.mark.parametrize("value", ["n1", b"n1", {"n1"}, [b"n1"], [1], [""], ["a\nb"], 4])
def test_a_string_given_for_a_list_is_refused_by_name(field: str, value: Any) -> None:
    assert refusal(**{field: value}).field.startswith(field)


@pytest.mark.parametrize("field", ["exclusive", "hold", "requeue", "keep"])
@pytest.mark.parametrize("value", [0, 1, "yes", []])
def test_what_is_neither_true_nor_false_is_refused_by_name(field: str, value: Any) -> None:
    assert refusal(**{field: value}).field == field


@pytest.mark.parametrize("field", ["workdir", "stdin", "stdout", "stderr", "shell", "script_path"])
@pytest.mark.parametrize("value", ["", b"/tmp", 4, "a\0b"])
def test_what_is_no_path_is_refused_by_name(field: str, value: Any) -> None:
    assert refusal(**{field: value}).field == field


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("array", "0-9"), ("array", []), ("array", [1, 1]), ("array", [1.5]), ("array", range(10**12)),
        ("array", 4),
        ("env", {"1A": "x"}), ("env", {"A": 4}), ("env", ["A=b"]), ("inherit_env", "PATH"), ("inherit_env",
        ["A-B"]),
        ("begin", "tomorrow"), ("deadline", 5), ("priority", 1.5), ("priority", 2**31), ("mail",
        "me@example.org"),
        ("signal_before_end", 10), ("dependencies", "singleton"), ("dependencies", ("afterok", "1")),
        ("dependency_mode", "some"), ("confirm", "both"), ("script", b"#!/bin/sh"),
    ],
)  # fmt: skip
def test_other_bad_input_is_refused_by_name(field: str, value: Any) -> None:
    assert refusal(**{field: value}).field.startswith(field)


@pytest.mark.parametrize(
    ("field", "given", "said"),
    [
        ("tasks", {"tasks": 5, "nodes": 2, "tasks_per_node": 2}, "make 4"),
        ("tasks", {"tasks": 1, "nodes": 2}, "nodes=2"),
        ("tasks_per_node", {"tasks": 2, "tasks_per_node": 4}, "tasks=2"),
        ("gpus", {"gpus": 3, "nodes": 2, "gpus_per_node": 2}, "gpus_per_node makes 4"),
        ("gpus", {"gpus": 3, "tasks": 2, "gpus_per_task": 2}, "gpus_per_task makes 4"),
        ("gpus_per_node", {"nodes": 2, "tasks_per_node": 2, "gpus_per_node": 4, "gpus_per_task": 1},
        "makes 8"),
        ("gpus", {"gpus": 0, "nodes": 1, "gpus_per_node": 1}, "gpus makes 0"),
        ("gpu_type", {"gpu_type": "a100"}, "needs a number of GPUs"),
        ("gpu_type", {"gpu_type": "a100", "gpus": 0}, "needs a number of GPUs"),
        ("memory_per_gpu", {"memory_per_gpu": "1G"}, "needs a number of GPUs"),
        ("memory_per_cpu", {"memory_per_node": "1G", "memory_per_cpu": "1G"}, "excludes memory_per_node"),
        ("memory_per_gpu", {"memory_per_cpu": "1G", "memory_per_gpu": "1G", "gpus": 1},
        "excludes memory_per_cpu"),
        ("exclude", {"nodelist": ["a", "b", "c"], "exclude": ["c", "b"]}, "asks for b, c"),
        ("signal_before_end", {"signal_before_end": ("USR1", 60)}, "needs a time_limit"),
        ("signal_before_end", {"signal_before_end": ("USR1", 60), "time_limit": 60}, "later than the start"),
        ("deadline", {"begin": LATER, "deadline": SOON}, "later than begin"),
        ("deadline", {"begin": SOON, "deadline": SOON}, "later than begin"),
        ("max_parallel", {"max_parallel": 2}, "needs an array"),
        ("dependencies", {"dependencies": [("aftercorr", "1")]}, "needs an array"),
        ("stdout", {"array": range(2), "stdout": "out"}, "{index}"),
        ("stderr", {"array": range(2), "stderr": "err"}, "{index}"),
        ("commands", {"script": "make"}, "either commands or script"),
        ("shell", {"commands": None, "script": "make", "shell": "/bin/sh"}, "first line"),
        ("partition", {"queue": "a", "partition": "b"}, "another name of queue"),
        ("project", {"account": "a", "project": "b"}, "another name of account"),
    ],
)  # fmt: skip
def test_a_contradiction_is_refused_by_the_name_of_one_field_and_says_the_other(
    field: str, given: dict[str, Any], said: str
) -> None:
    error = refusal(**given)
    assert error.field == field
    assert said in error.allowed


@pytest.mark.parametrize(
    "given",
    [
        {"tasks": 4, "nodes": 2, "tasks_per_node": 2}, {"tasks": 5, "tasks_per_node": 2}, {"tasks": 5,
        "nodes": 2},
        {"gpus": 4, "nodes": 2, "gpus_per_node": 2, "tasks": 4, "gpus_per_task": 1}, {"gpu_type": "a",
        "gpus_per_task": 1},
        {"gpus": 6, "nodes": 3, "tasks_per_node": 2, "gpus_per_task": 1}, {"gpu_type": "a", "gpus_per_node": 1},
        {"tasks": 2, "nodes": 2}, {"tasks": 4, "tasks_per_node": 4}, {"memory_per_gpu": "1G", "gpus": 1},
        {"array": [1], "stdout": os.devnull}, {"queue": "a", "partition": "a"}, {"begin": SOON,
        "deadline": LATER},
    ],
)  # fmt: skip
def test_what_fits_together_is_accepted(given: dict[str, Any]) -> None:
    spec(**given)


# ---------------------------------------------------------------- aliases


@pytest.mark.parametrize(("alias", "field"), ALIASES.items())
def test_an_alias_is_another_name_of_its_field(alias: str, field: str) -> None:
    made = spec(**{alias: "x"})
    assert made == spec(**{field: "x"})
    assert getattr(made, field) == getattr(made, alias) == "x"
    assert made.given()[field] == "x"
    assert alias not in made.given()
    assert getattr(spec(), alias) is None


@pytest.mark.parametrize("alias", ALIASES)
@pytest.mark.parametrize("value", ["", "a\nb", 4])
def test_an_alias_is_refused_under_the_name_that_was_written(alias: str, value: Any) -> None:
    assert refusal(**{alias: value}).field == alias


# ---------------------------------------------------------------- a value among values


def test_it_cannot_be_changed() -> None:
    made: Any = spec()
    for change in ("tasks", "commands", "partition", "something"):
        with pytest.raises(AttributeError):
            setattr(made, change, 4)
    with pytest.raises(AttributeError):
        del made.commands
    assert made == spec()


def test_it_does_not_follow_what_it_was_made_from() -> None:
    commands: Any = ["a", ["b"]]
    env = {"A": "1"}
    made = JobSpec(commands=commands, env=env)
    commands.append("c")
    commands[1].append("d")
    env["B"] = "2"
    assert made == JobSpec(commands=["a", ["b"]], env={"A": "1"})


@pytest.mark.parametrize(
    "duplicate",
    [
        lambda made: pickle.loads(pickle.dumps(made)), copy.copy, copy.deepcopy, JobSpec.replace,
        dataclasses.replace,
        lambda made: JobSpec(**made.given()),
    ],
    ids=["pickle", "copy", "deepcopy", "replace", "dataclasses.replace", "given"],
)  # fmt: skip
@pytest.mark.parametrize("field", FIELD_NAMES)
def test_a_copy_is_equal_in_all_that_counts(field: str, duplicate: Any) -> None:
    for made in pair(field):
        twin = duplicate(made)
        assert type(twin) is JobSpec
        assert twin == made
        assert hash(twin) == hash(made)
        assert twin.fingerprint() == made.fingerprint()
        assert {name: type(value) for name, value in twin.given().items()} == {
            name: type(value) for name, value in made.given().items()
        }


@pytest.mark.parametrize(
    "replace", [JobSpec.replace, dataclasses.replace, getattr(copy, "replace", JobSpec.replace)]
)
def test_replacing_a_field_checks_again_and_leaves_the_original(replace: Any) -> None:
    original = spec(queue="short", tasks=4)
    assert replace(original, queue="long") == spec(queue="long", tasks=4)
    assert replace(original, tasks=None) == spec(queue="short")
    with pytest.raises(SpecError, match=r"^tasks=0"):
        replace(original, tasks=0)
    assert original == spec(queue="short", tasks=4)


def test_a_field_may_be_replaced_under_its_other_name() -> None:
    original = spec(queue="short", account="physics")
    assert original.replace(partition="long") == spec(queue="long", account="physics")
    assert original.replace(project=None) == spec(queue="short")
    with pytest.raises(SpecError, match="another name of queue"):
        original.replace(queue="a", partition="b")


@pytest.mark.parametrize("field", FIELD_NAMES)
def test_specifications_that_differ_in_one_field_differ_in_value_and_fingerprint(field: str) -> None:
    first, second = pair(field)
    without = (
        first.replace(**{field: None})
        if field not in {"commands", "script", "array", "time_limit"}
        else second
    )
    assert first != second
    assert first != without
    assert len({first.fingerprint(), second.fingerprint(), spec().fingerprint()}) == 3
    assert first.fingerprint() != without.fingerprint()


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).filter(str.strip)
specs = st.builds(
    dict,
    commands=st.lists(texts | st.lists(texts, min_size=1), min_size=1, max_size=3),
    env=st.dictionaries(st.sampled_from("ABCD"), st.none() | texts),
    tasks=st.none() | st.integers(1, 3),
    time_limit=st.none() | st.integers(1, 3) | st.sampled_from(["1s", "0:00:02", 1.5]),
    inherit_env=st.none() | st.booleans() | st.lists(st.sampled_from("AB"), max_size=2),
    priority=st.none() | st.integers(-1, 1),
)


@given(specs, specs, st.randoms())
def test_fingerprints_are_equal_for_equal_specifications_and_for_no_others(
    one: Any, two: Any, random: Any
) -> None:
    first, second = JobSpec(**one), JobSpec(**two)
    assert (first == second) == (first.fingerprint() == second.fingerprint())
    shuffled = [*one["env"].items()]
    random.shuffle(shuffled)
    again = JobSpec(**{**one, "env": dict(shuffled)})
    assert again == first
    assert hash(again) == hash(first)
    assert again.fingerprint() == first.fingerprint()


def test_a_command_line_and_an_argument_vector_of_the_same_words_are_different_jobs() -> None:
    as_line, as_vector = spec(commands=["a b"]), spec(commands=[["a", "b"]])
    assert as_line.fingerprint() != as_vector.fingerprint()
    assert spec(commands=["a", "b"]).fingerprint() != as_vector.fingerprint()


def test_different_spellings_of_one_request_are_equal() -> None:
    elsewhere = SOON.astimezone(timezone(timedelta(hours=9)))
    one = spec(time_limit="1h", memory_per_node="4G", signal_before_end=("USR1", 60), begin=SOON)
    two = spec(time_limit=3600, memory_per_node=2**32, signal_before_end=("SIGUSR1", "60s"), begin=elsewhere)
    assert one == two
    assert one.fingerprint() == two.fingerprint()


def test_a_naive_time_is_local_time() -> None:
    naive = datetime(2030, 7, 1, 12, 0)  # noqa: DTZ001 - a naive time is what this is about
    made = spec(begin=naive)
    assert made.begin is not None
    assert made.begin.utcoffset() is not None
    assert made.begin == naive.astimezone()


FINGERPRINT = """
import pickle, sys
from hpc_connect.spec import JobSpec
spec = pickle.load(sys.stdin.buffer)
print(spec.fingerprint(), JobSpec(**spec.given()).fingerprint(), repr(sorted(spec.needs())))
"""


def test_a_fingerprint_is_the_same_in_every_process_time_zone_and_hash_seed() -> None:
    made = JobSpec(**FIRST)
    expected = f"{made.fingerprint()} {made.fingerprint()} {sorted(made.needs())!r}\n"
    for seed, zone in (("0", "UTC"), ("1", "Asia/Tokyo"), ("2", "America/New_York")):
        done = subprocess.run(
            [sys.executable, "-c", FINGERPRINT],
            input=pickle.dumps(made),
            capture_output=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone},
        )
        assert done.stdout.decode() == expected


def test_a_fingerprint_stays_the_same_from_release_to_release() -> None:
    # It is kept in journals: a change here makes every `key=` in use point to another job.
    text = (
        '{"commands": ["true", ["echo", "hi"]], "env": {"A": "1", "B": null}, "tasks": 4, "time_limit": 60.0}'
    )
    made = spec(commands=["true", ["echo", "hi"]], env={"B": None, "A": "1"}, tasks=4, time_limit="0:01:00")
    assert made.fingerprint() == hashlib.sha256(text.encode()).hexdigest()


# ---------------------------------------------------------------- what is said about it


@pytest.mark.parametrize("field", FIELD_NAMES)
def test_a_record_is_json_and_holds_what_was_given(field: str) -> None:
    for made in pair(field):
        record = made.record()
        assert [*record] == [*made.given()]
        assert json.loads(json.dumps(record)) == record


@pytest.mark.parametrize("field", FIELD_NAMES)
def test_a_specification_comes_back_from_its_record_but_for_its_variables(field: str) -> None:
    for made in pair(field):
        stored = json.loads(json.dumps(made.record()))
        assert JobSpec.from_record(stored) == made.replace(env=None)
        assert JobSpec.from_record({**stored, "a_field_of_a_later_release": 1}) == made.replace(env=None)


def test_a_job_is_located_in_a_folder_and_is_otherwise_the_same() -> None:
    made = JobSpec(**FIRST)
    assert made.located("/elsewhere") == made.replace(workdir="/elsewhere")
    assert made == JobSpec(**FIRST)


def test_neither_a_record_nor_a_repr_holds_the_value_of_a_variable() -> None:
    made = spec(env={"TOKEN": "hunter2", "EMPTY": "", "GONE": None})
    assert made.record()["env"] == ["EMPTY", "GONE", "TOKEN"]
    assert "hunter2" not in json.dumps(made.record()) + repr(made)
    assert "TOKEN" in repr(made)


def test_a_record_keeps_bytes_that_are_not_utf8() -> None:
    command = os.fsdecode(b"cat \xff\xfe")
    record = json.loads(json.dumps(spec(commands=[command]).record()))
    assert os.fsencode(record["commands"][0]) == b"cat \xff\xfe"


def test_a_repr_shows_what_was_asked_for_and_nothing_else() -> None:
    assert repr(spec(tasks=4, name="a b")) == "JobSpec(commands=('true',), name='a b', tasks=4)"


# ---------------------------------------------------------------- what it needs


def test_a_plain_job_needs_nothing() -> None:
    anywhere = spec(
        shell="/bin/sh", name="x", stdout="out", stderr="err", env={"A": "1"}, directives=["-x"],
        launcher="mpi",
        script_path="job.sh", keep=True, confirm="record",
    )  # fmt: skip
    assert spec().needs() == anywhere.needs() == frozenset()


@pytest.mark.parametrize(
    "field", [name for name in FIELD_NAMES if name in {*Capability} - {"confirm", "requeue"}]
)
def test_a_field_that_is_given_needs_the_capability_of_its_name(field: str) -> None:
    assert Capability(field) in pair(field)[0].needs()


@pytest.mark.parametrize(
    ("given", "needed"),
    [
        ({"requeue": True}, {"requeue"}),
        ({"requeue": False}, {"requeue=False"}),
        ({"inherit_env": False}, {"inherit_env"}),
        ({"inherit_env": []}, {"inherit_env"}),
        ({"priority": 0}, {"priority"}),
        ({"hold": False, "exclusive": False, "gpus": 0}, set()),
        ({"confirm": "record"}, set()),
        ({"confirm": "scheduler"}, {"confirm"}),
        ({"array": [1], "max_parallel": 1}, {"array"}),
        ({"dependencies": [("afterok", "1"), "singleton"]}, {"afterok", "singleton"}),
        ({"dependencies": [("afterok", "1")], "dependency_mode": "any"}, {"afterok"}),
        ({"dependencies": [("afterok", "1"), ("afterok", "2")], "dependency_mode": "any"}, {"afterok",
        "any_dependency"}),
    ],
)  # fmt: skip
def test_what_is_meant_is_needed_and_what_asks_for_nothing_is_not(
    given: dict[str, Any], needed: set[str]
) -> None:
    assert spec(**given).needs() == needed
