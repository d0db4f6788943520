"""``hpc-launch``: start a parallel program with whatever launcher there is, by ending in ``exec``.

Every import here is paid by every start, so what is rare is imported where it is used.
"""

from __future__ import annotations

import os
import sys

from hpc_connect.cli.launch_request import Request, command
from hpc_connect.errors import HPCConnectError, LaunchError
from hpc_connect.launcher import FILE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence
    from typing import Any, NoReturn

    from hpc_connect.launcher import Command

BAD_USAGE = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Where it launches something it does not return, for it becomes the launcher.

    Returns:
        0 where there was only something to show, 2 for bad usage and where there is no launcher.
    """
    try:
        return _run(Request(sys.argv[1:] if argv is None else argv))
    except HPCConnectError as error:
        print(f"hpc-launch: {error}", file=sys.stderr)
        return BAD_USAGE


def _run(request: Request) -> int:
    if request.show is not None:
        _print(request.show)
        return 0
    if request.check is not None:
        from hpc_connect.cli.check import check  # noqa: PLC0415 - rare, and slow to import

        return check(request)
    found = command(request)
    if not request.dry_run:
        _become(found)
    _print(_shown(found))
    return 0


def launch(args: Sequence[str], **subprocess_options: Any) -> subprocess.CompletedProcess[Any]:
    """Launch a parallel program and wait for it, as ``hpc-launch`` does.

        hpc_connect.launch(["-n", "4", "./simulate", "input"], check=True)

    Args:
        args: the words of the command line, after ``hpc-launch``.
        subprocess_options: those of :func:`subprocess.run`.

    Raises:
        LaunchError: the words cannot be accepted, or there is no launcher.
        ConfigError: the configuration is wrong.
        UnknownLauncher, BrokenPlugin: the launcher that was asked for cannot be had.
    """
    import logging  # noqa: PLC0415 - slow to import, and the command does without
    import subprocess  # noqa: PLC0415 - likewise

    if isinstance(args, (str, bytes)):
        raise LaunchError("launch() takes a list of words, such as ['-n', '4', 'program']")
    request = Request([os.fspath(word) for word in args])
    if request.dry_run or request.check is not None or request.show is not None:
        raise LaunchError("--dry-run, --check, --help and --version are for the command hpc-launch only")
    found = command(request)
    for warning in found.warnings:
        logging.getLogger(__name__).warning(warning)
    words, descriptors = _with_file(found)
    options = {"check": False, **subprocess_options}
    options["pass_fds"] = (*descriptors, *options.get("pass_fds", ()))
    try:
        return subprocess.run(words, **options)  # noqa: PLW1510 - check is among the options
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _become(found: Command) -> NoReturn:
    """Turn this process into the launcher, so that exit code, signals and memory are the launcher's own."""
    import signal  # noqa: PLC0415 - only where something is launched

    for warning in found.warnings:
        print(f"hpc-launch: warning: {warning}", file=sys.stderr)
    for ignored_by_python in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored_by_python, signal.SIG_DFL)
    words, _ = _with_file(found)
    try:
        os.execvp(words[0], words)  # noqa: S606 - a shell is what it avoids
    except OSError as error:
        raise LaunchError(f"{words[0]} cannot be started: {error.strerror}") from error
    except ValueError as error:
        raise LaunchError(f"the command cannot be started: {error}") from error


def _with_file(found: Command) -> tuple[list[str], tuple[int, ...]]:
    """The words with the generated file, which has no name and is gone with the last process that has it open."""
    if found.file is None:
        return found.argv, ()
    descriptor = os.memfd_create("hpc-launch", 0)  # without MFD_CLOEXEC: the launcher is to read it
    os.write(descriptor, os.fsencode(found.file))
    path = f"/proc/self/fd/{descriptor}"
    return [path if word == FILE else word for word in found.argv], (descriptor,)


def _shown(found: Command) -> str:
    """A command as it can be pasted into a shell; a generated file follows as a comment."""
    import shlex  # noqa: PLC0415 - slow to import, and not needed to launch

    words = ["/proc/self/fd/3" if word == FILE else shlex.quote(word) for word in found.argv]
    text = " ".join(words) + "\n"
    if found.file is not None:
        text += "".join(f"# /proc/self/fd/3: {line}\n" for line in found.file.splitlines())
    return text + "".join(f"# warning: {warning}\n" for warning in found.warnings)


def _print(text: str) -> None:
    """Write to stdout, bytes that are not UTF-8 included."""
    sys.stdout.flush()
    sys.stdout.buffer.write(os.fsencode(text))
    sys.stdout.buffer.flush()
