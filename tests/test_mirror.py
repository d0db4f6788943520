"""Every module has its test file, so that a newcomer finds the tests of what he reads, and the other way round."""

from __future__ import annotations

import ast
import os

TESTS = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.join(os.path.dirname(TESTS), "src", "hpc_connect")

ELSEWHERE: dict[str, str] = {
    "__init__.py": "test_public_names.py",
    # shown as a whole, by real jobs
    "journal.py": "backends/test_shell.py",
    "local/claim.py": "backends/test_shell.py",
    "local/files.py": "backends/test_shell.py",
    "local/link.py": "backends/test_shell.py",
    "local/machine.py": "backends/test_shell.py",
    "local/messages.py": "backends/test_shell.py",
    "local/orders.py": "backends/test_shell.py",
    "local/outbox.py": "backends/test_shell.py",
    "local/plan.py": "backends/test_shell.py",
    "local/proc.py": "backends/test_shell.py",
    "local/process_tree.py": "backends/test_shell.py",
    "local/runner.py": "backends/test_shell.py",
    "local/session.py": "backends/test_shell.py",
    "local/signalling.py": "backends/test_shell.py",
    "local/spawning.py": "backends/test_shell.py",
    "local/withdrawal.py": "backends/test_shell.py",
    "records/outcome.py": "backends/test_shell.py",
}
"""Modules whose tests stand in another file than their name says."""

ONE_EACH = {"backends", "launchers"}
"""Folders whose every file is a plug-in of its own, with a test file of its own."""


def _modules() -> list[str]:
    return sorted(
        os.path.relpath(os.path.join(folder, name), SOURCE)
        for folder, _, names in os.walk(SOURCE)
        for name in names
        if name.endswith(".py") and _has_code(os.path.join(folder, name))
    )


def _has_code(path: str) -> bool:
    """Whether a file holds more than a docstring and imports."""
    with open(path, encoding="utf-8") as file:
        body = ast.parse(file.read()).body
    return any(not isinstance(node, (ast.Expr, ast.Import, ast.ImportFrom)) for node in body)


def _is_tested(module: str) -> bool:
    """Whether there are tests under the name of the module, or under that of its folder as a whole."""
    folder, name = os.path.split(module)
    allowed = [ELSEWHERE.get(module, os.path.join(folder, f"test_{name}"))]
    if folder and folder not in ONE_EACH:
        parent, package = os.path.split(folder)
        allowed.append(os.path.join(parent, f"test_{package}.py"))
    return any(os.path.isfile(os.path.join(TESTS, test)) for test in allowed)


def test_every_module_has_its_test_file() -> None:
    assert [module for module in _modules() if not _is_tested(module)] == []


def test_no_exception_is_left_over() -> None:
    assert [module for module in ELSEWHERE if module not in _modules()] == []
