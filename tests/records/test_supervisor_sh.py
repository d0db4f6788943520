"""The supervisor runs a program once, hands everything on to it, and tells the truth about its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from supervised import Supervised, every_shell, side_by_side

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = every_shell

ENDING = [*range(1, 16), 64]


# ---------------------------------------------------------------- how it ended


def test_every_exit_code_is_recorded_and_passed_on(supervised: Supervised) -> None:
    codes = range(256) if supervised.shell == "bash" else [*range(4), 64, *range(124, 146), 192, 254, 255]

    def end_with(code: int) -> tuple[int, str, int, str]:
        done = supervised.run_script(f"exit {code}", id=f"{supervised.id}-{code}")
        return done.returncode, *supervised.how(f"{supervised.id}-{code}")

    assert side_by_side(end_with, codes) == [(code, "exit", code, "-") for code in codes]


def test_every_signal_is_told_from_the_exit_code_that_a_shell_gives_for_it(supervised: Supervised) -> None:
    def end_by(number: int) -> tuple[int, str, int, str]:
        done = supervised.run_script(f"ulimit -c 0; kill -{number} $$", id=f"{supervised.id}-{number}")
        return done.returncode, *supervised.how(f"{supervised.id}-{number}")

    assert side_by_side(end_by, ENDING) == [(128 + number, "signal", number, "-") for number in ENDING]


@pytest.mark.parametrize("limit", ["", "100"], ids=["unlimited", "limited"])
@pytest.mark.parametrize("pause", ["", "sleep 0.02; "], ids=["immediately", "late"])
def test_an_exit_code_and_a_signal_are_never_confused(supervised: Supervised, pause: str, limit: str) -> None:
    kinds = {
        "exit 143": (143, "exit", 143, "-"),
        "kill -TERM $$": (143, "signal", 15, "-"),
        "kill -KILL $$": (137, "signal", 9, "-"),
        "exit 127": (127, "exit", 127, "-"),
    }
    rounds = [(kind, f"{supervised.id}-{number}") for number in range(12) for kind in kinds]
    rounds = [(kind, f"{name}-{position}") for position, (kind, name) in enumerate(rounds)]

    def play(given: tuple[str, str]) -> tuple[int, str, int, str]:
        kind, name = given
        done = supervised.run_script(pause + kind, id=name, limit=limit)
        return done.returncode, *supervised.how(name)

    assert side_by_side(play, rounds) == [kinds[kind] for kind, _ in rounds]


@pytest.mark.parametrize(
    ("script", "how"),
    [
        ("exec sh -c 'exit 3'", ("exit", 3)),
        ("exec true", ("exit", 0)),
        ("trap 'exit 5' EXIT; exit 3", ("exit", 5)),
        ("trap 'true' EXIT TERM CHLD; (exit 2); exit 3", ("exit", 3)),
        ("leave() { exit 9; }; leave; exit 1", ("exit", 9)),
        ("set -e; false; exit 1", ("exit", 1)),
        ('set -eu; : "$of_nobody"; exit 0', ("exit", 2)),
        ("exec 0<&- 1>&- 2>&-; exit 4", ("exit", 4)),
        ('i=0; while [ $i -lt 10 ]; do eval "exec $i>&-"; i=$((i+1)); done; exit 4', ("exit", 4)),
        ("if then fi )", ("exit", 2)),
        ("cd /; exit 6", ("exit", 6)),
        ("kill -KILL $$", ("signal", 9)),
        ("trap '' CHLD TERM; exit 8", ("exit", 8)),
        ("(sleep 0.05; exit 1) & exit 0", ("exit", 0)),
    ],
)
def test_a_script_may_do_what_it_likes(supervised: Supervised, script: str, how: tuple[str, int]) -> None:
    done = supervised.run_script(script)
    assert supervised.how() == (*how, "-")
    assert done.returncode == (how[1] if how[0] == "exit" else 128 + how[1])
    for process in supervised.left():
        process.wait(10)


def test_a_program_that_cannot_be_started_ended_with_the_code_of_a_shell(
    supervised: Supervised, tmp_path: Path
) -> None:
    text = tmp_path / "text"
    text.write_text("no program")
    absent = supervised.run(str(tmp_path / "absent"), id=f"{supervised.id}-absent")
    denied = supervised.run(str(text), id=f"{supervised.id}-denied")
    assert (absent.returncode, supervised.how(f"{supervised.id}-absent")) == (127, ("exit", 127, "-"))
    assert (denied.returncode, supervised.how(f"{supervised.id}-denied")) == (126, ("exit", 126, "-"))
    assert b"absent" in absent.stderr
    assert b"text" in denied.stderr


def test_a_supervisor_that_is_killed_leaves_no_end_and_the_reader_says_nothing(
    supervised: Supervised,
) -> None:
    process = supervised.start("/bin/sh", "-c", "kill -KILL $PPID; echo ended", stdout=subprocess.PIPE)
    with process:
        assert process.wait(60) == -signal.SIGKILL
        assert process.stdout.read() == b"ended\n"
    assert supervised.folder.find_end(supervised.id, 1) is None
    assert list(supervised.folder.ended()) == []
    assert supervised.folder.find_start(supervised.id).pid == process.pid


# ---------------------------------------------------------------- what the program gets


def _environment_of_a_program(supervised: Supervised, env: dict[str, str]) -> dict[str, str]:
    show = "import os; print(ascii(dict(os.environ)))"
    done = supervised.run(sys.executable, "-I", "-S", "-c", show, env=env)
    found: dict[str, str] = eval(done.stdout)
    assert found.pop("TEST_MARK")
    assert found.pop("HPC_CONNECT_JOB_ID") == supervised.id
    assert found.pop("HPC_CONNECT_ATTEMPT") == "1"
    for name in ("_", "LC_CTYPE"):  # bash writes the first itself, Python the second
        found.pop(name, None)
    if supervised.shell == "busybox":  # which counts itself
        levels = int(found.pop("SHLVL")) - 1
        found |= {"SHLVL": str(levels)} if levels else {}
    return found


def test_variables_arrive_byte_for_byte_and_none_is_added(supervised: Supervised, tmp_path: Path) -> None:
    planted = tmp_path / "planted"
    planted.write_text("echo planted; exit 99\n")
    env = {
        "PATH": "/opt/nothing:/usr/bin",
        "PWD": os.getcwd(),
        "BASH_ENV": str(planted),
        "ENV": str(planted),
        "LC_ALL": "C",
        "id": "7",
        "native": "other",
        "folder": "/",
        "child": "1",
        "hpc_connect": "mine",
        "HOME": " \t'\"$(echo x)`",
        "all_bytes": os.fsdecode(bytes(range(1, 256))),
        "empty": "",
        "HPC_CONNECT_LAUNCHER": "mpi",
    }
    assert _environment_of_a_program(supervised, env) == env


def test_variables_that_mean_something_to_a_shell_arrive_under_bash_and_most_under_others(
    supervised: Supervised,
) -> None:
    env = {
        "PATH": os.environ["PATH"],
        "PWD": os.getcwd(),
        "SHELLOPTS": "braceexpand:errexit:noexec:xtrace",
        "BASHOPTS": "cmdhist:extdebug",
        "POSIXLY_CORRECT": "",
        "PS1": "1",
        "PS2": "2",
        "PS4": "$(exit 1)",
        "OLDPWD": "/nowhere",
        "SHLVL": "41",
        "BASH_COMPAT": "4.2",
        "GLOBIGNORE": "*",
    }
    not_under_others = {
        "BASH_FUNC_module%%": '() {  echo "$1"\n}',
        "BASH_FUNC_kill%%": "() {  echo never\n}",
        "a.b": "dots",
        "IFS": "/",
        "OPTIND": "7",
    }
    found = _environment_of_a_program(supervised, env | not_under_others)
    if supervised.shell == "bash":
        assert found == env | not_under_others
    else:
        assert found == {**env, "IFS": " \t\n", "OPTIND": "1"}


def test_a_program_that_got_nearly_no_variables_gets_no_others(supervised: Supervised) -> None:
    env = {"PATH": "/usr/bin:/bin", "PWD": os.getcwd()}
    assert _environment_of_a_program(supervised, env) == env


def test_variables_of_an_enclosing_job_do_not_reach_a_job_of_its_own(supervised: Supervised) -> None:
    outer = {"HPC_CONNECT_JOB_ID": "outer.3", "HPC_CONNECT_ATTEMPT": "9", "HPC_CONNECT_ARRAY_INDEX": "3"}
    env = {"PATH": os.environ["PATH"], "PWD": os.getcwd()}
    assert _environment_of_a_program(supervised, env | outer) == env


def test_an_element_of_an_array_knows_its_index(supervised: Supervised) -> None:
    done = supervised.run_script(
        "echo $HPC_CONNECT_JOB_ID $HPC_CONNECT_ARRAY_INDEX $HPC_CONNECT_ATTEMPT; exit 3",
        array_index=12,
        attempt=2,
    )
    assert done.stdout == f"{supervised.id}.12 12 2\n".encode()
    end = supervised.end(f"{supervised.id}.12", 2)
    assert (end.id, end.array_index, end.attempt, end.number) == (supervised.id, "12", 2, 3)


def test_standard_input_is_passed_on_unchanged(supervised: Supervised) -> None:
    data = bytes(range(256)) * 5000
    done = supervised.run("cat", input=data)
    assert done.stdout == data


def test_what_the_program_leaves_of_its_input_is_left(supervised: Supervised, tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(b"one\ntwo\n")
    with (tmp_path / "input").open("rb") as file:
        supervised.run_script("read line", stdin=file)
        assert os.lseek(file.fileno(), 0, os.SEEK_CUR) == 4


def test_a_megabyte_on_both_outputs_arrives(supervised: Supervised) -> None:
    done = supervised.run(
        sys.executable,
        "-c",
        "import os\nfor _ in range(256): os.write(1, b'o' * 4096); os.write(2, b'e' * 4096)",
    )
    assert (done.stdout, done.stderr) == (b"o" * 2**20, b"e" * 2**20)
    assert supervised.how() == ("exit", 0, "-")


def test_the_program_has_the_descriptors_that_the_supervisor_was_given_and_no_more(
    supervised: Supervised,
) -> None:
    reading, writing = os.pipe()
    os.dup2(writing, 50)
    try:
        show = "import os; print([n for n in range(64) if os.path.exists(f'/proc/self/fd/{n}')])"
        done = supervised.run(sys.executable, "-I", "-S", "-c", show, pass_fds=[50])
    finally:
        for descriptor in (reading, writing, 50):
            os.close(descriptor)
    assert done.stdout == b"[0, 1, 2, 50]\n"


def test_closed_descriptors_are_no_obstacle(supervised: Supervised, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def close_all() -> None:
        for descriptor in range(3):
            os.close(descriptor)

    done = supervised.run_script(
        f"echo hello >{out}; exit 3", preexec_fn=close_all, stdin=None, stdout=None, stderr=None
    )
    assert (done.returncode, supervised.how(), out.read_text()) == (3, ("exit", 3, "-"), "hello\n")


def test_the_outputs_end_with_the_program(supervised: Supervised) -> None:
    """Whoever reads them need not wait for the supervisor: it may be busy with its record."""
    process = supervised.start("/bin/sh", "-c", "echo done; kill -STOP $PPID; exit 3")
    with process:
        try:
            assert process.stdout.read() == b"done\n"
            assert process.stderr.read() == b""
            assert process.poll() is None
        finally:
            process.send_signal(signal.SIGCONT)
        assert process.wait(60) == 3


def test_umask_and_working_directory_are_those_of_the_caller(supervised: Supervised, tmp_path: Path) -> None:
    done = supervised.run_script("umask; pwd -P", umask=0o027, cwd=tmp_path)
    assert done.stdout == f"0027\n{tmp_path.resolve()}\n".encode()


def test_arguments_arrive_as_they_are(supervised: Supervised) -> None:
    arguments = ["", " ", "a b", "*", "$HOME", "`id`", "'\"\\", "--", "-n", "x=1", "\n", os.fsdecode(b"\xff")]
    show = "import sys; print(ascii(sys.argv[1:]))"
    done = supervised.run(sys.executable, "-I", "-S", "-c", show, *arguments)
    assert eval(done.stdout) == arguments


def test_a_program_with_an_equals_sign_in_its_path_is_run(supervised: Supervised, tmp_path: Path) -> None:
    program = tmp_path / "a=b"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o700)
    assert supervised.run(str(program), env={**os.environ, "SHELLOPTS": "noglob"}).returncode == 3
