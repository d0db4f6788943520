"""Messages to the supervisor, in the order in which they were posted; and the supervisor itself."""

from __future__ import annotations

import threading
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from hpc_connect.engine import engine
from hpc_connect.errors import SubmitError
from hpc_connect.local.link import SupervisorLink

if TYPE_CHECKING:
    from collections.abc import Callable


class Outbox:
    """Posting never blocks; one :meth:`pump` at a time does, until the supervisor has taken what was posted.

    Args:
        folder: path of the record folder.
        on_news: called with each message of the supervisor, on the engine's thread.
        on_loss: called when the supervisor has ended before this process, not on the engine's thread.
        on_refusal: called with the error and the messages when no other supervisor can be started.
    """

    def __init__(
        self,
        folder: str,
        on_news: Callable[[dict[str, Any]], None],
        on_loss: Callable[[], None],
        on_refusal: Callable[[SubmitError, list[dict[str, Any]]], None],
    ) -> None:
        self._folder = folder
        self._on_news = on_news
        self._on_loss = on_loss
        self._on_refusal = on_refusal
        self._messages: deque[dict[str, Any]] = deque()
        self._pumping = threading.Lock()
        self._link: SupervisorLink | None = None

    def open(self) -> None:
        """Start the supervisor if there is none.

        Raises:
            SubmitError: it does not start.
        """
        if self._link is None:
            with self._pumping:
                self._open_link()

    def _open_link(self) -> SupervisorLink:
        if self._link is None:
            self._link = SupervisorLink(self._folder, self._on_news, self._lost)
        return self._link

    def post(self, message: dict[str, Any]) -> None:
        """Put a message behind the others."""
        self._messages.append(message)

    def clear(self) -> None:
        """Forget what was posted and not sent."""
        self._messages.clear()

    def pump(self) -> None:
        """Send what was posted, unless another thread is at it already; on the engine's thread have another do it."""
        if engine().is_current():
            engine().block(self.pump)
            return
        while self._messages and self._pumping.acquire(blocking=False):
            try:
                self._send_all()
            finally:
                self._pumping.release()

    def _send_all(self) -> None:
        while self._messages:
            try:
                link = self._open_link()
            except SubmitError as error:
                messages = [*self._messages]
                self._messages.clear()
                self._on_refusal(error, messages)
                return
            link.send(self._messages.popleft())

    def _lost(self, link: SupervisorLink) -> None:
        engine().block(partial(self._forget, link))

    def _forget(self, link: SupervisorLink) -> None:
        with self._pumping:
            link.close()
            self._link = None
        self._on_loss()
