"""Backends and launchers by name: what is found where, and what a bad plug-in can do (hurt itself).

The packages are real ones: a module and its metadata in a folder on the path.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from hpc_connect import backends, config
from hpc_connect.backend import HPCBackend
from hpc_connect.cluster import ClusterConfig
from hpc_connect.errors import (
    BrokenPlugin,
    ConfigError,
    PluginError,
    SpecError,
    UnknownBackend,
    UnknownLauncher,
)
from hpc_connect.plugins import catalogue, get_backend, get_launcher
from hpc_connect.plugins.catalogue import PluginInfo, available_backends, available_launchers, schedulers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BACKEND = """
    import sys
    import hpc_connect
    from hpc_connect.backend import HPCBackend

    class Mine(HPCBackend):
        name = "mine"
        {body}

        @staticmethod
        def matches(name):
            return name == "mine"

        def submit(self, name, args, **options):
            raise NotImplementedError

    @hpc_connect.hookimpl
    def hpc_connect_backend():
        return Mine
"""


def backend_module(body: str = "", name: str = "mine") -> str:
    return BACKEND.format(body=body).replace('"mine"', repr(name))


LAUNCHER = """
    import hpc_connect
    from hpc_connect.launcher import HPCLauncher

    class MyLauncher(HPCLauncher):
        name = "mine"

        @staticmethod
        def matches(name):
            return name == "mine"

        def __init__(self, config_file=None):
            super().__init__(config_file)
            {body}

        @property
        def executable(self):
            return "/bin/sh"

    @hpc_connect.hookimpl
    def hpc_connect_launcher():
        return MyLauncher
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Install a package of one module that brings one entry point, and forget the module afterwards."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("HPC_CONNECT_SITE_CONFIG", os.devnull)
    modules: list[str] = []

    def install(entry: str, text: str, package: str = "mine", target: str | None = None) -> None:
        module = f"installed_{package}"
        modules.append(module)
        (site / f"{module}.py").write_text(textwrap.dedent(text))
        metadata = site / f"{package}-1.5.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.5\n")
        (metadata / "entry_points.txt").write_text(f"[hpc_connect]\n{entry} = {target or module}\n")

    yield install
    for module in modules:
        sys.modules.pop(module, None)


