"""The hooks of plug-ins."""

from __future__ import annotations

import inspect

import pluggy

import hpc_connect
from hpc_connect import hookspec


def hooks() -> pluggy.PluginManager:
    manager = pluggy.PluginManager("hpc_connect")
    manager.add_hookspecs(hookspec)
    return manager


def test_there_is_one_hook_for_each_kind_and_it_takes_no_arguments() -> None:
    found = {name: vars(hookspec)[name] for name in vars(hookspec) if name.startswith("hpc_connect_")}
    assert found.keys() == {"hpc_connect_backend", "hpc_connect_launcher"}
    assert all(not inspect.signature(hook).parameters for hook in found.values())


def test_the_public_marker_is_the_one_that_the_hooks_listen_to() -> None:
    class Package:
        @hpc_connect.hookimpl
        def hpc_connect_backend(self) -> type:
            return int

    manager = hooks()
    manager.register(Package())
    manager.check_pending()
    assert manager.hook.hpc_connect_backend() is int
    assert manager.hook.hpc_connect_launcher() is None
