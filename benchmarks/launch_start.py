"""How long `hpc-launch` takes until the launcher runs, as a multiple of `python -c pass`.

The launcher is a shell script that ends at once. Its time counts too: nothing is subtracted. It has been asked for
its kind before, as on every start but the first.
"""

from __future__ import annotations

import compileall
import os
import statistics
import subprocess
import sys

from measure import Promises, in_turns, own_place, ratio

import hpc_connect

ROUNDS = 41

MPIEXEC = """#!/bin/sh
case $1 in --version) echo "HYDRA build details:"; echo "Version: 4.0.2";; esac
"""
CONFIGURATION = """[launch]
launcher = "mpi"
numproc_flag = "-np"
default_options = ["-bind-to", "none"]
mappings = { "--account" = "SUPPRESS" }
"""
PLUGIN = """
import hpc_connect

class Other(hpc_connect.HPCLauncher):
    name = "other"

    @staticmethod
    def matches(name):
        return name == "other"

    @property
    def executable(self):
        return "mpiexec"

@hpc_connect.hookimpl
def hpc_connect_launcher():
    return Other
"""
FILES = {
    "bin/mpiexec": MPIEXEC,
    "plain/empty": "",
    "configured/hpc_connect.toml": CONFIGURATION,
    "packages/other_launcher.py": PLUGIN,
    "packages/other_launcher-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: other-launcher\nVersion: 1\n",
    "packages/other_launcher-1.dist-info/entry_points.txt": "[hpc_connect]\nother = other_launcher\n",
}


def main() -> int:
    """Measure, print, and return the exit code."""
    promises = Promises()
    with own_place():
        prepare()
        launch = [os.path.join(os.path.dirname(sys.executable), "hpc-launch")]
        floor = [sys.executable, "-c", "pass"]
        cases = (
            ("no configuration file", [*launch, "-n", "4", "true"], "plain", 2.5),
            ("a configuration file", [*launch, "-n", "4", "true"], "configured", 3.5),
            ("a launcher of another package", [*launch, "--backend=other", "-n", "4", "true"], "plain", 7),
        )
        actions = [lambda: run(floor, "plain")]
        actions += [
            lambda command=command, place=place: run(command, place) for _, command, place, _ in cases
        ]
        in_turns(
            1, *actions
        )  # asks the launcher for its kind; and what is read for the first time is then in memory
        bare, *times = in_turns(ROUNDS, *actions)
    print(f"python -c pass: {1000 * statistics.median(bare):.1f} ms (median of {ROUNDS})")
    for (what, _, _, limit), measured in zip(cases, times, strict=True):
        note = f"{1000 * statistics.median(measured):.1f} ms"
        promises.at_most(f"hpc-launch, {what}", ratio(measured, bare), limit, " times", note)
    return promises.exit_code()


def prepare() -> None:
    """Write a launcher, a configuration file, and a package that brings a launcher, all compiled as if installed."""
    for name, text in FILES.items():
        os.makedirs(os.path.dirname(name), exist_ok=True)
        with open(name, "w", encoding="utf-8") as file:
            file.write(text)
    os.chmod("bin/mpiexec", 0o755)
    for place in (os.path.dirname(hpc_connect.__file__), "packages"):
        compileall.compile_dir(place, quiet=2)
    os.environ["PATH"] = os.path.abspath("bin") + os.pathsep + os.environ["PATH"]
    os.environ["PYTHONPATH"] = os.path.abspath("packages")
    os.environ.pop("SLURM_JOB_ID", None)


def run(command: list[str], place: str) -> None:
    """Run a command in a folder, to its end."""
    subprocess.run(command, cwd=place, check=True, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
