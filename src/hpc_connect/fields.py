"""The fields of a frozen value: each converts what it is given when it is set, or refuses it by name.

    tasks: Field[int, int] = Field(count)

What is accepted (the first type) may be wider than what is kept (the second). ``None`` means "not asked for",
and so do an empty list and an empty mapping, which are kept as None.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from itertools import islice
from typing import Generic, Self, TypeVar, overload

from hpc_connect.errors import SpecError

Given = TypeVar("Given")
Kept = TypeVar("Kept")
Item = TypeVar("Item")

_LARGEST_COUNT = 100_000_000
_MOST_ITEMS = 4_000_001  # the largest array of any scheduler: slurm.conf(5), "MaxArraySize"


class Field(Generic[Given, Kept]):
    """A data descriptor for dataclasses: ``check(value, name)`` converts or raises :class:`SpecError`."""

    def __init__(self, check: Callable[[Given, str], Kept | None]) -> None:
        self._check = check

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> None: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Kept | None: ...
    def __get__(self, instance: object | None, owner: type) -> Kept | None:
        if instance is None:
            return None  # what dataclasses takes for the default
        value: Kept | None = instance.__dict__.get(self.name)
        return value

    def __set__(self, instance: object, value: Given | None) -> None:
        instance.__dict__[self.name] = None if value is None else self._check(value, self.name)


class FrozenDict(Mapping[str, "str | None"]):
    """An immutable mapping in the order given, which can be hashed and pickled."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, str | None] | Iterable[tuple[str, str | None]] = ()) -> None:
        self._items = dict(items)

    def __getitem__(self, key: str) -> str | None:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))  # mappings are equal in any order

    def __repr__(self) -> str:
        return repr(self._items)

    def __reduce__(self) -> tuple[type[Self], tuple[dict[str, str | None]]]:
        return type(self), (self._items,)


def count(value: int, field: str) -> int:
    """A whole number from 1 to 100 million."""
    return _whole_number(value, field, 1)


def count_or_zero(value: int, field: str) -> int:
    """A whole number from 0 to 100 million."""
    return _whole_number(value, field, 0)


def _whole_number(value: int, field: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _LARGEST_COUNT:
        raise SpecError(field, value, f"must be a whole number (int) from {least} to {_LARGEST_COUNT}")
    return int(value)


def integer(value: int, field: str) -> int:
    """Any whole number of 32 bits with a sign."""
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**31) <= value < 2**31:
        raise SpecError(field, value, "must be a whole number (int) of at most 32 bits")
    return int(value)


def flag(value: bool, field: str) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise SpecError(field, value, "must be True or False")
    return value


_CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]")


def line(value: str, field: str) -> str:
    """One line of text: not empty, no control characters, writable as UTF-8."""
    if not isinstance(value, str) or not value:
        raise SpecError(field, value, "must be a string that is not empty")
    if _CONTROL.search(value):
        raise SpecError(field, value, "must not contain newlines, NUL or other control characters")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise SpecError(
            field, value, "must be writable as UTF-8 (it holds half of a surrogate pair)"
        ) from error
    return _exactly(value)


def items(value: Iterable[Item], field: str, allowed: str) -> tuple[Item, ...]:
    """The elements of a list, tuple, range or generator, each taken once.

    A string is refused, because it would be split into letters, and so is what has no order of its own or
    does not end.
    """
    if isinstance(value, (str, bytes, bytearray, Mapping, AbstractSet)) or not isinstance(value, Iterable):
        raise SpecError(field, value, allowed)
    found = tuple(islice(value, _MOST_ITEMS + 1))
    if len(found) > _MOST_ITEMS:
        raise SpecError(field, value, f"must hold at most {_MOST_ITEMS} elements")
    return found


def lines(value: Sequence[str], field: str) -> tuple[str, ...] | None:
    """A list of :func:`line`."""
    found = items(value, field, "must be a list of strings; write [value] for a list of one")
    return tuple(line(item, f"{field}[{index}]") for index, item in enumerate(found)) or None


def text(value: str, field: str) -> str:
    """Any text but NUL; bytes that are not UTF-8 may come as ``os.fsdecode`` makes them."""
    if not isinstance(value, str):
        raise SpecError(field, value, "must be a string")
    if "\0" in value:
        raise SpecError(field, value, "must not contain NUL")
    try:
        value.encode(errors="surrogateescape")
    except UnicodeEncodeError as error:
        raise SpecError(
            field, value, "must be writable as bytes (it holds half of a surrogate pair)"
        ) from error
    return _exactly(value)


def _exactly(value: str) -> str:
    """The characters of a member of an enumeration and the like, which may print as something else."""
    return str.__str__(value)


