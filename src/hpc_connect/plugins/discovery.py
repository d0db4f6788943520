"""Which class goes by a name: built-in ones by file name, others by entry point, each as late as can be.

A name loads the package that brings it and no other, so a broken plug-in hurts only its own name. Importing
this module loads none of the machinery, since ``hpc-launch`` imports it on every start.
"""

from __future__ import annotations

import os
from importlib import import_module

from hpc_connect.errors import BrokenPlugin, PluginError, UnknownBackend, UnknownLauncher, shortened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.metadata import EntryPoint
    from types import ModuleType
    from typing import Any

GROUP = "hpc_connect"


class Kind:
    """One of the two kinds of things that a plug-in can bring."""

    def __init__(self, word: str, unknown: type[UnknownBackend | UnknownLauncher]) -> None:
        self.word = word
        self.unknown = unknown
        self.package = f"hpc_connect.{word}s"  # with a file for each built-in one ...
        self.constant = word.upper()  # ... that names its class so
        self.hook = f"hpc_connect_{word}"

    def base(self) -> type:
        """The class that all of this kind are made from."""
        base: type = getattr(import_module(f"hpc_connect.{self.word}"), f"HPC{self.word.capitalize()}")
        return base


BACKEND = Kind("backend", UnknownBackend)
LAUNCHER = Kind("launcher", UnknownLauncher)


def find(kind: Kind, name: str, more_names: Iterable[str] = ()) -> tuple[type, str | None]:
    """The class of a backend or launcher, and the package that brings it (None: it is built in).

    Args:
        kind: BACKEND or LAUNCHER.
        name: what it is called.
        more_names: further names to list where this one is unknown.
    """
    found = built_in(kind, name) or built_in_alias(kind, name)
    if found is not None:
        return found, None
    brought: list[tuple[type, str]] = []
    broken: BrokenPlugin | None = None
    for entry in entry_points(name):
        try:
            found = Plugin(entry).brings(kind)
        except BrokenPlugin as error:
            broken = error
            continue
        if found is not None:
            brought.append((found, package_of(entry)))
    if len(brought) == 1:
        return brought[0]
    if brought:
        packages = " or ".join(sorted(package for _, package in brought))
        raise BrokenPlugin(name, packages, f"each of them brings a {kind.word} of that name")
    raise broken or kind.unknown(name, known(kind).union(more_names))


def built_in(kind: Kind, name: str) -> type | None:
    """The class in the file of that name, if there is one.

    Raises:
        PluginError: the file needs a library that is not installed.
    """
    if not name.isidentifier() or name.startswith("_"):
        return None
    module = f"{kind.package}.{name}"
    try:
        found: type | None = getattr(import_module(module), kind.constant, None)
    except ImportError as error:
        if error.name == module and isinstance(error, ModuleNotFoundError):
            return None
        raise PluginError(
            f"the built-in {kind.word} {name!r} cannot be loaded: {error}; install that"
        ) from error
    return found


def built_in_alias(kind: Kind, name: str) -> type | None:
    """The built-in class that goes by another name as well, if that is the name."""
    for candidate in built_in_names(kind):
        try:
            found: Any = built_in(kind, candidate)
        except PluginError:  # it lacks something; that hurts only its own name
            continue
        if found is not None and found.matches(name):
            alias: type = found
            return alias
    return None


def built_in_names(kind: Kind) -> list[str]:
    """The names of the files of built-in ones."""
    package: ModuleType = import_module(kind.package)
    files = [os.path.splitext(file) for folder in package.__path__ for file in os.listdir(folder)]
    return sorted(name for name, suffix in files if suffix == ".py" and not name.startswith("_"))


def known(kind: Kind) -> set[str]:
    """The names of all that load. This imports every plug-in."""
    from contextlib import suppress  # noqa: PLC0415 - only for messages

    names = set()
    for name in built_in_names(kind):
        with suppress(PluginError):
            names.add(name if built_in(kind, name) else "")
    for entry in entry_points():
        with suppress(BrokenPlugin):
            names.add(entry.name if Plugin(entry).brings(kind) else "")
    return names - {""}


def entry_points(name: str | None = None) -> list[EntryPoint]:
    """What installed packages announce, all of it or what has that name."""
    from importlib import metadata  # noqa: PLC0415 - slow to load, and not needed for built-in ones

    if name is None:
        return list(metadata.entry_points(group=GROUP))
    return list(metadata.entry_points(group=GROUP, name=name))


def package_of(entry: EntryPoint) -> str:
    """The name of the package that an entry point belongs to."""
    return entry.dist.name if entry.dist else "an unknown package"


class Plugin:
    """A package's entry point, loaded.

    Raises:
        BrokenPlugin: it cannot be loaded; its own error is the cause.
    """

    def __init__(self, entry: EntryPoint) -> None:
        import pluggy  # noqa: PLC0415 - slow to load, and not needed for built-in ones

        from hpc_connect import hookspec  # noqa: PLC0415 - it imports pluggy

        self._entry = entry
        self._hooks = pluggy.PluginManager(GROUP)
        self._hooks.add_hookspecs(hookspec)
        try:
            self._hooks.register(entry.load(), name=entry.name)
            self._hooks.check_pending()
        except (Exception, SystemExit) as error:  # whatever it does, it hurts only itself
            raise self._broken(said(error)) from error

    def brings(self, kind: Kind) -> type | None:
        """The class of that kind; None if it brings only something of the other kind.

        Raises:
            BrokenPlugin: it brings nothing of either kind under the name of its entry point.
        """
        found = self._class(kind)
        if found is None and self._class(LAUNCHER if kind is BACKEND else BACKEND) is None:
            raise self._broken(
                "its module has no hook hpc_connect_backend or hpc_connect_launcher, decorated with "
                "@hpc_connect.hookimpl, that returns a class which matches this name"
            )
        return found

    def _class(self, kind: Kind) -> type | None:
        try:
            found = getattr(self._hooks.hook, kind.hook)()
            if found is None:
                return None
            if isinstance(found, type) and issubclass(found, kind.base()):
                matching: Any = found
                return found if matching.matches(self._entry.name) else None
        except (Exception, SystemExit) as error:
            raise self._broken(said(error)) from error
        raise self._broken(f"{kind.hook} must return a subclass of {kind.base().__name__}, not {found!r}")

    def _broken(self, problem: str) -> BrokenPlugin:
        return BrokenPlugin(self._entry.name, package_of(self._entry), problem)


def said(error: BaseException) -> str:
    """An error in one line."""
    return shortened(f"{type(error).__name__}: {error}")
