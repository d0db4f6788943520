"""What runs: the script, its environment, its input and its folder."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpc_connect.errors import SpecError
from hpc_connect.spec import JobSpec
from local_jobs import records_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpc_connect.backends.shell import ShellBackend
    from local_jobs import Client

PYTHON = os.path.realpath(sys.executable)  # an interpreter line holds no blank, a path to an environment may

bytes_but_nul = st.binary(max_size=40).filter(lambda value: 0 not in value)
texts = st.builds(os.fsdecode, bytes_but_nul)
SOME_BYTES = os.fsdecode(bytes(range(1, 256)))


def read(path: str) -> str:
    with open(path) as file:
        return file.read()


def run(path: str) -> str:
    return subprocess.run([os.path.abspath(path)], capture_output=True, text=True, check=True).stdout


# ---------------------------------------------------------------------- the script file


def test_the_script_is_written_exactly_there_and_can_be_run(backend: ShellBackend) -> None:
    job = backend.submit(
        "job", ["echo hi"], scriptname="sub/folder/script", submit_flags=["--one", "two 'three'"]
    )
    job.wait()
    text = read("sub/folder/script")
    assert text.splitlines()[:3] == ["#!/bin/bash", "#BASH --one", "#BASH two 'three'"]
    assert os.listdir("sub/folder") == ["script"]
    assert os.stat("sub/folder/script").st_mode & stat.S_IXUSR
    assert run("sub/folder/script") == job.output() == "hi\n"


def test_flags_reach_a_script_of_the_users_own_below_its_first_line(backend: ShellBackend) -> None:
    spec = JobSpec(script="#!/bin/sh\n#BASH mine\necho hi\n", directives=["-x"], script_path="s")
    assert backend.submit(spec).wait() == 0
    assert read("s") == "#!/bin/sh\n#BASH -x\n#BASH mine\necho hi\n"


def test_a_script_that_is_there_is_replaced_and_can_be_run(backend: ShellBackend) -> None:
    with open("s", "w") as file:
        file.write("old\n" * 1000)
    os.chmod("s", 0o600)
    backend.submit("job", ["echo hi"], scriptname="s").wait()
    assert run("./s") == "hi\n"


def test_a_link_to_a_script_is_followed(backend: ShellBackend) -> None:
    os.mkdir("elsewhere")
    os.symlink("elsewhere/s", "s")
    backend.submit("job", ["echo hi"], scriptname="s").wait()
    assert run("elsewhere/s") == "hi\n"
    assert os.path.islink("s")


@pytest.mark.parametrize("path", ["/proc/no/such", ".", "/dev/full/s"])
def test_a_script_that_cannot_be_written_is_refused_by_name(backend: ShellBackend, path: str) -> None:
    with pytest.raises(SpecError) as caught:
        backend.submit("job", ["true"], scriptname=path, output="made/out")
    assert caught.value.field == "script_path"
    assert os.listdir() == []
    assert records_of(backend) == []


def test_jobs_with_one_name_for_their_scripts_each_run_their_own(backend: ShellBackend) -> None:
    jobs, gate = {}, threading.Barrier(4)

    def submit(number: int) -> None:
        gate.wait()
        for turn in range(3):
            mark = f"{number}.{turn} " + "x" * 500 * number
            jobs[mark] = backend.submit("job", [f"echo '{mark}'"], scriptname="shared")

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [job.wait() for job in jobs.values()] == [0] * 12
    assert [job.output() for job in jobs.values()] == [mark + "\n" for mark in jobs]
    assert read("shared").splitlines()[-1] in {f"echo '{mark}'" for mark in jobs}


# ---------------------------------------------------------------------- what runs it


def test_commands_run_in_one_shell_in_order_until_one_fails(backend: ShellBackend) -> None:
    job = backend.submit(
        "job", ["a=1; cd /", "echo $a $PWD", ["echo", "$a"], "false || exit 7", "echo never"]
    )
    assert job.wait() == 7
    assert job.output() == "1 /\n$a\n"


def test_another_shell_can_run_them(backend: ShellBackend) -> None:
    job = backend.submit("job", ["readlink /proc/$$/exe", "echo ${BASH_VERSION-none}"], shell="/bin/dash")
    assert job.wait() == 0
    assert job.output() == f"{os.path.realpath('/bin/dash')}\nnone\n"


def test_the_cluster_can_name_the_shell(clients: Callable[..., Client]) -> None:
    client = clients(
        "job = backend.submit('j', ['echo ${BASH_VERSION-none}']); job.wait(); say(job.output())",
        options={"shell": "/bin/dash"},
    )
    assert client.hear_all() == ["none\n"]


@pytest.mark.parametrize(
    "spec", [{"commands": ["true"], "shell": "/no/such/shell"}, {"script": "#!/no/such/python\n"}]
)
def test_a_shell_that_is_not_there_is_refused_by_name(backend: ShellBackend, spec: dict[str, object]) -> None:
    with pytest.raises(SpecError) as caught:
        backend.submit(JobSpec(**spec))
    assert caught.value.field == ("shell" if "shell" in spec else "script")
    assert os.listdir() == []


def test_a_script_may_be_in_any_language(backend: ShellBackend) -> None:
    script = f"#!{PYTHON} -u\nimport sys, os\nprint(sys.version_info.major, os.environ['A_B'])\n"
    job = backend.submit(JobSpec(script=script, env={"A_B": "$(c)"}))
    assert job.wait() == 0
    assert job.output() == "3 $(c)\n"


def test_an_interpreter_line_has_one_argument(backend: ShellBackend) -> None:
    job = backend.submit(JobSpec(script="#!/usr/bin/env -S sh -e\nfalse\necho never\n"))
    assert job.wait() == 1
    assert job.output() == ""


def test_a_script_without_interpreter_line_is_run_by_sh(backend: ShellBackend) -> None:
    job = backend.submit(JobSpec(script="echo $0; echo ${BASH_VERSION-none}"))
    assert job.wait() == 0
    assert job.output().endswith(
        ".sh\n" + ("none\n" if os.path.realpath("/bin/sh") != os.path.realpath("/bin/bash") else "")
    )


def test_a_large_script_arrives_whole(backend: ShellBackend) -> None:
    text = "".join(f"v{number}={number}\n" for number in range(60_000)) + "echo $v59999\n"
    job = backend.submit(JobSpec(script="#!/bin/bash\n" + text))
    assert job.wait() == 0
    assert job.output() == "59999\n"


# ---------------------------------------------------------------------- values


@settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # it keeps nothing of a job
@given(values=st.lists(texts, max_size=5), variables=st.lists(texts, max_size=3))
def test_arguments_and_variables_arrive_byte_for_byte(
    backend: ShellBackend, values: list[str], variables: list[str]
) -> None:
    check_arrival(backend, values, variables)


def test_every_byte_arrives(backend: ShellBackend) -> None:
    check_arrival(backend, [SOME_BYTES, "", "-n", "$(touch pwned)", "'", "\n"], [SOME_BYTES, "`touch pwned`"])


def check_arrival(backend: ShellBackend, values: list[str], variables: list[str]) -> None:
    """What goes in comes out: as arguments, and as variables for a shell and for any other program."""
    env = {f"V{number}": value for number, value in enumerate(variables)}
    dump = 'import os; print([os.environb[b"V%d" % n] for n in range(' + str(len(env)) + ")])"
    show = [PYTHON, "-c", "import os, sys; print([os.fsencode(word) for word in sys.argv[1:]])"]
    command = [*show, *values]
    with_shell = backend.submit(JobSpec(commands=[command, [PYTHON, "-c", dump]], env=env))
    on_its_own = backend.submit(JobSpec(script=f"#!{PYTHON}\n{dump}\n", env=env))
    assert (with_shell.wait(), on_its_own.wait()) == (0, 0)
    sent_values = [os.fsencode(value) for value in values]
    sent_variables = [os.fsencode(value) for value in variables]
    assert with_shell.output() == f"{sent_values}\n{sent_variables}\n"
    assert on_its_own.output() == f"{sent_variables}\n"
    for job in (with_shell, on_its_own):
        os.unlink(job.output_path)
    assert os.listdir() == []


# ---------------------------------------------------------------------- the environment

ENV = f"exec {PYTHON} -c 'import json, os; print(json.dumps(dict(os.environ)))'"
OF_A_RANK = ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK")


def environment(backend: ShellBackend, **fields: object) -> dict[str, str]:
    import json

    job = backend.submit(JobSpec(commands=[ENV], **fields))
    assert job.wait() == 0
    return json.loads(job.output())


def test_a_job_gets_the_environment_of_the_program(
    backend: ShellBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINE", SOME_BYTES)
    found = environment(backend, env={"GIVEN": "x", "HOME": None})
    assert found["MINE"] == SOME_BYTES
    assert found["GIVEN"] == "x"
    assert "HOME" not in found
    assert found["PATH"] == os.environ["PATH"]


def test_it_is_the_environment_at_the_time_of_the_submission(
    backend: ShellBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHEN", "submitted")
    job = backend.submit("job", ["echo $WHEN"], hold=True)
    monkeypatch.setenv("WHEN", "started")
    job.release()
    job.wait()
    assert job.output() == "submitted\n"


def test_a_job_can_get_next_to_nothing(backend: ShellBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", "x")
    found = environment(backend, inherit_env=False, env={"GIVEN": "y"})
    assert "MINE" not in found
    assert found["GIVEN"] == "y"
    assert {name: found.get(name) for name in ("HOME", "PATH")} == {
        name: os.environ[name] for name in ("HOME", "PATH")
    }


def test_a_job_can_get_chosen_variables(backend: ShellBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ONE", "TWO"):
        monkeypatch.setenv(name, name)
    found = environment(backend, inherit_env=["ONE", "NOT_THERE"])
    assert found["ONE"] == "ONE"
    assert not {"TWO", "NOT_THERE"} & found.keys()


def test_a_job_is_no_rank_of_the_program_that_submits_it(
    backend: ShellBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*OF_A_RANK, "SLURM_JOB_NODELIST"):
        monkeypatch.setenv(name, "7")
    found = environment(backend)
    assert not {*OF_A_RANK} & found.keys()
    assert found["SLURM_JOB_NODELIST"] == "7"


def test_a_job_that_a_job_submits_is_not_that_job(
    backend: ShellBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("JOB_ID", "JOB_NAME", "ATTEMPT", "ARRAY_INDEX"):
        monkeypatch.setenv(f"HPC_CONNECT_{name}", "7")
    found = environment(backend, name="mine")
    assert found["HPC_CONNECT_JOB_NAME"] == "mine"
    assert found["HPC_CONNECT_ATTEMPT"] == "1"
    assert found["HPC_CONNECT_JOB_ID"] != "7"
    assert "HPC_CONNECT_ARRAY_INDEX" not in found


def test_a_launcher_can_be_named_for_the_job(backend: ShellBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPC_CONNECT_LAUNCHER", "inherited")
    assert environment(backend, launcher="mine")["HPC_CONNECT_LAUNCHER"] == "mine"
    job = backend.submit(JobSpec(script="#!/bin/sh\necho $HPC_CONNECT_LAUNCHER", launcher="mine"))
    job.wait()
    assert job.output() == "mine\n"


# ---------------------------------------------------------------------- input and folder


def test_input_is_empty_or_a_file(backend: ShellBackend) -> None:
    with open("in", "wb") as file:
        file.write(bytes(range(256)))
    nothing = backend.submit("job", ["cat; echo done"])
    something = backend.submit(JobSpec(commands=["cmp - in && echo same"], stdin="in"))
    assert (nothing.wait(), something.wait()) == (0, 0)
    assert (nothing.output(), something.output()) == ("done\n", "same\n")


@pytest.mark.parametrize("path", ["nothing", "folder", "pipe"])
def test_an_input_that_cannot_be_read_is_refused_by_name(backend: ShellBackend, path: str) -> None:
    os.mkdir("folder")
    os.mkfifo("pipe")
    with pytest.raises(SpecError) as caught:
        backend.submit(JobSpec(commands=["cat"], stdin=path))
    assert (caught.value.field, caught.value.value) == ("stdin", os.path.abspath(path))
    assert sorted(os.listdir()) == ["folder", "pipe"]


def test_the_input_of_a_job_that_waits_may_be_written_by_the_other(backend: ShellBackend) -> None:
    first = backend.submit("first", ["echo made"], output="made")
    second = backend.submit(JobSpec(commands=["cat"], stdin="made", dependencies=[("afterok", first)]))
    assert second.wait() == 0
    assert second.output() == "made\n"


def test_a_job_runs_where_it_is_told_to(backend: ShellBackend) -> None:
    os.mkdir("there")
    for workdir in ("there", os.path.abspath("there")):
        job = backend.submit("job", ["pwd"], workdir=workdir)
        job.wait()
        assert job.output() == os.path.abspath("there") + "\n"
        assert job.output_path == os.path.abspath(f"there/job.{job.id}.out")


def test_a_job_that_is_told_nothing_runs_where_it_was_submitted(backend: ShellBackend) -> None:
    job = backend.submit("job", ["pwd"])
    job.wait()
    assert job.output() == os.getcwd() + "\n"


@pytest.mark.parametrize("workdir", ["nothing", "/dev/null"])
def test_a_folder_that_is_none_is_refused_by_name(backend: ShellBackend, workdir: str) -> None:
    with pytest.raises(SpecError) as caught:
        backend.submit("job", ["true"], workdir=workdir)
    assert caught.value.field == "workdir"
    assert os.listdir() == []


def test_a_folder_may_have_any_name(backend: ShellBackend) -> None:
    name = 'it\'s a\n"folder" $(id)'
    os.mkdir(name)
    job = backend.submit("job", [["pwd"]], workdir=name)
    job.wait()
    assert job.output() == os.path.abspath(name) + "\n"


def test_signals_are_as_they_are_by_default_whatever_the_program_did_with_its_own(
    clients: Callable[..., Client],
) -> None:
    client = clients("""
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGUSR1, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR2})
        job = backend.submit("job", [["grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"]])
        job.wait()
        say(job.output())
    """)
    (status,) = client.hear_all()
    of_the_c_library = 1 << 31 | 1 << 32  # 32 and 33, which nobody else can use
    assert {int(line.split()[1], 16) & ~of_the_c_library for line in status.splitlines()} == {0}


def test_a_job_begins_with_no_descriptor_but_the_three(backend: ShellBackend) -> None:
    job = backend.submit("job", [["ls", "-l", "/proc/self/fd"]])
    job.wait()
    targets = [line.split(" -> ")[1] for line in job.output().splitlines() if " -> " in line]
    assert targets[:3] == ["/dev/null", job.output_path, job.output_path]
    assert all(target.startswith("/proc/") for target in targets[3:])  # the folder that ls reads