def path(value: str | os.PathLike[str], field: str) -> str:
    """A path, kept as it was written."""
    try:
        written = os.fspath(value)
    except TypeError as error:
        raise SpecError(field, value, "must be a path (str or PathLike)") from error
    if not written:
        raise SpecError(field, value, "must not be empty")
    return text(written, field)


def shell(value: str | os.PathLike[str], field: str) -> str:
    """The path of a shell, fit for the first line of a script: execve(2), "Interpreter scripts"."""
    written = line(path(value, field), field)
    if not written.startswith("/") or any(letter.isspace() for letter in written):
        raise SpecError(field, value, "must be an absolute path without blanks, such as '/bin/bash'")
    return written


def commands(value: Sequence[str | Sequence[str]], field: str) -> tuple[str | tuple[str, ...], ...]:
    """A list of shell programs (str) and argument vectors (lists of str)."""
    found = items(value, field, "must be a list of commands; write [command] for a single one")
    if not found:
        raise SpecError(field, found, "must hold at least one command")
    return tuple(_command(item, f"{field}[{index}]") for index, item in enumerate(found))


def _command(value: str | Sequence[str], field: str) -> str | tuple[str, ...]:
    if isinstance(value, str):
        if not value.strip():
            raise SpecError(field, value, "must not be empty")
        return text(value, field)
    found = items(value, field, "must be a shell program (str) or an argument vector (list of str)")
    words = tuple(text(word, f"{field}[{index}]") for index, word in enumerate(found))
    if not words or not words[0]:
        raise SpecError(field, words, "an argument vector must name a program")
    return words


def indexes(value: Iterable[int], field: str) -> tuple[int, ...]:
    """The indexes of an array of jobs: at least one, each once."""
    found = items(value, field, "must be a range or a list of indexes, such as range(10)")
    numbers = tuple(count_or_zero(index, f"{field}[{place}]") for place, index in enumerate(found))
    if not numbers or len(set(numbers)) < len(numbers):
        raise SpecError(field, numbers, "must hold at least one index, and each index once")
    return numbers


_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def variable_name(value: str, field: str) -> str:
    """The name of an environment variable."""
    if not isinstance(value, str) or not _VARIABLE_NAME.fullmatch(value):
        raise SpecError(
            field, value, "the name of a variable is letters, digits and _, and begins with no digit"
        )
    return _exactly(value)


# bash(1), "Shell Variables": what is assigned to these is refused, ignored, or replaced by the shell's own value.
_OF_THE_SHELL = frozenset(
    "_ BASHOPTS BASHPID BASH_ALIASES BASH_ARGC BASH_ARGV BASH_CMDS BASH_COMMAND BASH_LINENO BASH_SOURCE BASH_SUBSHELL "
    "BASH_VERSINFO DIRSTACK EPOCHREALTIME EPOCHSECONDS EUID FUNCNAME GROUPS HISTCMD LINENO OPTIND PPID "
    "RANDOM SECONDS SHELLOPTS SRANDOM UID".split()
)


def environment(value: Mapping[str, str | None], field: str) -> FrozenDict | None:
    """Variables to set, or with None to unset."""
    if not isinstance(value, Mapping):
        raise SpecError(field, value, "must be a mapping of names to strings, or to None to unset a variable")
    found: dict[str, str | None] = {}
    for name, item in value.items():
        each = f"{field}[{name!r}]"
        if name in _OF_THE_SHELL:
            raise SpecError(each, item, "is a variable of the shell itself, which gives it another value")
        found[variable_name(name, field)] = None if item is None else text(item, each)
    return FrozenDict(found) if found else None


def inherited_environment(value: bool | Sequence[str], field: str) -> bool | tuple[str, ...]:
    """All variables (True), none (False or an empty list), or the named ones."""
    if isinstance(value, bool):
        return value
    names = items(value, field, "must be True, False or a list of names of variables")
    return tuple(variable_name(name, f"{field}[{index}]") for index, name in enumerate(names)) or False


def moment(value: datetime, field: str) -> datetime:
    """A point in time; a naive one is local time."""
    if not isinstance(value, datetime):
        raise SpecError(field, value, "must be a datetime; one without a time zone is local time")
    try:
        return value.astimezone(UTC).astimezone()
    except (OverflowError, ValueError) as error:  # before the year 1 or after 9999 in the local time zone
        raise SpecError(field, value, "must be a time that the clock of this machine can show") from error


def one_of(*allowed: str) -> Callable[[str, str], str]:
    """One of a few words."""

    def check(value: str, field: str) -> str:
        if value not in allowed:
            raise SpecError(field, value, f"must be one of: {', '.join(map(repr, allowed))}")
        return _exactly(value)

    return check
