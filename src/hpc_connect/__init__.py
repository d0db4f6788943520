"""Run jobs and parallel programs on any cluster, and tell the truth about them.

    import hpc_connect

    backend = hpc_connect.get_backend("shell")
    process = backend.submit("hello-world", ["echo 'Hello, world!'"], cpus=1)
    assert process.wait() == 0

Importing this package imports nothing else: each public name is loaded when it is first used.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hpc_connect.capability import Capability as Capability
    from hpc_connect.dependency import Dependency as Dependency
    from hpc_connect.errors import HPCConnectError as HPCConnectError
    from hpc_connect.quantities import Duration as Duration
    from hpc_connect.quantities import Memory as Memory
    from hpc_connect.spec import JobSpec as JobSpec
    from hpc_connect.status import JobState as JobState
    from hpc_connect.status import JobStatus as JobStatus
    from hpc_connect.status import Reason as Reason

__version__ = "0.1.0"

_HOME_OF = {
    "Capability": "capability",
    "Dependency": "dependency",
    "HPCConnectError": "errors",
    "Duration": "quantities",
    "Memory": "quantities",
    "JobSpec": "spec",
    "JobState": "status",
    "JobStatus": "status",
    "Reason": "status",
}

__all__ = [*_HOME_OF]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - importing this package must stay free

    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
