"""Which file system a folder lies on, and whether locks on it are seen by the other hosts that have it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

MOUNT_TABLE = "/proc/self/mountinfo"
"""The mounts that this process sees, in the format of proc(5)."""

# Used by one kernel alone. All others count as shared: better slow than wrong.
_LOCAL_TYPES = frozenset(
    {"bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "jfs", "ntfs3", "overlay", "ramfs"}
    | {"reiserfs", "tmpfs", "vfat", "xfs", "zfs"}
)

# Options that keep a lock on the host that took it: nfs(5), mount.lustre(8), mount.cifs(8).
_LOCKS_STAY_BY_OPTION = frozenset({"nolock", "local_lock=all", "local_lock=posix", "localflock", "nobrl"})

# The default of BeeGFS is tuneUseGlobalFileLocks=false (beegfs-client.conf). The locks of AFS are on whole files.
_LOCKS_STAY_BY_TYPE = frozenset({"afs", "beegfs"})

# The kernel itself keeps the locks of a FUSE file system that does not implement them; these do.
_FUSE_WITH_LOCKS = frozenset({"fuse.ceph-fuse", "fuse.glusterfs", "fuse.juicefs"})


@dataclass(frozen=True, slots=True)
class Mount:
    """One mounted file system.

    Attributes:
        point: the folder it is mounted on.
        type: ``ext4``, ``nfs4``, ``fuse.sshfs``, …
        options: of the mount and of the file system.
    """

    point: str
    type: str
    options: frozenset[str]

    @property
    def shared(self) -> bool:
        """Whether other hosts may have it too."""
        return self.type not in _LOCAL_TYPES

    @property
    def locks_stay_here(self) -> str:
        """Why other hosts do not, or may not, see a lock that is taken here; empty where they do."""
        by_type = self.type in _LOCKS_STAY_BY_TYPE or (
            self.type.startswith("fuse") and self.type not in _FUSE_WITH_LOCKS
        )
        options = sorted(_LOCKS_STAY_BY_OPTION & self.options)
        return ", ".join([self.type, *options]) if by_type or options else ""


def mount_of(folder: str, table: str = MOUNT_TABLE) -> Mount:
    """The mount that ``folder``, which exists, lies on.

    Raises:
        OSError: the table of mounts cannot be read.
    """
    path = os.path.realpath(folder)
    found = Mount("/", "unknown", frozenset())
    with open(table, encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            mount = _parse(line)
            if _lies_in(path, mount.point) and len(mount.point) >= len(found.point):
                found = mount  # of two on the same folder the later one hides the earlier
    return found


def _parse(line: str) -> Mount:
    left, right = line.split(" - ", 1)
    mount_fields, filesystem_fields = left.split(" "), right.split()
    options = {*mount_fields[5].split(","), *filesystem_fields[-1].split(",")}
    return Mount(_unescaped(mount_fields[4]), filesystem_fields[0], frozenset(options))


def _unescaped(text: str) -> str:
    """Blanks, tabs, newlines and backslashes are written as octal numbers there."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _lies_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
