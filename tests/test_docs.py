"""What the pages say is so: their code runs, the tutorial is done step by step, and every link leads somewhere.

On every page but the tutorial, which has its own test, each block of Python is run, in order, in an empty folder:

- Blocks of one page are one program; the later ones see the names of the earlier ones.
- A block whose first line is a comment with the name of a file is written to that file, and run by itself:
  ``# test_*.py`` by pytest.
- A block under a line ``<!-- not run: why -->`` is not run.
"""

from __future__ import annotations

import doctest
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(r"(?:#!.*\n)?# ([\w./-]+)\n")

# What differs from run to run, and what stands for it here and on the page.
VARIABLE = (
    (r"\b[0-9a-hjkmnp-tv-z]{10}\b", "ID"),
    (r"\bprocess \d+", "process PID"),
    (r"\b(SUBMITTING|RUNNING)\b", "STARTED"),
)


def blocks(page: Path) -> list[tuple[str, str]]:
    """The language and the text of each block of code."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Each command of a console, with what it is said to print."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, printed = part.partition("\n")
        yield command, printed


def the_same(printed: str, said: str) -> bool:
    """Whether a command printed what the page says; ``...`` stands for anything, no text for "never mind"."""
    if not said:
        return True
    printed = printed.replace(os.uname().nodename, "login1")
    for pattern, name in VARIABLE:
        printed, said = re.sub(pattern, name, printed), re.sub(pattern, name, said)
    return doctest.OutputChecker().check_output(
        said, printed, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    )


@pytest.mark.timeout(600)
def test_the_tutorial_holds_from_the_installation_to_the_first_plug_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hpc_connect").symlink_to(ROOT)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python3").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", f"{tmp_path}/hpc/bin:{programs}:{os.environ['PATH']}")
    for language, text in blocks(DOCS / "tutorial.md"):
        if language == "console":
            for command, said in commands(text):
                done = subprocess.run(
                    ["bash", "-c", command],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    check=False,
                )
                assert the_same(done.stdout, said), f"$ {command}\n{done.stdout}"
                assert done.returncode == 0, f"$ {command}\n{done.stdout}"
        else:
            name = FILE_NAME.match(text)
            assert name is not None, text
            path = programs / name[1] if text.startswith("#!") else tmp_path / name[1]
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            path.chmod(0o755)


def test_the_first_example_of_the_readme_runs() -> None:
    language, text = blocks(ROOT / "README.md")[0]
    assert language == "python"
    subprocess.run([sys.executable, "-W", "error", "-c", text], check=True, timeout=60)


# ---------------------------------------------------------------- code of the other pages

MARKED = re.compile(r"<!-- not run: \S.* -->\n$")
RUN = """
import json, os, runpy, subprocess, sys

sys.path.insert(0, "")
page, blocks = json.load(sys.stdin)
names = {"__name__": "__main__"}
for line, name, code in blocks:
    if name is None:
        exec(compile("\\n" * line + code, page, "exec"), names)
        continue
    os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
    with open(name, "w", encoding="utf-8") as file:
        file.write(code)
    if os.path.basename(name).startswith("test_"):
        subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", name], check=True)
    else:
        runpy.run_path(name)
"""


def marked_blocks(text: str) -> Iterator[tuple[int, str, str]]:
    """The line, the language and the text of each block of code that is to be run."""
    for found in BLOCK.finditer(text):
        if MARKED.search(text[: found.start()]) is None:
            yield text.count("\n", 0, found.start()) + 1, found[1], found[2]


def run_python(page: str, text: str) -> subprocess.CompletedProcess[str]:
    """Run the blocks of Python of a page, in the current folder."""
    python = []
    for line, language, code in marked_blocks(text):
        if language == "python":
            name = FILE_NAME.match(code)
            python.append((line, None if name is None else name[1], code))
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", RUN],
        input=json.dumps([page, python]),
        capture_output=True,
        text=True,
        check=False,
    )


def other_pages() -> list[Path]:
    found = [
        *ROOT.glob("*.md"),
        *DOCS.rglob("*.md"),
        *ROOT.glob("benchmarks/*.md"),
        *ROOT.glob("examples/*/*.md"),
    ]
    return sorted(page for page in found if page != DOCS / "tutorial.md")


def ids(pages: list[Path]) -> list[str]:
    return [str(page.relative_to(ROOT)) for page in pages]


WITH_PYTHON = [page for page in other_pages() if "python" in dict(blocks(page))]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=ids(WITH_PYTHON))
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = run_python(str(page.relative_to(ROOT)), page.read_text(encoding="utf-8"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_code_that_fails_is_found_with_its_line_on_the_page() -> None:
    done = run_python(
        "page.md", "# Page\n\n```python\na = 1\n```\ntext\n```python\nassert a == 1\nassert a == 2\n```\n"
    )
    assert done.returncode == 1
    assert 'File "page.md", line 9' in done.stderr


def test_a_test_file_that_fails_is_found() -> None:
    done = run_python("page.md", "```python\n# test_it.py\ndef test_it():\n    assert 1 == 2\n```\n")
    assert done.returncode == 1
    assert "assert 1 == 2" in done.stdout


def test_a_block_is_left_out_only_for_a_reason() -> None:
    block = "```python\nraise SystemExit(3)\n```\n"
    assert run_python("page.md", f"<!-- not run: it would end the program -->\n{block}").returncode == 0
    assert run_python("page.md", f"<!-- not run: -->\n{block}").returncode == 3


# ---------------------------------------------------------------- links

LINK = re.compile(r"\[[^\]]*\]\(([^)#:\s]+)(?:#[^)]*)?\)")


def pages() -> list[Path]:
    return sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *ROOT.glob("benchmarks/*.md")])


def links(page: Path) -> list[Path]:
    """What a page links to, as far as it lies here."""
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    return [Path(os.path.normpath(page.parent / target)) for target in LINK.findall(text)]


def test_every_link_leads_somewhere() -> None:
    broken = [f"{page.relative_to(ROOT)}: {to}" for page in pages() for to in links(page) if not to.exists()]
    assert broken == []


def test_every_page_stands_in_an_index() -> None:
    indexes = [DOCS / "README.md", DOCS / "decisions" / "README.md"]
    listed = {page for index in indexes for page in links(index)} | {indexes[0]}
    assert sorted(str(page.relative_to(ROOT)) for page in {*DOCS.rglob("*.md")} - listed) == []
