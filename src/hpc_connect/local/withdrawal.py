"""Cancels a job that nobody has started: who takes the claim and does not run it sees to it that nobody ever does."""

from __future__ import annotations

import os
import signal as signals
import time
from typing import TYPE_CHECKING

from hpc_connect.local.claim import Claim
from hpc_connect.local.tracking import NEVER_STARTED
from hpc_connect.records.line import EndRecord

if TYPE_CHECKING:
    from hpc_connect.records.folder import RecordFolder


def withdraw(folder: RecordFolder, name: str, attempt: int) -> bool:
    """Record that a job was cancelled before it started. False when somebody has claimed it.

    Raises:
        OSError: the record folder cannot be used.
    """
    try:
        claim = Claim.take(folder, name)
    except FileNotFoundError:
        return False
    job_id, _, index = name.partition(".")
    number, host = int(signals.SIGTERM), os.uname().nodename
    claim.note_end(
        EndRecord(job_id, index or "-", "-", attempt, "signal", number, NEVER_STARTED, host, 0.0, time.time())
    )
    return True
