"""The hooks by which a package brings a backend or a launcher.

    [project.entry-points.hpc_connect]
    my-backend = "my_package.backend"

The entry point is named as the backend or launcher it brings, and points to a module with one or both of these
hooks. The module is imported when somebody asks for that name, and not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from hpc_connect.backend import HPCBackend
    from hpc_connect.launcher import HPCLauncher

hookspec = pluggy.HookspecMarker("hpc_connect")
hookimpl = pluggy.HookimplMarker("hpc_connect")


@hookspec(firstresult=True)
def hpc_connect_backend() -> type[HPCBackend] | None:
    """The class of the backend that this module brings.

    Called once for each ``get_backend`` of its name, and when all plug-ins are listed. The class must answer
    ``matches(name)`` with True for the name of the entry point.
    """


@hookspec(firstresult=True)
def hpc_connect_launcher() -> type[HPCLauncher] | None:
    """The class of the launcher that this module brings.

    Called once for each ``get_launcher`` of its name, and when all plug-ins are listed. The class must answer
    ``matches(name)`` with True for the name of the entry point, and is made with ``config_file=``.
    """
