"""Which file system a folder lies on, by the table of mounts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from hpc_connect.store.mounts import mount_of

if TYPE_CHECKING:
    from pathlib import Path

# Lines as real systems have them; the number of optional fields before the dash varies.
LOCAL = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard"
NFS = (
    "90 27 0:51 /home {point} rw,nosuid,relatime shared:44 master:1 - nfs4 server:/home "
    "rw,vers=4.2,rsize=1048576,hard,proto=tcp,local_lock={local_lock},addr=10.0.0.1"
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "mountinfo"


def line(point: object, type_: str, options: str = "rw") -> str:
    return f"40 27 0:40 / {point} rw,relatime - {type_} source {options}"


def write(table: Path, *lines: str) -> str:
    table.write_text("\n".join([*lines, ""]))
    return str(table)


def test_the_innermost_mount_counts(tmp_path: Path, table: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    mounts = write(table, line(tmp_path / "a", "lustre"), LOCAL, line(tmp_path, "xfs"))
    assert mount_of(str(tmp_path / "a" / "b"), mounts).type == "lustre"
    assert mount_of(str(tmp_path / "a"), mounts).type == "lustre"
    assert mount_of(str(tmp_path), mounts).type == "xfs"
    assert mount_of("/", mounts).type == "ext4"


def test_a_folder_whose_name_only_begins_like_a_mount_is_not_on_it(tmp_path: Path, table: Path) -> None:
    (tmp_path / "home2").mkdir()
    assert (
        mount_of(str(tmp_path / "home2"), write(table, LOCAL, line(tmp_path / "home", "nfs"))).type == "ext4"
    )


def test_of_two_mounts_on_one_folder_the_later_hides_the_earlier(tmp_path: Path, table: Path) -> None:
    mounts = write(table, line(tmp_path, "autofs"), line(tmp_path, "nfs4"))
    assert mount_of(str(tmp_path), mounts).type == "nfs4"


def test_links_are_followed(tmp_path: Path, table: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    mounts = write(table, LOCAL, line(tmp_path / "real", "gpfs"))
    assert mount_of(str(tmp_path / "link"), mounts).type == "gpfs"


@pytest.mark.parametrize("name", ["a b", "tab\there", "back\\slash", "new\nline", "\udcff"])
def test_any_name_of_a_folder_is_understood(tmp_path: Path, table: Path, name: str) -> None:
    os.mkdir(tmp_path / name)
    written = str(tmp_path / name).translate({ord(c): f"\\{ord(c):03o}" for c in " \t\n\\"})
    table.write_bytes(os.fsencode(f"{LOCAL}\n{line(written, 'nfs')}\n"))
    assert mount_of(str(tmp_path / name), str(table)).type == "nfs"


@pytest.mark.parametrize("type_", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay"])
def test_a_local_file_system_is_not_shared(tmp_path: Path, table: Path, type_: str) -> None:
    mount = mount_of(str(tmp_path), write(table, line(tmp_path, type_)))
    assert not mount.shared
    assert mount.locks_stay_here == ""


@pytest.mark.parametrize(
    "type_", ["nfs", "nfs4", "lustre", "gpfs", "cifs", "ceph", "9p", "fuse.glusterfs", "one-of-tomorrow"]
)
def test_every_other_one_may_be_shared(tmp_path: Path, table: Path, type_: str) -> None:
    mount = mount_of(str(tmp_path), write(table, line(tmp_path, type_)))
    assert mount.shared
    assert mount.locks_stay_here == ""


@pytest.mark.parametrize(
    ("type_", "options"),
    [
        ("nfs", "rw,vers=3,nolock"),
        ("nfs", "rw,vers=3,local_lock=all"),
        ("nfs4", "rw,local_lock=posix"),
        ("lustre", "rw,localflock"),
        ("cifs", "rw,nobrl"),
        ("beegfs", "rw"),
        ("afs", "rw"),
        ("fuse.sshfs", "rw"),
        ("fuse.one_of_tomorrow", "rw"),
    ],
)
def test_it_is_known_where_locks_stay_on_their_host_and_why(
    tmp_path: Path, table: Path, type_: str, options: str
) -> None:
    reason = mount_of(str(tmp_path), write(table, line(tmp_path, type_, options))).locks_stay_here
    assert type_ in reason
    assert options.rpartition("rw")[2].rpartition(",")[2] in reason


@pytest.mark.parametrize(("local_lock", "stay"), [("none", False), ("flock", False), ("posix", True)])
def test_an_nfs_mount_as_linux_writes_it_is_understood(
    tmp_path: Path, table: Path, local_lock: str, stay: bool
) -> None:
    mount = mount_of(str(tmp_path), write(table, LOCAL, NFS.format(point=tmp_path, local_lock=local_lock)))
    assert (mount.point, mount.type, mount.shared) == (str(tmp_path), "nfs4", True)
    assert bool(mount.locks_stay_here) is stay


@pytest.mark.parametrize(("folder", "type_"), [("/proc/self/fd", "proc"), ("/sys/kernel", "sysfs")])
def test_the_real_table_is_understood(folder: str, type_: str) -> None:
    assert mount_of(folder).type == type_
