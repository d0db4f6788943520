"""``hpc-launch`` and ``hpc_connect.launch``: how the launcher is started, and what is said when it cannot be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stand_ins import MAIN, hpc_launch, stand_in

import hpc_connect
from hpc_connect.cli.launch import launch, main
from hpc_connect.errors import ConfigError, LaunchError, UnknownLauncher

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def words_of(output: bytes) -> list[str]:
    """What a stand-in printed: its words, with its own path first."""
    return [os.fsdecode(word) for word in output.split(b"\0")[:-1]]


# ---------------------------------------------------------------- it becomes the launcher


def test_it_becomes_the_launcher(bin_folder: Path) -> None:
    stand_in(bin_folder, body="echo $$")
    with subprocess.Popen([sys.executable, "-c", MAIN, "-n", "2", "app"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert int(process.stdout.read()) == process.pid


def test_words_arrive_as_they_are(bin_folder: Path) -> None:
    program = stand_in(bin_folder)
    hostile = ["", " ", "$(exit 3)", "%(np)d", "a\nb", "'\"\\", "*", "\udcff\udcfe", "é", "-n", "--"]
    done = hpc_launch("-n", "2", "app", *hostile)
    assert words_of(done.stdout) == [program, "-n", "2", "app", *hostile]
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("body", "returncode"),
    [("exit 37", 37), ("kill -9 $$", -9), ("kill -TERM $$", -15), ("exec sh -c 'exit 255'", 255)],
)
def test_exit_code_and_signal_are_the_launchers(bin_folder: Path, body: str, returncode: int) -> None:
    stand_in(bin_folder, body=body)
    assert hpc_launch("-n", "2", "app").returncode == returncode


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP])
def test_a_signal_reaches_the_launcher(bin_folder: Path, number: signal.Signals) -> None:
    stand_in(bin_folder, body=f"trap 'exit 41' {int(number)}; echo ready; while :; do sleep 0.01; done")
    with subprocess.Popen([sys.executable, "-c", MAIN, "-n", "2", "app"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.wait(30) == 41


def test_no_signal_is_ignored_that_was_not_ignored_before(bin_folder: Path) -> None:
    stand_in(bin_folder, body="exec grep SigIgn /proc/self/status")
    plain = subprocess.run(["grep", "SigIgn", "/proc/self/status"], capture_output=True)
    assert hpc_launch("-n", "2", "app").stdout == plain.stdout


def test_stdin_reaches_the_launcher(bin_folder: Path) -> None:
    stand_in(bin_folder, body="exec cat")
    assert hpc_launch("app", stdin=None, input=b"some input\n").stdout == b"some input\n"


def test_the_environment_is_the_callers(bin_folder: Path) -> None:
    stand_in(bin_folder, body="exec env -0")
    hostile = {"A": "$(x) 'y' \"z\"\n;", "B": "\udcff", "C": ""}
    environment = {**os.environ, **hostile, "LC_ALL": "C.UTF-8"}
    done = hpc_launch("-n", "2", "app", env=environment)
    there = dict(os.fsdecode(entry).split("=", 1) for entry in done.stdout.split(b"\0")[:-1])
    for variable in ("_", "SHLVL", "OLDPWD", "PWD"):  # the stand-in is a shell, which sets them
        there.pop(variable, None)
        environment.pop(variable, None)
    assert there == environment


def test_only_the_standard_descriptors_are_open(bin_folder: Path) -> None:
    stand_in(bin_folder, body="exec ls /proc/self/fd")
    assert hpc_launch("app").stdout.split() == [b"0", b"1", b"2", b"3"]  # ls itself has 3, the folder


def test_a_warning_stands_on_stderr_and_the_launcher_runs(bin_folder: Path) -> None:
    program = stand_in(bin_folder)
    done = hpc_launch("-N", "2", "app")
    assert words_of(done.stdout) == [program, "-N", "2", "app"]
    assert done.stderr.startswith(b"hpc-launch: warning: MPICH reads -N")


# ---------------------------------------------------------------- several programs under srun


def test_the_file_of_srun_is_there_for_the_launcher_and_nowhere_else(
    bin_folder: Path, own_environment: Path
) -> None:
    stand_in(bin_folder, "srun", body='for last; do :; done; echo "$last"; cat "$last"; cat "$last"')
    before = sorted(str(path) for path in own_environment.rglob("*"))
    done = hpc_launch("--backend", "srun", "-n", "2", "a", ":", "b", "x y")
    path, *lines = done.stdout.decode().splitlines()
    assert path.startswith("/proc/self/fd/")
    assert lines == ["0-1 a", "2 b 'x y'"] * 2  # each reader starts at the beginning
    assert sorted(str(path) for path in own_environment.rglob("*")) == before


# ---------------------------------------------------------------- dry run


def in_a_shell(command: bytes) -> list[str]:
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=True, timeout=60)
    return words_of(done.stdout)


def test_a_dry_run_prints_the_command_and_runs_nothing(bin_folder: Path) -> None:
    program = stand_in(bin_folder)
    done = hpc_launch("--dry-run", "-n", "4", "app", "a b", "$HOME")
    assert done.stdout.decode() == f"{program} -n 4 app 'a b' '$HOME'\n"
    assert (done.returncode, done.stderr) == (0, b"")


def test_what_a_dry_run_prints_can_be_pasted(bin_folder: Path) -> None:
    program = stand_in(bin_folder)
    hostile = ["", "a b", "$(exit 3)", "`x`", "a\nb", "'\"\\", "*", "~", "\udcff\udcfe", "é", "#", "!x"]
    done = hpc_launch("--dry-run", "-n", "2", "--env", "A=b c", "--timeout", "7", "app", *hostile)
    assert done.stdout.startswith(b"timeout --foreground --kill-after=10 7 ")
    assert in_a_shell(done.stdout) == [program, "-n", "2", "-env", "A", "b c", "app", *hostile]


def test_a_dry_run_shows_the_generated_file_and_the_warnings_as_comments(bin_folder: Path) -> None:
    stand_in(bin_folder, "srun")
    done = hpc_launch("--backend=srun", "--dry-run", "--timeout=90", "a", ":", "b")
    command, *comments = done.stdout.decode().splitlines()
    assert command.endswith("--time=2 --ntasks=2 --multi-prog /proc/self/fd/3")
    assert comments[:2] == ["# /proc/self/fd/3: 0 a", "# /proc/self/fd/3: 1 b"]
    assert comments[2].startswith("# warning: srun counts time limits")


def test_help_and_version_are_shown_without_a_launcher(bin_folder: Path) -> None:
    for words in (["--help"], ["-h"], ["-n", "2", "--help", "app"]):
        done = hpc_launch(*words)
        assert (done.returncode, done.stdout[:17], done.stderr) == (0, b"usage: hpc-launch", b"")
    assert hpc_connect.__version__ in hpc_launch("--version").stdout.decode()


# ---------------------------------------------------------------- which launcher, and its configuration


def chosen(*words: str) -> str:
    done = hpc_launch("--dry-run", *words, "app")
    assert (done.returncode, done.stderr) == (0, b"")
    return os.path.basename(done.stdout.decode().split()[0])


def test_the_launcher_is_chosen_in_this_order(
    bin_folder: Path, own_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(bin_folder, "mpiexec")
    stand_in(bin_folder, "srun")
    assert chosen() == "mpiexec"  # what is there
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    assert chosen() == "srun"  # inside an allocation
    monkeypatch.setenv("HPC_CONNECT_PREFERRED_LAUNCHER", "mpi")
    assert chosen() == "mpiexec"
    (own_environment / "work" / "hpc_connect.toml").write_text('[launch]\nlauncher = "srun"\n')
    assert chosen() == "srun"
    other = own_environment / "other.toml"
    other.write_text('[launch]\nlauncher = "mpi"\n')
    assert chosen(f"--config-file={other}") == "mpiexec"
    monkeypatch.setenv("HPC_CONNECT_LAUNCHER", "mpi")
    assert chosen() == "mpiexec"
    assert chosen("--backend", "srun") == "srun"
    assert chosen("-n", "2", "--backend=srun") == "srun"


def test_the_configured_program_chooses_too(bin_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mpiexec", "srun", "mpiexec.mine"):
        stand_in(bin_folder, name)
    for name in ("srun", "mpiexec.mine"):
        monkeypatch.setenv("HPCC_LAUNCH_EXEC", name)
        assert chosen() == name


def test_the_environment_adds_to_the_configuration_file(
    bin_folder: Path, own_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = stand_in(bin_folder)
    (own_environment / "work" / "hpc_connect.toml").write_text(
        '[launch]\nnumproc_flag = "-np"\ndefault_options = "-l"\nmappings = {"--foo" = "-bind-to"}\n'
    )
    monkeypatch.setenv("HPCC_LAUNCH_DEFAULT_OPTIONS", "-usize '%(np)d'")
    monkeypatch.setenv("HPCC_LAUNCH_MAPPINGS", "--bar:SUPPRESS")
    words = ["-n", "4", "--foo", "core", "--bar=x", "app"]
    assert words_of(hpc_launch(*words).stdout) == [
        program, "-l", "-usize", "4", "-np", "4", "-bind-to", "core", "app",
    ]  # fmt: skip
    monkeypatch.setenv("HPCC_LAUNCH_DEFAULT_OPTIONS", "!-v")
    assert words_of(hpc_launch(*words).stdout)[1:4] == ["-v", "-np", "4"]


# ---------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no program"),
        (["-n", "4"], "no program"),
        (["-n", "x", "app"], "-n 'x'"),
        (["-n", "0", "app"], "-n '0'"),
        (["-n"], "-n needs a value"),
        (["--backend"], "--backend needs a value"),
        (["--backend", "nonesuch", "app"], "nonesuch"),
        (["--backend", "srun", "app"], "slurm-client"),
        (["--config-file", "missing.toml", "app"], "missing.toml"),
        (["app", ":"], "no program number 2"),
        (["--timeout", "soon", "app"], "--timeout"),
    ],
)
def test_bad_usage_is_one_line_on_stderr_and_exit_code_2(
    bin_folder: Path, words: list[str], said: str
) -> None:
    stand_in(bin_folder)
    done = hpc_launch(*words)
    message = done.stderr.decode()
    assert (done.returncode, done.stdout) == (2, b"")
    assert message.startswith("hpc-launch: ")
    assert message.index("\n") == len(message) - 1
    assert said in message


def test_a_missing_launcher_says_what_to_install(
    bin_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "executable", str(bin_folder / "python"))
    for words in (["app"], ["--backend=mpi", "app"]):
        assert main(words) == 2
        assert "pip install 'hpc_connect[mpi]'" in capsys.readouterr().err


def test_a_launcher_beside_the_running_python_is_found(
    bin_folder: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    program = stand_in(bin_folder.parent / "environment")
    monkeypatch.setattr(sys, "executable", os.path.join(os.path.dirname(program), "python"))
    assert main(["--dry-run", "-n", "2", "app"]) == 0
    assert capfdbinary.readouterr().out.decode() == f"{program} -n 2 app\n"


def test_a_bad_configuration_is_named(bin_folder: Path, own_environment: Path) -> None:
    stand_in(bin_folder)
    (own_environment / "work" / "hpc_connect.toml").write_text("[launch]\nexex = 'mpiexec'\n")
    done = hpc_launch("app")
    assert done.returncode == 2
    assert "exex" in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


def test_a_launcher_that_is_no_program_cannot_be_started(bin_folder: Path) -> None:
    (bin_folder / "srun").write_bytes(b"\x7fELF nonsense")
    (bin_folder / "srun").chmod(0o755)
    done = hpc_launch("--backend=srun", "app")
    assert done.returncode == 2
    assert done.stderr.decode() == f"hpc-launch: {bin_folder}/srun cannot be started: Exec format error\n"


# ---------------------------------------------------------------- the library function


def test_launch_gives_a_completed_process(bin_folder: Path) -> None:
    program = stand_in(bin_folder, body="printf '%s\\n' \"$*\"; cat; exit 5")
    done = launch(["-n", "2", "app", "x"], capture_output=True, input="typed\n", text=True)
    assert isinstance(done, subprocess.CompletedProcess)
    assert (done.args, done.returncode) == ([program, "-n", "2", "app", "x"], 5)
    assert done.stdout == "-n 2 app x\ntyped\n"


def test_launch_is_a_public_name() -> None:
    assert hpc_connect.launch is launch


def test_launch_takes_the_options_of_subprocess_run(bin_folder: Path, own_environment: Path) -> None:
    stand_in(bin_folder, body="pwd; echo $A; exit 5")
    with pytest.raises(subprocess.CalledProcessError) as failed:
        launch(
            ["app"],
            check=True,
            capture_output=True,
            text=True,
            cwd=own_environment,
            env={**os.environ, "A": "b"},
        )
    assert failed.value.stdout == f"{own_environment}\nb\n"
    stand_in(bin_folder, body="exec sleep 60")
    with pytest.raises(subprocess.TimeoutExpired):
        launch(["app"], timeout=0.2)


def test_launch_leaves_no_descriptor_open(bin_folder: Path) -> None:
    stand_in(bin_folder, "srun", body='for last; do :; done; cat "$last"')
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        done = launch(["--backend=srun", "a", ":", "b"], capture_output=True, text=True)
        assert done.stdout == "0 a\n1 b\n"
    assert os.listdir("/proc/self/fd") == before


def test_launch_logs_warnings(bin_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    stand_in(bin_folder)
    launch(["-N", "2", "app"], stdout=subprocess.DEVNULL)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize(
    ("attempt", "error"),
    [
        (lambda: launch("-n 4 app"), LaunchError),
        (lambda: launch([]), LaunchError),
        (lambda: launch(["-n", "x", "app"]), LaunchError),
        (lambda: launch(["--dry-run", "app"]), LaunchError),
        (lambda: launch(["--check"]), LaunchError),
        (lambda: launch(["--backend=nonesuch", "app"]), UnknownLauncher),
        (lambda: launch(["--config-file=missing.toml", "app"]), ConfigError),
    ],
)
def test_launch_raises_what_the_command_says(
    bin_folder: Path, attempt: Callable[[], object], error: type[Exception]
) -> None:
    stand_in(bin_folder)
    with pytest.raises(error):
        attempt()


ARGUMENT = st.text(st.characters(codec="utf-8", exclude_characters="\0")).filter(lambda word: word != ":")


@settings(max_examples=40)
@given(arguments=st.lists(ARGUMENT, max_size=5), variable=ARGUMENT)
def test_arguments_and_variables_arrive_byte_for_byte(
    tmp_path_factory: pytest.TempPathFactory, arguments: list[str], variable: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "byte-for-byte"
    program = stand_in(folder)
    config_file = folder / "this.toml"
    config_file.write_text(f'[launch]\nexec = "{program}"\n')
    done = launch(
        [f"--config-file={config_file}", "-n", "2", f"--env=A={variable}", "app", *arguments],
        capture_output=True,
    )
    assert words_of(done.stdout) == [program, "-n", "2", "-env", "A", variable, "app", *arguments]
