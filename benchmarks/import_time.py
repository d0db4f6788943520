"""How long `import hpc_connect` and `get_backend("shell")` take, over a bare interpreter."""

from __future__ import annotations

import statistics
import subprocess
import sys

from measure import Promises, in_turns, over_floor, own_place, ratio

ROUNDS = 41

BARE = "pass"
IMPORT = "import hpc_connect"
BACKEND = "import hpc_connect; hpc_connect.get_backend('shell')"


def main() -> int:
    """Measure, print, and return the exit code."""
    promises = Promises()
    with own_place():
        run(BACKEND)  # whatever is read for the first time is in memory after this
        bare, imported, backend = in_turns(
            ROUNDS, lambda: run(BARE), lambda: run(IMPORT), lambda: run(BACKEND)
        )
    print(f"a bare interpreter: {1000 * statistics.median(bare):.1f} ms (median of {ROUNDS})")
    for what, times, limit in ((IMPORT, imported, 5), (BACKEND, backend, 120)):
        note = f"{ratio(times, bare):.2f} times a bare interpreter"
        promises.at_most(what, 1000 * over_floor(times, bare), limit, " ms", note)
    return promises.exit_code()


def run(program: str) -> None:
    """Run a program in a fresh interpreter."""
    subprocess.run([sys.executable, "-c", program], check=True)


if __name__ == "__main__":
    sys.exit(main())
