"""Programs run by ``supervisor.sh``, under every shell that it knows."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import psutil
import pytest

import hpc_connect.records
from hpc_connect.records.folder import RecordFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hpc_connect.records.line import EndRecord

SCRIPTS = os.path.dirname(hpc_connect.records.__file__)
SHELLS = {"bash": ["bash", "-p"], "dash": ["dash"], "busybox": ["busybox", "sh"]}

_Given = TypeVar("_Given")
_Found = TypeVar("_Found")


def needs(command: str) -> list[pytest.MarkDecorator]:
    """The marks of a test that runs a command of the system."""
    absent = shutil.which(command) is None
    return [pytest.mark.real, pytest.mark.skipif(absent, reason=f"{command} is not installed")]


every_shell = pytest.mark.parametrize(
    "shell", [pytest.param(argv, id=name, marks=needs(argv[0])) for name, argv in SHELLS.items()]
)


def side_by_side(function: Callable[[_Given], _Found], given: Iterable[_Given]) -> list[_Found]:
    """The results for all that is given, a few worked out at a time."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(function, given))


class Supervised:
    """Runs programs under one shell, with records in one folder.

    Attributes:
        shell: name of the shell.
        prefix: words before it, a command that runs it.
        folder: where the records lie.
        id: of the job that is meant where nothing else is said; nobody else's, as signals go by it.
    """

    def __init__(self, shell: list[str], path: str) -> None:
        self.prefix: list[str] = []
        self._argv = shell
        self.shell = shell[0]
        self._mark = uuid.uuid4().hex
        self.id = f"job-{self._mark[:12]}"
        self.folder = RecordFolder(path)
        self.folder.make()

    def start(
        self, *program: str, env: dict[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[bytes]:
        """Start ``program``; options that the supervisor has are its, others are Popen's."""
        words = {"id": self.id, "native": "4711"}
        for name in ("id", "native", "attempt", "array_index", "limit", "grace", "warn", "clean"):
            if name in options:
                words[name] = str(options.pop(name))
        arguments = [f"{name}={value}" for name, value in words.items() if value]
        options = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
        } | options
        supervisor = os.path.join(SCRIPTS, "supervisor.sh")
        return subprocess.Popen(
            [*self.prefix, *self._argv, supervisor, f"folder={self.folder.path}", *arguments, "--", *program],
            env={**(os.environ if env is None else env), "TEST_MARK": self._mark},
            **options,
        )

    def run(self, *program: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Run ``program`` to its end."""
        given = options.pop("input", None)
        if given is not None:
            options["stdin"] = subprocess.PIPE
        with self.start(*program, **options) as process:
            stdout, stderr = process.communicate(given, timeout=60)
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    def run_script(self, text: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Run a program of /bin/sh to its end."""
        return self.run("/bin/sh", "-c", text, **options)

    def end(self, name: str | None = None, attempt: int = 1) -> EndRecord:
        """The end record that must be there."""
        found = self.folder.find_end(name or self.id, attempt)
        assert found is not None
        return found

    def how(self, name: str | None = None) -> tuple[str, int, str]:
        """How a job ended, by its end record."""
        end = self.end(name)
        return end.how, end.number, end.reason

    def left(self) -> list[psutil.Process]:
        """The processes that are still there of all that were started here."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("TEST_MARK") == self._mark:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def end_all(self) -> None:
        """End what is left."""
        while left := self.left():
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(left, timeout=10)
