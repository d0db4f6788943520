"""Backends and launchers by name.

Importing this module loads none of the machinery, since ``hpc-launch`` imports it on every start.
"""

from __future__ import annotations

from hpc_connect import config
from hpc_connect.errors import (
    BrokenPlugin,
    ConfigError,
    HPCConnectError,
    SpecError,
    UnknownBackend,
    UnknownLauncher,
)
from hpc_connect.plugins.discovery import BACKEND, LAUNCHER, Kind, find, said

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping
    from typing import Any

    from hpc_connect.backend import HPCBackend
    from hpc_connect.cluster import ClusterConfig
    from hpc_connect.config import Config
    from hpc_connect.launcher import HPCLauncher

DEFAULT_BACKEND = "shell"


def get_backend(name: str | None = None, **options: Any) -> HPCBackend:
    """The backend of a cluster.

    Args:
        name: a cluster of the configuration, a built-in backend, or one that an installed package brings;
            None is the configured one, and ``shell`` where none is configured.
        options: settings of the cluster, as in its table in the configuration, and stronger than that.

    Raises:
        UnknownBackend: there is none of that name.
        BrokenPlugin: there is one, but it cannot be loaded or made; its own error is the cause.
        PluginError: it is built in, but needs a library that is not installed.
        ConfigError: the configuration is wrong.
    """
    settings = config.load()
    configured = settings.get("backend") if name is None else None
    name = _checked(BACKEND, configured or DEFAULT_BACKEND if name is None else name)
    found, package = backend_class(settings, name, options, named_by="backend" if configured else "")
    cluster = settings.cluster(name, options, getattr(found, "config_options", None))
    backend: HPCBackend = _made_backend(found, package, cluster)
    backend._made_by(name, options)  # noqa: SLF001 - so that it can be made again in another process
    return backend


def backend_class(
    settings: Config, cluster: str, options: Mapping[str, Any] | None = None, named_by: str = ""
) -> tuple[type, str | None]:
    """The class of the backend of a cluster, and the package that brings it (None: it is built in).

    Args:
        settings: the configuration.
        cluster: its name, or that of a backend.
        options: what the call says of it.
        named_by: the key that names the cluster, to be named in turn where there is none.

    Raises:
        UnknownBackend, BrokenPlugin, ConfigError: as :func:`get_backend`.
    """
    backend = _checked(BACKEND, settings.backend_of(cluster, options))
    key = named_by if backend == cluster else f"clusters.{cluster}.backend"
    try:
        return find(BACKEND, backend, settings.clusters())
    except UnknownBackend as error:
        if not key or (options and "backend" in options):
            raise
        raise ConfigError(settings.origin(key), f"{key}={backend!r}: {error}") from error


def get_launcher(name: str | None = None, config_file: str | os.PathLike[str] | None = None) -> HPCLauncher:
    """A launcher.

    Args:
        name: a built-in launcher, or one that an installed package brings; None is the configured one, and
            where none is configured the one that fits what there is.
        config_file: a configuration file to read in place of the project's.

    Raises:
        UnknownLauncher: there is none of that name.
        BrokenPlugin: there is one, but it cannot be loaded or made; its own error is the cause.
        PluginError: it is built in, but needs a library that is not installed.
        ConfigError: the configuration is wrong.
        LaunchError: none was asked for, and nothing is there.
    """
    if name is None:
        return _configured_launcher(config_file)
    found, package = find(LAUNCHER, _checked(LAUNCHER, name))
    if package is None:
        launcher: HPCLauncher = found(config_file=config_file)
        return launcher
    made: HPCLauncher = _made(found, name, package, config_file=config_file)
    return made


def _configured_launcher(config_file: str | os.PathLike[str] | None) -> HPCLauncher:
    settings = config.load(config_file)
    section = settings.launch()
    if "launcher" not in section:
        from hpc_connect.launchers import what_is_there  # noqa: PLC0415 - only where nothing is configured

        return get_launcher(what_is_there(section.get("exec")), config_file)
    name = section["launcher"]
    try:
        return get_launcher(name, config_file)
    except UnknownLauncher as error:
        origin = settings.origin("launch.launcher")
        raise ConfigError(origin, f"launch.launcher={name!r}: {error}") from error


def _made_backend(found: Any, package: str | None, cluster: ClusterConfig) -> Any:
    if package is None:
        return found(cluster)
    from hpc_connect.backend import HPCBackend  # noqa: PLC0415 - hpc-launch does without

    def make() -> HPCBackend:
        backend: HPCBackend = found(cluster) if _takes(found, cluster) else found()
        if getattr(backend, "_config", None) is None:  # its own __init__ did not hand it on
            HPCBackend.__init__(backend, cluster)
        return backend

    return _made(make, cluster.backend, package)


def _takes(found: type, *args: object) -> bool:
    import inspect  # noqa: PLC0415 - slow to load, and not needed for built-in ones

    try:
        inspect.signature(found).bind(*args)
    except TypeError:
        return False
    return True


def _made(make: Callable[..., Any], name: str, package: str, *args: Any, **options: Any) -> Any:
    try:
        return make(*args, **options)
    except HPCConnectError:
        raise
    except Exception as error:
        raise BrokenPlugin(name, package, f"it cannot be made: {said(error)}") from error


def _checked(kind: Kind, name: object) -> str:
    if not isinstance(name, str):
        raise SpecError(
            "name", name, f"must be the name of a {kind.word} (str), or None for the configured one"
        )
    return name
