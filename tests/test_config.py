"""Configuration: what wins, where a value comes from, and what is said of a bad file."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_connect import config
from hpc_connect.cluster import CHECKS
from hpc_connect.config import Config, environment, files, keys
from hpc_connect.config.tables import find, leaves, merged, plain
from hpc_connect.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

PROJECT = "hpc_connect.toml"


class Place:
    """The three places that files are read from, and the working directory."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.site = folder / "site.toml"
        self.user = self.home / ".config" / "hpc_connect" / "hpc_connect.toml"
        self.work = self.home / "work" / "deep" / "down"
        self.project = self.home / "work" / PROJECT
        self.user.parent.mkdir(parents=True)
        self.work.mkdir(parents=True)
        self.site.touch()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    found = Place(tmp_path)
    monkeypatch.setenv("HOME", str(found.home))
    monkeypatch.setenv("HPC_CONNECT_SITE_CONFIG", str(found.site))
    monkeypatch.chdir(found.work)
    return found


def refused(config_file: str | os.PathLike[str] | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        config.load(config_file)
    assert "\n" not in str(caught.value)
    return caught.value


# ---------------------------------------------------------------- what wins


def test_without_files_and_variables_nothing_is_set(place: Place) -> None:
    place.site.unlink()
    os.environ["HPC_CONNECT_SITE_CONFIG"] = os.devnull
    found = config.load()
    assert list(found.settings()) == []
    assert found.files == ()
    assert found.get("launch.exec") is None
    assert found.origin("launch.exec") == "default"
    assert found.launch() == {}


def test_the_project_beats_the_user_who_beats_the_site_key_by_key(place: Place) -> None:
    place.site.write_text('backend = "site"\nlaunch.exec = "site"\nlaunch.numproc_flag = "-site"\n')
    place.user.write_text('backend = "user"\nlaunch.exec = "user"\n')
    place.project.write_text('backend = "project"\n')
    found = config.load()
    assert {key: (value, origin) for key, value, origin in found.settings()} == {
        "backend": ("project", str(place.project)),
        "launch.exec": ("user", str(place.user)),
        "launch.numproc_flag": ("-site", str(place.site)),
    }
    assert found.files == (str(place.site), str(place.user), str(place.project))


def test_the_environment_beats_every_file(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.project.write_text(
        'backend = "project"\nlaunch = { launcher = "mpi", exec = "a", numproc_flag = "-a" }'
    )
    for variable, key, value in (
        ("HPC_CONNECT_BACKEND", "backend", "slurm"),
        ("HPC_CONNECT_LAUNCHER", "launch.launcher", "srun"),
        ("HPCC_LAUNCH_EXEC", "launch.exec", "/opt/srun"),
        ("HPCC_LAUNCH_NUMPROC_FLAG", "launch.numproc_flag", "--ntasks"),
    ):
        monkeypatch.setenv(variable, value)
        assert config.load().get(key) == value
        assert config.origin(key) == f"environment variable {variable}"


def test_an_empty_variable_says_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.project.write_text('backend = "project"')
    monkeypatch.setenv("HPC_CONNECT_BACKEND", "")
    assert config.load().get("backend") == "project"
    assert config.variable("HPC_CONNECT_BACKEND") is None


def test_the_call_beats_the_environment(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.project.write_text("clusters.mine.polling_frequency = 10")
    assert config.load().cluster("mine").polling_frequency == 10
    monkeypatch.setenv("HPCC_POLLING_FREQUENCY", "2.5")
    assert config.load().cluster("mine").polling_frequency == 2.5
    assert config.origin("clusters.mine.polling_frequency") == "environment variable HPCC_POLLING_FREQUENCY"
    assert config.load().cluster("mine", {"polling_frequency": "1m"}).polling_frequency == 60
    assert config.load().cluster("mine", {"polling_frequency": None}).polling_frequency == 2.5


def test_the_polling_frequency_of_the_environment_holds_for_clusters_nobody_configured(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPCC_POLLING_FREQUENCY", "7")
    assert config.load().cluster("shell").polling_frequency == 7
    assert config.origin("clusters.shell.polling_frequency") == "environment variable HPCC_POLLING_FREQUENCY"
    assert config.load().clusters() == {}


def test_each_load_sees_what_is_there_at_that_moment(place: Place) -> None:
    before = config.load()
    place.project.write_text('backend = "later"')
    assert before.get("backend") is None
    assert config.load().get("backend") == "later"


def test_the_origin_of_a_table_is_everything_that_sets_something_in_it(place: Place) -> None:
    place.site.write_text('launch.exec = "a"\nlaunch.mappings = { "--a.b" = "-c" }')
    place.user.write_text('launch.mappings = { "-x" = "SUPPRESS" }')
    found = config.load()
    assert found.origin("launch") == f"{place.site}, {place.user}"
    assert found.origin("launch.mappings.--a.b") == str(place.site)
    assert found.origin("launch.mappings.-x") == str(place.user)
    assert found.get("launch.mappings") == {"--a.b": "-c", "-x": "SUPPRESS"}


@pytest.mark.parametrize("key", ["lunch.exec", "launch.exe", "backend.name", "nothing", ""])
def test_asking_for_a_key_that_cannot_be_is_refused(place: Place, key: str) -> None:
    with pytest.raises(ConfigError, match="unknown key"):
        config.origin(key)


# ---------------------------------------------------------------- merging, for every table

VALUES = st.integers() | st.lists(st.integers(), max_size=2)


def tables(keys: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.recursive(
        st.dictionaries(keys, VALUES, max_size=3),
        lambda below: st.dictionaries(keys, VALUES | below, max_size=3),
        max_leaves=8,
    )


def overlaid(weak: dict[str, Any], strong: dict[str, Any]) -> dict[str, Any]:
    both = {**weak, **strong}
    for key, value in strong.items():
        if isinstance(value, dict):
            below = weak.get(key)
            both[key] = overlaid(below if isinstance(below, dict) else {}, value)
    return both


def at(table: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        table = table.get(key, ...) if isinstance(table, dict) else ...
    return table


def paths(table: dict[str, Any], above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for key, value in table.items():
        found += paths(value, (*above, key)) if isinstance(value, dict) else [(*above, key)]
    return found


@given(st.lists(tables(st.sampled_from("abc")), max_size=4))
def test_a_value_is_that_of_the_last_file_that_gives_one_and_its_origin_says_which(
    layers: list[dict[str, Any]],
) -> None:
    table: dict[str, Any] = {}
    expected: dict[str, Any] = {}
    for number, layer in enumerate(layers):
        table = merged(table, layer, str(number))
        expected = overlaid(expected, layer)
    assert plain(table) == expected
    for path in paths(expected):
        value, origin = at(table, path)
        assert at(layers[int(origin)], path) == value
        assert all(at(layer, path) is ... for layer in layers[int(origin) + 1 :])


@given(tables(st.text("ab-", min_size=1, max_size=3)))
def test_every_value_is_found_by_its_dotted_key(table: dict[str, Any]) -> None:
    known = merged({}, table, "here")
    assert sorted(key.split(".") for key, _, _ in leaves(known)) == sorted(map(list, paths(table)))
    for key, value, origin in leaves(known):
        assert find(known, key) == (value, origin)
        assert find(known, f"{key}.more") is None


# ---------------------------------------------------------------- the launch section


def test_options_may_be_a_list_of_words_or_one_string(place: Place) -> None:
    place.user.write_text(
        """launch.default_options = ["--bind-to", "a b"]\nlaunch.local_options = "-x 'a b' -np %(np)d" """
    )
    assert config.launch_section() == {
        "default_options": ["--bind-to", "a b"],
        "local_options": ["-x", "a b", "-np", "%(np)d"],
    }


def test_options_of_the_environment_add_and_after_an_exclamation_mark_replace(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.user.write_text('launch.default_options = ["-a"]')
    monkeypatch.setenv("HPCC_LAUNCH_DEFAULT_OPTIONS", "-b 'c d'")
    monkeypatch.setenv("HPCC_LAUNCH_LOCAL_OPTIONS", "-e")
    found = config.load()
    assert found.launch() == {"default_options": ["-a", "-b", "c d"], "local_options": ["-e"]}
    assert found.origin("launch.default_options") == (
        f"{place.user} + environment variable HPCC_LAUNCH_DEFAULT_OPTIONS"
    )
    monkeypatch.setenv("HPCC_LAUNCH_DEFAULT_OPTIONS", "!-b")
    assert config.launch_section()["default_options"] == ["-b"]
    monkeypatch.setenv("HPCC_LAUNCH_DEFAULT_OPTIONS", "!")
    assert config.launch_section()["default_options"] == []


def test_mappings_of_the_environment_add_and_after_an_exclamation_mark_replace(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.user.write_text('launch.mappings = { "--foo" = "--bar" }')
    monkeypatch.setenv("HPCC_LAUNCH_MAPPINGS", "-a:-b, --c : SUPPRESS")
    assert config.launch_section()["mappings"] == {"--foo": "--bar", "-a": "-b", "--c": "SUPPRESS"}
    monkeypatch.setenv("HPCC_LAUNCH_MAPPINGS", "!-a:-b")
    assert config.launch_section()["mappings"] == {"-a": "-b"}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HPCC_LAUNCH_MAPPINGS", "-a"),
        ("HPCC_LAUNCH_MAPPINGS", "a:-b"),
        ("HPCC_LAUNCH_MAPPINGS", "-a:b"),
        ("HPCC_LAUNCH_DEFAULT_OPTIONS", "'open"),
        ("HPCC_LAUNCH_EXEC", "!"),
        ("HPCC_LAUNCH_EXEC", "a\nb"),
        ("HPC_CONNECT_LAUNCHER", "a/b"),
        ("HPC_CONNECT_BACKEND", "../x"),
    ],
)
def test_a_bad_variable_is_named(
    place: Place, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert refused().origin == f"environment variable {variable}"


def test_the_launcher_is_that_of_the_variable_then_of_files_then_the_preferred_one(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPC_CONNECT_PREFERRED_LAUNCHER", "preferred")
    assert config.launch_section()["launcher"] == "preferred"
    assert config.origin("launch.launcher") == "environment variable HPC_CONNECT_PREFERRED_LAUNCHER"
    place.site.write_text('launch.launcher = "site"')
    assert config.launch_section()["launcher"] == "site"
    monkeypatch.setenv("HPC_CONNECT_LAUNCHER", "variable")
    assert config.launch_section()["launcher"] == "variable"


def test_a_preference_gives_way_to_a_program_that_is_named(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPC_CONNECT_PREFERRED_LAUNCHER", "mpi")
    monkeypatch.setenv("HPCC_LAUNCH_EXEC", "srun")
    assert config.launch_section() == {"exec": "srun"}


def test_what_a_file_says_for_one_launcher_is_not_used_for_another(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.site.write_text('launch = { launcher = "mpi", exec = "/opt/mpiexec", default_options = ["--mpi"] }')
    place.user.write_text('launch = { mappings = { "-q" = "-Q" } }')
    monkeypatch.setenv("HPCC_LAUNCH_DEFAULT_OPTIONS", "--mine")
    assert config.launch_section(matches={"mpi", "mpiexec"}.__contains__) == {
        "launcher": "mpi",
        "exec": "/opt/mpiexec",
        "default_options": ["--mpi", "--mine"],
        "mappings": {"-q": "-Q"},
    }
    assert config.launch_section(matches={"srun"}.__contains__) == {
        "default_options": ["--mine"],
        "mappings": {"-q": "-Q"},
    }


# ---------------------------------------------------------------- which files


def test_a_named_file_is_read_in_place_of_the_projects(place: Place, tmp_path: Path) -> None:
    place.user.write_text('launch.exec = "user"')
    place.project.write_text('backend = "project"')
    other = tmp_path / "other.toml"
    other.write_text('launch.numproc_flag = "-k"')
    found = config.load(other)
    assert found.files == (str(place.site), str(place.user), str(other))
    assert found.get("backend") is None


def test_a_named_file_that_is_not_there_is_an_error(place: Place, tmp_path: Path) -> None:
    assert refused(tmp_path / "none.toml").origin == str(tmp_path / "none.toml")
    place.site.unlink()
    assert refused().origin == str(place.site)


def test_a_pyproject_counts_with_its_own_table_only(place: Place) -> None:
    (place.home / "work" / "pyproject.toml").write_text('[tool.hpc_connect]\nbackend = "far"\n')
    (place.work.parent / "pyproject.toml").write_text(
        '[project]\ndependencies = ["hpc_connect"]\n[tool.other]\nbackend = 1\n'
    )
    found = config.load()
    assert found.get("backend") == "far"
    assert found.origin("backend") == f"{place.home / 'work' / 'pyproject.toml'} [tool.hpc_connect]"
    (place.work / "pyproject.toml").write_text('tool = { hpc_connect = { backend = "near" } }')
    assert config.load().get("backend") == "near"
    assert config.load(place.work / "pyproject.toml").get("backend") == "near"


def test_in_one_folder_our_own_file_comes_before_the_pyproject(place: Place) -> None:
    (place.work / "pyproject.toml").write_text('tool.hpc_connect.backend = "pyproject"')
    (place.work / PROJECT).write_text('backend = "own"')
    assert config.load().get("backend") == "own"


@pytest.mark.parametrize("contents", [b"not toml, about hpc_connect", b"tool = 3 # hpc_connect", b"\xff"])
def test_a_pyproject_that_does_not_speak_of_us_is_none_of_our_business(place: Place, contents: bytes) -> None:
    (place.work / "pyproject.toml").write_bytes(contents)
    assert config.load().get("backend") is None


def test_a_pyproject_that_cannot_be_read_is_none_of_our_business(place: Place) -> None:
    (place.work / "pyproject.toml").mkdir()
    assert config.load().get("backend") is None


def test_the_way_up_ends_at_the_home_folder(place: Place) -> None:
    (place.home.parent / PROJECT).write_text('backend = "above"')
    assert config.load().get("backend") is None
    (place.home / PROJECT).write_text('backend = "home"')
    assert config.load().get("backend") == "home"


def test_outside_of_the_home_folder_the_way_goes_up_as_well(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "scratch" / "run").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "scratch" / "run")
    (tmp_path / "scratch" / PROJECT).write_text('backend = "scratch"')
    assert config.load().get("backend") == "scratch"


def test_a_file_of_somebody_else_where_everybody_may_write_is_passed_over(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    planted = place.work / PROJECT
    planted.write_text('launch.exec = "evil"')
    (place.work / "pyproject.toml").write_text('tool.hpc_connect.launch.exec = "evil"')
    place.project.write_text('launch.exec = "good"')
    place.work.chmod(0o1777)
    assert config.load().get("launch.exec") == "evil", "it is one's own"
    monkeypatch.setattr(files, "_owner", lambda path: 4711 if str(place.work) in path else _owner(path))
    with caplog.at_level(logging.WARNING):
        assert config.load().get("launch.exec") == "good"
    assert [record.args for record in caplog.records] == [(str(planted), 4711)]
    place.work.chmod(0o755)
    assert config.load().get("launch.exec") == "evil", "who may write there is trusted"


_owner = files._owner


def test_a_working_directory_that_is_gone_has_no_project(place: Place) -> None:
    place.user.write_text('backend = "user"')
    gone = place.work / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    assert config.load().get("backend") == "user"


def test_the_users_file_is_found_by_xdg_and_a_relative_folder_counts_for_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place.user.write_text('backend = "home"')
    (tmp_path / "xdg" / "hpc_connect").mkdir(parents=True)
    (tmp_path / "xdg" / "hpc_connect" / "hpc_connect.toml").write_text('backend = "xdg"')
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert config.load().get("backend") == "xdg"
    monkeypatch.setenv("XDG_CONFIG_HOME", "xdg")
    assert config.load().get("backend") == "home"


def test_the_folders_for_state_and_cache_follow_xdg(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert config.state_folder() == str(place.home / ".local" / "state" / "hpc_connect")
    assert config.cache_folder() == str(place.home / ".cache" / "hpc_connect")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert config.state_folder() == config.cache_folder() == str(tmp_path / "hpc_connect")


# ---------------------------------------------------------------- bad files


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('bakend = "x"', "unknown key 'bakend'; did you mean 'backend'?"),
        (
            "launch.default_option = []",
            "unknown key 'launch.default_option'; did you mean 'launch.default_options'?",
        ),
        ("queue = 1", "unknown key 'queue'; known: backend, clusters, launch"),
        ("backend = 3", "backend=3: must be a name"),
        ("launch = 3", "launch=3: must be a table"),
        ("launch.exec = ''", "launch.exec='': must be a string that is not empty"),
        (r'launch.exec = "a\nb"', r"launch.exec='a\nb': must not contain newlines"),
        ("launch.default_options = ['-n', 4]", "launch.default_options=['-n', 4]: must be a list of strings"),
        ("launch.mappings = { foo = '-x' }", "'foo' is not an option"),
        ("launch.mappings = { '-x' = 'y' }", "'-x' must become an option"),
        ("launch.mappings = { '-x' = true }", "must be a string"),
        (r'launch.mappings = { "-x" = "-\u0000" }', "must not contain"),
        (r'launch.local_options = ["\u0000"]', "without NUL"),
        (r'launch.local_options = "a\u0000b"', "without NUL"),
        ("clusters = 1", "clusters=1: must hold one table for each cluster"),
        ("clusters.a = 1", "must hold one table for each cluster"),
        ("clusters.'a b' = {}", "must be a name"),
        ("clusters.'*' = {}", "must be a name"),
        ("clusters.'a.b' = {}", "'a.b' must be a name without a dot"),
        ("clusters.a.backend = []", "must be a name"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_the_key_and_what_is_allowed(
    place: Place, text: str, said: str
) -> None:
    place.project.write_text(text)
    error = refused()
    assert error.origin == str(place.project)
    assert said in error.problem


def test_what_is_not_toml_is_said_with_its_line(place: Place) -> None:
    place.project.write_text('backend = "x"\n\nlaunch.exec = mpiexec\n')
    assert "line 3" in refused().problem
    place.project.write_bytes(b'backend = "x"\n# \xe9t\xe9\n')
    assert refused().origin == f"{place.project}, line 2"


@pytest.mark.parametrize(
    "contents",
    [b"#" * (2**20 + 1), b"a = " + b"[" * 100_000, b"backend = " + b"9" * 10_000, b"a = 2026-13-45", b"\0"],
    ids=["huge", "deep", "long number", "no such date", "NUL"],
)
def test_a_hostile_file_is_one_clear_error(place: Place, contents: bytes) -> None:
    place.user.write_bytes(contents)
    assert refused().origin == str(place.user)


@given(st.binary(max_size=40) | st.text(st.sampled_from("abc[]={}\"'\n.,#1- "), max_size=40).map(str.encode))
def test_whatever_a_file_holds_it_is_read_or_refused_by_name(contents: bytes) -> None:
    said = None
    try:
        Config([files._table("/some/hpc_connect.toml", contents) or ("", {})], {})
    except ConfigError as error:
        said = error
    assert said is None or said.origin.startswith("/some/hpc_connect.toml")
    assert len(str(said).splitlines()) == 1


def test_a_byte_order_mark_does_no_harm(place: Place) -> None:
    place.user.write_bytes(b'\xef\xbb\xbfbackend = "x"')
    assert config.load().get("backend") == "x"


def test_a_folder_in_place_of_a_file_is_refused(place: Place) -> None:
    (place.work / PROJECT).mkdir()
    assert refused().origin == str(place.work / PROJECT)


def test_a_named_pipe_is_refused_without_waiting_for_a_writer(place: Place) -> None:
    os.mkfifo(place.work / PROJECT)
    assert "regular file" in refused().problem


@pytest.mark.parametrize("path", ["a\0b", "x" * 300])
def test_a_path_that_cannot_be_is_refused(place: Place, path: str) -> None:
    assert "cannot be read" in refused(path).problem


WITHOUT_PRIVILEGES = """
import ctypes, sys
sys.path[:0] = [sys.argv[1]]
no_capabilities = (ctypes.c_uint32 * 6)(), (ctypes.c_uint32 * 2)(0x20080522, 0)  # capset(2), version 3
assert ctypes.CDLL(None).capset(no_capabilities[1], no_capabilities[0]) == 0
from hpc_connect import config
from hpc_connect.errors import ConfigError
try:
    print(config.load().get("backend"))
except ConfigError as error:
    print(error.origin, error.problem)
"""


def load_without_privileges() -> str:
    package = os.path.dirname(os.path.dirname(os.path.dirname(config.__file__)))
    argv = [sys.executable, "-c", WITHOUT_PRIVILEGES, package]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def test_a_file_that_may_not_be_read_is_refused(place: Place) -> None:
    place.user.write_text('backend = "user"')
    assert load_without_privileges() == "user"
    place.user.chmod(0)
    assert load_without_privileges() == f"{place.user} cannot be read: Permission denied"


def test_a_file_in_a_folder_that_may_not_be_entered_is_not_there(place: Place) -> None:
    place.user.write_text('backend = "user"')
    place.user.parent.chmod(0)
    assert load_without_privileges() == "None"
    place.user.parent.chmod(0o755)


# ---------------------------------------------------------------- clusters


def test_a_cluster_has_a_backend_of_its_own_or_of_its_name(place: Place) -> None:
    place.user.write_text('clusters.big.backend = "slurm"\nclusters.pbs.node_count = 3\n')
    found = config.load()
    assert found.clusters() == {"big": "slurm", "pbs": "pbs"}
    assert found.backend_of("big") == "slurm"
    assert found.backend_of("unheard-of") == "unheard-of"
    assert found.backend_of("big", {"backend": "shell"}) == "shell"
    big = found.cluster("big")
    assert (big.name, big.backend) == ("big", "slurm")


def test_a_bad_cluster_hurts_only_who_uses_it(place: Place) -> None:
    place.user.write_text('clusters.bad.node_count = "many"\nclusters.good.node_count = 2')
    found = config.load()
    assert found.cluster("good").node_count == 2
    with pytest.raises(ConfigError) as caught:
        found.cluster("bad")
    assert caught.value.origin == str(place.user)
    assert caught.value.problem.startswith("clusters.bad.node_count='many': must be a whole number")


def test_a_key_that_neither_we_nor_the_backend_know_is_refused(place: Place) -> None:
    place.user.write_text('clusters.far.host = "login"\n')
    from hpc_connect.fields import line

    found = config.load()
    assert found.cluster("far", checks={"host": line}).options == {"host": "login"}
    with pytest.raises(ConfigError, match=r"unknown key 'clusters.far.host'"):
        found.cluster("far", checks={"port": line})
    with pytest.raises(ConfigError, match=r"did you mean 'clusters.far.node_count'") as caught:
        found.cluster("far", {"node_counts": 1}, {"host": line})
    assert caught.value.origin == "get_backend('far')"
    with pytest.raises(ConfigError, match=r"clusters.far.host=3"):
        found.cluster("far", {"host": 3}, {"host": line})


# ---------------------------------------------------------------- the page about it

PAGE = os.path.join(os.path.dirname(__file__), "..", "docs", "reference", "configuration.md")


def page() -> str:
    with open(PAGE, encoding="utf-8") as file:
        return file.read()


def test_the_example_of_the_page_is_a_configuration(place: Place) -> None:
    place.project.write_text(page().partition("```toml\n")[2].partition("```")[0])
    found = config.load()
    assert found.cluster("frontier").cpus_per_node == 64
    assert found.launch()["mappings"]["--mca"] == "SUPPRESS"


def test_the_page_has_every_key_and_no_other() -> None:
    known = {
        "backend",
        *(f"launch.{key}" for key in keys.LAUNCH),
        *(f"clusters.NAME.{key}" for key in CHECKS),
    }
    assert {*re.findall(r"^\| `([a-z][\w.]*)` \|", page(), re.MULTILINE)} == known


def test_the_page_has_every_variable_of_ours_and_no_other() -> None:
    known = {files.SITE_VARIABLE, *environment.VARIABLES}
    assert {*re.findall(r"`(HPC_CONNECT_\w+|HPCC_\w+)`", page())} == known


# ---------------------------------------------------------------- what it costs


def test_importing_it_reads_nothing_and_loads_nothing_slow() -> None:
    program = (
        "import sys; before = set(sys.modules); import hpc_connect.config as c; c.load();"
        "print(*sorted({'re', 'enum', 'typing', 'dataclasses', 'tomllib', 'logging', 'pathlib'}"
        " & (set(sys.modules) - before)))"
    )
    environ = {**os.environ, "HPC_CONNECT_SITE_CONFIG": os.devnull}
    done = subprocess.run(
        [
            sys.executable,
            "-S",
            "-c",
            f"import sys; sys.path[:0] = [{os.path.dirname(config.__file__)!r} + '/../..']; {program}",
        ],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ""
