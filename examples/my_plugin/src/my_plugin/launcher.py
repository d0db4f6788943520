"""The launcher ``my-launcher``: starts a program as often as asked, each with its rank in ``MY_RANK``."""

from __future__ import annotations

import os

import hpc_connect


class MyLauncher(hpc_connect.HPCLauncher):
    """Its program understands ``-n``, as every ``mpiexec`` does."""

    name = "my-launcher"

    @staticmethod
    def matches(name: str | None) -> bool:
        return name == "my-launcher"

    def __init__(self, config_file: str | None = None) -> None:
        super().__init__(config_file)

    @property
    def executable(self) -> str:
        return os.path.join(os.path.dirname(__file__), "mylaunch")


@hpc_connect.hookimpl
def hpc_connect_launcher() -> type[hpc_connect.HPCLauncher]:
    return MyLauncher
