"""Finding and reading configuration files: of the site, of the user, of the project."""

from __future__ import annotations

import os
import stat

from hpc_connect.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

FILE_NAME = "hpc_connect.toml"
PROJECT_FILE_NAME = "pyproject.toml"
SITE_FILE = f"/etc/hpc_connect/{FILE_NAME}"
SITE_VARIABLE = "HPC_CONNECT_SITE_CONFIG"

_LARGEST = 2**20


def tables(environ: Mapping[str, str], config_file: str | None = None) -> list[tuple[str, dict[str, Any]]]:
    """Pairs of a file and the table in it, weakest first: site, user, project.

    A file that is not there is left out, unless it was named: by ``config_file``, which is read in place of
    the project's, or by the variable ``HPC_CONNECT_SITE_CONFIG``, which is read in place of the one in
    ``/etc``. The name ``/dev/null`` stands for no file.

    Raises:
        ConfigError: a file cannot be read or is not TOML.
    """
    site = environ.get(SITE_VARIABLE)
    found = (
        _named(site) if site else _optional(SITE_FILE),
        _optional(os.path.join(base_folder(environ, "XDG_CONFIG_HOME", ".config"), FILE_NAME)),
        _project(environ) if config_file is None else _named(config_file),
    )
    return [table for table in found if table]


def base_folder(environ: Mapping[str, str], variable: str, default: str) -> str:
    """Our folder under one of the XDG base directories; a relative path in the variable counts for nothing.

    (XDG Base Directory Specification 0.8: "All paths set in these environment variables must be absolute".)
    """
    base = environ.get(variable, "")
    return os.path.join(base if os.path.isabs(base) else os.path.join(_home(environ), default), "hpc_connect")


def _home(environ: Mapping[str, str]) -> str:
    return environ.get("HOME") or os.path.expanduser("~")


def _named(path: str) -> tuple[str, dict[str, Any]] | None:
    if path == os.devnull:
        return None
    path = os.path.abspath(path)
    return _table(path, _contents(path)) or (path, {})


def _optional(path: str) -> tuple[str, dict[str, Any]] | None:
    return _table(path, _contents(path)) if _owner(path) is not None else None


def _project(environ: Mapping[str, str]) -> tuple[str, dict[str, Any]] | None:
    """The nearest file of the project, from the current folder upwards."""
    for folder, trusted in _upwards(environ):
        for name in (FILE_NAME, PROJECT_FILE_NAME):
            path = os.path.join(folder, name)
            owner = _owner(path)
            if owner is None:
                continue
            if trusted and owner not in trusted:
                _pass_over(path, owner)
                continue
            found = _table(path, _contents(path))
            if found:
                return found
    return None


def _upwards(environ: Mapping[str, str]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Folders to look in, each with the users whose files are trusted there (none: everybody).

    The way up ends at the home folder, at the edge of a file system (above it an automounter may be asked
    for files that it then goes looking for) or at the root. Where everybody may write, as in ``/tmp``, only
    files of this user and of root count: a configuration says what is run.
    """
    try:
        folder = os.getcwd()
        here = os.stat(folder)
    except OSError:  # the current folder is gone, or may not be seen
        return
    home = _identity(_home(environ))
    while True:
        yield folder, (os.geteuid(), 0) if here.st_mode & stat.S_IWOTH else ()
        above = os.path.dirname(folder)
        if above == folder or (here.st_dev, here.st_ino) == home:
            return
        device = here.st_dev
        folder = above
        try:
            here = os.stat(folder)
        except OSError:
            return
        if here.st_dev != device:
            return


def _identity(folder: str) -> tuple[int, int] | None:
    try:
        found = os.stat(folder)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _owner(path: str) -> int | None:
    """Who made the file, or None where there is none that this user can see."""
    try:
        return os.lstat(path).st_uid
    except OSError:
        return None


def _pass_over(path: str, owner: int) -> None:
    if os.path.basename(path) == PROJECT_FILE_NAME:
        return  # it need not be about us
    import logging  # noqa: PLC0415 - costs more than reading the configuration

    logging.getLogger(__name__).warning(
        "%s is passed over: it belongs to user %d, and everybody may write to that folder", path, owner
    )


def _contents(path: str) -> bytes:
    try:
        # O_NONBLOCK: opening a named pipe must not wait for somebody to write to it
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return file.read(_LARGEST + 1)
    except (OSError, ValueError) as error:  # ValueError: NUL in the path
        if os.path.basename(path) == PROJECT_FILE_NAME:
            return b""  # whatever is wrong with it, it need not be about us
        problem = getattr(error, "strerror", None) or str(error)
        raise ConfigError(path, f"cannot be read: {problem}") from error
    raise ConfigError(path, "is not a regular file; put a TOML file there")


def _table(path: str, contents: bytes) -> tuple[str, dict[str, Any]] | None:
    """What a file says to us; None for a ``pyproject.toml`` that says nothing to us."""
    if os.path.basename(path) != PROJECT_FILE_NAME:
        return path, _parsed(path, contents)
    if not any(_may_be_ours(line) for line in contents.splitlines() if b"hpc_connect" in line):
        return None  # most of them: not worth parsing
    tools = _parsed(path, contents).get("tool")
    if not isinstance(tools, dict) or "hpc_connect" not in tools:
        return None
    origin = f"{path} [tool.hpc_connect]"
    table = tools["hpc_connect"]
    if not isinstance(table, dict):
        raise ConfigError(origin, "must be a table")
    return origin, table


def _may_be_ours(line: bytes) -> bool:
    """Whether a line may begin our table: ``[tool.hpc_connect]``, or in other words of TOML."""
    start = line.lstrip(b" \t[\"'")
    return start.startswith((b"tool", b"hpc_connect"))


def _parsed(path: str, contents: bytes) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415 - costs more than the whole start of hpc-launch where there is no file

    if len(contents) > _LARGEST:
        raise ConfigError(path, f"is larger than {_LARGEST} bytes; a configuration is not")
    try:
        return tomllib.loads(contents.decode().removeprefix("\ufeff"))
    except UnicodeDecodeError as error:
        line = contents.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}, line {line}", "is not UTF-8; save the file as UTF-8") from error
    except RecursionError as error:
        raise ConfigError(path, "is nested too deeply") from error
    except ValueError as error:  # TOMLDecodeError, and numbers that Python itself refuses
        raise ConfigError(path, f"is not valid TOML: {error}") from error
