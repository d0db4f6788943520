"""Where the output of a job goes."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from hpc_connect.errors import SpecError
from hpc_connect.spec import JobSpec
from local_jobs import let_go, named_pipe, records_of, until

if TYPE_CHECKING:
    from pathlib import Path

    from hpc_connect.backends.shell import ShellBackend

BOTH = ["echo out1; echo err1 >&2; echo out2; echo err2 >&2"]


def read(path: str) -> str:
    with open(path) as file:
        return file.read()


def test_without_names_both_go_to_one_file_in_the_working_directory(backend: ShellBackend) -> None:
    job = backend.submit("my job", BOTH)
    assert job.output_path == job.error_path == os.path.abspath(f"my job.{job.id}.out")
    assert job.wait() == 0
    assert read(job.output_path) == "out1\nerr1\nout2\nerr2\n"
    assert job.output() == job.error_output() == read(job.output_path)
    assert os.listdir() == [f"my job.{job.id}.out"]


def test_a_job_without_a_name_is_called_job(backend: ShellBackend) -> None:
    job = backend.submit(JobSpec(commands=["true"]))
    assert os.path.basename(job.output_path) == f"job.{job.id}.out"
    job.wait()


def test_named_files_are_written_and_folders_above_them_made(backend: ShellBackend) -> None:
    job = backend.submit("job", BOTH, output="a/b/out", error="a/c/err")
    assert job.wait() == 0
    assert (read("a/b/out"), read("a/c/err")) == ("out1\nout2\n", "err1\nerr2\n")
    assert (job.output(), job.error_output()) == ("out1\nout2\n", "err1\nerr2\n")


def test_the_same_name_for_both_is_one_file_in_order(backend: ShellBackend) -> None:
    job = backend.submit("job", BOTH, output="both", error="both")
    job.wait()
    assert read("both") == "out1\nerr1\nout2\nerr2\n"


@pytest.mark.parametrize("other", ["./both", "link", "../work/both"])
def test_two_names_of_one_file_are_one_file_in_order(backend: ShellBackend, other: str) -> None:
    os.symlink("both", "link")
    job = backend.submit("job", BOTH, output="both", error=other)
    job.wait()
    assert read("both") == "out1\nerr1\nout2\nerr2\n"


def test_with_only_stdout_named_errors_go_there_too(backend: ShellBackend) -> None:
    job = backend.submit("job", BOTH, output="out")
    job.wait()
    assert read("out") == "out1\nerr1\nout2\nerr2\n"
    assert job.error_path == job.output_path == os.path.abspath("out")


def test_with_only_stderr_named_output_goes_to_the_usual_file(backend: ShellBackend) -> None:
    job = backend.submit("job", BOTH, error="err")
    job.wait()
    assert read("err") == "err1\nerr2\n"
    assert read(f"job.{job.id}.out") == "out1\nout2\n"


def test_relative_names_count_from_the_folder_of_the_job(backend: ShellBackend) -> None:
    os.makedirs("there")
    job = backend.submit("job", BOTH, output="out", error="sub/err", workdir="there")
    job.wait()
    assert (read("there/out"), read("there/sub/err")) == ("out1\nout2\n", "err1\nerr2\n")


def test_words_in_a_name_are_replaced_each_once(backend: ShellBackend) -> None:
    job = backend.submit("{id}{name}", ["echo hi"], output="{name}-{id}-{other}.txt")
    job.wait()
    assert os.listdir() == [f"{{id}}{{name}}-{job.id}-{{other}}.txt"]


@pytest.mark.parametrize(
    "name",
    [
        "a/b/../c",
        'it\'s "quoted"',
        "$(touch pwned)",
        "`touch pwned`; touch pwned",
        "x" * 4000,
        "作业" * 2000,
        "-n",
        ".",
        "..",
    ],
    ids=["slash", "quotes", "substitution", "backquotes", "long", "Chinese", "option", "dot", "dots"],
)
def test_any_name_of_a_job_gives_one_file(backend: ShellBackend, name: str) -> None:
    job = backend.submit(name, ['printf %s "$HPC_CONNECT_JOB_NAME"'])
    assert job.wait() == 0
    assert job.output() == name
    (file,) = os.listdir()
    assert file.endswith(f".{job.id}.out")
    assert file.startswith(name[:20].replace("/", "_"))


def test_what_an_earlier_job_wrote_is_replaced(backend: ShellBackend) -> None:
    with open("out", "w") as file:
        file.write("of an earlier job, and longer\n")
    job = backend.submit("job", ["echo new"], output="out")
    job.wait()
    assert read("out") == "new\n"


def test_it_is_replaced_when_the_job_starts_and_not_when_it_is_submitted(backend: ShellBackend) -> None:
    with open("out", "w") as file:
        file.write("old\n")
    job = backend.submit("job", ["echo new"], output="out", hold=True)
    assert job.output() == "old\n"
    job.release()
    job.wait()
    assert job.output() == "new\n"


def test_jobs_at_the_same_time_may_write_to_one_file(backend: ShellBackend) -> None:
    pipe = named_pipe("pipe")
    first = backend.submit(
        "first", [f"echo first; read line < {pipe}; echo first"], output="out", error="/dev/null"
    )
    until(lambda: first.output() == "first\n")
    with open("out", "a") as file:
        file.write("another\n")
    let_go(pipe)
    first.wait()
    assert read("out") == "first\nanother\nfirst\n"


def test_output_can_be_read_while_the_job_runs(backend: ShellBackend) -> None:
    started, pipe = named_pipe("started"), named_pipe("pipe")
    job = backend.submit("job", [f"echo one; echo > {started}; read line < {pipe}; echo two"])
    read(started)
    assert job.output() == "one\n"
    let_go(pipe)
    job.wait()
    assert job.output() == "one\ntwo\n"


def test_output_before_the_start_is_empty(backend: ShellBackend) -> None:
    job = backend.submit("job", ["echo hi"], hold=True)
    assert job.output() == ""
    assert not os.path.exists(job.output_path)
    job.cancel()
    job.wait()


def test_bytes_that_are_no_text_do_not_hurt(backend: ShellBackend) -> None:
    job = backend.submit("job", ["printf 'a\\377b'"])
    job.wait()
    assert job.output() == "a\ufffdb"


def test_output_may_go_nowhere(backend: ShellBackend) -> None:
    job = backend.submit("job", ["echo hi"], output="/dev/null")
    assert job.wait() == 0
    assert job.output() == ""
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_name_may_hold_bytes_that_are_no_text(backend: ShellBackend) -> None:
    name = os.fsdecode(b"out-\xff\n$(id)")
    job = backend.submit("job", ["echo hi"], output=name)
    job.wait()
    assert os.listdir(b".") == [b"out-\xff\n$(id)"]
    assert job.output() == "hi\n"


def block_with_file(place: Path) -> str:
    (place / "file").touch()
    return str(place / "file" / "below" / "out")


def block_with_folder(place: Path) -> str:
    (place / "folder").mkdir()
    return str(place / "folder")


def block_with_pipe(place: Path) -> str:
    os.mkfifo(place / "pipe")
    return str(place / "pipe")


def too_long(place: Path) -> str:
    return str(place / ("x" * 300))


def in_proc(_: Path) -> str:
    return "/proc/nothing/can/be/made/here"


@pytest.mark.parametrize("hinder", [block_with_file, block_with_folder, block_with_pipe, too_long, in_proc])
@pytest.mark.parametrize("field", ["stdout", "stderr"])
def test_a_file_that_cannot_be_written_is_refused_by_name(
    backend: ShellBackend, tmp_path: Path, field: str, hinder: object
) -> None:
    path = hinder(tmp_path)
    there = sorted(tmp_path.rglob("*"))
    other = {"stdout": "stderr", "stderr": "stdout"}[field]
    with pytest.raises(SpecError) as caught:
        backend.submit(
            JobSpec(commands=["true"], script_path="made/script", **{field: path, other: "made/too/out"})
        )
    assert (caught.value.field, caught.value.value) == (field, path)
    assert os.listdir() == []
    assert sorted(tmp_path.rglob("*")) == there
    assert records_of(backend) == []


def test_a_folder_that_is_in_use_by_then_is_left_when_a_submission_is_taken_back(
    backend: ShellBackend, tmp_path: Path
) -> None:
    os.makedirs("mine/too")
    with pytest.raises(SpecError):
        backend.submit("job", ["true"], output="mine/too/new/out", error="/proc/no/such")
    assert os.listdir("mine/too") == []


def test_a_job_with_an_output_that_vanished_meanwhile_says_so(backend: ShellBackend) -> None:
    job = backend.submit("job", ["true"], output="folder/out", hold=True)
    os.rmdir("folder")
    job.release()
    assert job.wait() == 127
    assert job.status.reason == "LAUNCH"
    assert "folder/out" in job.status.message
