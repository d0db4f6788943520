"""This machine."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
from contextlib import suppress
from typing import IO, TYPE_CHECKING

from hpc_connect.errors import TransportError, shortened
from hpc_connect.transport import DEFAULT_TIMEOUT, Completed, Transport

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# What an enclosing job, launcher or rank is told about itself, and would make a new job take after it: sbatch(1),
# "INPUT ENVIRONMENT VARIABLES" and "OUTPUT ENVIRONMENT VARIABLES"; qsub(1B); PMIx, Open MPI, Hydra.
_OF_A_JOB = ("SLURM", "SBATCH_", "SALLOC_", "PBS_", "PMI", "OMPI_", "PRTE_", "HYDI_", "HYDRA_", "MPI_LOCAL")

# What says where the scheduler is, and who asks: slurm.conf(5), sbatch(1) --clusters, Slurm's page on JWT;
# pbs.conf(8B), pbs_default(3B).
_OF_THE_SITE = frozenset(
    {"SLURM_CONF", "SLURM_CLUSTERS", "SLURM_JWT", "PBS_CONF_FILE", "PBS_DEFAULT", "PBS_SERVER", "PBS_EXEC"}
)


class LocalTransport(Transport):
    """Commands and files of this machine.

    Commands get the variables of this program, without those that an enclosing batch job or MPI launcher has set, so
    that what is submitted from inside a job is a job of its own. Nobody's ``os.environ`` is changed.

    Args:
        keep: names of further variables of the site that begin as those of a job do, and must stay.
    """

    def __init__(self, keep: Iterable[str] = ()) -> None:
        self._keep = _OF_THE_SITE.union(keep)

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        cwd: str | None = None,
        env: Mapping[str, str | None] | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
    ) -> Completed:
        """See :meth:`Transport.run`. What it leaves running in the background is not waited for."""
        # Files, not pipes: a background process that has inherited a pipe keeps it open after the command has ended.
        with _memory(stdin) as given, _memory() as stdout, _memory() as stderr:
            process = self._start(argv, given, stdout, stderr, cwd, env)
            try:
                ended = _wait(process.pid, timeout)
            except BaseException:
                _end(process)
                raise
            if not ended:
                _end(process)
                raise TransportError(
                    f"{_shown(argv)} has not ended within {timeout} s, and was ended with all that it started; "
                    f"whether it did its work is not known. It wrote: {_said(stdout, stderr)}"
                )
            return Completed(
                argv=tuple(argv), returncode=process.wait(), stdout=_content(stdout), stderr=_content(stderr)
            )

    def _start(
        self,
        argv: Sequence[str],
        stdin: IO[bytes],
        stdout: IO[bytes],
        stderr: IO[bytes],
        cwd: str | None,
        env: Mapping[str, str | None] | None,
    ) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                list(argv),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                cwd=cwd,
                env=self._environment(env or {}),
                start_new_session=True,
            )
        except FileNotFoundError as error:
            if cwd is not None and error.filename == cwd:
                problem = f"there is no folder {cwd!r}"
            else:
                problem = (
                    f"there is no program {argv[0]!r} on this machine's PATH; load its module or install it"
                )
            raise TransportError(f"{_shown(argv)} cannot be run: {problem}") from error
        except (OSError, ValueError) as error:  # ValueError: a NUL, which no argument or variable can hold
            raise TransportError(f"{_shown(argv)} cannot be run: {error}") from error

    def _environment(self, changes: Mapping[str, str | None]) -> dict[str, str]:
        found: dict[str, str | None] = {
            name: value
            for name, value in os.environ.items()
            if name in self._keep or not name.startswith(_OF_A_JOB)
        }
        return {name: value for name, value in {**found, **changes}.items() if value is not None}

    def read(self, path: str) -> bytes | None:
        """See :meth:`Transport.read`."""
        try:
            with open(path, "rb") as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise TransportError(f"{path!r} cannot be read: {error}") from error

    def write(self, path: str, content: bytes, *, mode: int = 0o600) -> None:
        """See :meth:`Transport.write`."""
        folder = os.path.dirname(os.path.abspath(path))
        part = ""
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            descriptor, part = tempfile.mkstemp(prefix=".part-", dir=folder)
            with open(descriptor, "wb") as file:
                file.write(content)
                os.fchmod(descriptor, mode)
            os.replace(part, path)
        except (OSError, ValueError) as error:
            if part:
                with suppress(OSError):
                    os.unlink(part)
            raise TransportError(f"{path!r} cannot be written: {error}") from error

    def list(self, folder: str) -> tuple[str, ...]:
        """See :meth:`Transport.list`."""
        try:
            return tuple(sorted(os.listdir(folder)))
        except FileNotFoundError:
            return ()
        except (OSError, ValueError) as error:
            raise TransportError(f"{folder!r} cannot be read: {error}") from error

    def remove(self, paths: Iterable[str]) -> None:
        """See :meth:`Transport.remove`."""
        problem: TransportError | None = None
        for path in paths:
            try:
                os.unlink(path)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except (OSError, ValueError) as error:
                problem = TransportError(f"{path!r} cannot be removed: {error}")
                problem.__cause__ = error
        if problem is not None:
            raise problem


def _memory(content: bytes = b"") -> IO[bytes]:
    """A file without a name, in memory, to be read from its beginning."""
    file = open(os.memfd_create("hpc_connect"), "w+b", buffering=0)  # noqa: SIM115 - used in a with statement
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]
    file.seek(0)
    return file


def _content(file: IO[bytes]) -> bytes:
    """All of it; the position belongs to the command too, which may still write in the background."""
    parts: list[bytes] = []
    offset = 0
    while part := os.pread(file.fileno(), 1 << 20, offset):
        parts.append(part)
        offset += len(part)
    return b"".join(parts)


def _wait(pid: int, timeout: float | None) -> bool:
    """Whether a child ends in time; the kernel says so at once (pidfd_open(2))."""
    descriptor = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(None if timeout is None else max(0.0, timeout) * 1000))
    finally:
        os.close(descriptor)


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _shown(argv: Sequence[str]) -> str:
    import shlex  # noqa: PLC0415 - slow to load, and needed only once something has failed

    return shortened(shlex.join(argv))


def _said(stdout: IO[bytes], stderr: IO[bytes]) -> str:
    text = (_content(stderr) + b"\n" + _content(stdout)).decode(errors="replace").strip()
    return shortened(text) or "nothing"
