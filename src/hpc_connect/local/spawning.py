"""Starts the program of a job, in the supervisor."""

from __future__ import annotations

import contextlib
import os
import signal as signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

# A program that ignores or blocks signals may have submitted the job; the job begins with all as they are by default.
_ALL_SIGNALS = signals.valid_signals() - {signals.SIGKILL, signals.SIGSTOP}


def spawn(order: dict[str, Any], script: str) -> int:
    """Start a job as the leader of a session.

    Args:
        order: what is to be done, see :func:`hpc_connect.local.orders.order`.
        script: path of its script.

    Returns:
        The number of its process.

    Raises:
        OSError, ValueError: it cannot be started.
    """
    with _standard_streams(order) as descriptors:
        os.chdir(order["workdir"])
        try:
            return os.posix_spawnp(
                order["argv"][0],
                [*order["argv"], script],
                order["env"],
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, descriptor, number) for number, descriptor in enumerate(descriptors)
                ],
                setsid=True,
                setsigmask=[],
                setsigdef=_ALL_SIGNALS,
            )
        finally:
            os.chdir("/")  # the file system of the job's folder can be unmounted when it has ended


@contextlib.contextmanager
def _standard_streams(order: dict[str, Any]) -> Iterator[list[int]]:
    """Open input, output and error. What an earlier job wrote to the files goes, what an earlier attempt did stays."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (os.O_TRUNC if order["attempt"] == 1 else 0)
    opened = []
    try:
        opened.append(_open(order["stdin"] or os.devnull, os.O_RDONLY))
        opened.append(_open(order["stdout"], flags))
        opened.append(_open(order["stderr"], flags) if order["stderr"] else opened[1])
        yield opened
    finally:
        for descriptor in set(opened):
            os.close(descriptor)


def _open(path: str, flags: int) -> int:
    """Open without waiting, as for the other end of a pipe: the supervisor has other jobs to look after."""
    descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY, 0o666)
    os.set_blocking(descriptor, True)
    return descriptor
