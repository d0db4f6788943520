"""What the store remembers of jobs, and who may say what about them; alone, and with other processes at it."""

from __future__ import annotations

import itertools
import json
import sqlite3
from contextlib import ExitStack
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from hpc_connect.errors import SpecError, StoreError
from hpc_connect.evidence import SETTLED
from hpc_connect.identity import ProcessIdentity
from hpc_connect.status import JobState, JobStatus, Reason
from hpc_connect.store import Intent, Store
from job_statuses import statuses
from store_processes import (
    Child,
    adopt,
    intend_and_stay,
    intend_many_times,
    intend_with_key,
    intent,
    mount_table,
    note_end,
    spec,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
DEAD = ProcessIdentity(
    pid=2, start_ticks=1, boot_id="an earlier boot", pid_namespace="pid:[1]", host=ProcessIdentity.here().host
)
ELSEWHERE = replace(DEAD, host="another host")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "state" / "jobs.sqlite3")) as opened:
        yield opened


@pytest.fixture(params=["local", "shared"])
def options(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, object]:
    """For a store on a local file system, and for one on a network file system whose locks work."""
    return {} if request.param == "local" else {"mount_table": mount_table(tmp_path, "nfs4")}


@pytest.fixture
def raced(tmp_path: Path, options: dict[str, object]) -> Iterator[Store]:
    """A store that other processes use with the same options."""
    with Store(str(tmp_path / "state" / "jobs.sqlite3"), **options) as opened:
        yield opened


