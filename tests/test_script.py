"""A job's script, run by real shells: what went in comes out, each command runs once, and nothing else runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hpc_connect.errors import SpecError
from hpc_connect.fields import _OF_THE_SHELL
from hpc_connect.script import DEFAULT_SHELL, interpreter, render
from hpc_connect.spec import JobSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SHELLS = [shell for shell in (DEFAULT_SHELL, "/bin/dash", "/bin/sh") if os.access(shell, os.X_OK)]
PRINTF = shutil.which("printf") or "printf"
ENV = shutil.which("env") or "env"

each_shell = pytest.mark.parametrize("shell", SHELLS)


class Ran(NamedTuple):
    """What a script did."""

    returncode: int
    stdout: bytes
    stderr: bytes
    files: list[str]


@contextmanager
def empty_folder() -> Iterator[str]:
    """A folder for one example of a property (a fixture would be shared by all examples)."""
    with tempfile.TemporaryDirectory() as folder:
        yield folder


def run(script: str, shell: str, variables: dict[str, str] | None = None) -> Ran:
    """Run a script, as bytes in a file, by a shell in an empty folder."""
    with empty_folder() as folder, empty_folder() as work:
        path = os.path.join(folder, "script")
        with open(path, "wb") as file:
            file.write(os.fsencode(script))
        done = subprocess.run(
            [shell, path],
            cwd=work,
            env={"PATH": os.environ["PATH"], **(variables or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr, sorted(os.listdir(work)))


def run_commands(shell: str, *commands: str | Sequence[str], **fields: Any) -> Ran:
    spec = JobSpec(commands=commands, **fields)
    return run(render(spec, shell=shell), shell)


# Bytes that mean something to a shell, alone and in bad company.
NASTY = [
    b"'", b'"', b"\\", b"\n", b" ", b"\t", b";", b"&", b"|", b"<", b">", b"(", b")", b"{", b"}", b"[", b"]",
    b"$", b"`",
    b"!", b"#", b"*", b"?", b"~", b"=", b"%", b"-", b"\r", b"\x01", b"\x7f", b"\x80", b"\x81", b"\x88",
    b"\xff", b"\xc3",
    "é模".encode(), b"$(touch pwned)", b"`touch pwned`", b"; touch pwned;", b"\ntouch pwned\n",
    b"&& touch pwned",
    b"> pwned", b"' > pwned '", b'" > pwned "', b"$IFS", b"${HOME}", b"$'\\n'", b"EOF", b"\\\n", b"$$", b"!!",
]  # fmt: skip
raw_bytes = st.lists(st.sampled_from(NASTY) | st.binary(max_size=4), max_size=6).map(
    lambda parts: b"".join(parts).replace(b"\0", b"")
)
EVERY_BYTE = bytes(range(1, 256))


# ---------------------------------------------------------------- values arrive as they are


@each_shell
@given(arguments=st.lists(raw_bytes, min_size=1, max_size=4))
@example(arguments=[EVERY_BYTE, b"", EVERY_BYTE[::-1]])
@example(arguments=[b"-n", b"--", b"-"])
def test_the_arguments_of_a_vector_arrive_byte_for_byte_and_nothing_else_runs(
    shell: str, arguments: list[bytes]
) -> None:
    vector = [PRINTF, "%s\\0", *map(os.fsdecode, arguments)]
    expected = b"".join(argument + b"\0" for argument in arguments)
    assert run_commands(shell, vector) == Ran(0, expected, b"", [])


@each_shell
@given(
    variables=st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]{3,8}", fullmatch=True), raw_bytes, max_size=4)
)
@example(variables={"ALL_BYTES": EVERY_BYTE, "EMPTY": b""})
def test_the_values_of_variables_arrive_byte_for_byte_and_nothing_else_runs(
    shell: str, variables: dict[str, bytes]
) -> None:
    values = {f"TEST_{name}": os.fsdecode(value) for name, value in variables.items()}
    ran = run_commands(shell, [ENV, "-0"], env=values)
    arrived = dict(entry.split(b"=", 1) for entry in ran.stdout.split(b"\0") if entry.startswith(b"TEST_"))
    assert arrived == {f"TEST_{name}".encode(): value for name, value in variables.items()}
    assert (ran.returncode, ran.stderr, ran.files) == (0, b"", [])


@each_shell
@given(
    program=raw_bytes.filter(
        lambda name: b"/" not in name and 0 < len(name) < 200 and name not in {b".", b".."}
    )
)
@example(program=b"if")
@example(program=b"A=1")
@example(program=b"{")
@example(program=b"time")
@example(program=b"2")
@example(program=b"a b")
def test_the_program_of_a_vector_may_have_any_name(shell: str, program: bytes) -> None:
    with empty_folder() as folder:
        path = os.path.join(os.fsencode(folder), program)
        os.symlink(PRINTF, path)
        assert run_commands(shell, [os.fsdecode(path), "%s", "x"]) == Ran(0, b"x", b"", [])


@each_shell
@pytest.mark.parametrize("word", ["if", "A=1", "{", "!", "[[", "time", "#x", "~", "case", "a*", "function"])
def test_the_first_word_of_a_vector_is_a_program_and_no_syntax(shell: str, word: str) -> None:
    with empty_folder() as folder:
        os.symlink(PRINTF, os.path.join(folder, word))
        path = f"{folder}{os.pathsep}{os.environ['PATH']}"
        assert run_commands(shell, [word, "%s", "x"], env={"PATH": path}) == Ran(0, b"x", b"", [])


@pytest.mark.parametrize("name", sorted(_OF_THE_SHELL))
def test_a_variable_that_the_default_shell_keeps_for_itself_is_refused_by_name(name: str) -> None:
    value = "some text"
    raw = run(f"export {name}='{value}'\n{ENV} -0\n", DEFAULT_SHELL)
    assert f"{name}={value}".encode() not in raw.stdout.split(b"\0"), "it arrives: no need to refuse it"
    with pytest.raises(SpecError, match="of the shell itself"):
        JobSpec(commands=["true"], env={name: value})


@each_shell
def test_none_unsets_a_variable_and_no_function_of_the_same_name(shell: str) -> None:
    spec = JobSpec(commands=["echo ${GONE-unset}", "echo ${KEPT-unset}"], env={"GONE": None, "KEPT": ""})
    ran = run(render(spec, shell=shell), shell, {"GONE": "x", "KEPT": "y"})
    assert ran.stdout == b"unset\n\n"
    ran = run(
        "greet() { echo hi; }\n" + render(spec.replace(env={"greet": None}), shell=shell) + "greet\n", shell
    )
    assert ran.stdout.endswith(b"hi\n")


@each_shell
def test_the_launcher_is_told_to_the_job_unless_the_user_says_another(shell: str) -> None:
    told = ["echo $HPC_CONNECT_LAUNCHER"]
    assert run_commands(shell, *told, launcher="srun").stdout == b"srun\n"
    assert run_commands(shell, *told, launcher="srun", env={"HPC_CONNECT_LAUNCHER": "mpi"}).stdout == b"mpi\n"


# ---------------------------------------------------------------- each once, in order, until the first failure


@each_shell
@pytest.mark.parametrize(
    ("command", "expected", "files"),
    [
        ("echo a && echo b", b"a\nb\n", []),
        ("echo a; echo b", b"a\nb\n", []),
        ("false || echo b", b"b\n", []),
        ("echo a > f; echo b >> f", b"", ["f"]),
        ("echo a | cat", b"a\n", []),
        ("echo a 2>&1", b"a\n", []),
        ("echo a >&2", b"", []),
        ("if true; then echo a; fi", b"a\n", []),
        ("for i in 1 2; do echo $i; done", b"1\n2\n", []),
        ("cat <<EOF\na $((1 + 1))\nEOF", b"a 2\n", []),
        ("echo a # and no more", b"a\n", []),
        ("# only a comment", b"", []),
        ("(echo a)", b"a\n", []),
        ("{ echo a; }", b"a\n", []),
        ("echo 'a\nb'", b"a\nb\n", []),
        ('echo "a\nb"', b"a\nb\n", []),
        ("echo a \\\n  b", b"a b\n", []),
        ("echo a \\\n", b"a\n", []),
        ("\n\necho a\n\n", b"a\n", []),
        ("echo a\necho b", b"a\nb\n", []),
        ("false\necho b", b"b\n", []),
        ("! false", b"", []),
        ("[ -n x ]", b"", []),
        ("echo $(echo a)", b"a\n", []),
        ("sleep 0 & wait $!", b"", []),
    ],
)
def test_a_command_is_a_whole_shell_program_that_runs_once_in_its_place(
    shell: str, command: str, expected: bytes, files: list[str]
) -> None:
    ran = run_commands(shell, "echo begin", command, "echo end")
    assert (ran.returncode, ran.stdout, ran.files) == (0, b"begin\n" + expected + b"end\n", files)


@each_shell
@pytest.mark.parametrize(
    "command", ["exit 7", "(exit 7)", "sh -c 'exit 7'", ["sh", "-c", "exit 7"], "f() { return 7; }; f"]
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_first_command_that_fails_ends_the_job_with_its_code(
    shell: str, command: Any, place: int
) -> None:
    commands: list[Any] = ["echo 0", "echo 1", "echo 2"]
    commands[place] = command
    ran = run_commands(shell, *commands)
    assert ran.returncode == 7
    assert ran.stdout.split() == [b"0", b"1"][:place]


@each_shell
def test_a_program_that_a_signal_ends_is_a_failure(shell: str) -> None:
    ran = run_commands(shell, ["sh", "-c", "kill -9 $$"], "echo not reached")
    assert (ran.returncode, ran.stdout) == (128 + 9, b"")


@each_shell
def test_a_program_that_is_not_there_is_a_failure(shell: str) -> None:
    ran = run_commands(shell, ["no-such-program-anywhere"], "echo not reached")
    assert (ran.returncode, ran.stdout) == (127, b"")


@each_shell
def test_a_command_that_leaves_early_ends_the_job_well(shell: str) -> None:
    assert run_commands(shell, "echo a; exit 0", "echo b") == Ran(0, b"a\n", b"", [])


@each_shell
def test_state_is_carried_from_command_to_command(shell: str) -> None:
    ran = run_commands(
        shell,
        ["mkdir", "sub"],
        ["cd", "sub"],
        "A='1  2'",
        "export B=3",
        'f() { echo "f $1"; }',
        "umask 027",
        "exec 3>log",
        'echo "$A"',
        ["sh", "-c", "echo $B"],
        ["f", "x y"],
        "umask",
        "echo logged >&3",
        "cat log",
        'echo "${PWD##*/} $?"',
    )
    assert ran.stdout.splitlines() == [b"1  2", b"3", b"f x y", b"0027", b"logged", b"sub 0"]
    assert ran.returncode == 0


@each_shell
def test_set_e_of_the_user_holds_inside_later_commands(shell: str) -> None:
    for command in ("false; echo not reached", "false\necho not reached", "(exit 3); { echo not reached; }"):
        ran = run_commands(shell, "set -e", command, "echo not reached")
        assert ran.returncode in (1, 3)
        assert ran.stdout == b""


@each_shell
def test_what_the_user_sets_does_not_break_the_lines_between_commands(shell: str) -> None:
    assert run_commands(shell, "IFS=0123456789", "(exit 17)", "echo no").returncode == 17
    assert run_commands(shell, "set -u -f", "echo a", "true") == Ran(0, b"a\n", b"", [])
    assert run_commands(shell, "set -e", "true", "echo a") == Ran(0, b"a\n", b"", [])


@each_shell
def test_a_trap_of_the_user_runs_at_the_end_and_sees_the_code(shell: str) -> None:
    ran = run_commands(shell, "trap 'echo left with $?' EXIT", "echo a", "(exit 5)", "echo not reached")
    assert (ran.returncode, ran.stdout) == (5, b"a\nleft with 5\n")


UNFINISHED = [
    "echo 'x", 'echo "x', "echo `x", "echo $(x", "echo ${x", "echo x &&", "echo x ||", "echo x |",
    "echo x >", "echo x <",
    "(echo x", "{ echo x", "{ echo x;", "if true", "if true; then echo x", "for i in 1", "while false; do",
    "case x in",
    "f() {", "f()", "echo x )", "echo x; }", "fi", "done", "esac", ";;", "then", "x ;; y", "&& x", "| x",
    "; x", "! &&", "$((1",
]  # fmt: skip
"""Programs that no shell accepts."""

FORGIVEN = [
    "echo x \\",
    "echo x \\\n",
    "cat <<EOF\nx\n",
    "cat <<'EOF'\nx\n",
    "cat <<-EOF\n\tx\n",
    "echo x; #",
    "echo x #\\",
]
"""Programs that end before they are finished, or so that they would go on with the next line, and are accepted."""


@each_shell
@pytest.mark.parametrize("command", UNFINISHED)
def test_a_command_that_cannot_be_parsed_fails_and_swallows_nothing(shell: str, command: str) -> None:
    ran = run_commands(shell, "echo begin", command, "echo 'not reached' | tee not-reached")
    assert ran.returncode not in (0, None)
    assert (ran.stdout, ran.files) == (b"begin\n", [])
    assert ran.stderr


@each_shell
@pytest.mark.parametrize("command", FORGIVEN)
def test_a_command_that_ends_before_it_is_finished_does_not_take_the_next_for_its_end(
    shell: str, command: str
) -> None:
    ran = run_commands(shell, "echo begin", command, "echo end", "EOF() { echo EOF; }", "EOF")
    assert ran.returncode == 0
    first, *between, before_last, last = ran.stdout.splitlines()
    assert [first, before_last, last] == [b"begin", b"end", b"EOF"]
    assert [line.strip(b" \\") for line in between] == [b"x"]


PIECES = [
    "echo x", "cat", "true", "false", "x=1", "$x", "'", '"', "\\", "\n", ";", ";;", "&&", "||", "|", "(",
    ")", "{", "}",
    "[ x", "]", "<<EOF", "EOF", "<", "> f", ">", "2>/dev/null", "if", "then", "else", "fi", "do", "done",
    "for i in 1 2",
    "case x in", "x)", "esac", "f()", "f", "function g", "time", "#", "$(", "$((", "`", "${", "${x}", "~",
    "=", "- ",
    "\t", "\r", "é", "\x07", "eval", ".",
]  # fmt: skip


@each_shell
@given(pieces=st.lists(st.sampled_from(PIECES), min_size=1, max_size=8), glue=st.sampled_from([" ", ""]))
def test_between_two_others_a_command_does_what_it_does_in_a_file_of_its_own(
    shell: str, pieces: list[str], glue: str
) -> None:
    command = glue.join(pieces)
    if not command.strip():
        return
    alone = run(command + "\n", shell)
    among = run_commands(shell, "echo begin", command, "echo end")
    end = b"end\n" if alone.returncode == 0 else b""
    assert among.stdout == b"begin\n" + alone.stdout + end
    assert among.files == alone.files
    assert (among.returncode == 0) == (alone.returncode == 0)


# ---------------------------------------------------------------- what stands in the script


def test_the_script_of_plain_commands_is_what_one_would_write_by_hand() -> None:
    spec = JobSpec(
        commands=[
            "cd /data && make -j 4",
            ["./run", "a b"],
            "sort < data > sorted 2>&1 | tee log; date >> log",
            "for i in 1 2; do echo $i; done",
        ],
        env={"OMP_NUM_THREADS": "4", "NOTE": "it's", "DEBUG": None},
    )
    assert render(spec, shell="/bin/bash", directives=["#SBATCH --ntasks=4"]) == (
        "#!/bin/bash\n"
        "#SBATCH --ntasks=4\n"
        "export OMP_NUM_THREADS=4\n"
        """export NOTE='it'"'"'s'\n"""
        "unset -v DEBUG\n"
        "cd /data && make -j 4\n"
        'case $? in 0) ;; *) exit "$?" ;; esac\n'
        "./run 'a b'\n"
        'case $? in 0) ;; *) exit "$?" ;; esac\n'
        "sort < data > sorted 2>&1 | tee log; date >> log\n"
        'case $? in 0) ;; *) exit "$?" ;; esac\n'
        "eval 'for i in 1 2; do echo $i; done'\n"
    )


def test_nothing_stands_in_the_script_that_was_not_asked_for() -> None:
    assert render(JobSpec(commands=["true"]), shell="/bin/sh") == "#!/bin/sh\ntrue\n"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("#!/bin/zsh\n#SBATCH -x\necho a\n", "#!/bin/zsh\n#D 1\n#D 2\n#SBATCH -x\necho a\n"),
        ("echo a", "#D 1\n#D 2\necho a\n"),
        ("#!/bin/sh", "#!/bin/sh\n#D 1\n#D 2\n"),
        ("#!/bin/sh\n", "#!/bin/sh\n#D 1\n#D 2\n"),
        ("\n#!/bin/sh\n", "#D 1\n#D 2\n\n#!/bin/sh\n"),
    ],
)
def test_directives_stand_below_the_interpreter_line_of_a_users_own_script(
    script: str, expected: str
) -> None:
    spec = JobSpec(script=script, env={"A": "1"}, launcher="mpi")
    assert render(spec, shell="/bin/bash", directives=["#D 1", "#D 2"]) == expected


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")).filter(str.strip))
@example("#!/bin/sh\r\necho a\r\n")
@example("a\n\n\n")
@example(os.fsdecode(EVERY_BYTE))
def test_without_directives_a_users_own_script_is_kept_byte_for_byte(text: str) -> None:
    rendered = render(JobSpec(script=text), shell="/bin/bash")
    assert rendered == (text if text.endswith("\n") else text + "\n")


@pytest.mark.parametrize(
    "line",
    [
        "#!{}",
        "#! {}",
        "#!{} ",
        "#!\t{}\t(%s)\t",
        "#!{} (%s)",
        "#!{}  (%s)  (%s) z ",
        "#!{} '%s %s'",
        "#!{} %s\v",
    ],
)
def test_an_interpreter_line_is_read_as_the_kernel_reads_it(line: str) -> None:
    text = line.format(PRINTF) + "\n"  # an interpreter that shows its arguments
    with empty_folder() as folder:
        script = os.path.join(folder, "script")
        with open(script, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(script, 0o700)
        by_kernel = subprocess.run([script, "a b"], capture_output=True, check=False)
        by_hand = subprocess.run([*interpreter(text), script, "a b"], capture_output=True, check=False)
    assert by_kernel.stdout
    assert (by_hand.returncode, by_hand.stdout) == (by_kernel.returncode, by_kernel.stdout)


@pytest.mark.parametrize(
    "text", ["", "echo a", "\n#!/bin/bash", " #!/bin/bash", "#!", "#! \t\necho a", "# !/bin/bash"]
)
def test_a_script_without_an_interpreter_line_is_for_the_posix_shell(text: str) -> None:
    assert interpreter(text) == ["/bin/sh"]
