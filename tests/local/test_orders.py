"""From a specification to what the supervisor is told, without starting anything."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_connect.local.orders import environment, order, output_paths
from hpc_connect.spec import JobSpec


def spec(**fields: object) -> JobSpec:
    return JobSpec(**{"commands": ["true"], **fields})


def paths(index: int | None = None, **fields: object) -> tuple[str, str]:
    return output_paths(spec(**fields), "/work", "id", index)


def test_outputs() -> None:
    assert paths() == ("/work/job.id.out",) * 2
    assert paths(name="n") == ("/work/n.id.out",) * 2
    assert paths(3, name="n") == ("/work/n.id.3.out",) * 2
    assert paths(stdout="o") == ("/work/o",) * 2
    assert paths(stderr="e") == ("/work/job.id.out", "/work/e")
    assert paths(stdout="o", stderr="/abs/e") == ("/work/o", "/abs/e")
    assert paths(3, stdout="{index}/{name}-{id}") == ("/work/3/job-id",) * 2


@given(name=st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=300))
def test_a_default_name_is_that_of_one_file_in_the_folder(name: str) -> None:
    path, _ = paths(name=name)
    folder, file = os.path.split(path)
    assert folder == "/work"
    assert file.endswith(".id.out")
    assert len(os.fsencode(file)) <= 255


ENVIRON = {"HOME": "/h", "PATH": "/p", "MINE": "m", "PMI_RANK": "1", "HPC_CONNECT_JOB_ID": "outer"}


@pytest.mark.parametrize(
    ("inherit", "names"),
    [
        (None, {"HOME", "PATH", "MINE"}),
        (True, {"HOME", "PATH", "MINE"}),
        (False, {"HOME", "PATH"}),
        (["MINE", "NOTHING"], {"HOME", "PATH", "MINE"}),
    ],
)
def test_what_is_inherited(inherit: object, names: set[str]) -> None:
    assert environment(spec(inherit_env=inherit), ENVIRON).keys() == names


def test_variables_are_in_our_script_or_in_the_environment_of_one_that_is_not_ours() -> None:
    env = {"A": "1", "MINE": None, "NOTHING": None}
    assert environment(spec(env=env), ENVIRON).keys() == {"HOME", "PATH", "MINE"}
    own = JobSpec(script="#!/bin/sh\n", env=env, launcher="mpi")
    assert environment(own, ENVIRON) == {"HOME": "/h", "PATH": "/p", "A": "1", "HPC_CONNECT_LAUNCHER": "mpi"}


def test_the_environment_that_is_given_is_not_changed() -> None:
    before = dict(ENVIRON)
    environment(JobSpec(script="#!/bin/sh\n", env={"MINE": None, "A": "1"}), ENVIRON)
    assert before == ENVIRON


def an_order(index: int | None = None, **fields: object) -> dict[str, object]:
    return order(
        spec(**fields),
        job_id="id",
        index=index,
        argv=["/bin/bash"],
        workdir="/work",
        outputs=("/work/o", "/work/e"),
        environ={"A": os.fsdecode(b"\xff")},
        script_size=7,
    )


def test_an_order_says_all_there_is_to_do() -> None:
    found = an_order(stdin="in", time_limit=90, signal_before_end=("USR1", 30), name="n")
    assert found["env"] == {
        "A": "\udcff",
        "HPC_CONNECT_JOB_ID": "id",
        "HPC_CONNECT_JOB_NAME": "n",
        "HPC_CONNECT_ATTEMPT": "1",
    }
    assert {name: found[name] for name in ("stdin", "stdout", "stderr", "limit", "warn", "attempt")} == {
        "stdin": "/work/in",
        "stdout": "/work/o",
        "stderr": "/work/e",
        "limit": 90.0,
        "warn": [10, 30.0],
        "attempt": 1,
    }
    assert json.loads(json.dumps(found)) == found


def test_an_element_of_an_array_knows_its_index() -> None:
    found = an_order(index=7)["env"]
    assert (found["HPC_CONNECT_JOB_ID"], found["HPC_CONNECT_ARRAY_INDEX"]) == ("id.7", "7")


def test_what_was_not_asked_for_is_not_there() -> None:
    found = an_order()
    assert [found[name] for name in ("stdin", "limit", "warn")] == [None, None, None]
