"""What a submit command printed, kept where a later client finds it."""

from __future__ import annotations

import re
from typing import NamedTuple

from hpc_connect.records.line import END, PREFIX


class Receipt(NamedTuple):
    """The answer of a submit command.

    Attributes:
        output: what it printed on its standard output.
        code: its exit code, or None when it had not ended (or was cut off) when this was read.
    """

    output: str
    code: int | None


def read_receipt(text: str, job: str) -> Receipt:
    """Split a receipt into the command's output and its exit code.

    Without the end marker the output may be incomplete: a job id in it is no proof of an id's last digit.
    """
    output, found, tail = text.rpartition(f"\n{PREFIX} receipt id={job} code=")
    code = re.fullmatch(rf"([0-9]{{1,3}}) {END}\n", tail)
    if not found or code is None:
        return Receipt(text, None)
    return Receipt(output, int(code[1]))
