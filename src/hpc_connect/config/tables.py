"""Tables in which every value knows where it came from."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any, TypeAlias

    Setting: TypeAlias = tuple[Any, str]  # a value and its origin
    Table: TypeAlias = dict[str, Any]  # of settings and tables


def merged(table: Table, stronger: Mapping[str, Any], origin: str) -> Table:
    """A new table in which what ``stronger`` says, plainly, wins key by key; lists are replaced whole."""
    found = dict(table)
    for key, value in stronger.items():
        if isinstance(value, dict):
            below = found.get(key)
            found[key] = merged(below if isinstance(below, dict) else {}, value, origin)
        else:
            found[key] = (value, origin)
    return found


def plain(table: Table) -> dict[str, Any]:
    """The values without their origins."""
    return {key: plain(found) if isinstance(found, dict) else found[0] for key, found in table.items()}


def find(table: Table, key: str) -> Setting | Table | None:
    """What stands under a dotted key; a key in a table may itself hold dots (``launch.mappings.--a.b``)."""
    if key in table:
        found: Setting | Table = table[key]
        return found
    head, dot, rest = key.partition(".")
    while dot:
        below = table.get(head)
        if isinstance(below, dict):
            found_below = find(below, rest)
            if found_below is not None:
                return found_below
        more, dot, rest = rest.partition(".")
        head = f"{head}.{more}"
    return None


def leaves(table: Table, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """Every value with its dotted key before and its origin after it."""
    for key, found in table.items():
        if isinstance(found, dict):
            yield from leaves(found, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", *found


def origins(found: Setting | Table) -> str:
    """Where a setting comes from; for a table, where all of its settings come from."""
    if isinstance(found, tuple):
        return found[1]
    return ", ".join(dict.fromkeys(origin for _, _, origin in leaves(found)))
