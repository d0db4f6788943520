"""The client's end of the supervisor: starts it when it is first needed, hands it orders, takes its news."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

from hpc_connect.engine import engine
from hpc_connect.errors import SubmitError
from hpc_connect.local.supervisor import Messages, pack

if TYPE_CHECKING:
    from collections.abc import Callable

# The supervisor imports what the client would, and nothing that a site has put into every Python's start.
_START = """
import sys
folder, path = sys.argv[1:]
sys.path[:] = path.split("\\n")
from hpc_connect.local.supervisor import main
main(folder)
"""


class SupervisorLink:
    """A supervisor of this client's own.

    Args:
        folder: path of the record folder.
        on_news: called with each message, on the engine thread.
        on_loss: called on the engine thread when the supervisor is gone. Whatever it had taken is in the records.
    """

    def __init__(
        self, folder: str, on_news: Callable[[dict[str, Any]], None], on_loss: Callable[[], None]
    ) -> None:
        self._folder = folder
        self._on_news = on_news
        self._on_loss = on_loss
        self._sending = threading.Lock()
        self._messages = Messages()
        self._socket = self._start()
        # A forked child must not hold the line: the supervisor would never see this process end.
        os.register_at_fork(after_in_child=self._socket.close)
        engine().call(engine().watch, self._socket.fileno(), self._receive)

    def send(self, order: dict[str, Any]) -> None:
        """Hand over an order. If the supervisor is gone, ``on_loss`` is told, and nobody else."""
        data = pack(order)
        with self._sending:
            try:
                self._socket.sendall(data)
            except OSError:
                return

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        argv = [sys.executable, "-S", "-E", "-c", _START, self._folder, "\n".join(sys.path)]
        try:
            with theirs:
                starter = subprocess.Popen(
                    argv,
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                    cwd="/",
                )
        except OSError as error:
            ours.close()
            raise SubmitError(f"the supervisor of local jobs does not start: {error}", argv) from error
        if starter.wait():
            ours.close()
            raise SubmitError("the supervisor of local jobs does not start", argv, starter.returncode)
        return ours

    def _receive(self) -> None:
        try:
            data = self._socket.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            engine().unwatch(self._socket.fileno())
            with self._sending:
                self._socket.close()
            self._on_loss()
            return
        for message in self._messages.feed(data):
            self._on_news(message)
