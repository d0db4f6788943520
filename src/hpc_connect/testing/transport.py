"""A place whose commands answer what a test tells them to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hpc_connect.errors import TransportError
from hpc_connect.testing.clock import FakeClock
from hpc_connect.transport import DEFAULT_TIMEOUT, Completed, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One command that a :class:`FakeTransport` was asked to run; the fields are those of ``Transport.run``.

    Attributes:
        at: when, by the clock of the transport.
    """

    argv: tuple[str, ...]
    stdin: bytes
    cwd: str | None
    env: Mapping[str, str | None]
    timeout: float | None
    at: float


class Script:
    """What a command answers, time after time; the last answer is given for ever after.

        transport.on("squeue").answer(b"").fail("connection lost").answer(b"7 RUNNING")

    is empty at first, then fails once, and then lists a job.
    """

    def __init__(self) -> None:
        self._answers: list[tuple[Callable[[Asked], Completed], float]] = []

    def answer(
        self, stdout: bytes | str = b"", *, stderr: bytes | str = b"", returncode: int = 0, delay: float = 0.0
    ) -> Script:
        """End with this exit code and output, after so many seconds of the clock."""
        done = Completed(argv=(), returncode=returncode, stdout=_bytes(stdout), stderr=_bytes(stderr))
        return self.call(lambda asked: replace(done, argv=asked.argv), delay=delay)

    def fail(self, problem: str | TransportError, *, delay: float = 0.0) -> Script:
        """Give no answer: raise ``TransportError``, after so many seconds of the clock."""
        error = problem if isinstance(problem, TransportError) else TransportError(problem)

        def raise_it(_: Asked) -> Completed:
            raise error.with_traceback(None)

        return self.call(raise_it, delay=delay)

    def call(self, function: Callable[[Asked], Completed], *, delay: float = 0.0) -> Script:
        """Answer what ``function(asked)`` gives, or raise what it raises."""
        self._answers.append((function, delay))
        return self

    def next(self) -> tuple[Callable[[Asked], Completed], float]:
        """The answer that is due, and how long it takes."""
        if not self._answers:
            raise AssertionError("no answer was given: call answer(), fail() or call()")
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


class FakeTransport(Transport):
    """A place without processes, files or time of its own. Commands answer by script, files lie in a dictionary.

        transport = FakeTransport()
        transport.on("sbatch").answer("41")
        transport.on("squeue", "-j", "41").answer("41 RUNNING", delay=2)
        backend = MyBackend(transport)

    A command that nothing was said about fails the test.

    Attributes:
        asked: every command that was run, in order.
        files: what each file holds, by path.
        outage: while this is set, every command and file operation raises it.
        clock: passes the time that commands take; a time-out is a matter of this clock alone.
    """

    def __init__(self, clock: FakeClock | None = None, files: Mapping[str, bytes] | None = None) -> None:
        self.clock = clock or FakeClock()
        self.asked: list[Asked] = []
        self.files: dict[str, bytes] = dict(files or {})
        self.outage: TransportError | None = None
        self._scripts: dict[tuple[str, ...], Script] = {}

    def on(self, *words: str) -> Script:
        """What commands that begin with these words answer. The longest such beginning counts."""
        return self._scripts.setdefault(words, Script())

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        cwd: str | None = None,
        env: Mapping[str, str | None] | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
    ) -> Completed:
        """Note what was asked, let the time pass that it takes, and answer."""
        asked = Asked(
            argv=tuple(argv), stdin=stdin, cwd=cwd, env=dict(env or {}), timeout=timeout, at=self.clock.now()
        )
        self.asked.append(asked)
        self._check_outage()
        function, delay = self._script(asked.argv).next()
        if timeout is not None and delay > timeout:
            self.clock.advance(timeout)
            raise TransportError(f"{' '.join(argv)} has not ended within {timeout} s")
        self.clock.advance(delay)
        return function(asked)

    def _script(self, argv: tuple[str, ...]) -> Script:
        matching = [words for words in self._scripts if argv[: len(words)] == words]
        if not matching:
            raise AssertionError(f"nothing was said about this command: FakeTransport.on(*{argv!r})")
        return self._scripts[max(matching, key=len)]

    def read(self, path: str) -> bytes | None:
        """See :meth:`Transport.read`."""
        self._check_outage()
        return self.files.get(path)

    def write(self, path: str, content: bytes, *, mode: int = 0o600) -> None:
        """See :meth:`Transport.write`; the mode is forgotten."""
        self._check_outage()
        self.files[path] = content

    def list(self, folder: str) -> tuple[str, ...]:
        """See :meth:`Transport.list`."""
        self._check_outage()
        start = folder.rstrip("/") + "/"
        below = (path.removeprefix(start) for path in self.files if path.startswith(start))
        return tuple(sorted({path.partition("/")[0] for path in below}))

    def remove(self, paths: Iterable[str]) -> None:
        """See :meth:`Transport.remove`."""
        self._check_outage()
        for path in paths:
            self.files.pop(path, None)

    def _check_outage(self) -> None:
        if self.outage is not None:
            raise self.outage.with_traceback(None)


def _bytes(text: bytes | str) -> bytes:
    return text.encode() if isinstance(text, str) else text
