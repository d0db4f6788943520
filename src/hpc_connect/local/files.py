"""The files of one submission: made before the store is told, taken back when nothing comes of it."""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from hpc_connect.errors import SpecError, SubmitError


class Files:
    """What was made so far.

    Args:
        job_id: our id of the submission, for names that nobody else uses.
    """

    def __init__(self, job_id: str) -> None:
        self._id = job_id
        self._files: list[str] = []
        self._folders: list[str] = []

    def take_back(self) -> None:
        """Remove it all, as far as nobody else uses it by now."""
        for path in self._files:
            with contextlib.suppress(OSError):
                os.unlink(path)
        for path in reversed(self._folders):
            with contextlib.suppress(OSError):
                os.rmdir(path)

    def prepare_output(self, path: str, field: str) -> None:
        """Make the folders above an output file, and see that it can be written; the file itself is left as it is.

        Raises:
            SpecError: that cannot be done.
        """
        try:
            folder = os.path.dirname(path)
            self._make_folder(folder)
            try:
                mode = os.stat(path).st_mode
            except FileNotFoundError:
                _insist(os.access(folder, os.W_OK | os.X_OK), errno.EACCES)
                return
            _insist(not stat.S_ISDIR(mode), errno.EISDIR)
            _insist(os.access(path, os.W_OK), errno.EACCES)
        except OSError as error:
            raise SpecError(field, path, f"cannot be written: {error.strerror}") from error
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            raise SpecError(field, path, "is a pipe or a socket; a job on its own writes to files")

    def write_user_script(self, path: str, data: bytes) -> None:
        """Write a script where the user wants to have it, whole or not at all, and executable.

        Raises:
            SpecError: it cannot be written there.
        """
        try:
            self._make_folder(os.path.dirname(path))
            target = os.path.realpath(path)
            _insist(not os.path.isdir(target), errno.EISDIR)
            if not os.path.exists(target):
                self._files.append(target)
            part = os.path.join(os.path.dirname(target), f".hpc_connect-{self._id}")
            try:
                _write(part, data, 0o777)
                os.replace(part, target)
            except OSError:
                with contextlib.suppress(OSError):
                    os.unlink(part)
                raise
        except OSError as error:
            raise SpecError("script_path", path, f"cannot be written: {error.strerror}") from error

    def write_own(self, path: str, data: bytes, mode: int) -> None:
        """Write a file into the record folder, for its owner alone whatever the umask.

        Raises:
            SubmitError: it cannot be written.
        """
        self._files.append(path)
        try:
            _write(path, data, mode, exactly=True)
        except OSError as error:
            problem = f"{path} cannot be written: {error.strerror}"
            raise SubmitError(f"{problem}; free some space, or set work_dir") from error

    def _make_folder(self, path: str) -> None:
        """With all that is missing above it."""
        if os.path.isdir(path):
            return
        self._make_folder(os.path.dirname(path))
        try:
            os.mkdir(path)
        except FileExistsError:
            if not os.path.isdir(path):
                raise
        else:
            self._folders.append(path)


def _insist(holds: bool, error: int) -> None:
    if not holds:
        raise OSError(error, os.strerror(error))


def _write(path: str, data: bytes, mode: int, *, exactly: bool = False) -> None:
    """Make a file; ``exactly`` with this mode, whatever the umask."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(descriptor, "wb", buffering=0) as file:
        if exactly and stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:
            os.fchmod(descriptor, mode)
        _insist(file.write(data) == len(data), errno.ENOSPC)
