"""What the pages say is so: the tutorial is done step by step, and every link leads somewhere."""

from __future__ import annotations

import doctest
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
    (r"\b(?=[a-z]*\d)[0-9a-hjkmnp-tv-z]{10}\b", "ID"),
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