def write_config(text: str) -> str:
    path = os.path.join(os.getcwd(), "hpc_connect.toml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def entry_of(name: str, found: list[PluginInfo]) -> list[tuple[str, str, str]]:
    return [(info.kind, info.origin, info.reason) for info in found if info.name == name]


# ---------------------------------------------------------------- found by name


def test_a_backend_of_an_installed_package_is_found_by_the_name_of_its_entry_point(
    install: Callable[..., None],
) -> None:
    install("mine", backend_module())
    backend = get_backend("mine")
    assert type(backend).__name__ == "Mine"
    assert backend.name == "mine"
    assert backend.config == ClusterConfig(name="mine", backend="mine")
    assert schedulers()["mine"] is type(backend)
    assert entry_of("mine", available_backends()) == [("backend", "mine 1.5", "")]
    assert entry_of("mine", available_launchers()) == []


def test_a_launcher_of_an_installed_package_is_made_with_the_config_file(
    install: Callable[..., None],
) -> None:
    install("mine", LAUNCHER.format(body="self.given = config_file"))
    launcher: Any = get_launcher("mine", "some/file")
    assert launcher.executable == "/bin/sh"
    assert launcher.given == "some/file"
    assert entry_of("mine", available_launchers()) == [("launcher", "mine 1.5", "")]
    with pytest.raises(UnknownBackend):
        get_backend("mine")


def test_one_module_may_bring_a_backend_and_a_launcher_of_one_name(install: Callable[..., None]) -> None:
    install("mine", backend_module() + LAUNCHER.format(body=""))
    assert type(get_backend("mine")).__name__ == "Mine"
    assert type(get_launcher("mine")).__name__ == "MyLauncher"


def test_two_packages_may_bring_a_backend_and_a_launcher_of_one_name(install: Callable[..., None]) -> None:
    install("mine", backend_module(), "first")
    install("mine", LAUNCHER.format(body=""), "second")
    assert type(get_backend("mine")).__name__ == "Mine"
    assert type(get_launcher("mine")).__name__ == "MyLauncher"
    assert len(entry_of("mine", catalogue.everything())) == 2


def test_two_packages_with_one_backend_name_are_refused_with_both_their_names(
    install: Callable[..., None],
) -> None:
    install("mine", backend_module(), "first")
    install("mine", backend_module(), "second")
    with pytest.raises(BrokenPlugin) as caught:
        get_backend("mine")
    assert caught.value.package == "first or second"
    reasons = {reason for _, _, reason in entry_of("mine", available_backends())}
    assert reasons == {
        f"{other} brings a backend of that name too; uninstall one of them" for other in ("first", "second")
    }
    assert "mine" not in schedulers()


def test_a_built_in_name_cannot_be_taken_over(install: Callable[..., None]) -> None:
    install("shell", backend_module(name="shell"))
    assert type(get_backend("shell")).__module__ == "hpc_connect.backends.shell"
    assert schedulers()["shell"].__module__ == "hpc_connect.backends.shell"
    assert entry_of("shell", available_backends()) == [
        ("backend", "built in", ""),
        ("backend", "mine 1.5", "there is a built-in backend of that name, which cannot be taken over"),
    ]


def test_another_name_of_a_built_in_one_cannot_be_taken_over_either(install: Callable[..., None]) -> None:
    install("mpiexec", LAUNCHER.format(body="").replace('"mine"', '"mpiexec"'))
    assert get_launcher("mpiexec").name == get_launcher("mpi").name == "mpi"
    [(kind, _, reason)] = entry_of("mpiexec", available_launchers())
    assert kind == "launcher"
    assert "cannot be taken over" in reason


def test_a_built_in_one_that_needs_what_is_not_installed_hurts_only_its_own_name(
    install: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lacking.py").write_text("import nothing_of_that_name")
    monkeypatch.setattr(backends, "__path__", [*backends.__path__, str(tmp_path)])
    with pytest.raises(PluginError, match=r"'lacking'.*nothing_of_that_name") as caught:
        get_backend("lacking")
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)
    assert entry_of("lacking", available_backends()) == [("backend", "built in", str(caught.value))]
    with pytest.raises(UnknownBackend) as unknown:
        get_backend("slurmm")
    assert "lacking" not in unknown.value.known


def test_a_name_loads_only_the_package_that_brings_it(install: Callable[..., None]) -> None:
    install("mine", backend_module())
    install("other", "raise RuntimeError('loaded')", "other")
    get_backend("shell")
    assert "installed_mine" not in sys.modules
    get_backend("mine")
    assert "installed_other" not in sys.modules


def test_what_is_built_in_needs_no_plug_in_machinery() -> None:
    program = (
        "import sys; from hpc_connect.plugins.discovery import LAUNCHER, find; find(LAUNCHER, 'mpi');"
        "print({'pluggy', 'importlib.metadata'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_importing_the_search_for_plug_ins_loads_nothing_slow() -> None:
    slow = {
        "re",
        "enum",
        "typing",
        "dataclasses",
        "tomllib",
        "logging",
        "pathlib",
        "pluggy",
        "importlib.metadata",
    }
    source = os.path.join(os.path.dirname(config.__file__), "..", "..")
    program = f"import sys; sys.path[:0] = [{source!r}]; import hpc_connect.plugins; print({slow!r} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# ---------------------------------------------------------------- unknown names


def test_an_unknown_backend_is_a_value_error_that_lists_the_known_ones(install: Callable[..., None]) -> None:
    install("mine", backend_module())
    install("launch", LAUNCHER.format(body="").replace('"mine"', '"launch"'), "launch")
    install("bad", "1 / 0", "bad")
    write_config('clusters.big.backend = "shell"')
    with pytest.raises(ValueError, match="'slurmm'") as caught:
        get_backend("slurmm")
    assert isinstance(caught.value, UnknownBackend)
    assert {"big", "mine", "shell"} <= set(caught.value.known)
    assert {"launch", "bad"}.isdisjoint(caught.value.known)


def test_an_unknown_launcher_is_a_value_error_that_lists_the_known_ones(install: Callable[..., None]) -> None:
    install("mine", LAUNCHER.format(body=""))
    with pytest.raises(UnknownLauncher) as caught:
        get_launcher("slurmm")
    assert {"mpi", "srun", "mine"} <= set(caught.value.known)


@pytest.mark.parametrize(
    "name", ["", "../shell", "shell.py", "__init__", "os", "a\nb", "shell\0", "Σ", "a" * 5000]
)
def test_a_strange_name_is_unknown(install: Callable[..., None], name: str) -> None:
    with pytest.raises(UnknownBackend):
        get_backend(name)
    with pytest.raises(UnknownLauncher):
        get_launcher(name)


@pytest.mark.parametrize("name", [3, b"shell", ["shell"], HPCBackend])
def test_a_name_is_a_string(name: Any) -> None:
    with pytest.raises(SpecError):
        get_backend(name)
    with pytest.raises(SpecError):
        get_launcher(name)


# ---------------------------------------------------------------- broken plug-ins


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("1 / 0", ZeroDivisionError),
        ("import nothing_of_that_name", ModuleNotFoundError),
        ("def broken(:", SyntaxError),
        ("raise SystemExit(3)", SystemExit),
        (
            "import hpc_connect\n@hpc_connect.hookimpl\ndef hpc_connect_backend(): raise OSError('no')",
            OSError,
        ),
        ("import hpc_connect\n@hpc_connect.hookimpl\ndef hpc_connect_backnd(): pass", Exception),
        ("import hpc_connect\n@hpc_connect.hookimpl\ndef hpc_connect_backend(oops): pass", Exception),
        (backend_module().replace("return name ==", "return 1 / 0 and name =="), ZeroDivisionError),
    ],
)
def test_a_plug_in_that_fails_hurts_only_its_own_name_with_its_error_as_the_cause(
    install: Callable[..., None], text: str, cause: type[BaseException]
) -> None:
    install("bad", text, "bad")
    install("mine", backend_module())
    for get in (get_backend, get_launcher):
        with pytest.raises(BrokenPlugin) as caught:
            get("bad")
        assert (caught.value.name, caught.value.package) == ("bad", "bad")
        assert isinstance(caught.value.__cause__, cause)
        assert len(str(caught.value).splitlines()) == 1
    assert get_backend("mine").name == "mine"
    assert get_backend("shell").name == "shell"
    [(kind, origin, reason)] = entry_of("bad", available_backends())
    assert (kind, origin) == ("plug-in", "bad 1.5")
    assert type(caught.value.__cause__).__name__ in reason
    assert entry_of("bad", available_launchers()) == [(kind, origin, reason)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "decorated with @hpc_connect.hookimpl"),
        (backend_module().replace("@hpc_connect.hookimpl", ""), "decorated with @hpc_connect.hookimpl"),
        (backend_module(name="other"), "matches this name"),
        (backend_module().replace("return Mine", "return Mine()"), "must return a subclass of HPCBackend"),
        (backend_module().replace("return Mine", "return dict"), "must return a subclass of HPCBackend"),
    ],
)
def test_a_plug_in_that_brings_nothing_useful_is_told_what_is_missing(
    install: Callable[..., None], text: str, said: str
) -> None:
    install("mine", text)
    with pytest.raises(BrokenPlugin) as caught:
        get_backend("mine")
    assert said in caught.value.problem


