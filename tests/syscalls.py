"""Let the kernel fail a system call of this process, or end the process there (seccomp(2)).

For child processes only: it cannot be undone.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

NUMBERS = {
    "x86_64": {"pwrite64": 18, "fcntl": 72, "fsync": 74, "fdatasync": 75, "ftruncate": 77, "unlink": 87},
    "aarch64": {"fcntl": 25, "unlinkat": 35, "ftruncate": 46, "pwrite64": 68, "fsync": 82, "fdatasync": 83},
}.get(platform.machine(), {})
"""Of the calls that tests need, by the kernel's tables."""

_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
_ALLOW, _FAIL, _KILL = 0x7FFF0000, 0x00050000, 0x80000000  # SECCOMP_RET_ALLOW, _ERRNO, _KILL_PROCESS
_SECOND_ARGUMENT = 24  # of struct seccomp_data
_SET_LOCK = 6  # F_SETLK


def fail(name: str, error: int) -> None:
    """From now on the call gives ``error`` instead of being made; of ``fcntl`` only the setting of locks."""
    _install(name, _FAIL | error)


def die_at(name: str) -> None:
    """This process is killed when it makes the call for the first time."""
    _install(name, _KILL)


def _install(name: str, action: int) -> None:
    steps = [
        (_LOAD, 0, 0, 0),
        (_JUMP_IF_EQUAL, 0, 1, NUMBERS[name]),
        (_RETURN, 0, 0, action),
        (_RETURN, 0, 0, _ALLOW),
    ]
    if name == "fcntl":
        steps[1:2] = [
            (_JUMP_IF_EQUAL, 0, 3, NUMBERS[name]),
            (_LOAD, 0, 0, _SECOND_ARGUMENT),
            (_JUMP_IF_EQUAL, 0, 1, _SET_LOCK),
        ]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    header = struct.pack("HP", len(steps), ctypes.addressof(program))  # struct sock_fprog
    libc = ctypes.CDLL(None, use_errno=True)
    no_new_privileges, set_seccomp, with_filter = 38, 22, 2
    for arguments in ((no_new_privileges, 1, 0, 0, 0), (set_seccomp, with_filter, header, 0, 0)):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
