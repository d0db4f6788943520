"""What a backend can do. One word for each verb, dependency kind and optional field of a specification."""

from __future__ import annotations

from enum import StrEnum


class Capability(StrEnum):
    """A thing that some backends can do and others cannot.

    A specification says which it needs (:meth:`hpc_connect.spec.JobSpec.needs`), a backend which it has;
    the difference is refused by name before anything is sent, and skipped by the conformance suite.
    Where a word is the name of a field of the specification, it means: that field can be honoured.
    """

    # verbs of a handle
    CANCEL = "cancel"
    HOLD = "hold"
    SUSPEND = "suspend"
    REQUEUE = "requeue"
    SEND_SIGNAL = "send_signal"
    # verbs of a backend
    ATTACH = "attach"
    RECOVER = "recover"
    KEY = "key"
    JOBS = "jobs"
    # dependency kinds
    AFTERSTART = "afterstart"
    AFTERANY = "afterany"
    AFTEROK = "afterok"
    AFTERNOTOK = "afternotok"
    AFTERCORR = "aftercorr"
    SINGLETON = "singleton"
    ANY_DEPENDENCY = "any_dependency"
    # what a job looks like
    ARRAY = "array"
    STDIN = "stdin"
    WORKDIR = "workdir"
    INHERIT_ENV = "inherit_env"
    SCRIPT = "script"
    # resources
    NODES = "nodes"
    TASKS = "tasks"
    TASKS_PER_NODE = "tasks_per_node"
    CPUS_PER_TASK = "cpus_per_task"
    GPUS = "gpus"
    GPUS_PER_NODE = "gpus_per_node"
    GPUS_PER_TASK = "gpus_per_task"
    GPU_TYPE = "gpu_type"
    MEMORY_PER_NODE = "memory_per_node"
    MEMORY_PER_CPU = "memory_per_cpu"
    MEMORY_PER_GPU = "memory_per_gpu"
    LICENSES = "licenses"
    EXCLUSIVE = "exclusive"
    CONSTRAINT = "constraint"
    NODELIST = "nodelist"
    EXCLUDE = "exclude"
    # times
    TIME_LIMIT = "time_limit"
    SIGNAL_BEFORE_END = "signal_before_end"
    BEGIN = "begin"
    DEADLINE = "deadline"
    # how the scheduler treats it
    QUEUE = "queue"
    ACCOUNT = "account"
    QOS = "qos"
    RESERVATION = "reservation"
    PRIORITY = "priority"
    MAIL = "mail"
    NO_REQUEUE = "requeue=False"
    CONFIRM_BY_SCHEDULER = "confirm"
