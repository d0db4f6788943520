"""The launchers that come with hpc_connect: one file each, named as the launcher, its class called LAUNCHER."""

from __future__ import annotations

from hpc_connect.launcher.installed import what_is_there as what_is_there
