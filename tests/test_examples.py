"""The example packages, installed as anybody would install them, into an environment of their own."""

from __future__ import annotations

import fcntl
import os
import subprocess
import textwrap
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` folder of an environment with hpc_connect and both examples; made once for all workers."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = shared / "environment with examples"
    programs = folder / "bin"
    with open(shared / "environment.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "done"
        if not done.exists():
            venv.create(folder, with_pip=True)
            packages = [str(ROOT), str(EXAMPLES / "my_plugin"), str(EXAMPLES / "broken_plugin")]
            install = [str(programs / "python"), "-m", "pip", "install", "--quiet", *packages]
            found = subprocess.run(install, capture_output=True, text=True, check=False)
            assert found.returncode == 0, found.stderr
            done.touch()
    return programs


@pytest.fixture(autouse=True)
def only_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setenv("HPC_CONNECT_SITE_CONFIG", os.devnull)


def run(*argv: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


def python(installed: Path, program: str) -> str:
    """What a program prints in that environment."""
    done = run(installed / "python", "-W", "error", "-c", textwrap.dedent(program))
    assert done.returncode == 0, done.stderr
    return done.stdout.rstrip("\n")


# ---------------------------------------------------------------- the backend


def test_the_example_backend_runs_jobs(installed: Path) -> None:
    printed = python(
        installed,
        """
        import hpc_connect

        backend = hpc_connect.get_backend("my-backend")
        commands = ["echo one", ["echo", "two  words"], "echo $WHO"]
        job = backend.submit("hello", commands, cpus=1, variables={"WHO": "$me"})
        print(job.wait(), backend.name, job.status.state.value)
        print(job.output(), end="")
        failed = backend.submit("fail", ["exit 3", "echo not reached"], output="a file", scriptname="script.sh")
        print(failed.wait(), repr(failed.output()), "exit 3" in open("script.sh").read())
        """,
    )
    assert printed.splitlines() == ["0 my-backend COMPLETED", "one", "two  words", "$me", "3 '' True"]


def test_everything_else_of_a_handle_comes_from_poll_and_cancel(installed: Path) -> None:
    printed = python(
        installed,
        """
        import asyncio, hpc_connect

        async def awaited():
            return await backend.submit("a", ["true"])

        backend = hpc_connect.get_backend("my-backend")
        print(asyncio.run(awaited()))
        print(backend.submit("b", ["true"]).as_future().result(30))
        jobs = [backend.submit(f"c{n}", [f"exit {n}"]) for n in range(3)]
        print(sorted(job.returncode for job in hpc_connect.as_completed(jobs, timeout=30)))
        long = backend.submit("d", ["sleep 60"])
        long.cancel()
        print(long.wait(30))
        print(backend.submit_spec(hpc_connect.JobSpec(name="e", commands=["exit 4"])).wait(30))
        try:
            backend.submit("f", ["false"]).result(30)
        except hpc_connect.JobFailed as error:
            print(error.status.exit_code)
        """,
    )
    assert printed.splitlines() == ["0", "0", "[0, 1, 2]", "-15", "4", "1"]


def test_what_the_example_backend_does_not_understand_it_refuses_by_name(installed: Path) -> None:
    printed = python(
        installed,
        """
        import hpc_connect

        backend = hpc_connect.get_backend("my-backend")
        more = {"qtime": 10, "submit_flags": ["-q x"], "gpus": 1, "nodes": 2, "hold": True, "array": [1]}
        for word, value in more.items():
            try:
                backend.submit("x", ["true"], **{word: value})
            except hpc_connect.UnsupportedError as error:
                print(error.field)
        try:
            backend.submit("x", ["true"], colour="red")
        except hpc_connect.SpecError as error:
            print(error.field)
        """,
    )
    assert printed.split() == ["time_limit", "directives", "gpus", "nodes", "hold", "array", "colour"]


def test_the_example_backend_is_equal_to_itself_in_another_process(installed: Path) -> None:
    printed = python(
        installed,
        """
        import pickle, subprocess, sys, hpc_connect

        backend = hpc_connect.get_backend("my-backend", node_count=2)
        again = "import pickle, sys; b = pickle.load(sys.stdin.buffer); sys.stdout.buffer.write(pickle.dumps(b))"
        done = subprocess.run([sys.executable, "-c", again], input=pickle.dumps(backend), stdout=-1, check=True)
        found = pickle.loads(done.stdout)
        print(found == backend, found.config.node_count, hpc_connect.get_backend(backend.name).name)
        """,
    )
    assert printed == "True 2 my-backend"


# ---------------------------------------------------------------- the launcher


def test_the_example_launcher_starts_programs(installed: Path) -> None:
    words = ["--backend=my-launcher", "-n", "3", "sh", "-c", "echo $MY_RANK of $MY_SIZE"]
    done = run(installed / "hpc-launch", *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == ["0 of 3", "1 of 3", "2 of 3"]


def test_its_exit_code_is_the_launchers_own(installed: Path) -> None:
    words = ["--backend=my-launcher", "-n", "2", "sh", "-c", "exit $((7 * MY_RANK))"]
    assert run(installed / "hpc-launch", *words).returncode == 7


def test_the_example_launcher_is_used_from_python_too(installed: Path) -> None:
    printed = python(
        installed,
        """
        import os, hpc_connect

        launcher = hpc_connect.get_launcher("my-launcher")
        print(launcher.name, os.path.basename(launcher.executable))
        done = hpc_connect.launch(["--backend=my-launcher", "-n", "2", "sh", "-c", "echo $MY_SIZE"], stdout=-1)
        print(done.returncode, done.stdout.split())
        """,
    )
    assert printed.splitlines() == ["my-launcher mylaunch", "0 [b'2', b'2']"]


def test_the_example_launcher_can_be_configured(installed: Path) -> None:
    Path("hpc_connect.toml").write_text('launch.launcher = "my-launcher"\n')
    done = run(installed / "hpc-launch", "--dry-run", "-n", "2", "true")
    assert done.returncode == 0
    program, *words = done.stdout.split()[-4:]
    assert (os.path.basename(program.strip("'")), words) == ("mylaunch", ["-n", "2", "true"])


# ---------------------------------------------------------------- the broken one


def test_the_broken_example_hurts_only_its_own_name(installed: Path) -> None:
    printed = python(
        installed,
        """
        import hpc_connect

        for get in (hpc_connect.get_backend, hpc_connect.get_launcher):
            try:
                get("broken-backend")
            except hpc_connect.BrokenPlugin as error:
                print(error.name, error.package, type(error.__cause__).__name__, error.__cause__.name)
        print(hpc_connect.get_backend("shell").name, hpc_connect.get_backend("my-backend").name)
        print(sorted(hpc_connect.schedulers()))
        """,
    )
    broken = "broken-backend broken-plugin ModuleNotFoundError a_library_that_is_not_installed"
    said = printed.splitlines()
    assert said[:3] == [broken, broken, "shell my-backend"]
    assert {"'my-backend'", "'shell'"} <= {*said[3].strip("[]").split(", ")}


def test_all_of_them_are_listed(installed: Path) -> None:
    done = run(installed / "hpc-connect")
    assert (done.returncode, done.stderr) == (0, "")
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert "my-plugin 1.0" in rows["my-backend"]
    assert rows["my-backend"].endswith("yes")
    assert "my-plugin 1.0" in rows["my-launcher"]
    assert rows["my-launcher"].endswith("yes")
    assert "broken-plugin 1.0" in rows["broken-backend"]
    assert "ModuleNotFoundError: No module named 'a_library_that_is_not_installed'" in rows["broken-backend"]
    assert run(installed / "python", "-m", "hpc_connect").stdout == done.stdout


# ---------------------------------------------------------------- the page about plug-ins


def test_the_code_of_the_page_about_plug_ins_works(installed: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "write-a-plug-in.md").read_text(encoding="utf-8")
    blocks = [block.partition("```")[0] for block in page.split("```python\n")[1:]]
    backend = next(block for block in blocks if block.startswith("# my_plugin/backend.py"))
    launcher = next(block for block in blocks if block.startswith("# my_plugin/launcher.py"))
    use = """
backend = hpc_connect_backend()()
print(backend.submit("hello", ["echo hello"], cpus=1, variables={"A": "b"}).wait())
print(hpc_connect_launcher()().executable)
try:
    backend.submit("hello", ["echo hello"], qtime=3)
except hpc_connect.UnsupportedError as error:
    print(error.field)
"""
    assert python(installed, backend + launcher + use).splitlines() == [
        "hello",
        "0",
        "mylaunch",
        "time_limit",
    ]
