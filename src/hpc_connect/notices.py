"""What a job is told before its end, and what its owner is told of it."""

from __future__ import annotations

import signal as signals
from typing import TYPE_CHECKING, NamedTuple

from hpc_connect.errors import SpecError
from hpc_connect.fields import line, lines
from hpc_connect.quantities import Duration, DurationLike

if TYPE_CHECKING:
    from collections.abc import Sequence


class SignalBeforeEnd(NamedTuple):
    """A signal sent to the job some time before its time limit."""

    signal: int
    lead: Duration


class Mail(NamedTuple):
    """Who gets mail about which events."""

    address: str
    events: tuple[str, ...]


MAIL_EVENTS = ("begin", "end", "fail")


def signal_number(value: int | str, field: str) -> int:
    """The number of a signal, given as number (1 to 64) or name (``"USR1"``, ``"SIGUSR1"``)."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 64:
        return int(value)
    if isinstance(value, str):
        name = value if value.startswith("SIG") else f"SIG{value}"
        if name in signals.Signals.__members__:
            return int(signals.Signals[name])
    raise SpecError(field, value, "must be the number (1 to 64) or the name of a signal, such as 'USR1'")


def signal_before_end(value: tuple[int | str, DurationLike], field: str) -> SignalBeforeEnd:
    """A pair (signal, how long before the end)."""
    try:
        number, lead = value
    except (TypeError, ValueError) as error:
        raise SpecError(field, value, "must be a pair such as ('USR1', '60s')") from error
    return SignalBeforeEnd(signal_number(number, field), Duration.parse(lead, field))


def mail(value: tuple[str, Sequence[str]], field: str) -> Mail:
    """A pair (address, list of events)."""
    try:
        address, events = value
    except (TypeError, ValueError) as error:
        raise SpecError(
            field, value, f"must be a pair such as ('me@example.org', {list(MAIL_EVENTS)})"
        ) from error
    chosen = lines(events, field) or ()
    if not chosen or any(event not in MAIL_EVENTS for event in chosen):
        raise SpecError(field, value, f"events are some of {list(MAIL_EVENTS)}")
    if "@" not in line(address, field) or any(letter.isspace() for letter in address):
        raise SpecError(field, value, "the address must have the form name@host")
    return Mail(address, chosen)
