"""Messages reach the supervisor in the order in which they were posted, whoever sends them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from hpc_connect.engine import engine
from hpc_connect.errors import SubmitError
from hpc_connect.local import outbox as module
from hpc_connect.local.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Callable

SOON = 30.0


class Line:
    """A line that notes what is sent, and waits where it is told to."""

    sent: list[dict[str, Any]]
    started: int
    error: SubmitError | None

    def __init__(self, folder: str, on_news: object, on_loss: Callable[[Line], None]) -> None:
        if type(self).error is not None:
            raise type(self).error
        type(self).started += 1
        self.lose = lambda: on_loss(self)
        self.closed = False

    def send(self, message: dict[str, Any]) -> None:
        type(self).sent.append(message)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> type[Line]:
    kind = type("OwnLine", (Line,), {"sent": [], "started": 0, "error": None})
    monkeypatch.setattr(module, "SupervisorLink", kind)
    return kind


def outbox(**callbacks: object) -> Outbox:
    given = {"on_news": print, "on_loss": print, "on_refusal": print, **callbacks}
    return Outbox("/folder", given["on_news"], given["on_loss"], given["on_refusal"])


def test_nothing_is_started_before_it_is_needed(line: type[Line]) -> None:
    box = outbox()
    box.post({"n": 1})
    assert (line.started, line.sent) == (0, [])
    box.pump()
    box.pump()
    assert (line.started, line.sent) == (1, [{"n": 1}])


def test_opening_twice_starts_one(line: type[Line]) -> None:
    box = outbox()
    threads = [threading.Thread(target=box.open) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert line.started == 1


def test_what_was_posted_first_is_sent_first(line: type[Line]) -> None:
    box, lock, posted = outbox(), threading.Lock(), []

    def post(thread: int) -> None:
        for number in range(100):
            with lock:
                posted.append({"n": (thread, number)})
                box.post(posted[-1])
            box.pump()

    threads = [threading.Thread(target=post, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert line.sent == posted


def test_the_engines_thread_does_not_send_itself(line: type[Line], monkeypatch: pytest.MonkeyPatch) -> None:
    threads, sent = [], threading.Event()
    monkeypatch.setattr(
        line, "send", lambda *_: (threads.append(threading.current_thread().name), sent.set())
    )
    box = outbox()
    engine().call(lambda: (box.post({}), box.pump()))
    assert sent.wait(SOON)
    assert threads != ["hpc_connect-engine"]


def test_when_one_is_lost_the_next_message_starts_another(line: type[Line]) -> None:
    lost = threading.Event()
    box = outbox(on_loss=lost.set)
    box.open()
    first = box._link
    first.lose()
    assert lost.wait(SOON)
    assert first.closed
    box.post({"n": 1})
    box.pump()
    assert line.started == 2


def test_when_none_can_be_started_the_messages_are_given_back(line: type[Line]) -> None:
    refused = []
    box = outbox(on_refusal=lambda error, messages: refused.append((error, messages)))
    line.error = SubmitError("no")
    box.post({"n": 1})
    box.post({"n": 2})
    box.pump()
    assert refused == [(line.error, [{"n": 1}, {"n": 2}])]
    with pytest.raises(SubmitError):
        box.open()
    line.error = None
    box.pump()
    assert line.sent == []


def test_what_was_forgotten_is_not_sent(line: type[Line]) -> None:
    box = outbox()
    box.post({"n": 1})
    box.clear()
    box.pump()
    assert line.sent == []