def test_an_entry_point_may_name_an_object_in_a_module(install: Callable[..., None]) -> None:
    install("mine", backend_module() + "\n    here = sys.modules[__name__]", target="installed_mine:here")
    assert get_backend("mine").name == "mine"


def test_a_backend_that_cannot_be_made_is_broken_and_one_that_defines_too_little_is_listed_so(
    install: Callable[..., None],
) -> None:
    install("mine", backend_module().replace("def submit", "def submitt"))
    with pytest.raises(BrokenPlugin) as caught:
        get_backend("mine")
    assert isinstance(caught.value.__cause__, TypeError)
    assert entry_of("mine", available_backends()) == [("backend", "mine 1.5", "Mine does not define submit")]


def test_a_class_may_say_why_it_cannot_be_used_here(install: Callable[..., None]) -> None:
    install("mine", backend_module("unusable_here = classmethod(lambda cls: 'no minectl on PATH')"))
    install("bad", backend_module("unusable_here = classmethod(lambda cls: 1 / 0)", "bad"), "bad")
    found = available_backends()
    assert entry_of("mine", found) == [("backend", "mine 1.5", "no minectl on PATH")]
    assert entry_of("bad", found) == [("backend", "bad 1.5", "ZeroDivisionError: division by zero")]
    assert get_backend("mine").name == "mine", "asking for it by name is left to who knows better"


def test_a_launcher_that_cannot_be_made_is_broken(install: Callable[..., None]) -> None:
    install("mine", LAUNCHER.format(body="raise KeyError('x')"))
    with pytest.raises(BrokenPlugin) as caught:
        get_launcher("mine")
    assert isinstance(caught.value.__cause__, KeyError)


# ---------------------------------------------------------------- configured


