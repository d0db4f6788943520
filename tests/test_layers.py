"""Who may import whom, and who may start processes, read the environment or wait."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SOURCE = os.path.join(ROOT, "src", "hpc_connect")

CHECK_CONTRACTS = """
import sys
from importlinter.cli import lint_imports
sys.exit(lint_imports(config_filename="pyproject.toml", no_cache=True, no_logo=True))
"""


def test_the_contracts_of_import_linter_are_kept() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHECK_CONTRACTS], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass(frozen=True)
class Rule:
    """A thing that only some files may use.

    Attributes:
        uses: matches the full name of what is used, such as ``subprocess.run``.
        homes: files, and folders ending in a slash, that it belongs to.
        exceptions: other files that may use it, each with the reason.
    """

    uses: str
    homes: tuple[str, ...] = ()
    exceptions: dict[str, str] = field(default_factory=dict)

    def permits(self, path: str) -> bool:
        return path in self.exceptions or any(
            path.startswith(home) if home.endswith("/") else path == home for home in self.homes
        )

    def used_in(self, path: str) -> list[str]:
        return [
            f"{path}:{line} uses {name}" for line, name in names_in(path) if re.fullmatch(self.uses, name)
        ]


RULES = {
    "starting processes": Rule(
        r"(subprocess|multiprocessing|pty|_posixsubprocess)(\..*)?"
        r"|os\.(exec\w+|fork\w*|posix_spawnp?|spawn\w+|system|popen)"
        r"|asyncio\.(subprocess.*|create_subprocess_\w+)|concurrent\.futures\.(process.*|ProcessPoolExecutor)",
        ("transport/", "local/", "backends/shell.py", "cli/"),
    ),
    "psutil": Rule(r"psutil(\..*)?", ("local/", "backends/shell.py")),
    "pluggy": Rule(r"pluggy(\..*)?", ("hookspec.py", "plugins/")),
    "reading the environment": Rule(
        r"os\.(environb?|getenvb?|putenv|unsetenv)(\..*)?", ("config.py", "config/", "transport/")
    ),
    "changing the environment": Rule(
        r"os\.environb?\.(update|pop|popitem|setdefault|clear|__setitem__|__delitem__)|os\.(putenv|unsetenv)"
    ),
    "sleeping": Rule(
        r"time\.sleep",
        exceptions={"store/file.py": "waits for a lock of another process; flock(2) knows no time-out"},
    ),
    "a shell between": Rule(r"shell=True"),
    "changing the working directory": Rule(
        r"os\.f?chdir",
        exceptions={"local/spawning.py": "runs in the supervisor, whose directory is nobody else's"},
    ),
}


@cache
def names_in(path: str) -> tuple[tuple[int, str], ...]:
    """Every name from outside that a file imports or uses, in full, with its line; and ``keyword=True``."""
    with open(os.path.join(SOURCE, path), encoding="utf-8") as file:
        tree = ast.parse(file.read())
    aliases: dict[str, str] = {}
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                aliases[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
                found.append((node.lineno, alias.name))
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                found.append((node.lineno, f"{node.module}.{alias.name}"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            found.extend((node.lineno, name) for name in _in_full(node, aliases))
        elif isinstance(node, ast.keyword) and isinstance(node.value, ast.Constant):
            found.append((node.value.lineno, f"{node.arg}={node.value.value!r}"))
    return tuple(found)


def _in_full(node: ast.Attribute, aliases: dict[str, str]) -> Iterator[str]:
    parts = [node.attr]
    below = node.value
    while isinstance(below, ast.Attribute):
        parts.append(below.attr)
        below = below.value
    if isinstance(below, ast.Name) and below.id in aliases:
        yield ".".join([aliases[below.id], *reversed(parts)])


def source_files() -> list[str]:
    return sorted(
        os.path.relpath(os.path.join(folder, name), SOURCE)
        for folder, _, names in os.walk(SOURCE)
        for name in names
        if name.endswith(".py")
    )


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_it_is_used_only_where_it_belongs(rule: Rule) -> None:
    assert [use for path in source_files() if not rule.permits(path) for use in rule.used_in(path)] == []


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_no_exception_is_left_over(rule: Rule) -> None:
    assert [path for path in rule.exceptions if path not in source_files() or not rule.used_in(path)] == []


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("import subprocess", "starting processes"),
        ("from subprocess import run as r", "starting processes"),
        ("import os\nos.execvp('a', ['a'])", "starting processes"),
        ("import os as o\no.fork()", "starting processes"),
        ("from os import posix_spawn", "starting processes"),
        ("import psutil", "psutil"),
        ("def f():\n    import pluggy", "pluggy"),
        ("import os\nx = os.environ['A']", "reading the environment"),
        ("from os import getenv", "reading the environment"),
        ("import os\nos.environ.update({})", "changing the environment"),
        ("import time\ntime.sleep(1)", "sleeping"),
        ("run('ls', shell=True)", "a shell between"),
        ("import os\nos.chdir('/')", "changing the working directory"),
    ],
)
def test_a_rule_sees_what_it_forbids_under_any_name(text: str, broken: str, own_environment: object) -> None:
    path = os.path.join(str(own_environment), "module.py")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    assert RULES[broken].used_in(os.path.relpath(path, SOURCE))
