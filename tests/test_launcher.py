"""What every launcher has in common: how a command line is read, what is configured, what is there."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_connect.cli.launch_request import HELP
from hpc_connect.errors import ConfigError, HPCConnectError, LaunchError
from hpc_connect.launcher import HPCLauncher, Place, Table
from hpc_connect.launcher.installed import what_is_there, whereabouts
from hpc_connect.launcher.reader import RESERVED, Reader
from hpc_connect.launcher.run import PORTABLE
from hpc_connect.launchers.mpi import MPICH, MPILauncher, OpenMPI4
from hpc_connect.launchers.srun import Srun, SrunLauncher

if TYPE_CHECKING:
    from collections.abc import Sequence


class MyLauncher(HPCLauncher):
    """What a third party must write, and no more: it does not even call ``super().__init__``."""

    name = "my-launcher"

    @staticmethod
    def matches(name: str | None) -> bool:
        return name == "my-launcher"

    def __init__(self, config_file: str | None = None) -> None:
        pass

    @property
    def executable(self) -> str:
        return "/opt/my/launch"


def argv(*words: str, settings: Any = None, launcher: HPCLauncher | None = None, **options: Any) -> list[str]:
    """The command of a launcher of a third party, without its program."""
    launcher = launcher or MyLauncher()
    return launcher.command(words, program="launch", settings=settings or {}, **options).argv[1:]


def refusal(*words: str, **options: Any) -> str:
    with pytest.raises(LaunchError) as refused:
        argv(*words, **options)
    return str(refused.value)


# ---------------------------------------------------------------- where options end and the program begins


@pytest.mark.parametrize(
    "words",
    [
        ["app"],
        ["app", "-n", "3", "--timeout", "5", "--", "--env", "X"],
        ["-n", "4", "app", "--hosts", "a,b"],
        ["./app", "-", "--"],
    ],
)
def test_what_follows_the_program_is_the_programs(words: list[str]) -> None:
    assert argv(*words) == words


@pytest.mark.parametrize("table", [OpenMPI4(), MPICH(), Srun(), Table()], ids=lambda table: table.label)
@given(
    arguments=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0")).filter(lambda w: w != ":")
    )
)
def test_arguments_of_the_program_arrive_as_they_are(table: Table, arguments: list[str]) -> None:
    run = Reader(table).read(["-n", "2", "app", *arguments])
    assert [program.argv for program in run.programs] == [["app", *arguments]]


@pytest.mark.parametrize("percent", ["%", "%d", "%(np)d", "%s%s", "100%", "%%"])
def test_a_percent_sign_is_a_percent_sign(percent: str) -> None:
    assert argv("-n", "2", "--workdir", percent, "app", percent, launcher=MPILauncher(), kind="mpich 4.0") == [
        "-n", "2", "-wdir", percent, "app", percent,
    ]  # fmt: skip


def test_a_value_may_have_the_name_of_a_program() -> None:
    for kind in ("openmpi 4.1.4", "openmpi 5.0.11", "mpich 5.0.2", "intel 2021.18.1", ""):
        words = argv("-host", "time", "-n", "2", "app", launcher=MPILauncher(), kind=kind)
        assert words == ["-n", "2", "-host", "time", "app"], kind


def test_two_dashes_end_the_options_and_are_dropped() -> None:
    assert argv("-n", "2", "--", "-weird", "--", "x") == ["-n", "2", "-weird", "--", "x"]


def test_two_dashes_tell_that_a_word_is_the_value_of_an_unknown_option() -> None:
    assert argv("-flag", "file", "-n", "2", "--", "app", "-x") == ["-n", "2", "-flag", "file", "app", "-x"]


def test_an_unknown_option_passes_where_it_makes_no_difference_what_it_takes() -> None:
    assert argv("-n", "4", "-flag", "file", "app", "--option") == [
        "-n",
        "4",
        "-flag",
        "file",
        "app",
        "--option",
    ]
    assert argv("-n", "4", "-flag", "-other", "app") == ["-n", "4", "-flag", "-other", "app"]
    assert argv("-flag=7", "--per-node=2", "app", launcher=MPILauncher(), kind="mpich 4.0.2") == [
        "-ppn", "2", "-flag=7", "app",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "ours", [["-n", "2"], ["--timeout", "9"], ["--tag-output"], ["--env=A=1"], ["--foo"]]
)
def test_an_unknown_option_is_refused_where_it_makes_a_difference(ours: list[str]) -> None:
    message = refusal("-flag", "word", *ours, "app", settings={"mappings": {"--foo": "--bar"}})
    assert "'word'" in message
    assert "-flag=word" in message
    assert "--" in message


# ---------------------------------------------------------------- the number of processes


@pytest.mark.parametrize("words", [["-n", "4"], ["-np", "4"], ["--np", "4"], ["--n=4"], ["-n4"], ["-n=4"]])
def test_the_number_of_processes_has_several_spellings(words: list[str]) -> None:
    assert argv(*words, "app") == ["-n", "4", "app"]


@pytest.mark.parametrize("number", ["x", "", "0", "-1", "1.5", "4x", "\u0664", "9" * 5000, "+2", " 2"])
def test_a_number_of_processes_that_is_none_is_refused(number: str) -> None:
    assert refusal("-n", number, "app").startswith("-n ")


def test_a_portable_option_is_given_once() -> None:
    assert "twice" in refusal("-n", "2", "--np", "3", "app")
    assert "twice" in refusal("--timeout", "2", "--timeout", "2", "app")


def test_each_program_has_its_own_number_and_one_where_none_is_given() -> None:
    assert argv("-n", "2", "a", "x", ":", "b", ":", "-n=3", "c") == [
        "-n", "2", "a", "x", ":", "-n", "1", "b", ":", "-n", "3", "c",
    ]  # fmt: skip


def test_a_single_program_without_a_number_is_left_to_the_launcher() -> None:
    assert argv("app") == ["app"]


# ---------------------------------------------------------------- values of portable options


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--per-node", "0"], "--per-node"),
        (["--cpus-per-process", "two"], "--cpus-per-process"),
        (["--hosts", "a,,b"], "--hosts"),
        (["--hosts", "a:0"], "--hosts"),
        (["--hosts", "a:2,b"], "--hosts"),
        (["--hosts", "-x"], "--hosts"),
        (["--bind", "cores"], "--bind"),
        (["--env", "A"], "--env"),
        (["--env", "1A=2"], "--env"),
        (["--env", "=2"], "--env"),
        (["--env", "A B=2"], "--env"),
        (["--workdir", ""], "--workdir"),
        (["--timeout", "0"], "--timeout"),
        (["--timeout", "10:00"], "--timeout"),
        (["--timeout", "-5"], "--timeout"),
        (["--tag-output=yes"], "--tag-output"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_option(words: list[str], named: str) -> None:
    with pytest.raises(HPCConnectError) as refused:
        argv(*words, "app", launcher=MPILauncher(), kind="mpich 5.0.2")
    assert str(refused.value).startswith(named)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("option", ["-n", "--hosts", "--env", "--timeout", "--bind", "--workdir"])
def test_an_option_without_its_value_is_refused(option: str) -> None:
    assert refusal(option) == f"{option} needs a value"
    assert refusal(option, "--", "app") == f"{option} needs a value"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1.5s", 2), ("2m", 120), ("1h", 3600), ("0:01:30", 90), ("1-00:00:00", 86400)],
)
def test_a_timeout_is_in_seconds_or_says_its_unit(text: str, seconds: int) -> None:
    assert Reader(Table()).read(["--timeout", text, "app"]).timeout == seconds


def test_cpus_and_another_binding_contradict_each_other() -> None:
    for what in ("none", "socket", "numa", "hwthread"):
        assert "--cpus-per-process" in refusal("--bind", what, "--cpus-per-process", "2", "app")
    assert "--per-node" in refusal("--per-node", "2", "--hosts", "a:1,b:3", "app")


def test_options_for_the_whole_run_stand_before_the_first_program() -> None:
    assert "whole run" in refusal("a", ":", "--timeout", "5", "b")


def test_a_portable_option_that_the_launcher_has_no_words_for_is_refused_by_name() -> None:
    for words in (["--per-node", "2"], ["--hosts", "a"], ["--tag-output"], ["--bind", "core"]):
        assert refusal(*words, "app").startswith(words[0])


def test_directory_variables_and_time_limit_need_no_words_of_the_launcher() -> None:
    words = ["--timeout", "3", "-n", "2", "--workdir", "d", "--env", "A=b c", "app"]
    found = MyLauncher().command(words, program="launch", settings={}).argv
    assert found == [
        "timeout", "--foreground", "--kill-after=10", "3", "launch", "-n", "2", "env", "-C", "d", "A=b c", "app",
    ]  # fmt: skip


@pytest.mark.parametrize("words", [["a=b"], ["-configfile", "f"]])
def test_env_cannot_start_what_is_no_plain_program(words: list[str]) -> None:
    assert "A=1" in refusal("--env", "A=1", *words)


def test_options_of_the_command_itself_are_refused_further_on() -> None:
    for option in ("--backend", "--config-file=x", "--dry-run", "--check"):
        assert "write it before" in refusal("-genvall", option, "app", launcher=MPILauncher(), kind="mpich 4")


# ---------------------------------------------------------------- several programs


@pytest.mark.parametrize(
    "words", [[], ["-n", "4"], [":"], ["a", ":"], [":", "b"], ["a", ":", "-n", "2"], ["--"]]
)
def test_a_missing_program_is_refused(words: list[str]) -> None:
    assert refusal(*words).startswith("no program")


def test_programs_in_a_file_of_the_launcher_need_none_on_the_command_line() -> None:
    assert argv("-configfile", "f", launcher=MPILauncher(), kind="mpich 4.0.2") == ["-configfile", "f"]
    assert argv("--app", "f", launcher=MPILauncher(), kind="openmpi 4.1.4") == ["--app", "f"]


# ---------------------------------------------------------------- configuration


def test_default_options_come_first_with_the_number_of_all_processes() -> None:
    settings = {"default_options": ["--bind-to", "core", "--map-by", "ppr:%(np)d:numa"]}
    assert argv("-n", "4", "app", settings=settings) == [
        "--bind-to", "core", "--map-by", "ppr:4:numa", "-n", "4", "app",
    ]  # fmt: skip


def test_local_options_come_before_each_program_with_the_number_of_its_processes() -> None:
    settings = {
        "numproc_flag": "-np",
        "default_options": ["--map-by", "ppr:%(np)d:numa"],
        "local_options": ["-H", "localhost:%(np)d"],
    }
    assert argv("-n", "4", "app-1", "-a", ":", "-n", "5", "app-2", "-b", settings=settings) == [
        "--map-by", "ppr:9:numa",
        "-H", "localhost:4", "-np", "4", "app-1", "-a", ":",
        "-H", "localhost:5", "-np", "5", "app-2", "-b",
    ]  # fmt: skip


def test_other_percent_signs_in_configured_options_stay() -> None:
    settings = {"default_options": ["-outfile-pattern", "out.%r", "100%", "%s"]}
    assert argv("-n", "2", "app", settings=settings)[:4] == ["-outfile-pattern", "out.%r", "100%", "%s"]


def test_configured_options_that_need_the_number_of_processes_are_refused_without_it() -> None:
    assert "give -n" in refusal("app", settings={"default_options": ["--map-by", "ppr:%(np)d:numa"]})


@pytest.mark.parametrize(
    ("flag", "words"), [("-np", ["-np", "4"]), ("--ntasks=", ["--ntasks=4"]), ("-c", ["-c", "4"])]
)
def test_numproc_flag_is_the_launchers_word_for_the_number(flag: str, words: list[str]) -> None:
    for spelling in (["-n", "4"], ["-np=4"], words):
        assert argv(*spelling, "app", settings={"numproc_flag": flag}) == [*words, "app"]


def test_mappings_replace_options_and_keep_their_values() -> None:
    settings = {"mappings": {"--foo": "--bar", "--spam": "--eggs", "--procs": "-n"}}
    words = ["--foo=on", "--procs", "4", "-flag=--foo", "--spam", "yummy", "app"]
    assert argv(*words, settings=settings) == ["-n", "4", "--bar=on", "-flag=--foo", "--eggs", "yummy", "app"]


def test_mappings_leave_the_program_alone() -> None:
    settings = {"mappings": {"--foo": "--bar", "-x": "SUPPRESS"}}
    assert argv("-n", "2", "app", "--foo", "-x", "--foo=1", settings=settings) == [
        "-n", "2", "app", "--foo", "-x", "--foo=1",
    ]  # fmt: skip


def test_a_suppressed_option_goes_with_its_value() -> None:
    settings = {"mappings": dict.fromkeys(["--account", "--exclusive", "--oversubscribe", "-x"], "SUPPRESS")}
    for words in (
        ["--account=abc"],
        ["--account", "abc"],
        ["--exclusive"],
        ["--exclusive=user"],
        ["-x", "A=1"],
    ):
        assert argv(*words, "-n", "4", "app", settings=settings) == ["-n", "4", "app"], words
        assert argv("-n", "4", *words, "--", "app", settings=settings) == ["-n", "4", "app"], words
        assert argv("-n", "4", *words, "app", settings=settings) == ["-n", "4", "app"], words


def test_a_third_party_reads_the_configuration_file_though_it_kept_nothing(own_environment: Path) -> None:
    (own_environment / "work" / "hpc_connect.toml").write_text('[launch]\ndefault_options = ["--mine"]\n')
    assert MyLauncher().command(["app"], program="launch").argv == ["launch", "--mine", "app"]


def test_options_meant_for_another_launcher_are_not_used(own_environment: Path) -> None:
    (own_environment / "work" / "hpc_connect.toml").write_text(
        '[launch]\nlauncher = "srun"\nexec = "srun"\ndefault_options = ["--mpi=pmix"]\n'
    )
    assert MyLauncher().command(["app"], program="launch").argv == ["launch", "app"]


def test_a_bad_configuration_is_an_error_of_the_configuration(own_environment: Path) -> None:
    (own_environment / "work" / "hpc_connect.toml").write_text("[launch]\nexecutable = 3\n")
    with pytest.raises(ConfigError):
        MyLauncher().command(["app"], program="launch")


# ---------------------------------------------------------------- what is installed


def program(folder: Path, name: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, own_environment: Path) -> Path:
    """A ``PATH`` with one empty folder, and a Python that has nothing beside it."""
    empty = own_environment / "bin"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))
    monkeypatch.setattr(sys, "executable", str(own_environment / "python" / "python3"))
    return empty


def test_path_comes_before_the_folder_of_the_running_python(
    nothing_installed: Path, own_environment: Path
) -> None:
    beside = program(own_environment / "python", "mpiexec")
    assert whereabouts("mpiexec") == beside
    on_path = program(nothing_installed, "mpiexec")
    assert whereabouts("mpiexec") == on_path


def test_a_name_that_comes_first_is_preferred_wherever_it_lies(
    nothing_installed: Path, own_environment: Path
) -> None:
    program(nothing_installed, "mpirun")
    beside = program(own_environment / "python", "mpiexec")
    assert whereabouts("mpiexec", "mpirun") == beside


def test_what_cannot_be_executed_is_not_there(nothing_installed: Path) -> None:
    (nothing_installed / "mpiexec").mkdir()
    (nothing_installed / "mpirun").write_text("")
    assert whereabouts("mpiexec", "mpirun") is None


def test_where_nothing_is_installed_it_says_what_to_install(nothing_installed: Path) -> None:
    with pytest.raises(LaunchError, match=r"pip install 'hpc_connect\[mpi\]'"):
        what_is_there()
    assert "pip install" in MPILauncher.unusable_here()
    with pytest.raises(LaunchError, match="pip install"):
        _ = MPILauncher().executable


@pytest.mark.parametrize(
    ("installed", "inside", "chosen"),
    [
        (["mpiexec", "srun"], False, "mpi"),
        (["mpirun"], False, "mpi"),
        (["srun"], False, "srun"),
        (["mpiexec", "srun"], True, "srun"),
        (["mpiexec"], True, "mpi"),
    ],
)
def test_what_is_there_is_used_and_srun_inside_an_allocation(
    nothing_installed: Path,
    monkeypatch: pytest.MonkeyPatch,
    installed: Sequence[str],
    inside: bool,
    chosen: str,
) -> None:
    for name in installed:
        program(nothing_installed, name)
    if inside:
        monkeypatch.setenv("SLURM_JOB_ID", "17")
    assert what_is_there() == chosen


@pytest.mark.parametrize(
    ("executable", "chosen"),
    [("srun", "srun"), ("/opt/bin/srun", "srun"), ("mpiexec", "mpi"), ("/s/wrap", "mpi")],
)
def test_a_configured_program_tells_which_launcher_is_meant(executable: str, chosen: str) -> None:
    assert what_is_there(executable) == chosen


def test_a_configured_program_is_run_in_place_of_the_launchers_own(nothing_installed: Path) -> None:
    wrapper = program(nothing_installed, "wrapper")
    assert MyLauncher().program({"exec": "wrapper"}) == wrapper
    assert MyLauncher().program({"exec": wrapper}) == wrapper
    with pytest.raises(LaunchError, match="'missing'"):
        MyLauncher().program({"exec": "missing"})


def test_a_launcher_whose_program_is_missing_is_unusable_here() -> None:
    assert "/opt/my/launch" in MyLauncher.unusable_here()


def test_a_place_of_which_nothing_is_known_asks_for_nothing_special() -> None:
    assert argv("-n", "1", "app", launcher=MPILauncher(), kind="openmpi 4.1.4", place=Place()) == [
        "-n",
        "1",
        "app",
    ]
    assert os.environ.get("OMPI_ALLOW_RUN_AS_ROOT") is None


# ---------------------------------------------------------------- the page about it

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "hpc-launch.md"
COLUMNS: list[tuple[HPCLauncher, str]] = [
    (MPILauncher(), "openmpi 4.1.4"),
    (MPILauncher(), "openmpi 5.0.11"),
    (MPILauncher(), "mpich 4.0.2"),
    (MPILauncher(), "intel 2021.18.1"),
    (SrunLauncher(), ""),
]
TRANSLATION = re.compile(r"^\| `(-[^`]*)` \| (.*) \|$", re.MULTILINE)


def test_the_reference_says_what_each_option_becomes() -> None:
    rows = TRANSLATION.findall(PAGE.read_text())
    assert {PORTABLE[option.split()[0]] for option, _ in rows} == {*PORTABLE.values()}
    for option, cells in rows:
        for said, (launcher, kind) in zip(cells.split(" | "), COLUMNS, strict=True):
            words = [*option.split(), "app"]
            if said == "refused":
                assert option.split()[0] in refusal(*words, launcher=launcher, kind=kind)
                continue
            place = Place(cores=64)
            found = launcher.command(words, program="launch", kind=kind, place=place, settings={}).argv
            number = ["-n", "4"] if "-n 4" in option and said != "`-n 4`" else []
            program = found.index("launch")
            assert [*found[:program], *found[program + 1 :]] == [*said.strip("`").split(), *number, "app"]


def test_the_reference_and_the_help_name_every_option() -> None:
    for text in (PAGE.read_text(), HELP):
        assert [option for option in [*PORTABLE, *RESERVED] if option not in text] == []
