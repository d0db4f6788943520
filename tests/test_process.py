"""Every handle is waited for, awaited, turned into a future and called back from in the same way."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import pickle
import signal
import threading
from concurrent.futures import CancelledError
from concurrent.futures import wait as wait_for_futures
from typing import TYPE_CHECKING, Any

import pytest

import hpc_connect
from handles import COMPLETED, RUNNING, SOON, Control, Plain, Steered, job, kill, mortal_engine, observe
from hpc_connect.engine import engine
from hpc_connect.errors import EngineError, JobCancelled, JobFailed, JobLost, UnsupportedError
from hpc_connect.group import as_completed
from hpc_connect.process import HPCProcess
from hpc_connect.status import JobState, JobStatus, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hpc_connect.engine import Engine
    from hpc_connect.job import JobProcess

FAILED = JobStatus(state=JobState.FAILED, reason=Reason.EXIT, exit_code=3)
KILLED = JobStatus(state=JobState.FAILED, reason=Reason.SIGNAL, signal=9)
CANCELLED = JobStatus(state=JobState.CANCELLED)
LOST = JobStatus(state=JobState.LOST)


@pytest.fixture
def mortal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    with mortal_engine(monkeypatch) as mortal:
        yield mortal


def raises(error: BaseException) -> Callable[[], int]:
    def fail() -> int:
        raise error

    return fail


def meanwhile(process: JobProcess, status: JobStatus) -> None:
    """News that arrives while the caller waits."""
    engine().call(engine().call_later, 0.05, process.observe, status)


# ---------------------------------------------------------------- a handle as a plug-in writes it


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (None, RUNNING),
        (0, COMPLETED),
        (3, FAILED),
        (-9, KILLED),
    ],
)
def test_poll_says_all_that_is_known(code: int | None, status: JobStatus) -> None:
    process = Plain(lambda: code)
    assert process.status == status
    assert process.returncode == code


def test_a_subclass_without_poll_or_cancel_cannot_be_made() -> None:
    class Half(HPCProcess):
        def poll(self) -> int | None:
            return None

    with pytest.raises(TypeError, match="cancel"):
        Half()  # type: ignore[abstract]  # that is the point


def test_a_subclass_may_have_slots() -> None:
    @dataclasses.dataclass(slots=True)
    class Slotted(HPCProcess):
        code: int

        def poll(self) -> int | None:
            return self.code

        def cancel(self) -> None:
            pass

    assert Slotted(3).wait(SOON) == 3


@pytest.mark.parametrize("code", [0, 3, -9])
def test_waiting_gives_the_return_code(code: int) -> None:
    answers = iter([None, None])
    assert Plain(lambda: next(answers, code)).wait(SOON) == code


def test_looking_once_needs_no_engine_thread() -> None:
    process = Steered()
    with pytest.raises(TimeoutError, match="steered has not ended"):
        process.wait(0)
    process.code = 3
    assert process.wait(timeout=0) == 3
    assert process.asked == 2


def test_a_poll_that_hangs_does_not_keep_a_time_out_from_being_kept() -> None:
    go_on = threading.Event()

    def hang() -> int:
        assert go_on.wait(SOON)
        return 0

    process = Plain(hang)
    with pytest.raises(TimeoutError):
        process.wait(0.05)
    go_on.set()
    assert process.wait(SOON) == 0


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("hold", ()),
        ("release", ()),
        ("suspend", ()),
        ("resume", ()),
        ("requeue", ()),
        ("send_signal", ("USR1",)),
    ],
)
def test_a_verb_that_it_does_not_have_is_refused_by_name(verb: str, arguments: tuple[str, ...]) -> None:
    with pytest.raises(UnsupportedError, match="Plain cannot") as caught:
        getattr(Plain(), verb)(*arguments)
    assert caught.value.field == verb


# ---------------------------------------------------------------- result


@pytest.mark.parametrize(
    ("status", "error"),
    [(FAILED, JobFailed), (KILLED, JobFailed), (CANCELLED, JobCancelled), (LOST, JobLost)],
)
def test_the_result_of_a_job_that_did_not_go_well_raises_with_the_evidence(
    status: JobStatus, error: type[Exception]
) -> None:
    control = Control()
    control.files["/out"] = b"".join(b"line %d\n" % number for number in range(10_000))
    process = job(control=control, output_path="/out", error_path="/out")
    meanwhile(process, status)
    with pytest.raises(error) as caught:
        process.result(SOON)
    assert caught.value.status == status  # type: ignore[attr-defined]
    assert caught.value.job_id == "ours"  # type: ignore[attr-defined]
    assert caught.value.output_tail.splitlines() == [f"line {number}" for number in range(9980, 10_000)]  # type: ignore[attr-defined]


def test_output_that_cannot_be_read_does_not_hide_what_happened() -> None:
    class Unreadable(Plain):
        def output(self) -> str:
            raise FileNotFoundError("no such file: out")

    with pytest.raises(JobFailed, match="no such file: out") as caught:
        Unreadable(lambda: 3).result(SOON)
    assert caught.value.status.exit_code == 3


def test_a_status_that_cannot_be_told_is_an_error_in_every_waiter() -> None:
    class Odd(Plain):
        @property
        def status(self) -> JobStatus:
            raise KeyError("no status")

    process = Odd(lambda: 3)
    assert process.wait(SOON) == 3
    with pytest.raises(EngineError, match="no status"):
        process.result(SOON)
    with pytest.raises(EngineError, match="no status"):
        process.as_future().result(SOON)


# ---------------------------------------------------------------- what the states become for others


@pytest.mark.parametrize("state", [state for state in JobState if not state.terminal])
def test_while_a_job_lives_nothing_is_decided(state: JobState) -> None:
    process = job(JobStatus(state=state))
    future = process.as_future()
    assert (process.poll(), process.returncode) == (None, None)
    assert not future.done()
    assert future.running() == (state in (JobState.RUNNING, JobState.SUSPENDED))
    future.cancel()


@pytest.mark.parametrize(("status", "code"), [(COMPLETED, 0), (FAILED, 3), (KILLED, -9), (CANCELLED, -15)])
def test_an_end_with_evidence_has_a_return_code(status: JobStatus, code: int) -> None:
    process = job(status)
    assert (process.poll(), process.returncode, process.wait(), process.wait(0)) == (code,) * 4


def test_the_end_of_a_lost_job_is_no_code_and_raises() -> None:
    process = job(LOST)
    assert process.returncode is None
    for ask in (process.poll, process.wait, process.result, lambda: process.wait(0)):
        with pytest.raises(JobLost):
            ask()


@pytest.mark.parametrize(
    ("status", "error"), [(FAILED, JobFailed), (CANCELLED, CancelledError), (LOST, JobLost)]
)
def test_a_future_has_the_outcome(status: JobStatus, error: type[BaseException]) -> None:
    process = job()
    future = process.as_future()
    meanwhile(process, status)
    with pytest.raises(error):
        future.result(SOON)
    assert future.done()
    assert future.cancelled() == (status is CANCELLED)
    assert not future.running()


def test_a_future_of_a_job_that_went_well_gives_0() -> None:
    process = job()
    future = process.as_future()
    meanwhile(process, COMPLETED)
    assert future.result(SOON) == 0
    assert process.as_future().result(SOON) == 0


# ---------------------------------------------------------------- futures


def test_cancelling_a_future_leaves_the_job_alone_and_tells_who_waits_for_it() -> None:
    process = Steered()
    future = process.as_future()
    other = process.as_future()
    assert future.cancel()
    assert wait_for_futures([future], SOON).done == {future}
    assert process.cancelled == 0
    process.code = 0
    assert other.result(SOON) == 0
    assert future.cancelled()


def test_a_future_that_is_cancelled_at_the_moment_of_the_end_stays_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    process = job()
    future = process.as_future()
    listeners = [*process._ending()._listeners]
    future.cancel()
    observe(process, COMPLETED)
    for listener in listeners:  # as if it had come too late to be forgotten
        listener()
    assert future.cancelled()
    assert caplog.records == []


def test_that_a_job_went_well_is_told_although_everything_that_blocks_is_stuck() -> None:
    go_on = threading.Event()
    for _ in range(8):
        engine().block(lambda: go_on.wait(SOON))
    process, element = job(), job(COMPLETED)
    futures = [process.as_future(), hpc_connect.ProcessGroup("group", [process, element]).as_future()]
    observe(process, COMPLETED)
    assert [future.result(SOON) for future in futures] == [0, 0]
    go_on.set()


def test_a_future_that_was_cancelled_is_held_by_nobody() -> None:
    process = job()
    process.as_future().cancel()
    assert len(process._ending()._listeners) == 0


def test_an_error_in_a_callback_of_a_future_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    process = job()
    future, other = process.as_future(), process.as_future()

    def fail(_: object) -> None:
        raise SystemExit(3)

    future.add_done_callback(fail)
    meanwhile(process, COMPLETED)
    assert (future.result(SOON), other.result(SOON)) == (0, 0)
    engine().check()


# ---------------------------------------------------------------- await


def test_awaiting_gives_what_result_does() -> None:
    async def wait(status: JobStatus) -> int:
        process = job()
        meanwhile(process, status)
        return await process

    assert asyncio.run(wait(COMPLETED)) == 0
    with pytest.raises(JobFailed):
        asyncio.run(wait(FAILED))
    with pytest.raises(JobCancelled):  # and no CancelledError: nobody has cancelled the task
        asyncio.run(wait(CANCELLED))
    with pytest.raises(JobLost):
        asyncio.run(wait(LOST))


def test_many_are_awaited_together() -> None:
    async def wait() -> list[int]:
        processes = [job(job_id=str(number)) for number in range(100)]
        for process in processes:
            meanwhile(process, COMPLETED)
        return await asyncio.gather(*processes)

    assert asyncio.run(wait()) == [0] * 100


def test_cancelling_the_task_leaves_the_job_alone_and_nothing_behind() -> None:
    process = Steered()

    async def wait() -> None:
        task = asyncio.ensure_future(process)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(process, 0.01)

    asyncio.run(wait())
    assert process.cancelled == 0
    assert len(process._ending()._listeners) == 0


def test_it_is_awaited_in_several_loops_at_once() -> None:
    process = job()
    results: list[int] = []

    async def wait() -> None:
        results.append(await process)

    threads = [threading.Thread(target=lambda: asyncio.run(wait())) for _ in range(4)]
    for thread in threads:
        thread.start()
    meanwhile(process, COMPLETED)
    for thread in threads:
        thread.join(SOON)
    assert results == [0] * 4


def test_a_loop_that_was_closed_before_the_end_does_not_matter(caplog: pytest.LogCaptureFixture) -> None:
    process = job()
    loop = asyncio.new_event_loop()

    async def begin() -> None:
        task.append(asyncio.ensure_future(process))
        await asyncio.sleep(0)

    task: list[asyncio.Future[int]] = []
    loop.run_until_complete(begin())
    loop.close()
    observe(process, COMPLETED)
    engine().finish()
    assert process.wait(SOON) == 0
    assert caplog.records == []
    task[0]._log_destroy_pending = False  # type: ignore[attr-defined]  # we know


# ---------------------------------------------------------------- callbacks


def test_callbacks_are_called_once_on_the_engines_thread_and_late_ones_at_once() -> None:
    process = job()
    told: list[tuple[object, bool, int | None]] = []

    def listen(ended: JobProcess) -> None:
        told.append((ended, engine().is_current(), ended.poll()))

    process.add_done_callback(listen)
    assert told == []
    observe(process, COMPLETED)
    process.add_done_callback(listen)
    assert told == [(process, True, 0), (process, False, 0)]


@pytest.mark.parametrize("problem", [ValueError("mine"), SystemExit(3), KeyboardInterrupt()])
def test_errors_in_callbacks_are_logged_and_kept_and_harm_nobody(
    problem: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    process = job()

    def fail(_: object) -> None:
        raise problem

    told: list[object] = []
    process.add_done_callback(fail)
    process.add_done_callback(told.append)
    observe(process, COMPLETED)
    process.add_done_callback(fail)
    assert process.callback_errors == [problem, problem]
    assert told == [process]
    assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [problem] * 2
    engine().check()


def test_a_callback_that_waits_for_another_job_is_told_not_to() -> None:
    process, other = job(), job(job_id="another")
    process.add_done_callback(lambda _: other.wait())
    process.add_done_callback(lambda _: next(as_completed([other])))
    observe(process, COMPLETED)
    assert [type(error) for error in process.callback_errors] == [EngineError, EngineError]
    assert all("callback" in str(error) for error in process.callback_errors)


def test_a_callback_is_in_no_event_loop_and_cannot_await_there_either() -> None:
    process, other = job(), job(job_id="another")

    async def wait() -> int:
        return await other

    process.add_done_callback(lambda _: asyncio.get_running_loop())
    process.add_done_callback(lambda _: asyncio.run(wait()))
    observe(process, COMPLETED)
    assert [type(error) for error in process.callback_errors] == [RuntimeError, EngineError]


def test_a_callback_may_ask_everything_of_the_job_that_has_ended() -> None:
    process = job()
    seen: list[object] = []
    process.add_done_callback(lambda ended: seen.extend((ended.wait(), ended.result(), ended.native_id)))
    observe(process, COMPLETED, "77")
    assert seen == [0, 0, "77"]


# ---------------------------------------------------------------- interrupted


def test_a_wait_that_is_interrupted_leaves_the_job_alone_and_nothing_behind() -> None:
    process = Steered()
    main = threading.main_thread().ident
    assert main is not None
    threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        process.wait()
    assert process.cancelled == 0
    assert len(process._ending()._listeners) == 0


# ---------------------------------------------------------------- a dead engine


def every_way_to_wait(process: HPCProcess) -> dict[str, Callable[[], object]]:
    async def wait() -> int:
        return await process

    return {
        "wait": process.wait,
        "result": process.result,
        "future": lambda: process.as_future().result(),
        "await": lambda: asyncio.run(wait()),
        "group": hpc_connect.ProcessGroup("group", [process]).wait,
    }


@pytest.mark.parametrize("kind", [job, Steered])
def test_the_death_of_the_engine_is_raised_in_everybody_who_waits_once(
    mortal: Engine, kind: Callable[[], HPCProcess]
) -> None:
    process = kind()
    raised: list[tuple[str, BaseException]] = []
    waiting = threading.Barrier(6)

    def wait(name: str, wait: Callable[[], object]) -> None:
        waiting.wait(SOON)
        try:
            wait()
        except BaseException as error:  # noqa: BLE001 - whatever it is
            raised.append((name, error))

    ways = every_way_to_wait(process)
    threads = [threading.Thread(target=wait, args=way) for way in ways.items()]
    for thread in threads:
        thread.start()
    called: list[object] = []
    process.add_done_callback(called.append)
    waiting.wait(SOON)
    kill(mortal)
    for thread in threads:
        thread.join(SOON)
    assert sorted(name for name, _ in raised) == sorted(ways)
    assert {type(error) for _, error in raised} == {EngineError}
    assert called == [process]
    assert next(as_completed([process], timeout=SOON)) is process


@pytest.mark.parametrize("kind", [job, Steered])
def test_who_begins_to_wait_after_its_death_is_told_at_once(
    mortal: Engine, kind: Callable[[], HPCProcess]
) -> None:
    process = kind()
    mortal.call(int)
    kill(mortal)
    for wait in every_way_to_wait(process).values():
        with pytest.raises(EngineError):
            wait()


def test_what_ended_before_its_death_is_still_known(mortal: Engine) -> None:
    process = job()
    observe(process, FAILED)
    kill(mortal)
    assert process.wait() == 3
    with pytest.raises(JobFailed):
        process.result()
    with pytest.raises(JobFailed):
        process.as_future().result(SOON)


# ---------------------------------------------------------------- many


def test_a_thousand_handles_wait_on_one_thread() -> None:
    engine().call(int)
    engine().finish()
    before = threading.active_count()
    processes = [job(job_id=str(number)) for number in range(1000)]
    futures = [process.as_future() for process in processes]
    assert threading.active_count() == before
    for process in processes:
        engine().call(process.observe, COMPLETED)
    assert [future.result(SOON) for future in futures] == [0] * 1000
    assert threading.active_count() <= before + 4


# ---------------------------------------------------------------- copies


@pytest.mark.parametrize("copied", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_handle_is_not_copied_and_says_what_to_do_instead(copied: Callable[[Any], object]) -> None:
    for process in (job(), Plain(job_id="ours")):
        with pytest.raises(TypeError, match=r"attach\('ours'\)"):
            copied(process)
