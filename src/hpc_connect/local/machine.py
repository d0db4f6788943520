"""What this machine has, as far as this process may use it."""

from __future__ import annotations

import glob
import math
import os


def cpus(root: str = "/") -> int:
    """CPUs that a job may use: by affinity, and by the limits of the control groups; at least 1.

    Args:
        root: where ``proc`` and ``sys`` lie.

    Sources: sched_getaffinity(2); Linux Documentation/admin-guide/cgroup-v2.rst (``cpu.max``) and
    cgroup-v1/../scheduler/sched-bwc.rst (``cpu.cfs_quota_us``, ``cpu.cfs_period_us``).
    """
    quotas = [quota for quota in map(_quota, _control_groups(root)) if quota is not None]
    return max(1, min([len(os.sched_getaffinity(0)), *(math.ceil(quota) for quota in quotas)]))


def _control_groups(root: str) -> list[str]:
    """Folders of this process's CPU control group and all above it: the tightest limit counts."""
    try:
        with open(os.path.join(root, "proc/self/cgroup"), encoding="utf-8") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    folders = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            top = os.path.join(root, "sys/fs/cgroup")
        elif "cpu" in controllers.split(","):
            top = os.path.join(root, "sys/fs/cgroup", controllers)
        else:
            continue
        parts = [part for part in path.split("/") if part]
        folders += [os.path.join(top, *parts[:depth]) for depth in range(len(parts) + 1)]
    return folders


def _quota(folder: str) -> float | None:
    """How many CPUs a control group may use; None without a limit."""
    both = _words(f"{folder}/cpu.max")
    if not both:
        both = _words(f"{folder}/cpu.cfs_quota_us") + _words(f"{folder}/cpu.cfs_period_us")
    try:
        quota, period = map(int, both)
    except ValueError:  # "max", or no such file
        return None
    return quota / period if quota > 0 and period > 0 else None


def gpus(root: str = "/") -> int:
    """GPUs of NVIDIA and AMD that this machine has; ``CUDA_VISIBLE_DEVICES`` and such are the job's affair.

    Sources: NVIDIA driver README, "The /proc/driver/nvidia filesystem"; Linux
    Documentation/gpu/amdgpu (KFD topology: a node with ``simd_count`` above 0 is a GPU).
    """
    nvidia = len(glob.glob(os.path.join(root, "proc/driver/nvidia/gpus/*")))
    amd = 0
    for path in glob.glob(os.path.join(root, "sys/class/kfd/kfd/topology/nodes/*/properties")):
        words = _words(path)
        if "simd_count" in words[:-1] and words[words.index("simd_count") + 1] != "0":
            amd += 1
    return nvidia + amd


def _words(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().split()
    except OSError:
        return []