def test_no_name_is_the_configured_backend_else_shell(
    install: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    install("mine", backend_module())
    assert get_backend().name == get_backend(None).name == "shell"
    write_config('backend = "mine"')
    assert get_backend().name == "mine"
    monkeypatch.setenv("HPC_CONNECT_BACKEND", "shell")
    assert get_backend().name == "shell"


def test_a_cluster_of_the_configuration_has_its_own_name_and_settings(install: Callable[..., None]) -> None:
    install("mine", backend_module())
    path = write_config('clusters.big = { backend = "mine", node_count = 7 }')
    backend = get_backend("big")
    assert backend.name == "big"
    assert type(backend).__name__ == "Mine"
    assert (backend.config.backend, backend.config.node_count) == ("mine", 7)
    assert entry_of("big", available_backends()) == [("backend", f"mine as in {path}", "")]
    assert "big" not in schedulers()


def test_what_the_call_says_is_stronger(install: Callable[..., None]) -> None:
    install("mine", backend_module())
    write_config('clusters.big = { backend = "nothing", node_count = 7 }')
    backend = get_backend("big", backend="mine", node_count=8)
    assert (type(backend).__name__, backend.config.node_count) == ("Mine", 8)
    with pytest.raises(UnknownBackend, match="'nowhere'"):
        get_backend("big", backend="nowhere")


@pytest.mark.parametrize(
    ("text", "name", "key"),
    [
        ('backend = "nothing"', None, "backend"),
        ('clusters.big.backend = "nothing"', "big", "clusters.big.backend"),
    ],
)
def test_a_configured_name_that_is_unknown_is_an_error_of_the_configuration(
    install: Callable[..., None], text: str, name: str | None, key: str
) -> None:
    path = write_config(text)
    with pytest.raises(ConfigError) as caught:
        get_backend(name)
    assert caught.value.origin == path
    assert caught.value.problem.startswith(f"{key}='nothing': unknown backend 'nothing'; known: ")
    assert isinstance(caught.value.__cause__, UnknownBackend)


def test_a_configured_launcher_that_is_unknown_is_an_error_of_the_configuration(
    install: Callable[..., None],
) -> None:
    path = write_config('launch.launcher = "nothing"')
    with pytest.raises(ConfigError) as caught:
        get_launcher()
    assert caught.value.origin == path
    assert isinstance(caught.value.__cause__, UnknownLauncher)


def test_no_name_is_the_configured_launcher(
    install: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install("mine", LAUNCHER.format(body=""))
    write_config('launch.launcher = "srun"')
    assert get_launcher().name == "srun"
    other = tmp_path / "other.toml"
    other.write_text('launch.launcher = "mine"')
    assert get_launcher(config_file=str(other)).name == "mine"
    monkeypatch.setenv("HPC_CONNECT_LAUNCHER", "mine")
    assert get_launcher().name == "mine"


def test_a_backend_may_understand_further_settings_and_others_are_refused(
    install: Callable[..., None],
) -> None:
    install("mine", backend_module("config_options = {'url': __import__('hpc_connect.fields').fields.line}"))
    assert get_backend("mine", url="http://x").config.options == {"url": "http://x"}
    with pytest.raises(ConfigError, match=r"did you mean 'clusters.mine.url'"):
        get_backend("mine", urll="http://x")
    with pytest.raises(ConfigError, match=r"clusters.mine.url=''"):
        get_backend("mine", url="")


@pytest.mark.parametrize(
    "init", ["(self): pass", "(self): super().__init__()", "(self, config): pass", "(self, *, more=3): pass"]
)
def test_a_backend_whose_own_init_does_not_hand_on_the_configuration_has_it_all_the_same(
    install: Callable[..., None], init: str
) -> None:
    install("mine", backend_module(f"def __init__{init}; self.made = True"))
    backend: Any = get_backend("mine", node_count=3)
    assert backend.made
    assert backend.config.node_count == 3


def test_an_error_of_configuration_from_a_plug_ins_init_is_passed_on(install: Callable[..., None]) -> None:
    install(
        "mine",
        backend_module(
            "def __init__(self, config): raise __import__('hpc_connect').errors.ConfigError('clusters.mine', 'no url')"
        ),
    )
    with pytest.raises(ConfigError, match="no url"):
        get_backend("mine")


# ---------------------------------------------------------------- made again elsewhere

AGAIN = (
    "import pickle, sys; b = pickle.loads(sys.stdin.buffer.read()); sys.stdout.buffer.write(pickle.dumps(b))"
)


@pytest.mark.parametrize("name", ["shell", "mine", "big"])
def test_a_backend_goes_to_another_process_and_comes_back_equal(
    install: Callable[..., None], name: str
) -> None:
    install("mine", backend_module())
    write_config('clusters.big = { backend = "mine", node_count = 7 }')
    backend = get_backend(name)
    argv = [sys.executable, "-c", AGAIN]
    done = subprocess.run(argv, input=pickle.dumps(backend), capture_output=True, check=True)
    again = pickle.loads(done.stdout)
    assert again == backend
    assert again == get_backend(backend.name)
    assert hash(again) == hash(backend)
    assert again.config.node_count == backend.config.node_count


def test_options_of_the_call_go_along(install: Callable[..., None]) -> None:
    install("mine", backend_module())
    backend = get_backend("mine", node_count=3, polling_frequency="2s")
    again = pickle.loads(pickle.dumps(backend))
    assert again == backend != get_backend("mine")
    assert (again.config.node_count, again.config.polling_frequency) == (3, 2.0)