@pytest.fixture(scope="module")
def long_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One for all examples of a property."""
    with Store(str(tmp_path_factory.mktemp("state") / "jobs.sqlite3")) as opened:
        yield opened


numbers = itertools.count()


def fresh_id() -> str:
    return f"job-{next(numbers)}"


def status(state: JobState, **known: object) -> JobStatus:
    return JobStatus(state=state, **known)  # type: ignore[arg-type]  # fields of the test's choice


COMPLETED = status(JobState.COMPLETED, exit_code=0)
FAILED = status(JobState.FAILED, exit_code=3, reason=Reason.EXIT)
RUNNING = status(JobState.RUNNING, observed_at=NOON)

# ------------------------------------------------------------ intents


def test_what_was_intended_is_found_again_by_another_store(store: Store) -> None:
    given_intent = intent(
        "k3v9",
        key="mine",
        output_path="/out/\udcff é",  # as os.fsdecode gives a byte that is not UTF-8
        error_path="err",
        keep=True,
        status=status(JobState.SUBMITTING, submitted_at=NOON),
    )
    returned = store.intend(given_intent)
    with Store(store.path) as other:
        found = other.find("k3v9")
    assert found == returned
    for field in {field.name for field in fields(Intent)} - {"spec", "sending"}:
        assert getattr(found, field) == getattr(given_intent, field)
    assert found.spec == given_intent.spec.record()
    assert found.fingerprint == given_intent.spec.fingerprint()
    assert found.sends == 1
    assert (found.native_id, found.cancel_requested_at, found.collected_at) == (None, None, None)
    assert found.created_at == found.updated_at <= datetime.now(UTC)


def test_a_job_is_submitting_and_sent_by_this_process_unless_said_otherwise(store: Store) -> None:
    job = store.intend(intent("a"))
    assert job.state is JobState.SUBMITTING
    assert job.sender == ProcessIdentity.here()


def test_a_job_that_waits_in_its_process_was_never_sent(store: Store) -> None:
    assert store.intend(intent("a", sending=False)).sends == 0


def test_values_of_variables_are_written_nowhere(store: Store) -> None:
    secret = spec().env["SECRET"]
    store.intend(intent("a"))
    store.close()
    with open(store.path, "rb") as file:
        content = file.read()
    assert b"SECRET" in content
    assert secret.encode() not in content


def test_intents_that_come_together_are_stored_together_and_in_order(store: Store) -> None:
    jobs = store.intend_many(intent(job_id) for job_id in "cab")
    assert [job.id for job in jobs] == ["c", "a", "b"]
    assert [job.sequence for job in jobs] == sorted(job.sequence for job in jobs)
    assert [job.id for job in store.unfinished("here")] == ["c", "a", "b"]


def test_of_intents_that_come_together_all_are_stored_or_none(store: Store) -> None:
    store.intend(intent("taken"))
    with pytest.raises(StoreError, match="job taken is in the store already"):
        store.intend_many([intent("new"), intent("taken")])
    assert store.find("new") is None


def test_equal_specifications_without_a_key_are_different_jobs(store: Store) -> None:
    assert store.intend(intent("a")).id == "a"
    assert store.intend(intent("b")).id == "b"


def test_an_array_keeps_its_elements_by_index_and_its_specification_once(store: Store) -> None:
    array = intent("arr", sending=False)
    store.intend_many(
        [array, *(intent(f"arr.{index}", array_id="arr", array_index=index) for index in (10, 2))]
    )
    elements = store.elements("arr")
    assert [element.array_index for element in elements] == [2, 10]
    assert [(element.spec, element.fingerprint) for element in elements] == [(None, None)] * 2
    assert store.find("arr").spec == array.spec.record()


def test_an_array_has_each_index_once(store: Store) -> None:
    store.intend(intent("arr.0", array_id="arr", array_index=0))
    with pytest.raises(StoreError, match="index 0 of array arr"):
        store.intend(intent("other", array_id="arr", array_index=0))


# ------------------------------------------------------------ keys


@pytest.mark.parametrize("state", list(JobState))
def test_the_same_key_and_specification_is_the_same_job_whatever_its_state(
    store: Store, state: JobState
) -> None:
    store.intend(intent("first", key="mine", status=status(state)))
    assert store.intend(intent("second", key="mine")).id == "first"
    assert store.find("second") is None


def test_the_same_key_with_another_specification_is_an_error_that_names_both(store: Store) -> None:
    store.intend(intent("first", key="mine"))
    with pytest.raises(SpecError) as caught:
        store.intend(intent("second", key="mine", spec=spec("false")))
    assert (caught.value.field, caught.value.value) == ("key", "mine")
    assert "first" in caught.value.allowed
    assert store.find("second") is None


def test_a_value_of_a_variable_makes_another_specification(store: Store) -> None:
    store.intend(intent("first", key="mine"))
    with pytest.raises(SpecError):
        store.intend(intent("second", key="mine", spec=spec().replace(env={"SECRET": "another"})))


def test_a_key_counts_within_one_cluster(store: Store) -> None:
    store.intend(intent("first", key="mine"))
    assert store.intend(intent("second", key="mine", cluster="there")).id == "second"
    assert store.find_key("here", "mine").id == "first"
    assert store.find_key("there", "mine").id == "second"
    assert store.find_key("nowhere", "mine") is None


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED, JobState.LOST])
def test_what_did_not_go_well_is_run_again_only_when_asked(store: Store, state: JobState) -> None:
    store.intend(intent("first", key="mine", status=status(state)))
    assert store.intend(intent("second", key="mine"), rerun=True).id == "second"
    assert store.find_key("here", "mine").id == "second"
    first = store.find("first")
    assert (first.key, first.state) == (None, state)


@pytest.mark.parametrize(
    "state", [state for state in JobState if not state.terminal or state is JobState.COMPLETED]
)
def test_what_lives_or_went_well_is_not_run_again_even_when_asked(store: Store, state: JobState) -> None:
    store.intend(intent("first", key="mine", status=status(state)))
    assert store.intend(intent("second", key="mine"), rerun=True).id == "first"


def test_running_again_with_another_specification_is_an_error(store: Store) -> None:
    store.intend(intent("first", key="mine", status=FAILED))
    with pytest.raises(SpecError):
        store.intend(intent("second", key="mine", spec=spec("false")), rerun=True)
    assert store.find_key("here", "mine").id == "first"


# ------------------------------------------------------------ sending


def test_the_native_id_finds_the_job(store: Store) -> None:
    store.intend(intent("a"))
    sent = store.note_sent("a", "4711")
    assert (sent.native_id, sent.state) == ("4711", JobState.QUEUED)
    assert store.find_native("here", "4711") == sent == store.find("a")
    assert store.find_native("there", "4711") is None
    assert store.find_native("here", "4712") is None


def test_of_jobs_with_a_reused_native_id_the_latest_is_found(store: Store) -> None:
    for job_id in ("old", "new"):
        store.intend(intent(job_id))
        store.note_sent(job_id, "1")
    assert store.find_native("here", "1").id == "new"


def test_a_second_native_id_for_one_attempt_is_refused_and_the_first_stays(store: Store) -> None:
    store.intend(intent("a"))
    store.note_sent("a", "1")
    with pytest.raises(StoreError, match="job a is 1 on here already, and not 2"):
        store.note_sent("a", "2")
    assert store.find("a").native_id == "1"
    assert store.note_sent("a", "1").native_id == "1"


def test_a_later_attempt_may_have_another_native_id(store: Store) -> None:
    store.intend(intent("a"))
    store.note_sent("a", "1")
    store.note_status("a", status(JobState.QUEUED, attempt=2))  # announced before the id is known
    assert store.note_sent("a", "2", status(JobState.RUNNING, attempt=2)).native_id == "2"
    with pytest.raises(StoreError):
        store.note_sent("a", "3", status(JobState.RUNNING, attempt=2))


def test_what_is_learned_with_the_native_id_does_not_displace_what_was_seen(store: Store) -> None:
    store.intend(intent("a"))
    store.note_status("a", RUNNING)
    assert store.note_sent("a", "1").state is JobState.RUNNING


def test_each_sending_is_counted_before_it_happens(store: Store) -> None:
    store.intend(intent("a", sending=False))
    assert store.note_sending("a")
    assert store.find("a").sends == 1
    assert store.note_sending("a")
    assert store.find("a").sends == 2


@pytest.mark.parametrize("sender", [DEAD, ELSEWHERE])
def test_only_the_sender_may_send(store: Store, sender: ProcessIdentity) -> None:
    store.intend(intent("a", sender=sender, sending=False))
    assert not store.note_sending("a")
    assert store.find("a").sends == 0


def test_a_job_that_somebody_cancelled_is_not_sent(store: Store) -> None:
    store.intend(intent("a", sending=False))
    assert store.request_cancel("a")
    assert not store.note_sending("a")
    assert store.find("a").sends == 0


@pytest.mark.parametrize("state", [*SETTLED, JobState.LOST])
def test_a_job_that_ended_is_not_sent(store: Store, state: JobState) -> None:
    store.intend(intent("a", status=status(state)))
    assert not store.note_sending("a")


def test_an_unknown_job_is_not_sent_and_cannot_have_been(store: Store) -> None:
    assert not store.note_sending("nobody")
    with pytest.raises(StoreError, match="'nobody'"):
        store.note_sent("nobody", "1")


# ------------------------------------------------------------ news


@given(statuses())
def test_a_status_comes_back_as_it_was_stored(long_store: Store, known: JobStatus) -> None:
    job = long_store.intend(intent(fresh_id(), status=known))
    again = long_store.find(job.id).status
    assert again == known
    assert again.observed_at == known.observed_at


@pytest.mark.parametrize("known", [COMPLETED, FAILED, status(JobState.CANCELLED)])
@pytest.mark.parametrize(
    "news", [status(state, attempt=2, observed_at=NOON) for state in JobState], ids=lambda news: news.state
)
def test_an_announced_end_stays(store: Store, known: JobStatus, news: JobStatus) -> None:
    store.intend(intent("a"))
    store.note_status("a", known)
    stored = store.note_status("a", news)
    assert stored == store.find("a").status
    assert replace(stored, disagreement="") == known


def test_news_that_contradicts_an_announced_end_is_kept(store: Store) -> None:
    store.intend(intent("a"))
    store.note_status("a", COMPLETED)
    assert "CANCELLED" in store.note_status("a", status(JobState.CANCELLED)).disagreement
    assert "CANCELLED" in store.find("a").status.disagreement


def test_a_lost_job_may_turn_up(store: Store) -> None:
    store.intend(intent("a", status=status(JobState.LOST)))
    assert store.note_status("a", COMPLETED) == COMPLETED == store.find("a").status


def test_older_news_is_dropped(store: Store) -> None:
    store.intend(intent("a"))
    store.note_status("a", RUNNING)
    assert store.note_status("a", status(JobState.QUEUED, observed_at=NOON - timedelta(seconds=1))) == RUNNING


def test_many_news_are_noted_at_once_and_strangers_left_out(store: Store) -> None:
    store.intend_many(intent(job_id) for job_id in "abc")
    stored = store.note_statuses({"a": COMPLETED, "b": FAILED, "stranger": FAILED}, {"b": "77"})
    assert stored == {"a": COMPLETED, "b": FAILED}
    assert [store.find(job_id).status for job_id in "ab"] == [COMPLETED, FAILED]
    assert [store.find(job_id).native_id for job_id in "abc"] == [None, "77", None]
    assert store.find("stranger") is None


def test_news_of_an_attempt_does_not_displace_its_native_id(store: Store) -> None:
    store.intend(intent("a"))
    store.note_statuses({"a": RUNNING}, {"a": "1"})
    store.note_statuses({"a": RUNNING}, {"a": "2"})
    assert store.find("a").native_id == "1"
    store.note_statuses({"a": replace(RUNNING, attempt=2)}, {"a": "2"})
    assert store.find("a").native_id == "2"


def test_nothing_is_written_when_only_the_time_of_the_observation_is_new(store: Store) -> None:
    store.intend(intent("a"))
    store.note_status("a", RUNNING)
    before = store.find("a")
    store.note_status("a", replace(RUNNING, observed_at=NOON + timedelta(hours=1)))
    assert store.find("a") == before


def test_news_of_a_stranger_is_an_error(store: Store) -> None:
    with pytest.raises(StoreError, match="'nobody'"):
        store.note_status("nobody", COMPLETED)


def test_a_row_that_holds_no_status_is_an_error_that_names_the_job(store: Store) -> None:
    store.intend(intent("a"))
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE jobs SET status = ?", (json.dumps({"state": "BORED"}),))
    connection.close()
    with pytest.raises(StoreError, match=r"job a .*BORED"):
        store.find("a")


# ------------------------------------------------------------ cancelling, collecting, forgetting


def test_the_first_request_to_cancel_is_kept(store: Store) -> None:
    store.intend(intent("a"))
    assert store.cancel_requested("a") is None
    assert store.request_cancel("a")
    first = store.cancel_requested("a")
    assert first == store.find("a").cancel_requested_at
    assert store.request_cancel("a")
    assert store.cancel_requested("a") == first


@pytest.mark.parametrize("end", SETTLED)
def test_a_job_that_ended_is_not_cancelled(store: Store, end: JobState) -> None:
    store.intend(intent("a", status=status(end)))
    assert not store.request_cancel("a")
    assert store.cancel_requested("a") is None


def test_a_lost_job_may_still_run_and_be_cancelled(store: Store) -> None:
    store.intend(intent("a", status=status(JobState.LOST)))
    assert store.request_cancel("a")


def test_cancelling_a_stranger_is_an_error_and_asking_is_not(store: Store) -> None:
    assert store.cancel_requested("nobody") is None
    with pytest.raises(StoreError, match="'nobody'"):
        store.request_cancel("nobody")


def test_the_first_collection_is_kept(store: Store) -> None:
    store.intend(intent("a", status=COMPLETED))
    store.mark_collected(["a", "stranger"])
    first = store.find("a").collected_at
    assert first is not None
    store.mark_collected(["a"])
    assert store.find("a").collected_at == first


def test_only_what_ended_was_collected_and_has_no_key_is_forgotten(store: Store) -> None:
    store.intend_many(
        [
            intent("completed", status=COMPLETED),
            intent("lost", status=status(JobState.LOST)),
            intent("uncollected", status=COMPLETED),
            intent("running", status=RUNNING),
            intent("keyed", status=COMPLETED, key="mine"),
        ]
    )
    store.mark_collected(["completed", "lost", "running", "keyed"])
    assert store.prune(NOON) == 0  # all of them changed later
    assert store.prune(datetime.now(UTC) + timedelta(seconds=1)) == 2
    kept = {job.id for job in store.named("here", "job", live=False)}
    assert kept == {"uncollected", "running", "keyed"}


# ------------------------------------------------------------ looking up


def test_unfinished_jobs_are_those_without_evidence_of_an_end(store: Store) -> None:
    store.intend_many(intent(state.lower(), status=status(state)) for state in JobState)
    store.intend(intent("elsewhere", cluster="there"))
    assert {job.state for job in store.unfinished("here")} == set(JobState) - set(SETTLED)
    assert [job.id for job in store.unfinished("there")] == ["elsewhere"]


def test_jobs_of_a_name_come_in_order_and_live_unless_all_are_wanted(store: Store) -> None:
    store.intend_many(intent(state.lower(), name="n", status=status(state)) for state in JobState)
    store.intend_many([intent("other"), intent("elsewhere", name="n", cluster="there")])
    live = store.named("here", "n")
    assert [job.state for job in live] == [state for state in JobState if not state.terminal]
    assert [job.state for job in store.named("here", "n", live=False)] == list(JobState)


@pytest.mark.parametrize(
    ("question", "index"),
    [
        ("cluster = 'here' AND {open}", "jobs_open"),
        ("cluster = 'here' AND name = 'n' AND {live}", "jobs_open"),
        ("cluster = 'here' AND native_id = '1'", "jobs_by_native_id"),
        ("cluster = 'here' AND key = 'k'", "jobs_by_key"),
        ("array_id = 'a'", "jobs_by_array"),
    ],
)
def test_every_question_is_answered_by_an_index(store: Store, question: str, index: str) -> None:
    from hpc_connect.store.schema import LIVE, OPEN

    with store._file.reading() as connection:
        plan = connection.execute(
            f"EXPLAIN QUERY PLAN SELECT * FROM jobs WHERE {question.format(open=OPEN, live=LIVE)}"
        ).fetchall()
    assert [index in step[3] for step in plan] == [True]


# ------------------------------------------------------------ taking over


def test_an_intent_whose_sender_is_dead_is_taken_over_once(store: Store) -> None:
    store.intend(intent("a", sender=DEAD))
    assert store.adopt("a")
    assert store.find("a").sender == ProcessIdentity.here()
    assert not store.adopt("a")


def test_what_lives_or_cannot_be_seen_or_ended_is_not_taken_over(store: Store) -> None:
    store.intend_many(
        [
            intent("mine"),
            intent("elsewhere", sender=ELSEWHERE),
            *(intent(state, sender=DEAD, status=status(state)) for state in SETTLED),
        ]
    )
    for job_id in ("mine", "elsewhere", *SETTLED, "nobody"):
        assert not store.adopt(job_id)
    assert store.find("elsewhere").sender == ELSEWHERE


def test_a_lost_job_can_be_taken_over(store: Store) -> None:
    store.intend(intent("a", sender=DEAD, status=status(JobState.LOST)))
    assert store.adopt("a", sender=ELSEWHERE)
    assert store.find("a").sender == ELSEWHERE


def test_the_job_of_a_process_that_was_killed_can_be_taken_over(store: Store) -> None:
    with Child(intend_and_stay, store.path, "a") as child:
        assert child.hear() == "intended"
        assert not store.adopt("a")
        child.kill()
        assert store.adopt("a")


# ------------------------------------------------------------ other processes


def test_many_processes_write_at_once_and_nothing_is_lost(raced: Store, options: dict[str, object]) -> None:
    with ExitStack() as stack:
        children = [
            stack.enter_context(Child(intend_many_times, raced.path, f"child{number}", 25, **options))
            for number in range(6)
        ]
        said = started_together(children)
    assert all(len(ids) == 25 for ids in said)
    assert {job.id for job in raced.unfinished("here")} == {job_id for ids in said for job_id in ids}


def test_of_many_processes_with_one_key_one_submits(raced: Store, options: dict[str, object]) -> None:
    with ExitStack() as stack:
        children = [
            stack.enter_context(Child(intend_with_key, raced.path, f"job{number}", "mine", "true", **options))
            for number in range(6)
        ]
        said = [answer for (answer,) in started_together(children)]
    assert len(set(said)) == 1
    assert [job.id for job in raced.unfinished("here")] == [said[0]]


def test_of_many_processes_with_one_key_and_two_specifications_one_kind_is_refused(
    raced: Store, options: dict[str, object]
) -> None:
    with ExitStack() as stack:
        children = [
            stack.enter_context(
                Child(
                    intend_with_key,
                    raced.path,
                    f"job{number}",
                    "mine",
                    ["true", "false"][number % 2],
                    **options,
                )
            )
            for number in range(6)
        ]
        said = [answer for (answer,) in started_together(children)]
    assert said.count("SpecError") == 3
    assert len(set(said)) == 2
    assert len(raced.unfinished("here")) == 1


def test_of_many_processes_one_takes_a_job_over(raced: Store, options: dict[str, object]) -> None:
    raced.intend(intent("a", sender=DEAD))
    with ExitStack() as stack:
        children = [stack.enter_context(Child(adopt, raced.path, "a", **options)) for _ in range(6)]
        for child in children:
            assert child.hear() == "ready"
        for child in children:
            child.go_on()
        said = [child.hear() for child in children]  # all of them still live
        assert sorted(said) == [False] * 5 + [True]
        assert raced.find("a").sender == ProcessIdentity.of(children[said.index(True)].pid)


def test_of_many_processes_with_different_news_one_announces_the_end(
    raced: Store, options: dict[str, object]
) -> None:
    raced.intend(intent("a"))
    ends = [
        ("COMPLETED", 0),
        ("FAILED", 1),
        ("FAILED", 2),
        ("CANCELLED", None),
        ("LOST", None),
        ("RUNNING", None),
    ]
    with ExitStack() as stack:
        children = [stack.enter_context(Child(note_end, raced.path, "a", *end, **options)) for end in ends]
        said = [tuple(answer) for (answer,) in started_together(children)]
    final = raced.find("a").status
    assert final.state in SETTLED
    settled = [answer for answer in said if answer[0] in SETTLED]
    assert set(settled) == {(final.state, final.exit_code)}
    assert final.disagreement


def started_together(children: list[Child]) -> list[list[object]]:
    """What each says, when all are let go at the same moment."""
    for child in children:
        assert child.hear() == "ready"
    for child in children:
        child.go_on()
    return [child.hear_all() for child in children]
