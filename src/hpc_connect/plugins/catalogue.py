"""What backends and launchers there are, where they come from, and whether they can be used here."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpc_connect import config
from hpc_connect.errors import BrokenPlugin, PluginError
from hpc_connect.plugins.discovery import (
    BACKEND,
    LAUNCHER,
    Kind,
    Plugin,
    built_in,
    built_in_alias,
    built_in_names,
    entry_points,
    package_of,
    said,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import EntryPoint

BUILT_IN = "built in"


@dataclass(frozen=True, order=True)
class PluginInfo:
    """A backend or launcher that there is.

    Attributes:
        name: what it is called.
        kind: ``"backend"``, ``"launcher"``, or ``"plug-in"`` where it fails before it says which.
        origin: ``"built in"``, the package and its version, or what configures it.
        reason: why it cannot be used on this machine; empty if it can.
    """

    name: str
    kind: str
    origin: str
    reason: str = ""

    @property
    def usable(self) -> bool:
        """Whether it can be used on this machine."""
        return not self.reason


def available_backends() -> list[PluginInfo]:
    """All backends and configured clusters, by name; plug-ins that fail to load too, each with its error."""
    return [info for info in everything() if info.kind != LAUNCHER.word]


def available_launchers() -> list[PluginInfo]:
    """All launchers by name; plug-ins that fail to load too, each with its error."""
    return [info for info in everything() if info.kind != BACKEND.word]


def schedulers() -> dict[str, type]:
    """The classes of the backends that load, by name."""
    return {info.name: found for info, found in _found() if found is not None and info.kind == BACKEND.word}


def everything() -> list[PluginInfo]:
    """Backends, clusters and launchers, by name. Every plug-in is imported."""
    found = [info for info, _ in _found()]
    return sorted([*found, *_clusters(found)])


def _found() -> Iterator[tuple[PluginInfo, type | None]]:
    """All that is installed; those that load with their class."""
    for kind in (BACKEND, LAUNCHER):
        for name in built_in_names(kind):
            yield from _built_in(kind, name)
    entries = entry_points()
    for entry in entries:
        yield from _brought(
            entry, [other for other in entries if other.name == entry.name and other != entry]
        )


def _built_in(kind: Kind, name: str) -> Iterator[tuple[PluginInfo, type | None]]:
    try:
        found = built_in(kind, name)
    except PluginError as error:
        yield PluginInfo(name, kind.word, BUILT_IN, str(error)), None
        return
    if found is not None:
        yield PluginInfo(name, kind.word, BUILT_IN, _unusable(found)), found


def _brought(entry: EntryPoint, others: list[EntryPoint]) -> Iterator[tuple[PluginInfo, type | None]]:
    origin = f"{package_of(entry)} {entry.dist.version}" if entry.dist else package_of(entry)
    try:
        plugin = Plugin(entry)
        brought = {kind: plugin.brings(kind) for kind in (BACKEND, LAUNCHER)}
    except BrokenPlugin as error:
        yield PluginInfo(entry.name, "plug-in", origin, error.problem), None
        return
    for kind, found in brought.items():
        if found is None:
            continue
        clash = _clash(kind, entry.name, others)
        yield PluginInfo(entry.name, kind.word, origin, clash or _unusable(found)), None if clash else found


def _clash(kind: Kind, name: str, others: list[EntryPoint]) -> str:
    """Why asking for the name gives something else, if it does."""
    if built_in(kind, name) or built_in_alias(kind, name):
        return f"there is a built-in {kind.word} of that name, which cannot be taken over"
    for other in others:
        with suppress(BrokenPlugin):
            if Plugin(other).brings(kind):
                return f"{package_of(other)} brings a {kind.word} of that name too; uninstall one of them"
    return ""


def _unusable(found: Any) -> str:
    """Why a class cannot be used here, in its own words; empty if it can."""
    missing = sorted(getattr(found, "__abstractmethods__", ()))
    if missing:
        return f"{found.__name__} does not define {', '.join(missing)}"
    try:
        return str(found.unusable_here()) if hasattr(found, "unusable_here") else ""
    except Exception as error:  # noqa: BLE001 - a plug-in hurts only itself
        return said(error)


def _clusters(known: list[PluginInfo]) -> Iterator[PluginInfo]:
    settings = config.load()
    for name, backend in settings.clusters().items():
        if name == backend:
            continue  # it says more of what is listed already
        reasons = [info.reason for info in known if info.name == backend and info.kind != LAUNCHER.word]
        reason = reasons[0] if reasons else f"there is no backend {backend!r}"
        yield PluginInfo(name, BACKEND.word, f"{backend} as in {settings.origin(f'clusters.{name}')}", reason)
