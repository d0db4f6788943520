"""Which keys a configuration may have, and what each may hold."""

from __future__ import annotations

from hpc_connect.errors import ConfigError, shortened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, TypeAlias

    Check: TypeAlias = Callable[[Any], Any]
    Rules: TypeAlias = dict[str, "Check | Rules"]


class _Refused(Exception):
    """What a value must be, in words; the key is added where it is known."""


def name(value: Any) -> str:
    """The name of a cluster, backend or launcher."""
    if not isinstance(value, str) or not all(
        part.isascii() and part.isalnum() for part in value.replace("-", ".").replace("_", ".").split(".")
    ):
        raise _Refused("must be a name: letters and digits, with single - _ . between them")
    return value


def word(value: Any) -> str:
    """One line of text."""
    if not isinstance(value, str) or not value.strip():
        raise _Refused("must be a string that is not empty")
    if not value.isprintable():
        raise _Refused("must not contain newlines or other control characters")
    return value


def words(value: Any) -> list[str]:
    """A list of strings, or one string, which is split as a shell splits it."""
    if isinstance(value, str):
        import shlex  # noqa: PLC0415 - not needed for lists, which are the usual form

        try:
            value = shlex.split(value)
        except ValueError as error:
            raise _Refused(f"cannot be split into words: {error}") from error
    if not isinstance(value, list) or not all(isinstance(item, str) and "\0" not in item for item in value):
        raise _Refused("must be a list of strings without NUL, or one string that is split into words")
    return list(value)


SUPPRESS = "SUPPRESS"


def mappings(value: Any) -> dict[str, str]:
    """Options of a launcher, each with what replaces it; ``SUPPRESS`` drops it."""
    if not isinstance(value, dict):
        raise _Refused('must be a table such as { "--foo" = "--bar", "--baz" = "SUPPRESS" }')
    for option, replacement in value.items():
        if not word(option).startswith("-"):
            raise _Refused(f"{option!r} is not an option: it must begin with -")
        if replacement != SUPPRESS and not word(replacement).startswith("-"):
            raise _Refused(f"{option!r} must become an option, beginning with -, or {SUPPRESS!r}")
    return dict(value)


def clusters(value: Any) -> dict[str, dict[str, Any]]:
    """Tables of clusters; what stands in one is looked at when that cluster is used."""
    if not isinstance(value, dict) or not all(isinstance(table, dict) for table in value.values()):
        raise _Refused("must hold one table for each cluster, such as [clusters.mine]")
    for cluster, table in value.items():
        if "." in name(cluster):
            raise _Refused(f"{cluster!r} must be a name without a dot")
        if "backend" in table:
            name(table["backend"])
    return value


LAUNCH: Rules = {
    "launcher": name,
    "exec": word,
    "numproc_flag": word,
    "default_options": words,
    "local_options": words,
    "mappings": mappings,
}
RULES: Rules = {"backend": name, "launch": LAUNCH, "clusters": clusters}


def checked(origin: str, table: Any, rules: Rules = RULES, prefix: str = "") -> dict[str, Any]:
    """The table with every value converted.

    Raises:
        ConfigError: a key is unknown, or its value is not what it must be.
    """
    if not isinstance(table, dict):
        raise ConfigError(origin, f"{prefix.rstrip('.')}={shortened(repr(table))}: must be a table")
    found: dict[str, Any] = {}
    for key, value in table.items():
        rule = rules.get(key)
        if rule is None:
            raise ConfigError(origin, unknown(key, rules, prefix))
        if isinstance(rule, dict):
            found[key] = checked(origin, value, rule, f"{prefix}{key}.")
            continue
        try:
            found[key] = rule(value)
        except _Refused as refused:
            raise ConfigError(origin, f"{prefix}{key}={shortened(repr(value))}: {refused}") from None
    return found


def check_key(key: str, rules: Rules = RULES, prefix: str = "") -> None:
    """Accept a dotted key that can be set, or the key of a table.

    Raises:
        ConfigError: there is no such key.
    """
    head, _, rest = key.partition(".")
    rule = rules.get(head)
    if isinstance(rule, dict) and rest:
        check_key(rest, rule, f"{prefix}{head}.")
    elif rule is None or (rest and rule not in (clusters, mappings)):
        raise ConfigError("configuration", unknown(key, rules, prefix))


def unknown(key: str, known: Iterable[str], prefix: str = "") -> str:
    """The message for a key that nobody knows, with those that come nearest."""
    from difflib import get_close_matches  # noqa: PLC0415 - only for the message

    known = sorted(known)
    nearest = get_close_matches(key, known, n=3, cutoff=0.6)
    if nearest:
        meant = " or ".join(repr(prefix + near) for near in nearest)
        return f"unknown key {prefix + key!r}; did you mean {meant}?"
    return f"unknown key {prefix + key!r}; known: {', '.join(prefix + word for word in known)}"
