"""`srun`: what the options become, and the file that tells which ranks run which program (srun(1), Slurm 22.05)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_connect.errors import LaunchError
from hpc_connect.launcher import FILE, Command, Place
from hpc_connect.launchers.srun import LAUNCHER, SrunLauncher


def command(*words: str, settings: Any = None) -> Command:
    place = Place(root=True, allocated=True, cores=1)
    return SrunLauncher().command(words, program="srun", settings=settings or {}, place=place)


def argv(*words: str, settings: Any = None) -> list[str]:
    return command(*words, settings=settings).argv[1:]


def file_of(*words: str) -> str:
    text = command(*words).file
    assert text is not None
    return text


def refusal(*words: str) -> str:
    with pytest.raises(LaunchError) as refused:
        command(*words)
    return str(refused.value)


def test_it_is_known_by_its_name_alone() -> None:
    assert LAUNCHER.matches("srun")
    assert [
        name for name in (None, "", "mpi", "mpiexec", "/usr/bin/srun", "srun.x") if LAUNCHER.matches(name)
    ] == []


def test_there_is_nothing_to_ask() -> None:
    assert SrunLauncher().question("srun") is None


@pytest.mark.parametrize(
    ("words", "translation"),
    [
        (["-n", "4"], ["-n", "4"]),
        (["-np", "4"], ["-n", "4"]),
        (["-n4"], ["-n", "4"]),
        (["--per-node", "2"], ["--ntasks-per-node=2"]),
        (["--hosts", "a,b"], ["--nodelist=a,b", "--nodes=2"]),
        (["--hosts", "a:2,b:2"], ["--nodelist=a,b", "--nodes=2", "--ntasks-per-node=2"]),
        (["--cpus-per-process", "3"], ["--cpus-per-task=3"]),
        (["--bind", "core"], ["--cpu-bind=cores"]),
        (["--bind", "hwthread"], ["--cpu-bind=threads"]),
        (["--bind", "socket"], ["--cpu-bind=sockets"]),
        (["--bind", "numa"], ["--cpu-bind=ldoms"]),
        (["--bind", "none"], ["--cpu-bind=none"]),
        (["--workdir", "a b"], ["--chdir=a b"]),
        (["--env", "A=b c,d", "--env", "B="], ["env", "A=b c,d", "B="]),
        (["--tag-output"], ["--label"]),
        (["--timeout", "60"], ["--time=1"]),
        (["--timeout", "2h"], ["--time=120"]),
    ],
)
def test_portable_options_are_translated(words: list[str], translation: list[str]) -> None:
    assert argv(*words, "app", "-n", "1") == [*translation, "app", "-n", "1"]
    assert command(*words, "app").warnings == []


def test_hosts_with_different_numbers_cannot_be_said() -> None:
    assert refusal("--hosts", "a:1,b:2", "app").startswith("--hosts")


def test_a_time_limit_that_is_no_whole_minute_is_rounded_up_with_a_warning() -> None:
    found = command("--timeout", "61", "app")
    assert found.argv == ["srun", "--time=2", "app"]
    assert ["61 s" in warning and "2 min" in warning for warning in found.warnings] == [True]


@pytest.mark.parametrize(
    "words",
    [
        "-N 2 -c 4 --mpi=pmix --mpi pmix -l -u",
        "-lN2 -vvv -O --exclusive --exclusive=user -K1 -K -I5 -w time",
        "--gres gpu:2 --export ALL,A=1 -J name -p debug --overlap --kill-on-bad-exit=0 --cpu-bind time",
        "-lc 2 --x11 --propagate=NONE",
    ],
)
def test_its_own_options_arrive_untouched(words: str) -> None:
    assert argv(*words.split(), "true", "-n", "x") == [*words.split(), "true", "-n", "x"]


def test_its_own_word_for_the_number_of_processes_counts() -> None:
    settings = {"default_options": ["--total=%(np)d"]}
    assert argv("--ntasks=3", "app", settings=settings) == ["--total=3", "--ntasks=3", "app"]
    assert argv("--ntasks", "3", "app", settings=settings) == ["--total=3", "--ntasks", "3", "app"]


# ---------------------------------------------------------------- several programs


def test_several_programs_are_one_step_with_a_file() -> None:
    found = command("--mpi=pmix", "--tag-output", "-n", "4", "app-1", "-a", ":", "-n", "5", "app-2", "b c")
    assert found.argv == ["srun", "--label", "--mpi=pmix", "--ntasks=9", "--multi-prog", FILE]
    assert found.file == "0-3 app-1 -a\n4-8 app-2 'b c'\n"


def test_a_program_of_one_process_has_one_rank() -> None:
    assert file_of("a", ":", "--ntasks=2", "b", ":", "c") == "0 a\n1-2 b\n3 c\n"


def test_configured_options_stand_once() -> None:
    settings = {"default_options": ["--x=%(np)d"], "local_options": ["--y"], "numproc_flag": "-n"}
    assert argv("-n", "2", "a", ":", "b", settings=settings) == [
        "--x=3", "--y", "--ntasks=3", "--multi-prog", FILE,
    ]  # fmt: skip


def test_each_program_has_its_own_directory_and_variables() -> None:
    text = file_of("--workdir", "d", "--env", "A=1 2", "a", ":", "--env", "B=", "b")
    assert text == "0 env -C d 'A=1 2' a\n1 env B= b\n"


def test_srun_options_of_a_later_program_are_refused() -> None:
    assert "-N" in refusal("a", ":", "-N", "2", "b")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a", ":", "b", "x\ny"], "newline"),
        (["a", ":", "b", *["x"] * 126], "126"),
        (["a", ":", "b", "x" * 16_000], "16000"),
        ([word for _ in range(5) for word in ("a", "x" * 15_000, ":")] + ["b"], "60000"),
    ],
)
def test_what_the_file_cannot_hold_is_refused(words: list[str], said: str) -> None:
    assert said in refusal(*words)


def test_as_many_words_as_slurm_takes_are_accepted() -> None:
    assert file_of("a", ":", "b", *["x"] * 125).endswith("x\n")


def read_as_slurm_does(line: str) -> list[str]:
    """The words of a line, as ``multi_prog_get_argv`` of slurmstepd (22.05) finds them; rank and offset 7."""
    words: list[str] = []
    word: str | None = None
    rest = line.partition(" ")[2]
    position = 0
    while position < len(rest):
        character = rest[position]
        position += 1
        if character in " \t\n\v\f\r":
            words += [] if word is None else [word]
            word = None
        elif character == "%":
            word = (word or "") + ("7" if rest[position] in "to" else "")
            position += 1
        elif character == "\\":
            word = (word or "") + rest[position]
            position += 1
        elif character == "'":
            end = rest.index("'", position)
            word = (word or "") + rest[position:end]
            position = end + 1
        else:
            word = (word or "") + character
    return words + ([] if word is None else [word])


ARGUMENTS = st.lists(
    st.text(
        st.one_of(
            st.sampled_from(" '\"\\%toné$`*#-"), st.characters(codec="utf-8", exclude_characters="\0\n")
        )
    ),
    max_size=8,
)


@given(first=ARGUMENTS, second=ARGUMENTS)
def test_arguments_come_out_of_the_file_as_they_went_in(first: list[str], second: list[str]) -> None:
    first, second = ([word for word in words if word != ":"] for words in (first, second))
    text = file_of("-n", "2", "a", *first, ":", "b", *second)
    lines = text.split("\n")
    assert lines.pop() == ""
    assert [read_as_slurm_does(line) for line in lines] == [["a", *first], ["b", *second]]
    assert [line.endswith("\\") for line in lines] == [False, False]  # it would go on in the next line
