"""The package as it is built for others."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

import hpc_connect

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(folder),
        str(ROOT),
    ]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (file,) = folder.glob("*.whl")
    return zipfile.ZipFile(file)


def test_a_wheel_holds_every_file_of_the_source(wheel: zipfile.ZipFile) -> None:
    source = {
        str(path.relative_to(SOURCE))
        for path in (SOURCE / "hpc_connect").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {"hpc_connect/py.typed", "hpc_connect/records/supervisor.sh"} <= source
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == source


def test_its_metadata_is_that_of_the_package(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = HeaderParser().parsestr(wheel.read(name).decode())
    assert metadata["Version"] == hpc_connect.__version__
    assert metadata["License-Expression"] == "MIT"
    core = {line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line}
    assert {line.split(">")[0] for line in core} == {"pluggy", "psutil"}
