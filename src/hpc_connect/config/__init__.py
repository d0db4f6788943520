"""What is configured, and where each value comes from.

    from hpc_connect import config

    config.load().origin("launch.exec")     # "/home/me/.config/hpc_connect/hpc_connect.toml"

Weakest first: the file of the site, of the user, of the project, the environment, the call; the stronger one
wins, key by key. Nothing is read when this module is imported, and nothing is remembered: each :func:`load`
reads anew. Besides ``transport`` and ``cli`` no other module looks at the environment.
"""

from __future__ import annotations

import os

from hpc_connect.config import environment, files, keys
from hpc_connect.config.tables import find, leaves, merged, origins, plain
from hpc_connect.errors import ConfigError, SpecError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any, TypedDict

    from hpc_connect.cluster import ClusterConfig
    from hpc_connect.config.tables import Table

    class LaunchSection(TypedDict, total=False):
        """What is configured for launchers; only keys that are set."""

        launcher: str
        exec: str
        numproc_flag: str
        default_options: list[str]
        local_options: list[str]
        mappings: dict[str, str]


DEFAULT = "default"


def load(config_file: str | os.PathLike[str] | None = None) -> Config:
    """Read files and environment as they are now.

    Args:
        config_file: a file to read in place of the project's.

    Raises:
        ConfigError: a file, a key or a variable is wrong.
    """
    named = None if config_file is None else os.fspath(config_file)
    return Config(files.tables(os.environ, named), os.environ)


def origin(key: str) -> str:
    """Where the value of a key comes from at this moment, see :meth:`Config.origin`."""
    return load().origin(key)


def launch_section(
    config_file: str | os.PathLike[str] | None = None, matches: Callable[[str], bool] | None = None
) -> LaunchSection:
    """What is configured for launchers at this moment, see :meth:`Config.launch`."""
    return load(config_file).launch(matches)


def variable(name: str) -> str | None:
    """A variable of the environment; an empty one counts as absent."""
    return os.environ.get(name) or None


def all_variables() -> dict[str, str]:
    """A copy of the environment, for a job that inherits it."""
    return dict(os.environ)


def state_folder() -> str:
    """Where what must survive is kept: ``$XDG_STATE_HOME/hpc_connect``, else under ``~/.local/state``."""
    return files.base_folder(os.environ, "XDG_STATE_HOME", ".local/state")


def data_folder() -> str:
    """Where jobs leave their records: ``$XDG_DATA_HOME/hpc_connect``, else under ``~/.local/share``."""
    return files.base_folder(os.environ, "XDG_DATA_HOME", ".local/share")


def cache_folder() -> str:
    """Where what can be had again is kept: ``$XDG_CACHE_HOME/hpc_connect``, else under ``~/.cache``."""
    return files.base_folder(os.environ, "XDG_CACHE_HOME", ".cache")


class Config:
    """The configuration of one moment. It does not change.

    Attributes:
        files: the files that were read, weakest first.
    """

    files: tuple[str, ...]

    def __init__(self, tables: Iterable[tuple[str, Mapping[str, Any]]], environ: Mapping[str, str]) -> None:
        """Put together what files say (pairs of an origin and a table, weakest first) and the environment.

        Raises:
            ConfigError: a key is unknown, or a value is not what it must be.
        """
        self._layers = [(origin, keys.checked(origin, table)) for origin, table in tables]
        self._environ = {name: environ[name] for name in environment.VARIABLES if name in environ}
        self._table = self._combined(self._layers)
        self.files = tuple(origin for origin, _ in self._layers)

    def _combined(self, layers: Iterable[tuple[str, Mapping[str, Any]]]) -> Table:
        table: Table = {}
        for origin, layer in layers:
            table = merged(table, layer, origin)
        return environment.applied(table, self._environ)

    def get(self, key: str) -> Any:
        """The value of a dotted key, such as ``"launch.exec"``; None where nothing sets it."""
        found = self._find(key)
        return plain(found) if isinstance(found, dict) else found and found[0]

    def origin(self, key: str) -> str:
        """The file or variable that sets a key, or ``"default"``; for a table, all that set something in it.

        Args:
            key: dotted, such as ``"launch.exec"`` or ``"clusters.mine.backend"``.

        Raises:
            ConfigError: there is no such key.
        """
        found = self._find(key)
        return DEFAULT if found is None else origins(found) or DEFAULT

    def _find(self, key: str) -> Any:
        keys.check_key(key)
        section, _, rest = key.partition(".")
        cluster, _, field = rest.partition(".")
        if section == "clusters" and field:
            return find(self._cluster(cluster), field)
        return find(self._table, key)

    def settings(self) -> Iterator[tuple[str, Any, str]]:
        """Every value that is set: dotted key, value, origin."""
        return leaves(self._table)

    def launch(self, matches: Callable[[str], bool] | None = None) -> LaunchSection:
        """What is configured for launchers.

        Args:
            matches: says whether a name is that of the launcher to be used. A file that names another one
                means its options for that one, so its table is left out. None leaves out nothing.
        """
        table = self._table
        if matches is not None:
            table = self._combined(layer for layer in self._layers if _may_use(matches, layer))
        section: LaunchSection = plain(table.get("launch", {}))  # type: ignore[assignment]  # see keys.RULES
        return section

    def clusters(self) -> dict[str, str]:
        """The clusters that are configured, each with the name of its backend."""
        named = self._table.get("clusters", {})
        return {
            cluster: self.backend_of(cluster) for cluster in named if cluster != environment.EVERY_CLUSTER
        }

    def backend_of(self, cluster: str, options: Mapping[str, Any] | None = None) -> str:
        """The backend of a cluster; where none is configured, the one of that name."""
        found = self._cluster(cluster, options).get("backend")
        return found[0] if found else cluster

    def cluster(
        self,
        name: str,
        options: Mapping[str, Any] | None = None,
        checks: Mapping[str, Callable[[Any, str], Any]] | None = None,
    ) -> ClusterConfig:
        """What is known of a cluster, whether it is configured or not.

        Args:
            name: the name of the cluster, or of a backend.
            options: what the call says, stronger than files and environment; None says nothing.
            checks: further keys that the backend understands, with what checks them.

        Raises:
            ConfigError: a key is unknown, or its value is not what it must be.
        """
        from hpc_connect.cluster import CHECKS, ClusterConfig  # noqa: PLC0415 - hpc-launch does without

        checks = {**CHECKS, **(checks or {})}
        values: dict[str, Any] = {}
        for key, found in self._cluster(name, options).items():
            value, origin = (plain(found), origins(found)) if isinstance(found, dict) else found
            if key not in checks:
                raise ConfigError(origin, keys.unknown(key, checks, f"clusters.{name}."))
            try:
                values[key] = checks[key](value, key)
            except SpecError as error:
                raise ConfigError(origin, f"clusters.{name}.{error}") from error
        more = {key: values.pop(key) for key in [*values] if key not in CHECKS}
        return ClusterConfig(**{"name": name, "backend": name, **values}, options=more)

    def _cluster(self, name: str, options: Mapping[str, Any] | None = None) -> Table:
        """The table of a cluster: what is said of it, of all, and by the call."""
        named = self._table.get("clusters", {})
        table: Table = {**named.get(name, {}), **named.get(environment.EVERY_CLUSTER, {})}
        said = {key: value for key, value in (options or {}).items() if value is not None}
        return merged(table, said, f"get_backend({name!r})")


def _may_use(matches: Callable[[str], bool], layer: tuple[str, Mapping[str, Any]]) -> bool:
    named = layer[1].get("launch", {}).get("launcher")
    return named is None or matches(named)
