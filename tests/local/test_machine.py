"""What this machine has, as far as a job may use it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from hpc_connect.local import machine

if TYPE_CHECKING:
    from pathlib import Path


def write(root: Path, path: str, text: str = "") -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_as_many_as_this_process_may_run_on() -> None:
    assert 1 <= machine.cpus() <= len(os.sched_getaffinity(0))


def test_one_that_may_run_on_one_sees_one() -> None:
    program = """if True:
        import os
        import hpc_connect
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        print(hpc_connect.get_backend("shell").config.cpus_per_node)
    """
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "1\n"


V2, V1 = "0::/a/b\n", "12:memory:/m\n4:cpu,cpuacct:/a/b\n1:name=systemd:/s\n"
LIMITS = {
    "no control groups": ({}, None),
    "v2 without a limit": ({"proc/self/cgroup": V2, "sys/fs/cgroup/a/b/cpu.max": "max 100000\n"}, None),
    "v2 with a limit": ({"proc/self/cgroup": V2, "sys/fs/cgroup/a/b/cpu.max": "300000 100000\n"}, 3),
    "v2 with a part of a CPU": ({"proc/self/cgroup": V2, "sys/fs/cgroup/a/b/cpu.max": "150000 100000\n"}, 2),
    "v2 with less than one": ({"proc/self/cgroup": V2, "sys/fs/cgroup/a/b/cpu.max": "1000 100000\n"}, 1),
    "v2 with a limit above": (
        {
            "proc/self/cgroup": V2,
            "sys/fs/cgroup/a/cpu.max": "200000 100000\n",
            "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
        },
        2,
    ),
    "v2 with the tightest of two": (
        {
            "proc/self/cgroup": V2,
            "sys/fs/cgroup/a/cpu.max": "200000 100000\n",
            "sys/fs/cgroup/a/b/cpu.max": "500000 100000\n",
        },
        2,
    ),
    "v2 in a container": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "400000 100000\n"}, 4),
    "v1 with a limit": (
        {
            "proc/self/cgroup": V1,
            "sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us": "300000\n",
            "sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us": "100000\n",
        },
        3,
    ),
    "v1 without a limit": (
        {
            "proc/self/cgroup": V1,
            "sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us": "100000\n",
        },
        None,
    ),
    "nothing that can be read": ({"proc/self/cgroup": V2, "sys/fs/cgroup/a/b/cpu.max": "what\n"}, None),
}


@pytest.mark.parametrize(("files", "limit"), LIMITS.values(), ids=LIMITS)
def test_control_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], limit: int | None
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    for path, text in files.items():
        write(tmp_path, path, text)
    assert machine.cpus(str(tmp_path)) == (64 if limit is None else limit)


def test_a_limit_above_what_there_is_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    write(tmp_path, "proc/self/cgroup", V2)
    write(tmp_path, "sys/fs/cgroup/cpu.max", "6400000 100000\n")
    assert machine.cpus(str(tmp_path)) == 2


def test_a_machine_without_gpus_has_none(tmp_path: Path) -> None:
    assert machine.gpus(str(tmp_path)) == 0


def test_gpus_of_nvidia_are_counted(tmp_path: Path) -> None:
    for address in ("0000:01:00.0", "0000:02:00.0"):
        write(tmp_path, f"proc/driver/nvidia/gpus/{address}/information", "Model: \t\t NVIDIA A100\n")
    assert machine.gpus(str(tmp_path)) == 2


def test_gpus_of_amd_are_counted_and_its_cpus_are_not(tmp_path: Path) -> None:
    for node, simd in enumerate((0, 0, 304, 304, 304)):
        path = f"sys/class/kfd/kfd/topology/nodes/{node}/properties"
        write(tmp_path, path, f"cpu_cores_count 0\nsimd_count {simd}\n")
    assert machine.gpus(str(tmp_path)) == 3
