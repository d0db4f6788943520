"""The right to run one job on this machine, which exactly one process ever gets, and the records it then writes.

The order of a job lies beside its script. Who renames it has the claim: of any number that try, one succeeds. The
same file then holds the start record, and in the end, moved to where the ends lie, the end record too.
"""

from __future__ import annotations

import contextlib
import json
import os

from hpc_connect.records.line import EndRecord, StartRecord, format_end, format_start, name_of_end

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

    from hpc_connect.records.folder import RecordFolder


class Claim:
    """The claim on one job.

    Attributes:
        name: of the job.
    """

    __slots__ = ("_folder", "name")

    def __init__(self, folder: RecordFolder, name: str) -> None:
        self._folder = folder
        self.name = name

    @classmethod
    def take(cls, folder: RecordFolder, name: str) -> Self:
        """Get it.

        Raises:
            FileNotFoundError: somebody else has it, or had it.
            OSError: the record folder cannot be used.
        """
        os.rename(folder.order(name), folder.start(name))
        return cls(folder, name)

    def read_order(self) -> dict[str, Any]:
        """What is to be done; before the start is noted.

        Raises:
            OSError, ValueError: the order or the script is gone, or not whole: the machine went down meanwhile.
        """
        with open(self._folder.start(self.name), "rb") as file:
            order: dict[str, Any] = json.load(file)
        if os.path.getsize(self._folder.script(self.name)) != order["script_size"]:
            raise ValueError(f"the script {self._folder.script(self.name)} is not whole")
        return order

    def note_start(self, record: StartRecord) -> None:
        """Write the start record. On a full disk too: it takes the place of the order, or of the last attempt's."""
        path = self._folder.start(self.name)
        line = format_start(record).encode()
        if record.attempt > 1:
            part = f"{path}.part"
            _write(part, line, os.O_CREAT | os.O_TRUNC)
            os.replace(part, path)
            return
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.pwrite(descriptor, line, 0)
            os.ftruncate(descriptor, len(line))
        finally:
            os.close(descriptor)

    def note_end(self, record: EndRecord) -> None:
        """Write the end record, and remove the script.

        Raises:
            OSError: it cannot be written in any way.
        """
        path = self._folder.start(self.name)
        try:
            _write(path, format_end(record).encode(), os.O_APPEND)
            os.rename(path, self._folder.end(self.name))
        except OSError:
            # The disk is full, but a name needs no room on it.
            os.rename(path, self._folder.end(name_of_end(self.name, record)))
        finally:
            with contextlib.suppress(OSError):
                os.unlink(self._folder.script(self.name))


def _write(path: str, data: bytes, flags: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags, 0o600)
    try:
        if os.write(descriptor, data) < len(data):
            raise OSError("the record was cut off")
    finally:
        os.close(descriptor)
