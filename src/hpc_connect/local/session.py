"""The shell backend at work: what is loaded when it is first used, and with it the engine and the store."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hpc_connect import config as configuration
from hpc_connect.engine import engine
from hpc_connect.errors import SubmitError
from hpc_connect.local.plan import Plan
from hpc_connect.local.recovery import Recovery
from hpc_connect.local.runner import LocalRunner
from hpc_connect.local.verbs import Verbs
from hpc_connect.records.folder import RecordFolder
from hpc_connect.store import Store

if TYPE_CHECKING:
    from hpc_connect.cluster import ClusterConfig
    from hpc_connect.job import JobControl, JobProcess
    from hpc_connect.process import HPCProcess
    from hpc_connect.spec import JobSpec


class Session:
    """What a backend does with jobs on this machine.

    Args:
        control: the backend, whose handles these are.
        config: what is known of its cluster.

    Raises:
        SubmitError: there is no place for records.

    Attributes:
        runner: one for each record folder and process.
        verbs: what handles ask for.
    """

    def __init__(self, control: JobControl, config: ClusterConfig) -> None:
        self._control = control
        self._config = config
        self.runner = self._runner()
        self.verbs = Verbs(self.runner)
        self._recovery = Recovery(control, self.runner)

    def _runner(self) -> LocalRunner:
        name, work_dir = self._control.name, self._config.work_dir
        folder = os.path.expanduser(work_dir or os.path.join(configuration.data_folder(), name))
        state = os.path.join(configuration.state_folder(), "jobs.sqlite3")
        grace_window = self._config.grace_window.total_seconds()

        def make() -> LocalRunner:
            records = RecordFolder(folder)
            try:
                records.make()
            except OSError as error:
                problem = f"the record folder {folder} cannot be made: {error.strerror}"
                raise SubmitError(f"{problem}; set work_dir of cluster {name!r}") from error
            return LocalRunner(records, Store(state), grace_window)

        return engine().service(("local runner", folder, state, grace_window), make)

    def plan(self, spec: JobSpec, workdir: str) -> Plan:
        """A submission that is to be made.

        Raises:
            SpecError: it depends on something that can never hold.
        """
        return Plan(self._control, self.runner, spec, workdir, self._recovery.depended_on)

    def submit(
        self, plan: Plan, script: str, program: list[str], key: str | None, *, rerun: bool
    ) -> HPCProcess:
        """Make a submission; after an error nothing is left of it.

        Raises:
            SpecError, SubmitError, StoreError: it is refused.
        """
        self.runner.outbox.open()
        plan.write_files(script, program)
        try:
            if key is not None:
                self.runner.flush()  # whether the job of this key has failed may not be stored yet
            stored = self.runner.store.intend_many(plan.intents(key), rerun=rerun)[0]
        except BaseException:
            plan.remove_files()
            raise
        if stored.id != plan.id:  # somebody has used the key before
            plan.remove_files()
            return self._recovery.handle_of(stored)
        return plan.start(stored.sequence)

    def attach(self, job_id: str) -> HPCProcess:
        """See :meth:`hpc_connect.local.recovery.Recovery.attach`."""
        return self._recovery.attach(job_id)

    def recover(self) -> list[HPCProcess]:
        """See :meth:`hpc_connect.local.recovery.Recovery.recover`."""
        return self._recovery.recover()

    def follow(self, job: JobProcess) -> None:
        """Observe a job from this process, a fork of the one that did."""
        stored = self.runner.store.find(job.id)
        self.runner.follow(job, keep=stored is not None and stored.keep)
