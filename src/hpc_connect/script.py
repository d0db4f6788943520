"""The text of a job's script, from its specification. Pure: values in, text out.

Bytes that are not UTF-8 travel as ``os.fsdecode`` makes them (surrogateescape), so a script is written with
``encode(errors="surrogateescape")``.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hpc_connect.spec import JobSpec

DEFAULT_SHELL = "/bin/bash"

# Ends the job with the code of the command before. `case` is the one test that leaves `$?` alone, and
# unlike `|| exit` it does not switch off a `set -e` of the user inside that command. Quoted, as IFS may hold digits.
_STOP_AT_FAILURE = 'case $? in 0) ;; *) exit "$?" ;; esac'


def render(spec: JobSpec, *, shell: str, directives: Iterable[str] = ()) -> str:
    """The script: interpreter line, directive lines, variables, commands.

    A user's own ``script`` is kept as it is, with the directive lines put below its interpreter line;
    variables are not written into it, as it may be in any language.

    Args:
        spec: what was asked for.
        shell: a shell of the POSIX family that runs ``commands``.
        directives: whole lines such as ``#SBATCH --nodes=2``.
    """
    if spec.script is not None:
        first, _, rest = spec.script.partition("\n")
        head = [first] if first.startswith("#!") else []
        rest = rest if head else spec.script
        text = "\n".join([*head, *directives, rest])
        return text if text.endswith("\n") else text + "\n"
    variables = dict(spec.env or {})
    if spec.launcher is not None:
        variables.setdefault("HPC_CONNECT_LAUNCHER", spec.launcher)
    blocks = [f"#!{shell}", *directives, *exports(variables), *command_lines(spec.commands or ())]
    return "\n".join(blocks) + "\n"


def interpreter(script: str) -> list[str]:
    """The words that run a file with this text, as the kernel reads its first line.

    As execve(2), "Interpreter scripts": a path and at most one argument, which holds all the rest of the
    line. Without such a line it is ``/bin/sh``.
    """
    first = script.partition("\n")[0]
    words = re.split("[ \t]+", first[2:].strip(" \t"), maxsplit=1) if first.startswith("#!") else []
    return [word for word in words if word] or ["/bin/sh"]


def exports(variables: Mapping[str, str | None]) -> list[str]:
    """One line per variable; the line of a value that holds a newline is several."""
    return [
        f"unset -v {name}" if value is None else f"export {name}={shlex.quote(value)}"
        for name, value in variables.items()
    ]


def command_lines(commands: Sequence[str | Sequence[str]]) -> list[str]:
    """Lines that run each command once, in order, in one shell, until the first that fails."""
    lines: list[str] = []
    for command in commands:
        if lines:
            lines.append(_STOP_AT_FAILURE)
        lines.append(_program(command) if isinstance(command, str) else _call(command))
    return lines


def _call(argv: Sequence[str]) -> str:
    """An argument vector as one command; a first word like ``if`` or ``A=1`` must not be taken for syntax."""
    program, *arguments = argv
    head = program if _PLAIN_NAME.fullmatch(program) and program not in _RESERVED else _quoted(program)
    return " ".join([head, *map(shlex.quote, arguments)])


def _program(text: str) -> str:
    """A shell program that cannot swallow the lines behind it.

    Text that is evidently complete stands as it is, for people to read. Anything else (an open quote, a
    here-document, a trailing ``&&``, or just something we do not parse) goes through ``eval``, which ends where
    the text ends and runs in the same shell.
    """
    lines = text.strip("\n").split("\n")
    if all(_evidently_complete(line) for line in lines):
        return "\n".join(lines)
    if text.rstrip("\n").endswith("\\"):
        text += "\n\n"  # else bash 5.2 takes the first word of the next line for the rest of this command
    return "eval " + _quoted(" " + text if text.startswith("-") else text)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\"'\"'") + "'"


_RESERVED = frozenset(
    "if then else elif fi do done case esac while until for in select function time coproc".split()
)
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_./+@%:,-]+", re.ASCII)
_VARIABLE = r"\$(?:\w+|\{\w+\})"
_TOKEN = re.compile(
    rf"""(?P<word>(?:[\w./:,=+@%^*?~-] | {_VARIABLE} | '[^'\n]*' | "(?:[^"\\`$\n] | {_VARIABLE})*" )+)
       | (?P<operator>&& | \|\| | [|;<] | >&(?=\d) | >>?)
       | (?P<blank>[ \t]+)""",
    re.VERBOSE | re.ASCII,
)


def _evidently_complete(line: str) -> bool:
    """Whether a line is nothing but simple commands joined by operators, the last of them whole."""
    position, last = 0, ""
    while position < len(line):
        token = _TOKEN.match(line, position)
        if token is None or token["word"] in _RESERVED:
            return False
        if token["operator"] == "<" and last == "<":
            return False  # a here-document
        if not token["blank"]:
            last = token["operator"] or "word"
        position = token.end()
    return last in ("", "word")
