"""What is known of a cluster."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_connect.cluster import ClusterConfig
from hpc_connect.errors import ConfigError, SpecError


def cluster(**fields: Any) -> ClusterConfig:
    return ClusterConfig(**{"name": "mine", "backend": "slurm", **fields})


def test_what_nobody_said_is_not_known_and_the_windows_have_defaults() -> None:
    found = cluster()
    assert (found.node_count, found.cpus_per_node, found.gpus_per_node) == (None, None, None)
    assert (found.shell, found.work_dir, found.polling_frequency) == (None, None, None)
    assert found.settle_window == timedelta(seconds=60)
    assert found.grace_window == timedelta(minutes=5)
    assert found.options == {}


def test_durations_come_in_any_form_and_the_polling_frequency_is_kept_in_seconds() -> None:
    found = cluster(polling_frequency="1.5m", settle_window="2m", grace_window=timedelta(hours=1))
    assert found.polling_frequency == 90.0
    assert found.settle_window == timedelta(minutes=2)
    assert found.grace_window == timedelta(hours=1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", None),
        ("name", "a\nb"),
        ("backend", None),
        ("backend", 3),
        ("node_count", 0),
        ("node_count", -1),
        ("node_count", 1.5),
        ("node_count", True),
        ("node_count", "4"),
        ("cpus_per_node", 0),
        ("gpus_per_node", -1),
        ("shell", "bash"),
        ("shell", ""),
        ("work_dir", "somewhere"),
        ("work_dir", "~other/x"),
        ("work_dir", "/a\0b"),
        ("polling_frequency", 0),
        ("polling_frequency", -1),
        ("polling_frequency", "often"),
        ("polling_frequency", float("nan")),
        ("settle_window", None),
        ("settle_window", "60"),
        ("grace_window", float("inf")),
    ],
)
def test_a_bad_value_is_refused_with_cluster_field_and_value(field: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        cluster(**{field: value})
    assert caught.value.origin == f"cluster {value if field == 'name' else 'mine'!r}"
    assert caught.value.problem.startswith(f"{field}={value!r}: ")


def test_it_does_not_change_is_hashed_and_survives_pickling() -> None:
    found = cluster(node_count=3, options={"hosts": ["a", "b"], "deep": {"list": [{"x": 1}]}})
    with pytest.raises(FrozenInstanceError):
        found.node_count = 4  # type: ignore[misc]  # that it cannot be is what is tested
    with pytest.raises(TypeError):
        found.options["hosts"] = ()  # type: ignore[index]  # likewise
    assert found.options["hosts"] == ("a", "b")
    assert found.options["deep"]["list"][0]["x"] == 1
    again = pickle.loads(pickle.dumps(found))
    assert again == found
    assert hash(again) == hash(found)
    assert found != cluster(node_count=3)


def test_what_is_found_out_does_not_replace_what_is_configured() -> None:
    found = cluster(cpus_per_node=8).discovered(node_count=2, cpus_per_node=64, gpus_per_node=0)
    assert (found.node_count, found.cpus_per_node, found.gpus_per_node) == (2, 8, 0)
    assert found.discovered(node_count=None) == found


@given(
    st.integers(1, 1000),
    st.integers(1, 1000),
    st.none() | st.integers(0, 10**6),
    st.none() | st.integers(0, 10**6),
)
def test_the_nodes_required_are_enough_and_one_less_is_not(
    cpus: int, gpus: int, max_cpus: int | None, max_gpus: int | None
) -> None:
    def enough(nodes: int) -> bool:
        return nodes * cpus >= (max_cpus or 0) and nodes * gpus >= (max_gpus or 0)

    nodes = cluster(cpus_per_node=cpus, gpus_per_node=gpus).nodes_required(max_cpus, max_gpus)
    assert enough(nodes)
    assert nodes == 1 or not enough(nodes - 1)


def test_the_nodes_required_do_not_depend_on_a_size_that_is_not_asked_for() -> None:
    assert cluster().nodes_required() == 1
    assert cluster(cpus_per_node=4).nodes_required(max_cpus=5) == 2
    assert cluster(cpus_per_node=4, gpus_per_node=0).nodes_required(max_cpus=5, max_gpus=0) == 2


def test_gpus_where_there_are_none_are_refused() -> None:
    with pytest.raises(SpecError, match="gpus_per_node is 0") as caught:
        cluster(gpus_per_node=0).nodes_required(max_gpus=1)
    assert caught.value.field == "max_gpus"


def test_the_nodes_required_of_nodes_of_unknown_size_are_not_guessed() -> None:
    with pytest.raises(ConfigError, match="cpus_per_node is not known"):
        cluster().nodes_required(max_cpus=1)


@pytest.mark.parametrize("wanted", [-1, 1.5, "2", True])
def test_a_number_of_cpus_is_a_whole_number(wanted: Any) -> None:
    with pytest.raises(SpecError):
        cluster(cpus_per_node=2).nodes_required(max_cpus=wanted)
