"""What a backend cannot do it refuses by name, before anything is sent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from hpc_connect.capability import Capability
from hpc_connect.compact import WORDS
from hpc_connect.errors import SpecError, UnsupportedError
from hpc_connect.spec import JobSpec
from hpc_connect.testing.conformance.base import ConformanceBase

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpc_connect.backend import HPCBackend
    from hpc_connect.process import HPCProcess
    from hpc_connect.testing.conformance.base import Jobs

_SOON = datetime.now(UTC) + timedelta(days=1)
_SOMEBODY = "0000000000"

REQUESTS: dict[Capability, dict[str, Any]] = {
    Capability.HOLD: {"hold": True},
    Capability.REQUEUE: {"requeue": True},
    Capability.NO_REQUEUE: {"requeue": False},
    Capability.AFTERSTART: {"dependencies": [("afterstart", _SOMEBODY)]},
    Capability.AFTERANY: {"dependencies": [("afterany", _SOMEBODY)]},
    Capability.AFTEROK: {"dependencies": [("afterok", _SOMEBODY)]},
    Capability.AFTERNOTOK: {"dependencies": [("afternotok", _SOMEBODY)]},
    Capability.AFTERCORR: {"dependencies": [("aftercorr", _SOMEBODY)], "array": [0, 1]},
    Capability.SINGLETON: {"dependencies": ["singleton"]},
    Capability.ANY_DEPENDENCY: {
        "dependencies": [("afterok", _SOMEBODY), ("afterok", _SOMEBODY[1:])],
        "dependency_mode": "any",
    },
    Capability.ARRAY: {"array": [0, 1]},
    Capability.STDIN: {"stdin": "/dev/null"},
    Capability.WORKDIR: {"workdir": "/"},
    Capability.INHERIT_ENV: {"inherit_env": False},
    Capability.SCRIPT: {"script": "#!/bin/sh\nexit 0\n", "commands": None},
    Capability.TASKS_PER_NODE: {"tasks_per_node": 2},
    Capability.CPUS_PER_TASK: {"cpus_per_task": 2},
    Capability.GPUS_PER_NODE: {"gpus_per_node": 1},
    Capability.GPUS_PER_TASK: {"gpus_per_task": 1},
    Capability.GPU_TYPE: {"gpu_type": "h100", "gpus": 1},
    Capability.MEMORY_PER_NODE: {"memory_per_node": "1GiB"},
    Capability.MEMORY_PER_CPU: {"memory_per_cpu": "1GiB"},
    Capability.MEMORY_PER_GPU: {"memory_per_gpu": "1GiB", "gpus": 1},
    Capability.LICENSES: {"licenses": ["matlab:1"]},
    Capability.EXCLUSIVE: {"exclusive": True},
    Capability.CONSTRAINT: {"constraint": "skylake"},
    Capability.NODELIST: {"nodelist": ["node1"]},
    Capability.EXCLUDE: {"exclude": ["node1"]},
    Capability.SIGNAL_BEFORE_END: {"signal_before_end": ("USR1", "1m"), "time_limit": "1h"},
    Capability.BEGIN: {"begin": _SOON},
    Capability.DEADLINE: {"deadline": _SOON},
    Capability.QUEUE: {"queue": "debug"},
    Capability.ACCOUNT: {"account": "physics"},
    Capability.QOS: {"qos": "high"},
    Capability.RESERVATION: {"reservation": "course"},
    Capability.PRIORITY: {"priority": 1},
    Capability.MAIL: {"mail": ("me@example.org", ["end"])},
    Capability.CONFIRM_BY_SCHEDULER: {"confirm": "scheduler"},
}
"""A specification that needs each capability. What is not here every backend takes, or refuses by itself."""

HANDLE_VERBS: dict[Capability, dict[str, Callable[[HPCProcess], object]]] = {
    Capability.CANCEL: {"cancel": lambda job: job.cancel()},
    Capability.HOLD: {"hold": lambda job: job.hold(), "release": lambda job: job.release()},
    Capability.SUSPEND: {"suspend": lambda job: job.suspend(), "resume": lambda job: job.resume()},
    Capability.REQUEUE: {"requeue": lambda job: job.requeue()},
    Capability.SEND_SIGNAL: {"send_signal": lambda job: job.send_signal("USR1")},
}

BACKEND_VERBS: dict[Capability, Callable[[HPCBackend], object]] = {
    Capability.ATTACH: lambda backend: backend.attach(_SOMEBODY),
    Capability.RECOVER: lambda backend: backend.recover(),
    Capability.JOBS: lambda backend: backend.jobs(),
}


def _undeclared(backend: HPCBackend, capability: Capability) -> None:
    if capability in backend.capabilities:
        pytest.skip(f"backend {backend.name!r} declares {capability}")


def _fully(backend: HPCBackend, fields: dict[str, Any]) -> object:
    return backend.submit_spec(JobSpec(**fields))


def _compactly(backend: HPCBackend, fields: dict[str, Any]) -> object:
    return backend.submit(**{WORDS.get(field, field): value for field, value in fields.items()})


class Refusals(ConformanceBase):
    @pytest.mark.parametrize("capability", REQUESTS)
    @pytest.mark.parametrize("form", ["specification", "compact"])
    def test_a_field_that_was_not_declared_is_refused_by_name(
        self, backend: HPCBackend, folder: object, capability: Capability, form: str
    ) -> None:
        _undeclared(backend, capability)
        fields: dict[str, Any] = {"name": "refused", "commands": ["touch ran"], **REQUESTS[capability]}
        submit = _compactly if form == "compact" else _fully
        with pytest.raises(UnsupportedError) as caught:
            submit(backend, fields)
        assert caught.value.field in REQUESTS[capability]

    @pytest.mark.parametrize("capability", HANDLE_VERBS)
    def test_a_verb_that_was_not_declared_is_refused_by_name(
        self, backend: HPCBackend, jobs: Jobs, capability: Capability
    ) -> None:
        _undeclared(backend, capability)
        job = jobs.submit(["sleep 0.2"])
        for name, verb in HANDLE_VERBS[capability].items():
            with pytest.raises(UnsupportedError) as caught:
                verb(job)
            assert caught.value.field == name
        assert job.wait(self.timeout) == 0

    @pytest.mark.parametrize("capability", BACKEND_VERBS)
    def test_a_verb_of_the_backend_that_was_not_declared_is_refused_by_name(
        self, backend: HPCBackend, capability: Capability
    ) -> None:
        _undeclared(backend, capability)
        with pytest.raises(UnsupportedError) as caught:
            BACKEND_VERBS[capability](backend)
        assert caught.value.field == capability

    def test_a_key_that_was_not_declared_is_refused_by_name(self, backend: HPCBackend) -> None:
        _undeclared(backend, Capability.KEY)
        with pytest.raises(UnsupportedError) as caught:
            backend.submit_spec(JobSpec(commands=["true"]), key="once")
        assert caught.value.field == "key"

    # ------------------------------------------------------------------ what no backend takes

    @pytest.mark.parametrize(
        "commands", ["echo hi", b"echo hi", [], [""], [[]], None, [["echo", 1]], ["a\0b"]]
    )
    def test_what_is_no_list_of_commands_is_refused(
        self, backend: HPCBackend, folder: object, commands: Any
    ) -> None:
        with pytest.raises(SpecError) as caught:
            backend.submit("refused", commands)
        assert caught.value.field.startswith("commands")

    def test_an_unknown_word_is_refused_by_name(self, backend: HPCBackend, folder: object) -> None:
        with pytest.raises(SpecError) as caught:
            backend.submit("refused", ["true"], colour="red")
        assert caught.value.field == "colour"

    @pytest.mark.parametrize("lists", [{"args": [["true"]]}, {"args": [["true"]] * 2, "cpus": [1]}])
    def test_lists_of_different_lengths_are_refused_and_nothing_is_submitted(
        self, backend: HPCBackend, folder: Any, lists: dict[str, Any]
    ) -> None:
        with pytest.raises(SpecError):
            backend.submitn(["a", "b"], **lists)
        assert [*folder.iterdir()] == []

    def test_one_bad_element_of_a_list_keeps_the_others_from_being_submitted(
        self, backend: HPCBackend, folder: Any
    ) -> None:
        with pytest.raises(SpecError):
            backend.submitn(["a", "b"], [["true"], []])
        assert [*folder.iterdir()] == []
