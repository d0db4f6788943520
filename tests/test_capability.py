"""Capabilities: no field of a specification can be ignored because nobody decided about it."""

from __future__ import annotations

from hpc_connect.capability import Capability
from hpc_connect.spec import FIELD_NAMES

EVERY_BACKEND = {
    "commands", "shell", "name", "stdout", "stderr", "env", "dependencies", "dependency_mode", "launcher",
    "directives", "max_parallel", "script_path", "keep",
}  # fmt: skip
"""Fields that every backend honours; dependencies ask for their kinds."""

NOT_A_FIELD = {
    "cancel", "suspend", "send_signal", "attach", "recover", "key", "jobs", "afterstart", "afterany",
    "afterok",
    "afternotok", "aftercorr", "singleton", "any_dependency", "requeue=False",
}  # fmt: skip
"""Verbs, kinds of dependencies, and a value that asks for something else than its field does."""


def test_every_field_is_honoured_by_all_backends_or_is_a_capability() -> None:
    assert {*FIELD_NAMES} - {*Capability} == EVERY_BACKEND


def test_every_capability_is_a_field_or_a_known_word() -> None:
    assert {*Capability} - {*FIELD_NAMES} == NOT_A_FIELD
