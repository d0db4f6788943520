"""Signals before the end, and mail."""

from __future__ import annotations

import pickle
import signal
from datetime import timedelta
from typing import Any

import pytest

from hpc_connect.errors import SpecError
from hpc_connect.notices import Mail, SignalBeforeEnd, mail, signal_before_end, signal_number
from hpc_connect.quantities import Duration


@pytest.mark.parametrize(
    ("value", "expected"),
    [("USR1", 10), ("SIGUSR1", 10), (10, 10), (signal.SIGTERM, 15), (1, 1), (64, 64), ("RTMIN", 34)],
)
def test_a_signal_is_a_number_or_a_name_with_or_without_sig(value: int | str, expected: int) -> None:
    number = signal_number(value, "signal")
    assert (type(number), number) == (int, expected)


@pytest.mark.parametrize(
    "value", [0, -9, 65, 10.0, True, "usr1", "10", "SIGSIGUSR1", "_DFL", "SIG_DFL", "", "SIG", None, b"USR1"]
)
def test_what_is_no_signal_is_refused_by_name(value: Any) -> None:
    with pytest.raises(SpecError) as caught:
        signal_number(value, "signal_before_end")
    assert (caught.value.field, caught.value.value) == ("signal_before_end", value)


@pytest.mark.parametrize(
    "value", [("USR1", "60s"), (10, 60), ["SIGUSR1", timedelta(minutes=1)], ("USR1", "0:01:00")]
)
def test_a_warning_is_a_signal_and_how_long_before_the_end(value: Any) -> None:
    warning = signal_before_end(value, "signal_before_end")
    assert warning == SignalBeforeEnd(10, Duration(seconds=60))
    assert isinstance(warning.lead, Duration)
    assert signal_before_end(warning, "signal_before_end") == warning
    assert pickle.loads(pickle.dumps(warning)) == warning


@pytest.mark.parametrize(
    "value",
    [
        "USR1",
        ("USR1",),
        ("USR1", 60, 1),
        10,
        None,
        ("USR1", 0),
        ("USR1", "1:00"),
        ("NOPE", 60),
        ("USR1", None),
    ],
)
def test_what_is_no_warning_is_refused_by_name(value: Any) -> None:
    with pytest.raises(SpecError) as caught:
        signal_before_end(value, "signal_before_end")
    assert caught.value.field == "signal_before_end"


@pytest.mark.parametrize("events", [["begin"], ("end", "fail"), ["begin", "end", "fail"]])
def test_mail_is_an_address_and_events(events: Any) -> None:
    kept = mail(("me@example.org", events), "mail")
    assert kept == Mail("me@example.org", tuple(events))
    assert mail(kept, "mail") == kept
    assert pickle.loads(pickle.dumps(kept)) == kept


@pytest.mark.parametrize(
    "value",
    [
        "me@example.org", ("me@example.org",), None, 4, ("me@example.org", "end"), ("me@example.org", []),
        ("me@example.org", ["END"]), ("me@example.org", ["start"]), ("me@example.org", [None]), ("me",
        ["end"]),
        ("", ["end"]), ("a b@example.org", ["end"]), ("a@b\n", ["end"]), (b"a@b", ["end"]), (None, ["end"]),
    ],
)  # fmt: skip
def test_other_mail_is_refused_by_name(value: Any) -> None:
    with pytest.raises(SpecError) as caught:
        mail(value, "mail")
    assert caught.value.field.startswith("mail")
