"""Which kind of launcher a program is: asked once, and remembered as long as the program is the same file.

The memory is one small text file in the user's cache folder, a line for each program:

    path <tab> size <tab> time of change in ns <tab> kind

It may be lost, damaged or unwritable at any time: then the program is asked again. It is replaced as a whole,
so no reader sees half of it; of two writers at the same moment the last one wins, and the other's answer is
asked for once more.
"""

from __future__ import annotations

import os

from hpc_connect import config
from hpc_connect.errors import LaunchError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hpc_connect.launcher import HPCLauncher

MEMORY = "launcher-kinds-v1"
_MOST_LINES = 50
_SECONDS_TO_ANSWER = 30


def kind_of(launcher: HPCLauncher, program: str) -> str:
    """The kind and version of a launcher's program (``"openmpi 5.0.11"``), empty when it is not known.

    Raises:
        LaunchError: the program cannot be run, or does not answer.
    """
    question = launcher.question(program)
    if question is None:
        return ""
    mark = _mark(program)
    known = _recall(mark) if mark else None
    if known is not None:
        return known
    kind = launcher.kind(_answer(question))
    if kind and mark:
        _remember(mark, kind)
    return kind


def _mark(program: str) -> str | None:
    """What is the same as long as the program is: the beginning of its line. None where it cannot have one."""
    path = os.path.abspath(program)
    try:
        status = os.stat(path)
    except OSError:
        return None
    return f"{path}\t{status.st_size}\t{status.st_mtime_ns}\t" if path.isprintable() else None


def _lines() -> list[str]:
    try:
        with open(os.path.join(config.cache_folder(), MEMORY), encoding="utf-8", newline="\n") as memory:
            return memory.read(1_000_000).splitlines()
    except (OSError, ValueError):
        return []


def _recall(mark: str) -> str | None:
    for line in _lines():
        if line.startswith(mark):
            kind = line[len(mark) :]
            family, blank, version = kind.partition(" ")
            if family.isalpha() and blank and version and "\t" not in version and kind.isascii():
                return kind
    return None


def _remember(mark: str, kind: str) -> None:
    path = mark.partition("\t")[0] + "\t"
    lines = [line for line in _lines() if line.count("\t") == 3 and not line.startswith(path)]
    text = "".join(f"{line}\n" for line in [*lines[-_MOST_LINES:], mark + kind])
    folder = config.cache_folder()
    new = os.path.join(folder, f"{MEMORY}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with open(new, "x", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.replace(new, os.path.join(folder, MEMORY))
    except (OSError, ValueError):
        _remove(new)  # a home that is read-only or full: it is asked each time


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return


def _answer(question: list[str]) -> str:
    import subprocess  # noqa: PLC0415 - slow to import, and needed once for each program

    asked = " ".join(question)
    try:
        done = subprocess.run(
            question,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_SECONDS_TO_ANSWER,
            check=False,
        )
    except OSError as error:
        raise LaunchError(f"{asked}: {error.strerror}; see that it is a launcher of this machine") from error
    except subprocess.TimeoutExpired as error:
        raise LaunchError(
            f"{asked}: no answer in {_SECONDS_TO_ANSWER} s; see why, or configure another launch.exec"
        ) from error
    return done.stdout.decode(errors="replace")
