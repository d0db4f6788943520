"""A submit command gets the whole script or is not run, is run once, and what it said is kept."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from hpc_connect.records.folder import RecordFolder
from hpc_connect.records.receipt import Receipt, read_receipt
from supervised import SCRIPTS, every_shell, side_by_side

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = every_shell

SCRIPT = b"#!/bin/bash\n#SBATCH --nodes=1\necho 'hello'\n\xff\x00binary\r\n\nlast line without a newline"

Submit = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def folder(tmp_path: Path) -> RecordFolder:
    folder = RecordFolder(str(tmp_path / "a b'c" / "records"))
    folder.make()
    return folder


@pytest.fixture
def submit(shell: list[str], folder: RecordFolder) -> Submit:
    def run(
        *command: str,
        job: str = "job",
        sent: bytes = SCRIPT,
        length: int | str = len(SCRIPT),
        **options: object,
    ) -> subprocess.CompletedProcess[bytes]:
        words = [f"folder={folder.path}", f"id={job}", f"length={length}"]
        argv = [*shell, os.path.join(SCRIPTS, "submit.sh"), *words, "--", *command]
        return subprocess.run(argv, input=sent, capture_output=True, timeout=60, **options)

    return run


def receipt(folder: RecordFolder, job: str = "job") -> Receipt:
    with open(folder.receipt(job), encoding="utf-8", errors="surrogateescape") as file:
        return read_receipt(file.read(), job)


def test_the_script_arrives_byte_for_byte(submit: Submit, folder: RecordFolder, tmp_path: Path) -> None:
    done = submit("sh", "-c", f"cat >'{tmp_path}/got'; echo Submitted batch job 4711")
    assert done.returncode == 0
    assert (tmp_path / "got").read_bytes() == SCRIPT
    assert receipt(folder) == Receipt("Submitted batch job 4711\n", 0)
    assert read_receipt(done.stdout.decode(), "job") == receipt(folder)
    assert not os.path.exists(folder.script("job"))


def test_of_a_script_that_was_cut_off_anywhere_nothing_is_submitted(
    submit: Submit, folder: RecordFolder
) -> None:
    def cut(length: int) -> tuple[int, bytes]:
        done = submit("echo", "ran", job=f"job{length}", sent=SCRIPT[:length])
        assert f"{length} of {len(SCRIPT)} bytes".encode() in done.stderr
        return done.returncode, done.stdout

    lengths = [*range(0, len(SCRIPT), 7), len(SCRIPT) - 1]
    assert side_by_side(cut, lengths) == [(65, b"")] * len(lengths)
    assert os.listdir(os.path.join(folder.path, "live")) == []


def test_of_a_script_with_more_behind_it_nothing_is_submitted(submit: Submit) -> None:
    done = submit("echo", "ran", sent=SCRIPT + b"\n")
    assert (done.returncode, done.stdout) == (65, b"")


def test_after_a_cut_off_script_the_whole_one_can_be_submitted(submit: Submit, folder: RecordFolder) -> None:
    submit("echo", "ran", sent=SCRIPT[:-1])
    assert submit("echo", "4711").returncode == 0
    assert receipt(folder) == Receipt("4711\n", 0)


def test_an_empty_script_is_whole_when_nothing_was_promised(submit: Submit) -> None:
    assert submit("cat", sent=b"", length=0).returncode == 0


def test_a_job_is_submitted_once(submit: Submit, folder: RecordFolder) -> None:
    submit("echo", "4711")
    again = submit("echo", "4712")
    assert (again.returncode, again.stdout) == (66, b"")
    assert b"has a receipt already" in again.stderr
    assert receipt(folder) == Receipt("4711\n", 0)


def test_of_many_at_once_one_submits(submit: Submit, folder: RecordFolder) -> None:
    def contend(position: int) -> tuple[list[int], str]:
        job = f"job{position}"
        done = side_by_side(lambda native: submit("echo", str(native), job=job), range(3))
        return sorted(one.returncode for one in done), receipt(folder, job).output

    for codes, output in map(contend, range(10)):
        assert codes == [0, 66, 66]
        assert output in {"0\n", "1\n", "2\n"}


@pytest.mark.parametrize("code", [0, 1, 64, 65, 66, 127, 255])
def test_the_code_of_the_command_is_passed_on_and_kept(
    submit: Submit, folder: RecordFolder, code: int
) -> None:
    done = submit("sh", "-c", f"echo out; echo err >&2; exit {code}")
    assert done.returncode == code
    assert done.stderr == b"err\n"
    assert receipt(folder) == Receipt("out\n", code)


def test_a_command_that_is_killed_has_a_code_too(submit: Submit, folder: RecordFolder) -> None:
    submit("sh", "-c", "echo 47; kill -KILL $$")
    assert receipt(folder) == Receipt("47\n", 137)


def test_a_command_that_is_not_there_was_not_run(submit: Submit, folder: RecordFolder) -> None:
    assert submit("no-such-command").returncode == 127
    assert receipt(folder) == Receipt("", 127)


def test_output_may_look_like_a_receipt(submit: Submit, folder: RecordFolder) -> None:
    output = "4711\nhpc_connect v1 receipt id=job code=0 END\n\nhpc_connect v1 receipt id=job code=1 END"
    submit("printf", "%s", output)
    assert receipt(folder) == Receipt(output, 0)


def test_a_submission_that_was_cut_off_has_a_receipt_without_a_code(
    shell: list[str], submit: Submit, folder: RecordFolder
) -> None:
    done = submit("sh", "-c", "echo 4711; kill -KILL $PPID; sleep 0.1")
    assert done.returncode == -9
    assert receipt(folder) == Receipt("4711\n", None)
    assert submit("echo", "4712").returncode == 66


def test_the_command_gets_the_environment_as_it_was(submit: Submit) -> None:
    """A scheduler hands it on to the job."""
    names = "id folder length script receipt code arrived umask".split()
    env = {"PATH": os.environ["PATH"], "PWD": os.getcwd(), **dict.fromkeys(names, "mine")}
    done = submit(sys.executable, "-ISc", "import os; print(ascii(dict(os.environ)))", env=env)
    found = eval(read_receipt(done.stdout.decode(), "job").output)
    assert {name: value for name, value in found.items() if name not in ("_", "SHLVL", "LC_CTYPE")} == env


def test_the_command_gets_the_umask_as_it_was_and_the_files_are_private(
    submit: Submit, folder: RecordFolder
) -> None:
    """A scheduler hands it on to the job."""
    done = submit("sh", "-c", 'umask; stat -c %a "$1"', "sh", folder.script("job"), umask=0o027)
    assert read_receipt(done.stdout.decode(), "job").output == "0027\n600\n"
    assert stat.S_IMODE(os.stat(folder.receipt("job")).st_mode) == 0o600


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--"],
        ["--", "echo", "ran"],
        ["folder=.", "id=a", "--", "echo", "ran"],
        ["folder=.", "length=0", "--", "echo", "ran"],
        ["id=a", "length=0", "--", "echo", "ran"],
        ["folder=.", "id=a", "length=0", "--"],
        ["folder=.", "id=a", "length=0", "echo", "ran"],
        ["folder=.", "id=a", "length=x", "--", "echo", "ran"],
        ["folder=.", "id=a/b", "length=0", "--", "echo", "ran"],
        ["folder=.", "id=a", "length=0", "wrong=1", "--", "echo", "ran"],
    ],
)
def test_a_wrong_call_says_so_and_runs_nothing(shell: list[str], words: list[str], tmp_path: Path) -> None:
    argv = [*shell, os.path.join(SCRIPTS, "submit.sh"), *words]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr.startswith("hpc_connect submission: ")
    assert os.listdir(tmp_path) == []


def test_where_nothing_can_be_kept_nothing_is_submitted(shell: list[str], tmp_path: Path) -> None:
    words = [f"folder={tmp_path}/absent", "id=a", "length=0", "--", "echo", "ran"]
    argv = [*shell, os.path.join(SCRIPTS, "submit.sh"), *words]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (65, "")
    assert "cannot write to" in done.stderr
