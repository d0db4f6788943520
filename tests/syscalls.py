"""Let the kernel fail what this process does to files, or end the process there (seccomp(2)).

For child processes only: it cannot be undone.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from typing import NamedTuple

_LOAD, _IF_EQUAL, _IF_GREATER, _RETURN = (
    0x20,
    0x15,
    0x25,
    0x06,
)  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, |JGT|K, BPF_RET|K
_ALLOW, _FAIL, _KILL = 0x7FFF0000, 0x00050000, 0x80000000  # SECCOMP_RET_ALLOW, _ERRNO, _KILL_PROCESS
_FIRST, _SECOND = 16, 24  # where the arguments of a call stand in struct seccomp_data
_STANDARD_ERROR, _SET_LOCK = 2, 6  # F_SETLK


class _Call(NamedTuple):
    """A system call by its number; perhaps only where an argument passes a test."""

    number: int
    argument: int = 0
    test: int = 0
    value: int = 0


_TABLES = {
    "x86_64": {"write": 1, "pwrite64": 18, "fcntl": 72, "fsync": 74, "fdatasync": 75},
    "aarch64": {"fcntl": 25, "write": 64, "pwrite64": 68, "fsync": 82, "fdatasync": 83},
}


def _calls() -> dict[str, list[_Call]]:
    numbers = _TABLES.get(platform.machine())
    if numbers is None:
        return {}
    return {
        # SQLite writes with one or the other, as it was compiled; what goes to the terminal is not meant
        "write": [_Call(numbers["pwrite64"]), _Call(numbers["write"], _FIRST, _IF_GREATER, _STANDARD_ERROR)],
        "sync": [_Call(numbers["fsync"]), _Call(numbers["fdatasync"])],
        "lock": [_Call(numbers["fcntl"], _SECOND, _IF_EQUAL, _SET_LOCK)],
    }


KNOWN = _calls()
"""What can be made to fail on this machine; nothing where its numbers of calls are not in the table."""


def fail(what: str, error: int) -> None:
    """From now on files cannot be written, synced or locked, as ``what`` says: the kernel answers ``error``."""
    for call in KNOWN[what]:
        _install(call, _FAIL | error)


def die_at(what: str) -> None:
    """This process is killed when it next writes, syncs or locks a file."""
    for call in KNOWN[what]:
        _install(call, _KILL)


def _install(call: _Call, action: int) -> None:
    steps = [
        (_LOAD, 0, 0, 0),
        (_IF_EQUAL, 0, 1, call.number),
        (_RETURN, 0, 0, action),
        (_RETURN, 0, 0, _ALLOW),
    ]
    if call.test:
        steps[1:2] = [
            (_IF_EQUAL, 0, 3, call.number),
            (_LOAD, 0, 0, call.argument),
            (call.test, 0, 1, call.value),
        ]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    header = struct.pack("HP", len(steps), ctypes.addressof(program))  # struct sock_fprog
    libc = ctypes.CDLL(None, use_errno=True)
    no_new_privileges, set_seccomp, with_filter = 38, 22, 2  # of prctl(2)
    for arguments in ((no_new_privileges, 1, 0, 0, 0), (set_seccomp, with_filter, header, 0, 0)):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
