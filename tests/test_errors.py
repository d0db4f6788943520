"""The tree of errors: as it is drawn, picklable, and with messages that tell what to do."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import pkgutil
import re

import pytest

import hpc_connect
from hpc_connect import errors
from hpc_connect.errors import (
    BrokenPlugin,
    ConfigError,
    EngineError,
    HPCConnectError,
    JobCancelled,
    JobError,
    JobFailed,
    JobLost,
    LaunchError,
    PluginError,
    SpecError,
    StoreError,
    SubmitError,
    TransportError,
    UnknownBackend,
    UnknownLauncher,
    UnsupportedError,
    shortened,
)
from hpc_connect.status import JobState, JobStatus, Reason

FAILED = JobStatus(state=JobState.FAILED, reason=Reason.EXIT, exit_code=3, message="it said so")

EXAMPLES = [
    SpecError("tasks", -1, "must be a whole number"),
    UnsupportedError("queue", "long", "this backend has no queues"),
    ConfigError("hpc_connect.toml: launch.exec", "must be a string"),
    PluginError("the entry point is named 'x', the class 'y'"),
    UnknownBackend("slrum", ["slurm", "shell"]),
    UnknownLauncher("mpirun", {"mpi": 1, "srun": 2}),
    BrokenPlugin("my-backend", "my-package", "No module named 'missing'"),
    LaunchError("no MPI was found; install one"),
    TransportError("the answer did not arrive whole"),
    StoreError("the disk is full"),
    EngineError("the engine ended"),
    SubmitError("refused", (word for word in ["sbatch", "a b"]), 1, "out", "err"),
    JobFailed("abc", FAILED, "the end of the output\n"),
    JobCancelled("abc", JobStatus(state=JobState.CANCELLED)),
    JobLost("abc", JobStatus(state=JobState.LOST)),
]


def _subclasses(error: type[Exception]) -> set[type[Exception]]:
    return {error}.union(*map(_subclasses, error.__subclasses__()))


def test_every_error_that_can_be_raised_has_an_example_here() -> None:
    for module in pkgutil.walk_packages(hpc_connect.__path__, "hpc_connect."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    raised = {error for error in _subclasses(HPCConnectError) if error.__module__.startswith("hpc_connect.")}
    bases = {error for error in raised if error.__name__.startswith("_")} | {HPCConnectError, JobError}
    assert raised - bases == {type(example) for example in EXAMPLES}


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("duplicate", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])
def test_an_error_survives_pickling_and_copying(error: HPCConnectError, duplicate: object) -> None:
    twin = duplicate(error)
    assert type(twin) is type(error)
    assert str(twin) == str(error)
    assert vars(twin) == vars(error)
    assert twin.args == error.args


def _drawn() -> dict[str, tuple[str | None, set[str]]]:
    """Of each class in the tree of the module's docstring: its parent there, and those in brackets."""
    row = re.compile(r"    (?P<indent>[│ ├└─]*)(?P<name>\w+)(?: \((?P<others>[\w, ]+)\))?(?:  .*)?")
    found: dict[str, tuple[str | None, set[str]]] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = row.fullmatch(line)
        if match:
            depth = len(match["indent"]) // 4
            path[depth:] = [match["name"]]
            others = set(match["others"].split(", ")) if match["others"] else set()
            found[match["name"]] = (path[depth - 1] if depth else None, others)
    return found


def _real() -> dict[str, tuple[str | None, set[str]]]:
    """The same of the classes themselves; a private class between two is passed over."""

    def public_bases(error: type) -> list[type]:
        return [
            found
            for base in error.__bases__
            for found in (public_bases(base) if base.__name__.startswith("_") else [base])
        ]

    tree: dict[str, tuple[str | None, set[str]]] = {}
    for name, error in vars(errors).items():
        if inspect.isclass(error) and issubclass(error, Exception) and not name.startswith("_"):
            bases = public_bases(error)
            ours = [base.__name__ for base in bases if base.__module__ == errors.__name__]
            foreign = {base.__name__ for base in bases if base.__module__ != errors.__name__} - {"Exception"}
            assert len(ours) <= 1
            tree[name] = (ours[0] if ours else None, foreign)
    return tree


def test_the_tree_in_the_docstring_is_the_real_one() -> None:
    assert len(_drawn()) > 10
    assert _drawn() == _real()


def test_a_bad_field_is_caught_as_value_error_and_as_type_error() -> None:
    assert issubclass(SpecError, ValueError)
    assert issubclass(SpecError, TypeError)


def test_a_bad_field_is_told_with_its_name_its_value_and_what_is_allowed() -> None:
    error = SpecError("tasks", -1, "must be a whole number from 1")
    assert (error.field, error.value, error.allowed) == ("tasks", -1, "must be a whole number from 1")
    assert str(error) == "tasks=-1: must be a whole number from 1"


class _Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("half made")


class _OfTwoLines:
    def __repr__(self) -> str:
        return "array([1,\n       2])"


@pytest.mark.parametrize(
    "value",
    ["a\nb", _OfTwoLines(), _Unprintable(), 10**5000, "x" * 10**6],
    ids=["newline", "two lines", "unprintable", "huge number", "huge text"],
)
def test_whatever_the_value_a_bad_field_is_told_in_one_line_of_sensible_length(value: object) -> None:
    told = str(SpecError("name", value, "must be short"))
    assert told.startswith("name=")
    assert told.endswith(": must be short")
    assert len(told.splitlines()) == 1
    assert len(told) < 300


@pytest.mark.parametrize(
    "error", [error for error in EXAMPLES if not isinstance(error, JobFailed)], ids=lambda e: type(e).__name__
)
def test_a_message_is_one_line(error: HPCConnectError) -> None:
    assert str(error)
    assert len(str(error).splitlines()) == 1


def test_an_unknown_name_lists_the_known_ones_and_how_to_get_more() -> None:
    error = UnknownBackend("slrum", iter(["slurm", "shell"]))
    assert error.known == ["shell", "slurm"]
    assert "'slrum'" in str(error)
    assert "known: shell, slurm" in str(error)
    assert "python -m hpc_connect" in str(error)
    assert isinstance(error, ValueError)


def test_a_refused_submission_shows_the_command_as_it_can_be_pasted_and_all_evidence() -> None:
    error = SubmitError("the scheduler refused", ["sbatch", "--comment=a b", "x'y"], 1, "", "no such queue\n")
    assert str(error) == (
        """the scheduler refused; command: sbatch '--comment=a b' 'x'"'"'y'; exit code 1; no such queue"""
    )


def test_a_refused_submission_with_much_to_say_is_cut_in_its_message_but_kept_as_evidence() -> None:
    error = SubmitError("refused", ["sbatch"], 1, "", "line\n" * 10**6)
    assert len(str(error)) < 3000
    assert len(error.stderr) == 5 * 10**6


def test_a_failed_job_tells_its_state_and_the_end_of_its_output() -> None:
    told = str(JobFailed("abc", FAILED, "Segmentation fault\n"))
    first, *rest = told.splitlines()
    assert first == f"job abc: {FAILED.describe()}"
    assert rest[-1] == "Segmentation fault"


def test_a_long_text_is_cut_in_the_middle_and_a_short_one_is_not() -> None:
    assert shortened("a" * 200) == "a" * 200
    cut = shortened("begin" + "x" * 1000 + "end")
    assert len(cut) <= 200
    assert cut.startswith("begin")
    assert cut.endswith("end")
