"""What the environment says to the configuration. Pure: the variables are passed in."""

from __future__ import annotations

from hpc_connect.config import keys
from hpc_connect.config.tables import find, merged, origins
from hpc_connect.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from hpc_connect.config.tables import Table

EVERY_CLUSTER = "*"  # stands for all of them, stronger than what is said of one; no cluster can be named so

_REPLACING = {
    "HPC_CONNECT_BACKEND": "backend",
    "HPC_CONNECT_LAUNCHER": "launch.launcher",
    "HPCC_LAUNCH_EXEC": "launch.exec",
    "HPCC_LAUNCH_NUMPROC_FLAG": "launch.numproc_flag",
}
_ADDING = {
    "HPCC_LAUNCH_DEFAULT_OPTIONS": "default_options",
    "HPCC_LAUNCH_LOCAL_OPTIONS": "local_options",
}
_MAPPINGS = "HPCC_LAUNCH_MAPPINGS"
_POLLING = "HPCC_POLLING_FREQUENCY"
_PREFERRED = "HPC_CONNECT_PREFERRED_LAUNCHER"
VARIABLES = (*_REPLACING, *_ADDING, _MAPPINGS, _POLLING, _PREFERRED)


def applied(table: Table, environ: Mapping[str, str]) -> Table:
    """The table as the variables change it; an empty variable says nothing.

    Raises:
        ConfigError: the value of a variable cannot be accepted.
    """
    for variable, key in _REPLACING.items():
        if environ.get(variable):
            table = _set(table, variable, key, environ[variable].removeprefix("!"))
    for variable, key in _ADDING.items():
        if environ.get(variable):
            table = _with_options(table, variable, key, environ[variable])
    if environ.get(_MAPPINGS):
        table = _with_mappings(table, environ[_MAPPINGS])
    if environ.get(_POLLING):
        frequency = {EVERY_CLUSTER: {"polling_frequency": _seconds(environ[_POLLING])}}
        table = merged(table, {"clusters": frequency}, _origin(_POLLING))
    chosen = find(table, "launch.launcher") or find(table, "launch.exec")
    if environ.get(_PREFERRED) and not chosen:
        table = _set(table, _PREFERRED, "launch.launcher", environ[_PREFERRED])
    return table


def _origin(variable: str) -> str:
    return f"environment variable {variable}"


def _set(table: Table, variable: str, key: str, value: Any) -> Table:
    section, _, rest = key.rpartition(".")
    layer = {section: {rest: value}} if section else {rest: value}
    return merged(table, keys.checked(_origin(variable), layer), _origin(variable))


def _with_options(table: Table, variable: str, key: str, text: str) -> Table:
    """Options add to those there are; after a leading ``!`` they replace them."""
    there = find(table, f"launch.{key}")
    added = keys.checked(_origin(variable), {"launch": {key: text.removeprefix("!")}})
    if not isinstance(there, tuple) or text.startswith("!"):
        return merged(table, added, _origin(variable))
    together = {"launch": {key: there[0] + added["launch"][key]}}
    return merged(table, together, f"{origins(there)} + {_origin(variable)}")


def _with_mappings(table: Table, text: str) -> Table:
    mappings = {}
    for pair in text.removeprefix("!").split(","):
        option, colon, replacement = pair.partition(":")
        if colon:
            mappings[option.strip()] = replacement.strip()
        elif pair.strip():
            raise ConfigError(
                _origin(_MAPPINGS), f"{pair!r}: must be pairs such as --foo:--bar,--baz:{keys.SUPPRESS}"
            )
    if text.startswith("!"):
        table = {**table, "launch": {**table.get("launch", {}), "mappings": {}}}
    return _set(table, _MAPPINGS, "launch.mappings", mappings)


def _seconds(text: str) -> float | str:
    """A bare number is in seconds; other forms are left to the check of the field."""
    try:
        return float(text)
    except ValueError:
        return text
