"""A place whose commands answer what a test tells them to."""

from __future__ import annotations

import pytest

from hpc_connect.errors import TransportError
from hpc_connect.testing import Asked, FakeClock, FakeTransport
from hpc_connect.transport import Completed


@pytest.fixture
def place() -> FakeTransport:
    return FakeTransport()


def test_a_command_answers_what_it_was_told_again_and_again(place: FakeTransport) -> None:
    place.on("squeue").answer("7 R\n", stderr=b"warning\n", returncode=3)
    for _ in range(2):
        done = place.run(["squeue", "--me"])
        assert done == Completed(argv=("squeue", "--me"), returncode=3, stdout=b"7 R\n", stderr=b"warning\n")


def test_answers_come_in_order_and_the_last_stays(place: FakeTransport) -> None:
    place.on("squeue").answer("1").fail("connection lost").answer("2")
    assert place.run(["squeue"]).stdout == b"1"
    with pytest.raises(TransportError, match="connection lost"):
        place.run(["squeue"])
    assert [place.run(["squeue"]).stdout for _ in range(2)] == [b"2", b"2"]


def test_the_longest_beginning_counts(place: FakeTransport) -> None:
    place.on("scontrol").answer("any")
    place.on("scontrol", "show").answer("show")
    place.on("scontrol", "show", "job").answer("job")
    said = [
        place.run(["scontrol", *words]).stdout for words in ([], ["hold"], ["show"], ["show", "job", "1"])
    ]
    assert said == [b"any", b"any", b"show", b"job"]


def test_an_answer_can_be_computed(place: FakeTransport) -> None:
    def echo(asked: Asked) -> Completed:
        return Completed(argv=asked.argv, returncode=0, stdout=asked.stdin.upper())

    place.on("tr").call(echo)
    assert place.run(["tr"], stdin=b"hello").stdout == b"HELLO"


def test_a_command_that_nothing_was_said_about_fails_the_test(place: FakeTransport) -> None:
    with pytest.raises(AssertionError, match=r"on\(\*\('qstat', '-x'\)\)"):
        place.run(["qstat", "-x"])
    place.on("qstat")
    with pytest.raises(AssertionError, match="answer"):
        place.run(["qstat", "-x"])


def test_what_was_asked_is_kept() -> None:
    clock = FakeClock()
    place = FakeTransport(clock)
    place.on("sbatch").answer("41")
    place.run(["sbatch", "-n", "2"], stdin=b"script", cwd="/work", env={"A": "1", "B": None}, timeout=5)
    clock.advance(3)
    place.run(["sbatch"])
    first, second = place.asked
    assert (first.argv, first.stdin, first.cwd) == (("sbatch", "-n", "2"), b"script", "/work")
    assert (first.env, first.timeout, first.at) == ({"A": "1", "B": None}, 5, 0)
    assert (second.argv, second.stdin, second.cwd, second.env, second.at) == (("sbatch",), b"", None, {}, 3)


def test_a_command_takes_its_time_by_the_clock(place: FakeTransport) -> None:
    rung: list[float] = []
    place.clock.call_later(1, lambda: rung.append(place.clock.now()))
    place.on("sacct").answer("late", delay=2)
    assert place.run(["sacct"]).stdout == b"late"
    assert (place.clock.now(), rung) == (2, [1])


def test_a_command_that_takes_longer_than_it_may_gives_no_answer(place: FakeTransport) -> None:
    place.on("sacct").answer("too late", delay=20).answer("in time", delay=10)
    with pytest.raises(TransportError, match="sacct -X has not ended within 10 s"):
        place.run(["sacct", "-X"], timeout=10)
    assert place.clock.now() == 10
    assert place.run(["sacct"], timeout=10).stdout == b"in time"
    assert place.run(["sacct"], timeout=None).stdout == b"in time"


def test_an_outage_cuts_off_everything_until_it_is_over(place: FakeTransport) -> None:
    place.on("squeue").answer("1")
    place.files["/a"] = b"x"
    place.outage = TransportError("the network is down")
    for use in (
        lambda: place.run(["squeue"]),
        lambda: place.read("/a"),
        lambda: place.write("/a", b""),
        lambda: place.list("/"),
        lambda: place.remove(["/a"]),
    ):
        with pytest.raises(TransportError, match="network is down"):
            use()
    assert len(place.asked) == 1
    place.outage = None
    assert place.run(["squeue"]).stdout == b"1"
    assert place.read("/a") == b"x"
