"""What `import hpc_connect` offers, and how little it costs."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import inspect
import os
import subprocess
import sys

import pytest

import hpc_connect

PACKAGE = os.path.dirname(os.path.abspath(hpc_connect.__file__))


def _for_type_checkers() -> dict[str, tuple[str, str]]:
    """Public name → (module, name there), from the block that only type checkers read."""
    tree = ast.parse(inspect.getsource(hpc_connect))
    blocks = [
        node
        for node in tree.body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    ]
    return {
        alias.asname or alias.name: (str(statement.module), alias.name)
        for block in blocks
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }


def test_type_checkers_and_the_running_program_see_the_same_names() -> None:
    defined_here = {
        name for name, value in vars(hpc_connect).items() if inspect.isfunction(value) and name[0] != "_"
    }
    assert {*_for_type_checkers()} | defined_here == {*hpc_connect.__all__}
    assert len(hpc_connect.__all__) == len({*hpc_connect.__all__})
    for public, (module, name) in _for_type_checkers().items():
        assert getattr(hpc_connect, public) is getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("name", hpc_connect.__all__)
def test_a_public_name_loads_and_is_listed(name: str) -> None:
    assert getattr(hpc_connect, name) is getattr(hpc_connect, name)
    assert name in dir(hpc_connect)
    assert not name.startswith("_")


def test_an_unknown_name_is_an_attribute_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="get_backnd"):
        hpc_connect.get_backnd  # noqa: B018 - reading it is the test


def _public_members(owner: type) -> dict[str, object]:
    """Methods and properties that a class itself defines, by their public names."""
    return {
        f"{owner.__name__}.{name}": getattr(value, "__func__", value)
        for name, value in vars(owner).items()
        if (not name.startswith("_") and isinstance(value, (property, classmethod, staticmethod)))
        or (inspect.isfunction(value) and not name.startswith("_"))
    }


@pytest.mark.parametrize("name", hpc_connect.__all__)
def test_a_public_name_and_its_methods_are_documented(name: str) -> None:
    value = getattr(hpc_connect, name)
    if not callable(value):
        return
    documented = {name: value, **(_public_members(value) if inspect.isclass(value) else {})}
    assert [each for each, thing in documented.items() if not (thing.__doc__ or "").strip()] == []


def _loaded_by(statement: str) -> set[str]:
    """The modules that a statement loads in an interpreter that has nothing but itself."""
    program = (
        f"import sys; sys.path.insert(0, {os.path.dirname(PACKAGE)!r}); before = set(sys.modules)\n"
        f"{statement}\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True
    )
    return {*done.stdout.split()}


def test_importing_the_package_loads_nothing_else() -> None:
    assert _loaded_by("import hpc_connect") <= {"hpc_connect", "__future__"}


def test_a_name_loads_only_what_it_needs() -> None:
    loaded = _loaded_by("import hpc_connect; hpc_connect.HPCConnectError")
    assert {name for name in loaded if name.startswith("hpc_connect.")} == {"hpc_connect.errors"}
    loaded = _loaded_by("import hpc_connect; hpc_connect.JobSpec")
    assert loaded & {"asyncio", "sqlite3", "pluggy", "psutil", "subprocess", "threading"} == set()


def test_the_version_is_the_one_that_is_installed() -> None:
    assert hpc_connect.__version__ == importlib.metadata.version("hpc_connect")
