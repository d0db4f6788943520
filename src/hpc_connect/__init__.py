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
    from hpc_connect import config as config
    from hpc_connect.backend import HPCBackend as HPCBackend
    from hpc_connect.capability import Capability as Capability
    from hpc_connect.cli.launch import launch as launch
    from hpc_connect.cluster import ClusterConfig as ClusterConfig
    from hpc_connect.dependency import Dependency as Dependency
    from hpc_connect.errors import BrokenPlugin as BrokenPlugin
    from hpc_connect.errors import ConfigError as ConfigError
    from hpc_connect.errors import EngineError as EngineError
    from hpc_connect.errors import HPCConnectError as HPCConnectError
    from hpc_connect.errors import JobCancelled as JobCancelled
    from hpc_connect.errors import JobError as JobError
    from hpc_connect.errors import JobFailed as JobFailed
    from hpc_connect.errors import JobLost as JobLost
    from hpc_connect.errors import LaunchError as LaunchError
    from hpc_connect.errors import PluginError as PluginError
    from hpc_connect.errors import SpecError as SpecError
    from hpc_connect.errors import StoreError as StoreError
    from hpc_connect.errors import SubmitError as SubmitError
    from hpc_connect.errors import TransportError as TransportError
    from hpc_connect.errors import UnknownBackend as UnknownBackend
    from hpc_connect.errors import UnknownLauncher as UnknownLauncher
    from hpc_connect.errors import UnsupportedError as UnsupportedError
    from hpc_connect.group import ProcessGroup as ProcessGroup
    from hpc_connect.group import as_completed as as_completed
    from hpc_connect.hookspec import hookimpl as hookimpl
    from hpc_connect.job import JobProcess as JobProcess
    from hpc_connect.launcher import HPCLauncher as HPCLauncher
    from hpc_connect.logs import set_debug as set_debug
    from hpc_connect.plugins import get_backend as get_backend
    from hpc_connect.plugins import get_launcher as get_launcher
    from hpc_connect.plugins.catalogue import available_backends as available_backends
    from hpc_connect.plugins.catalogue import available_launchers as available_launchers
    from hpc_connect.plugins.catalogue import schedulers as schedulers
    from hpc_connect.process import HPCProcess as HPCProcess
    from hpc_connect.quantities import Duration as Duration
    from hpc_connect.quantities import Memory as Memory
    from hpc_connect.spec import JobSpec as JobSpec
    from hpc_connect.status import JobState as JobState
    from hpc_connect.status import JobStatus as JobStatus
    from hpc_connect.status import Reason as Reason

__version__ = "0.1.0"

__all__ = [
    "BrokenPlugin",
    "Capability",
    "ClusterConfig",
    "ConfigError",
    "Dependency",
    "Duration",
    "EngineError",
    "HPCBackend",
    "HPCConnectError",
    "HPCLauncher",
    "HPCProcess",
    "JobCancelled",
    "JobError",
    "JobFailed",
    "JobLost",
    "JobProcess",
    "JobSpec",
    "JobState",
    "JobStatus",
    "LaunchError",
    "Memory",
    "PluginError",
    "ProcessGroup",
    "Reason",
    "SpecError",
    "StoreError",
    "SubmitError",
    "TransportError",
    "UnknownBackend",
    "UnknownLauncher",
    "UnsupportedError",
    "as_completed",
    "available_backends",
    "available_launchers",
    "config",
    "get_backend",
    "get_launcher",
    "hookimpl",
    "launch",
    "schedulers",
    "set_debug",
]

_HOME_OF = {
    "BrokenPlugin": "errors",
    "Capability": "capability",
    "ClusterConfig": "cluster",
    "ConfigError": "errors",
    "Dependency": "dependency",
    "Duration": "quantities",
    "EngineError": "errors",
    "HPCBackend": "backend",
    "HPCConnectError": "errors",
    "HPCLauncher": "launcher",
    "HPCProcess": "process",
    "JobCancelled": "errors",
    "JobError": "errors",
    "JobFailed": "errors",
    "JobLost": "errors",
    "JobProcess": "job",
    "JobSpec": "spec",
    "JobState": "status",
    "JobStatus": "status",
    "LaunchError": "errors",
    "Memory": "quantities",
    "PluginError": "errors",
    "ProcessGroup": "group",
    "Reason": "status",
    "SpecError": "errors",
    "StoreError": "errors",
    "SubmitError": "errors",
    "TransportError": "errors",
    "UnknownBackend": "errors",
    "UnknownLauncher": "errors",
    "UnsupportedError": "errors",
    "as_completed": "group",
    "available_backends": "plugins.catalogue",
    "available_launchers": "plugins.catalogue",
    "config": "config",
    "get_backend": "plugins",
    "get_launcher": "plugins",
    "hookimpl": "hookspec",
    "launch": "cli.launch",
    "schedulers": "plugins.catalogue",
    "set_debug": "logs",
}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - importing this package must stay free

    home = import_module(f"{__name__}.{_HOME_OF[name]}")
    value = home if _HOME_OF[name] == name else getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
