"""A job is submitted, runs as it was written, and how it ended is told."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from hpc_connect.backend import HPCBackend
from hpc_connect.errors import SpecError
from hpc_connect.process import HPCProcess
from hpc_connect.spec import JobSpec
from hpc_connect.status import JobState, Reason
from hpc_connect.testing.conformance.base import ConformanceBase

if TYPE_CHECKING:
    from pathlib import Path

    from hpc_connect.testing.conformance.base import Jobs

HOSTILE = {
    "empty": "",
    "blanks": "  two  words\t",
    "quotes": "'\"`",
    "substitution": "$(touch pwned) `touch pwned` ${HOME} $$",
    "separators": "; touch pwned & touch pwned | cat > pwned",
    "backslashes": "a\\b\\\\c\\n\\",
    "patterns": "* ? [a-z] ~ {a,b} !!",
    "like options": "-n",
    "percent": "%s %d %%",
    "unicode": "Grüße 你好 🙂",
    "lines": "one\n\ntwo\n",
    "every byte": os.fsdecode(bytes(range(1, 256))),
}
"""What a user may put into an argument or a variable, and must arrive byte for byte."""


def _digest(value: str) -> str:
    return hashlib.sha256(os.fsencode(value)).hexdigest()


class Basics(ConformanceBase):
    def test_the_backend_says_what_it_is(self, backend: HPCBackend) -> None:
        assert isinstance(backend, HPCBackend)
        assert isinstance(backend.name, str)
        assert backend.name
        assert type(backend).matches(type(backend).name)
        assert not type(backend).matches("no backend has this name")
        assert backend.polling_frequency > 0
        assert isinstance(backend.supports_subscheduling, bool)
        assert backend.config.name == backend.name

    def test_a_handle_has_an_id_that_no_other_has(self, jobs: Jobs) -> None:
        first, second = jobs.submit(["true"]), jobs.submit(["true"])
        assert isinstance(first, HPCProcess)
        assert first.id
        assert second.id
        assert first.id != second.id
        assert first.jobid == first.native_id

    def test_a_job_that_ends_well_is_completed(self, jobs: Jobs) -> None:
        job = jobs.run(["true"])
        assert (job.wait(), job.poll(), job.returncode, job.result()) == (0, 0, 0, 0)
        assert job.status.state is JobState.COMPLETED
        assert job.status.exit_code == 0

    @pytest.mark.parametrize("code", [1, 2, 127, 255])
    def test_an_exit_code_arrives_as_it_is(self, jobs: Jobs, code: int) -> None:
        job = jobs.run([f"exit {code}"])
        assert (job.wait(), job.poll(), job.returncode) == (code, code, code)
        status = job.status
        assert (status.state, status.reason) == (JobState.FAILED, Reason.EXIT)
        assert (status.exit_code, status.signal) == (code, None)

    @pytest.mark.parametrize("signal", [9, 15])
    def test_a_signal_is_no_exit_code(self, jobs: Jobs, signal: int) -> None:
        job = jobs.run([f"kill -{signal} $$"])
        assert job.wait() == -signal
        status = job.status
        assert (status.state, status.reason, status.signal) == (JobState.FAILED, Reason.SIGNAL, signal)

    def test_commands_run_in_order_in_one_shell(self, jobs: Jobs) -> None:
        assert (
            jobs.run(["X=1", "cd /", 'test "$X$PWD" = 1/ || exit 9', ["test", "a  b", "=", "a  b"]]).wait()
            == 0
        )

    def test_the_first_command_that_fails_ends_the_job_with_its_code(self, jobs: Jobs) -> None:
        assert jobs.run(["true", "sh -c 'exit 4'", "exit 5"]).wait() == 4

    def test_arguments_arrive_byte_for_byte_and_nothing_else_runs(self, jobs: Jobs) -> None:
        check = 'test "$(printf %s "$1" | sha256sum | cut -c 1-64)" = "$2" || exit "$3"'
        commands: list[str | list[str]] = [
            ["sh", "-c", check, "sh", value, _digest(value), str(number)]
            for number, value in enumerate(HOSTILE.values(), start=1)
        ]
        code = jobs.run([*commands, "test ! -e pwned"]).wait()
        assert code == 0, f"{[*HOSTILE][code - 1]} did not arrive"

    def test_variables_arrive_byte_for_byte_and_nothing_else_runs(self, jobs: Jobs) -> None:
        variables = {f"HOSTILE_{number}": value for number, value in enumerate(HOSTILE.values(), start=1)}
        checks = [
            f'test "$(printf %s "${name}" | sha256sum | cut -c 1-64)" = {_digest(value)} || exit {number}'
            for number, (name, value) in enumerate(variables.items(), start=1)
        ]
        code = jobs.run([*checks, "test ! -e pwned"], env=variables).wait()
        assert code == 0, f"{[*HOSTILE][code - 1]} did not arrive"

    def test_a_variable_can_be_unset(self, jobs: Jobs) -> None:
        assert jobs.run(['test -z "${HOME+x}"'], env={"HOME": None}).wait() == 0

    @pytest.mark.parametrize(
        "name", ["a b", 'it\'s "quoted"', "$(touch pwned)", "a/b\\c", "-n", "50%", "你好", "n" * 4000]
    )
    def test_any_name_will_do_or_is_refused_by_name(self, jobs: Jobs, name: str) -> None:
        try:
            job = jobs.run(["test ! -e pwned"], name=name)
        except SpecError as error:
            assert error.field == "name"  # noqa: PT017 - both are right
        else:
            assert job.wait() == 0

    # ------------------------------------------------------------------ output

    def test_what_a_job_prints_can_be_read(self, jobs: Jobs) -> None:
        assert jobs.printed(["echo 'Grüße!'", "echo error >&2", "printf 'no newline'"]) in (
            "Grüße!\nerror\nno newline",
            "Grüße!\nno newline",  # where the errors go elsewhere
        )

    def test_output_and_errors_go_to_the_files_that_were_named(self, jobs: Jobs, folder: Path) -> None:
        jobs.run(["echo out; echo err >&2"], stdout="new/one file", stderr="another")
        if not self.shared_files:
            pytest.skip("files of jobs cannot be seen from here")
        assert (folder / "new" / "one file").read_text() == "out\n"
        assert (folder / "another").read_text() == "err\n"

    def test_the_same_file_for_both_is_one_file_in_order(self, jobs: Jobs, folder: Path) -> None:
        jobs.run(["echo 1; echo 2 >&2; echo 3; echo 4 >&2"], stdout="both", stderr="both")
        if not self.shared_files:
            pytest.skip("files of jobs cannot be seen from here")
        assert (folder / "both").read_text() == "1\n2\n3\n4\n"

    # ------------------------------------------------------------------ the forms of submission

    def test_the_compact_form_says_the_same(self, backend: HPCBackend, jobs: Jobs) -> None:
        commands = ['test "$WHO" = "you  two" && exit 6']
        variables = {"WHO": "you  two"}
        compact = jobs.keep(lambda: backend.submit("same", commands, variables=variables, cpus=1))
        spec = JobSpec(name="same", commands=commands, env=variables, tasks=1, cpus_per_task=1)
        full = jobs.keep(lambda: backend.submit_spec(spec))
        assert compact.wait(self.timeout) == full.wait(self.timeout) == 6

    def test_submitn_gives_one_process_for_the_lot(self, backend: HPCBackend, jobs: Jobs) -> None:
        commands = [["true"], ['exit "$CODE"'], ["exit 5"]]
        variables = [{}, {"CODE": "3"}, {}]
        group = jobs.keep(lambda: backend.submitn(["a", "b", "c"], commands, variables=variables))
        assert group.wait(self.timeout) == 3
        assert group.returncode == 3
        assert group.status.exit_code == 3

    def test_submit_many_keeps_jobs_separate(self, backend: HPCBackend, jobs: Jobs) -> None:
        specs = [JobSpec(name="many", commands=[f"exit {code}"]) for code in (0, 4, 0)]
        processes = [jobs.keep(lambda process=process: process) for process in backend.submit_many(specs)]  # type: ignore[misc]  # bound here
        assert [process.wait(self.timeout) for process in processes] == [0, 4, 0]
        assert len({process.id for process in processes}) == 3
