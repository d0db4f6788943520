"""The supervisor passes signals on, and ends a program at its time limit, with all that it has started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from supervised import Supervised, every_shell, side_by_side

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = every_shell

FORWARDED = "HUP INT QUIT ABRT ALRM TERM USR1 USR2 XCPU VTALRM PROF".split()


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "this never came"
        time.sleep(0.005)


def python(text: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", "import os, signal, sys\n" + text]


# ---------------------------------------------------------------- signals


@pytest.mark.parametrize("name", FORWARDED)
def test_a_signal_reaches_the_program_once(supervised: Supervised, name: str) -> None:
    program = python(
        "got = []\n"
        "def take(*_):\n"
        "    got.append(1)\n"
        "    os.write(1, b'got\\n')\n"
        f"signal.signal(signal.SIG{name}, take)\n"
        "os.write(1, b'ready\\n')\n"
        "sys.stdin.readline()\n"
        "sys.exit(70 + len(got))\n"
    )
    with supervised.start(*program, stdin=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(getattr(signal, f"SIG{name}"))
        assert process.stdout.readline() == b"got\n"
        process.stdin.close()
        assert process.wait(60) == 71
    assert supervised.how() == ("exit", 71, "-")


def test_a_program_without_a_handler_is_ended_by_the_signal(supervised: Supervised) -> None:
    def end_by(name: str) -> tuple[int, str, int, str]:
        program = "ulimit -c 0; echo ready; exec sleep 100"
        job = f"{supervised.id}-{name}"
        with supervised.start("/bin/sh", "-c", program, id=job) as process:
            assert process.stdout.readline() == b"ready\n"
            process.send_signal(getattr(signal, f"SIG{name}"))
            return process.wait(60), *supervised.how(job)

    numbers = {name: int(getattr(signal, f"SIG{name}")) for name in FORWARDED}
    assert side_by_side(end_by, FORWARDED) == [(128 + n, "signal", n, "-") for n in numbers.values()]


def test_a_signal_that_comes_before_the_program_is_up_ends_it_and_is_recorded(
    supervised: Supervised,
) -> None:
    def end_early(position: int) -> tuple[int, str, int, str]:
        name = f"{supervised.id}-{position}"
        with supervised.start("/bin/sh", "-c", "exec sleep 100", id=name) as process:
            wait_until(lambda: os.path.exists(supervised.folder.start(name)))
            process.send_signal(signal.SIGTERM)
            return process.wait(60), *supervised.how(name)

    assert side_by_side(end_early, range(24)) == [(143, "signal", 15, "-")] * 24


def test_a_program_that_ignores_a_signal_goes_on(supervised: Supervised) -> None:
    program = python(
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready', flush=True)\nsys.stdin.read()"
    )
    with supervised.start(*program, stdin=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        for _ in range(20):
            process.send_signal(signal.SIGTERM)
        process.stdin.close()
        assert process.wait(60) == 0
    assert supervised.how() == ("exit", 0, "-")


def test_a_program_that_is_stopped_has_not_ended(supervised: Supervised) -> None:
    program = "echo $$; read line; exit 3"
    with supervised.start("/bin/sh", "-c", program, stdin=subprocess.PIPE) as process:
        child = psutil.Process(int(process.stdout.readline()))
        for _ in range(3):
            child.suspend()
            wait_until(lambda: child.status() == psutil.STATUS_STOPPED)
            assert process.poll() is None
            child.resume()
        assert supervised.folder.find_end(supervised.id, 1) is None
        process.stdin.close()
        assert process.wait(60) == 3
    assert supervised.how() == ("exit", 3, "-")


# ---------------------------------------------------------------- time limit


def test_a_program_is_told_to_end_at_its_time_limit(supervised: Supervised) -> None:
    assert supervised.run("sleep", "100", limit=1).returncode == 143
    assert supervised.how() == ("signal", 15, "timeout")


def test_a_program_that_handles_the_end_of_its_time_has_timed_out_all_the_same(
    supervised: Supervised,
) -> None:
    done = supervised.run_script("trap 'echo bye; exit 0' TERM; sleep 100 & wait", limit=1, grace=60)
    assert (done.returncode, done.stdout, supervised.how()) == (0, b"bye\n", ("exit", 0, "timeout"))
    assert supervised.left() == []


def test_a_program_that_ignores_the_end_of_its_time_is_killed(supervised: Supervised) -> None:
    program = "trap '' TERM; sleep 100 & echo ready; sleep 100; sleep 100"
    done = supervised.run_script(program, limit=1, grace=1)
    assert (done.returncode, supervised.how()) == (137, ("signal", 9, "timeout"))
    assert supervised.left() == []


def test_a_stopped_program_gets_the_signal_at_its_time_limit(supervised: Supervised) -> None:
    done = supervised.run_script("trap 'exit 4' TERM; kill -STOP $$", limit=1, grace=60)
    assert (done.returncode, supervised.how()) == (4, ("exit", 4, "timeout"))


def test_daemons_of_the_program_end_with_it_at_its_time_limit(supervised: Supervised) -> None:
    """Also one that ignores SIGTERM, has a session of its own, and whose parents have ended."""
    program = "(trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep 100; sleep 100' >/dev/null 2>&1 &); exec sleep 100"
    done = supervised.run_script(program, limit=1, grace=1)
    assert (done.returncode, supervised.how()) == (143, ("signal", 15, "timeout"))
    assert supervised.left() == []


def test_daemons_of_a_program_that_ends_in_time_are_left_alone(supervised: Supervised) -> None:
    supervised.run_script("setsid sleep 100 >/dev/null 2>&1 & exit 0", limit=100)
    (daemon,) = supervised.left()
    assert daemon.name() == "sleep"
    daemon.kill()
    daemon.wait(10)


def test_a_warning_comes_before_the_time_limit(supervised: Supervised) -> None:
    program = "trap 'echo warned; exit 5' USR1; sleep 100 & wait; exit 6"
    done = supervised.run_script(program, limit=60, warn="USR1:59")
    assert (done.returncode, done.stdout, supervised.how()) == (5, b"warned\n", ("exit", 5, "-"))
    for process in supervised.left():
        process.kill()
        process.wait(10)


def test_after_the_warning_the_limit_holds(supervised: Supervised) -> None:
    program = "trap 'echo warned' USR1; while :; do sleep 100 & wait $!; done"
    done = supervised.run_script(program, limit=2, grace=60, warn="USR1:1")
    assert (done.returncode, done.stdout, supervised.how()) == (143, b"warned\n", ("signal", 15, "timeout"))
    assert supervised.left() == []


def test_each_process_is_warned_once(supervised: Supervised) -> None:
    count = "trap 'echo w' USR1; echo r; for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.2; done; exit 0"
    program = f"setsid sh -c \"{count}\" & trap 'echo w' USR1; wait; wait; wait"
    done = supervised.run_script(program, limit=100, warn="USR1:99")
    assert sorted(done.stdout.split()) == [b"r", b"w", b"w"]


def test_the_clock_of_the_limit_survives_that_somebody_kills_it(supervised: Supervised) -> None:
    with supervised.start("/bin/sh", "-c", "echo ready; exec sleep 200", limit=2) as process:
        assert process.stdout.readline() == b"ready\n"
        clock: list[psutil.Process] = []
        wait_until(
            lambda: clock.extend(p for p in supervised.left() if p.cmdline()[:2] == ["sleep", "2"]) or clock
        )
        clock[0].kill()
        assert process.wait(60) == 143
    assert supervised.how() == ("signal", 15, "timeout")


def test_nothing_is_left_of_the_clock_when_the_program_ends(supervised: Supervised) -> None:
    def run(position: int) -> int:
        return supervised.run_script("exit 3", id=f"{supervised.id}-{position}", limit=100).returncode

    assert side_by_side(run, range(24)) == [3] * 24
    assert supervised.left() == []


def test_the_clock_of_a_supervisor_that_was_killed_is_gone_soon(supervised: Supervised) -> None:
    with supervised.start("sleep", "200", limit=100_000) as process:
        wait_until(lambda: len(supervised.left()) == 4)
        process.kill()
    (clock,) = {process.cmdline()[1] for process in supervised.left() if process.name() == "sleep"} - {"200"}
    assert int(clock) <= 30
