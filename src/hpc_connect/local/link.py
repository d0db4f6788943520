"""The client's end of the supervisor: starts it when it is first needed, hands it messages, takes its news."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import weakref
from typing import TYPE_CHECKING, Any

from hpc_connect import config as configuration
from hpc_connect.engine import engine
from hpc_connect.errors import SubmitError
from hpc_connect.local.messages import Messages, pack

if TYPE_CHECKING:
    from collections.abc import Callable

# The supervisor imports what the client would, but nothing that a site has put into every Python's start, and no file
# of the user's that is named as a module of Python's own.
_START = """
import sys
folder, *path = sys.argv[1:]
sys.path += path
from hpc_connect.local.supervisor import main
main(folder)
"""

_HOME = os.path.dirname(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
)  # of the package hpc_connect
_KEPT_PYTHON_VARIABLES = ("PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")


class SupervisorLink:
    """A supervisor of this client's own.

    Args:
        folder: path of the record folder.
        on_news: called with each message, on the engine thread.
        on_loss: called with this on the engine thread when the supervisor is gone. Whatever it had taken is in the
            records.

    Raises:
        SubmitError: it does not start.
    """

    def __init__(
        self,
        folder: str,
        on_news: Callable[[dict[str, Any]], None],
        on_loss: Callable[[SupervisorLink], None],
    ) -> None:
        self._on_news = on_news
        self._on_loss = on_loss
        self._messages = Messages()
        self._socket, theirs = socket.socketpair()
        # A forked child must not hold the line: the supervisor would never see this process end.
        os.register_at_fork(after_in_child=_close_when_called(weakref.ref(self)))
        try:
            with theirs:
                _start(folder, theirs.fileno())
        except BaseException:
            self._socket.close()
            raise
        engine().call(engine().watch, self._socket.fileno(), self._receive)

    def close(self) -> None:
        """Let go of the line; a supervisor with nobody at its other end goes when its last job has ended."""
        self._socket.close()

    def send(self, message: dict[str, Any]) -> None:
        """Hand over a message; blocks until it is on its way. If the supervisor is gone, ``on_loss`` is told of it."""
        try:
            self._socket.sendall(pack(message))
        except OSError:
            return

    def _receive(self) -> None:
        try:
            data = self._socket.recv(1 << 16, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            engine().unwatch(self._socket.fileno())
            self._on_loss(self)
            return
        for message in self._messages.feed(data):
            self._on_news(message)


def _start(folder: str, descriptor: int) -> None:
    """Start a supervisor with its line at this descriptor, and wait until it has left our family."""
    variables = {
        name: value
        for name, value in configuration.all_variables().items()
        # No variable of a user's changes how it runs, and it is no part of the job that may have submitted this.
        if (not name.startswith("PYTHON") or name in _KEPT_PYTHON_VARIABLES)
        and not name.startswith("HPC_CONNECT_")
    }
    options = ["-S", "-X", f"utf8={sys.flags.utf8_mode}", "-c", _START]
    argv = [sys.executable or "python3", *options, folder, _HOME, *filter(os.path.isabs, sys.path)]
    problem = "the supervisor of local jobs does not start"
    try:
        starter = subprocess.run(
            argv,
            stdin=descriptor,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=variables,
            cwd="/",
            start_new_session=True,
            check=False,
        )
    except OSError as error:
        raise SubmitError(f"{problem}: {error}", argv) from error
    if starter.returncode:
        raise SubmitError(problem, argv, starter.returncode, stderr=starter.stderr.decode(errors="replace"))


def _close_when_called(reference: weakref.ref[SupervisorLink]) -> Callable[[], None]:
    def close() -> None:
        link = reference()
        if link is not None:
            link.close()

    return close
