"""The errors of hpc_connect.

    HPCConnectError
    ├── SpecError (ValueError, TypeError)     a field of a job specification cannot be accepted
    │   └── UnsupportedError                  the field is fine, but this backend cannot do it
    ├── ConfigError (ValueError)              a configuration file, variable or key is wrong
    ├── PluginError                           a plug-in could not be used
    │   ├── UnknownBackend (ValueError)       nothing of that name is installed
    │   ├── UnknownLauncher (ValueError)
    │   └── BrokenPlugin                      it is installed, but fails to load
    ├── LaunchError                           a parallel program could not be started
    ├── TransportError                        a command could not be run, or gave no whole answer
    ├── StoreError                            the journal of submissions cannot be used
    ├── EngineError                           the monitoring engine has failed for good
    ├── SubmitError                           a submission was clearly refused
    └── JobError                              news about one job
        ├── JobFailed                         it ended, and not well
        ├── JobCancelled                      somebody asked it to end
        └── JobLost                           no evidence of its end can be found

Every message says what to do next. Errors can be pickled where the value they name can be.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hpc_connect.status import JobStatus


class HPCConnectError(Exception):
    """Base of all errors that hpc_connect raises on purpose."""


class SpecError(HPCConnectError, ValueError, TypeError):
    """A field cannot be accepted. Both ``except ValueError`` and ``except TypeError`` catch it.

    Attributes:
        field: name of the field.
        value: what was given.
        allowed: what would have been accepted, in words.
    """

    def __init__(self, field: str, value: object, allowed: str) -> None:
        super().__init__(field, value, allowed)
        self.field = field
        self.value = value
        self.allowed = allowed

    def __str__(self) -> str:
        return f"{self.field}={_shown(self.value)}: {self.allowed}"


class UnsupportedError(SpecError):
    """The request is well formed, but this backend cannot do it, and says so before anything is sent.

    ``field`` names the field of the specification or the verb that was asked for.
    """


class ConfigError(HPCConnectError, ValueError):
    """A configuration file, variable or key is wrong.

    Attributes:
        origin: the file (with its line or key) or the environment variable at fault.
    """

    def __init__(self, origin: str, problem: str) -> None:
        super().__init__(origin, problem)
        self.origin = origin
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.origin}: {self.problem}"


class PluginError(HPCConnectError):
    """A backend or launcher could not be used."""


class _UnknownName(PluginError, ValueError):
    """Nothing of that name is installed; ``known`` lists what is."""

    kind = "plug-in"

    def __init__(self, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        super().__init__(name, known)
        self.name = name
        self.known = known

    def __str__(self) -> str:
        return (
            f"unknown {self.kind} {self.name!r}; known: {', '.join(self.known)}. "
            f"Install the package that brings it, or see what there is with: python -m hpc_connect"
        )


class UnknownBackend(_UnknownName):
    """No backend of that name is installed or configured."""

    kind = "backend"


class UnknownLauncher(_UnknownName):
    """No launcher of that name is installed."""

    kind = "launcher"


class BrokenPlugin(PluginError):
    """A plug-in is installed but cannot be loaded; its own error is the ``__cause__``.

    Attributes:
        name: the backend or launcher that was asked for.
        package: the distribution that brings it.
    """

    def __init__(self, name: str, package: str, problem: str) -> None:
        super().__init__(name, package, problem)
        self.name = name
        self.package = package
        self.problem = problem

    def __str__(self) -> str:
        return (
            f"{self.name!r} from package {self.package} cannot be used: {self.problem}. "
            f"Mend or uninstall {self.package}"
        )


class LaunchError(HPCConnectError):
    """A parallel program could not be started."""


class TransportError(HPCConnectError):
    """A command could not be run, did not end in time, or its answer did not arrive whole."""


class StoreError(HPCConnectError):
    """The journal of submissions cannot be read or written."""


class EngineError(HPCConnectError):
    """The monitoring engine has failed for good; raised in everybody who waits."""


class SubmitError(HPCConnectError):
    """A submission was clearly refused: there is no job.

    Attributes:
        argv: the command that was run.
        returncode: its exit code, or None when it could not be started.
        stdout, stderr: what it printed.
    """

    def __init__(
        self,
        problem: str,
        argv: Sequence[str] = (),
        returncode: int | None = None,
        stdout: str = "",
        stderr: str = "",
    ) -> None:
        argv = list(argv)
        super().__init__(problem, argv, returncode, stdout, stderr)
        self.problem = problem
        self.argv = argv
        self.returncode = returncode
        self.stdout = stdout
        self.stderr = stderr

    def __str__(self) -> str:
        import shlex  # noqa: PLC0415 - slow to load, and needed only once something has failed

        parts = [self.problem]
        if self.argv:
            parts.append(f"command: {shortened(shlex.join(self.argv))}")
        if self.returncode is not None:
            parts.append(f"exit code {self.returncode}")
        if self.stderr.strip():
            parts.append(shortened(self.stderr.strip(), 2000))
        return "; ".join(parts)


class JobError(HPCConnectError):
    """News about one job, raised by ``result()`` and futures.

    Attributes:
        job_id: our id of the job.
        status: the last :class:`~hpc_connect.status.JobStatus`, which holds the evidence.
        output_tail: the end of the job's output, as far as it could be read.
    """

    def __init__(self, job_id: str, status: JobStatus, output_tail: str = "") -> None:
        super().__init__(job_id, status, output_tail)
        self.job_id = job_id
        self.status = status
        self.output_tail = output_tail

    def __str__(self) -> str:
        text = f"job {self.job_id}: {self.status.describe()}"
        if self.output_tail:
            text += f"\n--- end of its output ---\n{self.output_tail}"
        return text


class JobFailed(JobError):
    """The job ended with a non-zero exit code, by a signal, or was ended by the scheduler."""


class JobCancelled(JobError):
    """The job ended because somebody asked for it."""


class JobLost(JobError):
    """The job is gone and nothing tells how it ended. ``recover()`` may find evidence later."""


def shortened(text: str, limit: int = 200) -> str:
    """``text`` on one line, cut in the middle when it is too long for that."""
    text = " ".join(text.splitlines())
    if len(text) <= limit:
        return text
    half = (limit - 5) // 2
    return f"{text[:half]} ... {text[-half:]}"


def _shown(value: object) -> str:
    try:
        return shortened(repr(value))
    except Exception:  # noqa: BLE001 - a message must not fail over the value it is about
        return f"<{type(value).__name__}>"
