"""Programs that stand in for launchers where a test looks at how they are started, and not at what they do."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

MAIN = "import sys; from hpc_connect.cli.launch import main; sys.exit(main())"
"""``hpc-launch``, without depending on how the package was installed."""

ANSWERS = {
    "mpich": "HYDRA build details:\\n    Version:    4.0.2\\n",
    "openmpi": "mpiexec (OpenRTE) 4.1.4\\n",
    "nobody": "a wrapper of this site\\n",
}

SHOW_WORDS = """printf '%s\\0' "$0" "$@" """


def stand_in(folder: Path, name: str = "mpiexec", body: str = SHOW_WORDS, kind: str = "mpich") -> str:
    """Write a program that answers ``--version`` as a kind of launcher does, and else runs ``body``.

    It notes each time that it is asked in a file beside it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(
        f"#!/bin/sh\n"
        f'if [ "$*" = --version ]; then echo asked >> "$0.asked"; printf "{ANSWERS[kind]}"; exit; fi\n'
        f"{body}\n"
    )
    path.chmod(0o755)
    return str(path)


def times_asked(program: str) -> int:
    try:
        with open(f"{program}.asked") as notes:
            return len(notes.readlines())
    except FileNotFoundError:
        return 0


def on_path(folder: Path) -> str:
    """A ``PATH`` that has a folder and the usual tools, but no real launcher."""
    tools = folder.parent / f"{folder.name}-tools"
    tools.mkdir(exist_ok=True)
    for tool in ("sh", "bash", "env", "cat", "grep", "ls", "sleep", "true", "timeout"):
        for place in ("/bin", "/usr/bin"):
            if os.path.exists(f"{place}/{tool}") and not (tools / tool).exists():
                (tools / tool).symlink_to(f"{place}/{tool}")
    return f"{folder}{os.pathsep}{tools}"


def hpc_launch(*words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run ``hpc-launch`` to its end."""
    return subprocess.run(
        [sys.executable, "-c", MAIN, *words],
        **{"stdin": subprocess.DEVNULL, "capture_output": True, "timeout": 60, **options},
    )
