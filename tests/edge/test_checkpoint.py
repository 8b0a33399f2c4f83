"""The record on real files: what was written stays, what must not happen twice cannot, what is not ours is refused."""

import itertools
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from batchmod import checkpoint
from batchmod.checkpoint import BALLAST_NAME, Checkpoint, StoredRow, load_ballast
from batchmod.errors import RecordRefused, StoppedEarly
from batchmod.model import Job, Status, VideoFacts
from tests import given

FACTS = VideoFacts(
    width=640, height=480, fps=Fraction(24000, 1001), frames=48, duration_s=2.002, has_audio=True, bytes=9
)
JOB = given.job("shot", prompt="wool", first_frame=given.source("frame"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / checkpoint.FILE_NAME


@pytest.fixture
def record(path: Path) -> Iterator[Checkpoint]:
    with Checkpoint.open(path) as opened:
        yield opened


def opened(record: Checkpoint, job: Job = JOB) -> int:
    return record.open_work(job, run_id="run").work_id


def intended(
    record: Checkpoint, job: Job = JOB, *, at: float = 100.0, usd: float = 0.5, also: tuple[Job, ...] = ()
) -> tuple[int, int]:
    """(work, attempt) of a job whose request is about to leave."""
    work_id = opened(record, job)
    body = {"prompt": job.prompt}
    return work_id, record.intend(
        work_id, body=body, at=at, reserved_usd=usd, jobs=[job, *also], state={"phase": "submit"}
    )


def accepted(record: Checkpoint, job: Job = JOB, *, request_id: str = "r1", **more: Any) -> tuple[int, int]:
    work_id, attempt_id = intended(record, job, **more)
    assert record.accept(work_id, attempt_id, request_id=request_id, state={"status_url": "u"})
    return work_id, attempt_id


def succeeded(record: Checkpoint, job: Job = JOB, *, request_id: str = "r1", **more: Any) -> int:
    work_id, _ = accepted(record, job, request_id=request_id)
    record.succeed(work_id, facts=FACTS, sha256="f" * 64, at=200.0, **more)
    return work_id


def attempts(record: Checkpoint) -> list[tuple[Any, ...]]:
    """(work, outcome, request id, seen dead) of every attempt."""
    return record._db.execute("SELECT work_id, outcome, request_id, seen_dead_at FROM attempt").fetchall()


def test_a_new_work_is_planned_with_all_that_its_request_needs(record: Checkpoint) -> None:
    work = record.open_work(replace(JOB, options={"seed": 7}), run_id="run-1")

    assert (work.status, work.attempts, work.job_key, work.run_id) == (Status.PLANNED, 0, JOB.key, "run-1")
    assert (work.provider, work.model, work.origin, work.options) == ("hosted", None, given.ORIGIN, {"seed": 7})
    assert (work.inputs["prompt"], work.inputs["mode"]) == ("wool", "adhere_1")
    assert checkpoint.source_of(work.inputs["video"]) == JOB.video
    assert checkpoint.source_of(work.inputs["first_frame"]) == JOB.first_frame
    assert checkpoint.source_of(record.open_work(given.job("plain"), run_id="run").inputs["first_frame"]) is None


def test_an_intent_names_the_request_before_it_leaves(record: Checkpoint) -> None:
    work_id, attempt_id = intended(record, at=123.5, usd=0.75)
    work = record.work(work_id)

    assert (work.status, work.attempts, work.reserved_usd, work.submitted_at) == (Status.SUBMITTING, 1, 0.75, 123.5)
    assert work.state == {"phase": "submit"}
    assert record.open_attempt(work_id) == attempt_id
    assert attempts(record) == [(work_id, "open", None, None)]
    assert [(d.id, d.version, d.delivered) for d in record.deliveries_of(work_id)] == [("shot", 1, False)]


def test_a_receipt_is_kept_with_what_goes_on_from_it(record: Checkpoint) -> None:
    work_id, attempt_id = accepted(record, request_id="req-1")
    work = record.work(work_id)

    assert (work.status, work.request_id, work.state) == (Status.SUBMITTED, "req-1", {"status_url": "u"})
    assert record.open_attempt(work_id) is None
    (proof,) = record.accepted_attempts("hosted", given.ORIGIN)
    assert (proof.attempt_id, proof.request_id, proof.body, proof.sent_at) == (
        attempt_id,
        "req-1",
        {"prompt": "wool"},
        100.0,
    )


def test_proofs_are_of_one_provider_and_origin(record: Checkpoint) -> None:
    accepted(record)

    assert record.accepted_attempts("another", given.ORIGIN) == ()
    assert record.accepted_attempts("hosted", "http://127.0.0.1:8700") == ()


def test_a_refused_request_is_planned_again_and_costs_nothing(record: Checkpoint) -> None:
    work_id, attempt_id = intended(record)
    record.refuse(work_id, attempt_id, outcome="never_sent", note="refused")
    work = record.work(work_id)

    assert (work.status, work.reserved_usd, work.attempts) == (Status.PLANNED, 0.0, 1)
    assert attempts(record) == [(work_id, "never_sent", None, None)]
    assert record.unfinished() == ()


def test_a_doubt_keeps_the_money_and_says_since_when(record: Checkpoint) -> None:
    work_id, attempt_id = intended(record, usd=0.6)
    record.doubt(work_id, attempt_id, reason="no answer", at=160.0)
    work = record.work(work_id)
    (attempt,) = record.uncertain_attempts()

    assert (work.status, work.error_code, work.error, work.reserved_usd) == (
        Status.UNCERTAIN,
        "uncertain",
        "no answer",
        0.6,
    )
    assert (attempt.attempt_id, attempt.body, attempt.sent_at, attempt.seen_dead_at) == (
        attempt_id,
        {"prompt": "wool"},
        100.0,
        160.0,
    )


def test_a_second_doubt_does_not_make_the_attempt_younger(record: Checkpoint) -> None:
    work_id, attempt_id = intended(record)
    record.doubt(work_id, attempt_id, reason="no answer", at=160.0)
    record.doubt(work_id, attempt_id, reason="still none", at=999.0)

    assert record.uncertain_attempts()[0].seen_dead_at == 160.0


def test_only_the_last_attempt_of_a_work_is_uncertain(record: Checkpoint) -> None:
    work_id, first = intended(record)
    record.refuse(work_id, first, outcome="refused", note="429")
    _, second = intended(record, at=200.0)
    record.doubt(work_id, second, reason="no answer", at=260.0)

    assert [(a.attempt_id, a.sent_at) for a in record.uncertain_attempts()] == [(second, 200.0)]


def test_a_doubt_that_is_found_goes_on_as_submitted(record: Checkpoint) -> None:
    work_id, attempt_id = intended(record)
    record.doubt(work_id, attempt_id, reason="no answer", at=160.0)
    record.accept(work_id, attempt_id, request_id="found", state={})
    work = record.work(work_id)

    assert (work.status, work.request_id, work.error_code, work.error) == (Status.SUBMITTED, "found", None, None)
    assert record.uncertain_attempts() == ()


def test_a_doubt_that_was_never_accepted_is_planned_again_without_a_trace_of_the_doubt(record: Checkpoint) -> None:
    work_id, attempt_id = intended(record)
    record.doubt(work_id, attempt_id, reason="no answer", at=160.0)
    record.never_accepted(record.uncertain_attempts()[0])
    work = record.work(work_id)

    assert (work.status, work.error_code, work.error, work.reserved_usd) == (Status.PLANNED, None, None, 0.0)
    assert attempts(record)[0][1] == "never_accepted"


def test_a_user_may_have_an_uncertain_request_sent_again_as_another(record: Checkpoint) -> None:
    """The old one stays, with its money: it may have been paid."""
    work_id, attempt_id = intended(record, usd=0.6)
    record.doubt(work_id, attempt_id, reason="no answer", at=160.0)
    record.resend(work_id, at=170.0)
    old, new = record.works()

    assert (old.work_id, old.status, old.billed, old.cost_usd) == (work_id, Status.FAILED, None, 0.6)
    assert (new.job_key, new.status, new.attempts, new.request_id) == (old.job_key, Status.PLANNED, 0, None)
    assert record.uncertain_attempts() == ()


@pytest.mark.parametrize("how", ["planned", "submitted", "succeeded"])
def test_nothing_but_an_uncertain_request_is_sent_again_by_hand(record: Checkpoint, how: str) -> None:
    work_id = {"planned": opened, "submitted": lambda record: accepted(record)[0], "succeeded": succeeded}[how](record)
    record.resend(work_id, at=170.0)

    assert [(work.work_id, work.status) for work in record.works()] == [(work_id, how)]


def test_an_output_is_known_before_it_is_fetched(record: Checkpoint) -> None:
    work_id, _ = accepted(record)
    record.output_known(work_id, location="https://x/out.mp4", cost_usd=0.6)
    record.output_known(work_id, location="https://x/again.mp4", cost_usd=None)
    work = record.work(work_id)

    assert (work.status, work.output_location) == (Status.SUBMITTED, "https://x/again.mp4")
    assert (work.cost_usd, work.cost_source, work.billed) == (0.6, "provider", True)


def test_success_is_kept_with_what_the_output_is(record: Checkpoint) -> None:
    work_id = succeeded(record, flag_reason="2.50 s instead of 2.00 s", warnings=["no sound"], estimated_usd=0.5)
    work = record.work(work_id)

    assert (work.status, work.facts, work.sha256, work.finished_at) == (Status.SUCCEEDED, FACTS, "f" * 64, 200.0)
    assert (work.flag_reason, work.warnings) == ("2.50 s instead of 2.00 s", ("no sound",))
    assert (work.cost_usd, work.cost_source, work.billed, work.reserved_usd) == (0.5, "estimate", True, 0.0)
    assert [delivery.delivered for delivery in record.deliveries_of(work_id)] == [True]


def test_a_known_cost_is_not_replaced_by_a_guess(record: Checkpoint) -> None:
    work_id, _ = accepted(record)
    record.output_known(work_id, location="u", cost_usd=0.31)
    record.succeed(work_id, facts=FACTS, sha256="f", at=1.0, estimated_usd=3.0)
    work = record.work(work_id)

    assert (work.cost_usd, work.cost_source) == (0.31, "provider")


def test_what_was_made_here_was_not_billed(record: Checkpoint) -> None:
    work = record.work(succeeded(record))

    assert (work.cost_usd, work.cost_source, work.billed) == (None, None, False)


@pytest.mark.parametrize("billed", [True, False, None])
def test_a_failure_is_kept_with_its_reason(record: Checkpoint, billed: bool | None) -> None:  # noqa: FBT001
    work_id, _ = intended(record)
    record.fail(work_id, code="bad_request", message="too small", billed=billed, at=150.0)
    work = record.work(work_id)

    assert (work.status, work.error_code, work.error) == (Status.FAILED, "bad_request", "too small")
    assert (work.billed, work.finished_at, work.reserved_usd) == (billed, 150.0, 0.0)
    assert attempts(record) == [(work_id, "refused", None, None)]


def test_a_failure_after_the_receipt_leaves_the_receipt(record: Checkpoint) -> None:
    work_id, _ = accepted(record)
    record.fail(work_id, code="generation_failed", message="no", billed=False, at=150.0)

    assert attempts(record) == [(work_id, "accepted", "r1", None)]


def test_a_failure_that_may_have_been_billed_counts_too(record: Checkpoint) -> None:
    work_id, _ = accepted(record, usd=0.6)
    record.fail(work_id, code="given_up", message="?", billed=None, at=150.0)

    assert (record.totals().spent_usd, record.work(work_id).billed) == (0.6, None)


def test_a_billed_failure_counts_with_what_was_reserved_for_it(record: Checkpoint) -> None:
    guessed, _ = accepted(record, usd=0.6)
    known, _ = accepted(record, given.job("b", prompt="b"), request_id="r2", usd=0.6)
    record.output_known(known, location="u", cost_usd=0.4)
    for work_id in (guessed, known):
        record.fail(work_id, code="output_expired", message="gone", billed=True, at=150.0)

    assert record.totals().spent_usd == pytest.approx(1.0)
    assert record.work(guessed).cost_source == "estimate"


def test_a_failed_work_begins_anew_with_nothing_of_its_past_but_its_attempts(record: Checkpoint) -> None:
    work_id, _ = accepted(record)
    record.fail(work_id, code="generation_failed", message="no", billed=False, at=150.0)
    work = record.open_work(JOB, run_id="next")

    assert (work.work_id, work.status, work.attempts, work.run_id) == (work_id, Status.PLANNED, 1, "next")
    assert (work.request_id, work.state, work.error_code, work.error, work.billed) == (None, None, None, None, None)
    assert work.finished_at is None
    assert [a.request_id for a in record.accepted_attempts("hosted", given.ORIGIN)] == ["r1"]


def test_a_local_output_that_is_made_again_keeps_its_version(record: Checkpoint) -> None:
    job = given.job("shot", facts=given.LOCAL)
    work_id, _ = intended(record, job)
    record.succeed(work_id, facts=FACTS, sha256="f", at=1.0, flag_reason="odd")
    again, _ = intended(record, job)
    work = record.work(again)

    assert again == work_id
    assert (work.facts, work.sha256, work.flag_reason, work.output_location) == (None, None, None, None)
    assert [delivery.version for delivery in record.deliveries_of(work_id)] == [1]


@pytest.mark.parametrize("how", ["submitting", "submitted", "uncertain"])
def test_a_work_that_may_be_paid_is_never_opened_again(record: Checkpoint, how: str) -> None:
    work_id, attempt_id = intended(record)
    if how == "submitted":
        record.accept(work_id, attempt_id, request_id="r", state={})
    if how == "uncertain":
        record.doubt(work_id, attempt_id, reason="?", at=1.0)
    other = record.open_work(JOB, run_id="run")

    assert other.work_id != work_id
    assert record.work(work_id).status == how


def test_a_local_work_that_was_broken_off_is_planned_again(record: Checkpoint) -> None:
    work_id, _ = intended(record)
    record.put_back(work_id)

    assert record.work(work_id).status is Status.PLANNED
    assert attempts(record)[0][1] == "never_accepted"


def test_half_a_character_in_an_answer_does_not_keep_the_receipt_out(record: Checkpoint) -> None:
    broken = "a\ud83dz"
    work_id, attempt_id = intended(record)

    assert record.accept(work_id, attempt_id, request_id=broken, state={"status_url": broken})
    record.output_known(work_id, location=broken, cost_usd=0.1)
    record.doubt(work_id, attempt_id, reason=broken, at=1.0)
    record.refuse(work_id, attempt_id, outcome="refused", note=broken)
    record.fail(work_id, code="x", message=broken, billed=False, at=1.0)

    assert (record.work(work_id).request_id, record.work(work_id).error) == ("a?z", "a?z")


def test_an_id_that_belongs_to_another_attempt_is_not_taken_and_nothing_is_written(record: Checkpoint) -> None:
    accepted(record)
    work_id, attempt_id = intended(record, given.job("b", prompt="b"))
    before = (record.work(work_id), attempts(record))

    assert not record.accept(work_id, attempt_id, request_id="r1", state={"x": 1})
    assert (record.work(work_id), attempts(record)) == before


def test_an_id_stays_taken_after_its_job_failed_and_began_anew(record: Checkpoint) -> None:
    work_id, _ = accepted(record)
    record.fail(work_id, code="x", message="x", billed=False, at=1.0)
    again, attempt_id = intended(record)

    assert not record.accept(again, attempt_id, request_id="r1", state={})


def test_the_same_receipt_twice_is_one_receipt(record: Checkpoint) -> None:
    work_id, attempt_id = accepted(record)

    assert record.accept(work_id, attempt_id, request_id="r1", state={})


def test_another_provider_may_use_the_same_id(record: Checkpoint) -> None:
    accepted(record)
    work_id, attempt_id = intended(record, given.job("b", origin="http://127.0.0.1:8700"))

    assert record.accept(work_id, attempt_id, request_id="r1", state={})


def test_versions_of_an_id_count_up_whatever_case_it_is_written_in(record: Checkpoint) -> None:
    jobs = [given.job("shot", prompt="1"), given.job("SHOT", prompt="2"), given.job("Shot", prompt="3")]
    found = [record.deliveries_of(intended(record, job)[0])[0] for job in jobs]

    assert [delivery.version for delivery in found] == [1, 2, 3]


def test_an_intent_again_does_not_take_another_version(record: Checkpoint) -> None:
    work_id, attempt_id = intended(record)
    record.refuse(work_id, attempt_id, outcome="refused", note="429")
    intended(record)

    assert [delivery.version for delivery in record.deliveries_of(work_id)] == [1]


def test_one_request_has_a_version_for_each_id(record: Checkpoint) -> None:
    work_id, _ = intended(record, also=(replace(JOB, id="b", stem="b_v{version:03d}"),))

    assert [(d.id, d.path) for d in record.deliveries_of(work_id)] == [
        ("b", "videos/b_v001.mp4"),
        ("shot", "videos/shot_v001.mp4"),
    ]


def test_a_version_whose_file_would_have_anothers_name_is_passed_over(record: Checkpoint) -> None:
    """`{id}{version}`: the eleventh of "a" and the first of "a1" would be one file."""
    first, second = (
        given.job("a1", prompt="1", naming="{id}{version}"),
        given.job("a", prompt="2", naming="{id}{version}"),
    )
    intended(record, first)
    record._db.execute("INSERT INTO delivery VALUES ('a', 'a', 10, 1, 'videos/a10.mp4', 1, 'a{version}')")
    work_id, _ = intended(record, second)

    assert [(d.version, d.path) for d in record.deliveries_of(work_id)] == [(12, "videos/a12.mp4")]


def test_a_further_id_gets_a_copys_version_once(record: Checkpoint) -> None:
    work_id = succeeded(record)
    twin = replace(JOB, id="B", stem="B_v{version:03d}")
    delivery = record.add_delivery(twin, work_id)

    assert delivery == record.add_delivery(twin, work_id)
    assert (delivery.id, delivery.version, delivery.delivered) == ("B", 1, False)

    record.delivered(delivery)

    assert [(d.id, d.delivered) for d in record.deliveries()[work_id]] == [("B", True), ("shot", True)]


def test_money_is_what_was_spent_and_what_may_still_be(record: Checkpoint) -> None:
    succeeded(record, given.job("a", prompt="a"), request_id="a", estimated_usd=0.25)
    accepted(record, given.job("b", prompt="b"), request_id="b", usd=0.5)
    doubted, attempt_id = intended(record, given.job("c", prompt="c"), usd=1.0)
    record.doubt(doubted, attempt_id, reason="?", at=1.0)
    refused, attempt_id = intended(record, given.job("d", prompt="d"), usd=2.0)
    record.refuse(refused, attempt_id, outcome="refused", note="no")
    totals = record.totals()

    assert (totals.spent_usd, totals.reserved_usd) == (0.25, 1.5)
    assert totals.by_status == {"succeeded": 1, "submitted": 1, "uncertain": 1, "planned": 1}
    assert sorted(record.reservations().values()) == [0.5, 1.0]


def test_an_empty_record_has_spent_nothing(record: Checkpoint) -> None:
    assert record.totals() == ({}, 0.0, 0.0)
    assert record.money_of_this_run() == (0.0, 0.0)


@pytest.mark.parametrize(
    ("exit_code", "expected"), [(0, (0.0, 0.5)), (1, (0.0, 0.5)), (3, (0.25, 0.5)), (None, (0.25, 0.5))]
)
def test_a_resumed_run_is_the_same_run_until_one_ends_in_order(
    record: Checkpoint, exit_code: int | None, expected: tuple[float, float]
) -> None:
    record.begin_run("first", at=50.0)
    succeeded(record, given.job("a", prompt="a"), request_id="a", estimated_usd=0.25)
    if exit_code is not None:
        record.end_run("first", at=250.0, exit_code=exit_code, stop_reason=None)
    record.begin_run("second", at=300.0)
    accepted(record, given.job("b", prompt="b"), request_id="b", at=301.0, usd=0.5)

    assert record.money_of_this_run() == expected


def test_an_output_that_another_folder_paid_for_costs_nothing_here(record: Checkpoint) -> None:
    work_id = opened(record)
    record.add_delivery(JOB, work_id)
    record.reuse(work_id, facts=FACTS, sha256="f", at=5.0)
    work = record.work(work_id)

    assert (work.status, work.cost_usd, work.cost_source, work.billed) == (Status.SUCCEEDED, 0.0, "reused", False)
    assert [delivery.delivered for delivery in record.deliveries_of(work_id)] == [True]
    assert record.totals().spent_usd == 0.0


def test_the_dearest_second_is_of_true_prices_alone(record: Checkpoint) -> None:
    """By provider and origin; FACTS lasts 2.002 s."""
    for name, usd in {"cheap": 0.2002, "dear": 0.4004}.items():
        work_id, _ = accepted(record, given.job(name, prompt=name), request_id=name)
        record.output_known(work_id, location="u", cost_usd=usd)
        record.succeed(work_id, facts=FACTS, sha256="f", at=1.0)
    succeeded(record, given.job("guess", prompt="guess"), request_id="guess", estimated_usd=99.0)

    assert record.dearest() == {("hosted", given.ORIGIN): pytest.approx(0.2)}


def test_a_key_is_held_by_what_is_or_may_be_paid(record: Checkpoint) -> None:
    assert record.held_work(JOB.key) is None

    work_id, attempt_id = intended(record)
    record.doubt(work_id, attempt_id, reason="?", at=1.0)
    later = opened(record)
    record.fail(later, code="x", message="x", billed=False, at=1.0)
    held = record.held_work(JOB.key)

    assert later != work_id
    assert held is not None
    assert held.work_id == work_id


def test_facts_of_the_folder_stay(record: Checkpoint) -> None:
    record.set_facts({"manifest_name": "autumn", "x": "1"})
    record.set_facts({"x": "2"})

    assert (record.fact("manifest_name"), record.fact("x"), record.fact("nothing")) == ("autumn", "2", None)


def test_every_record_has_an_id_of_its_own(tmp_path: Path) -> None:
    ids = set()
    for name in "ab":
        with Checkpoint.open(tmp_path / name) as record:
            ids.add(record.fact("folder_id"))

    assert len(ids) == 2
    assert None not in ids


def rows(*ids: str) -> list[StoredRow]:
    return [StoredRow(number, id_, "key", None, {"prompt": "日本", "own": {}}) for number, id_ in enumerate(ids, 1)]


def test_a_manifests_rows_are_replaced_by_the_next(record: Checkpoint) -> None:
    record.store_rows(rows("a", "b", "c"), digest="1")
    record.store_rows(rows("b", "a"), digest="2")

    assert list(record.stored_rows()) == rows("b", "a")


def test_rows_that_are_there_already_are_not_written_again(record: Checkpoint) -> None:
    record.store_rows(rows("a"), digest="1")
    before = record._db.total_changes
    record.store_rows(iter(()), digest="1")

    assert record._db.total_changes == before
    assert list(record.stored_rows()) == rows("a")


def test_rows_that_cannot_be_stored_leave_the_old_ones(record: Checkpoint) -> None:
    record.store_rows(rows("a"), digest="1")
    twice = [*rows("b"), *rows("c")]
    with pytest.raises(sqlite3.IntegrityError):
        record.store_rows(twice, digest="2")

    assert list(record.stored_rows()) == rows("a")
    assert record.fact("rows_digest") == "1"


def test_a_clip_is_up_at_one_place_until_it_is_forgotten(record: Checkpoint) -> None:
    record.remember_upload("segmind", "o", "hash", url="u1", at=1.0)
    record.remember_upload("segmind", "o", "hash", url="u2", at=2.0)

    assert record.uploaded("segmind", "o", "hash") == "u2"
    assert record.uploaded("segmind", "elsewhere", "hash") is None

    record.forget_upload("segmind", "o", "hash")

    assert record.uploaded("segmind", "o", "hash") is None


def test_commits_are_durable_when_they_return(record: Checkpoint) -> None:
    settings = [
        record._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous", "foreign_keys")
    ]

    assert settings == ["wal", 2, 1]  # 2 is FULL


def test_a_record_says_whose_it_is(record: Checkpoint, path: Path) -> None:
    found = [record._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]

    assert found == [checkpoint.APPLICATION_ID, checkpoint.VERSION]
    assert checkpoint.APPLICATION_ID.to_bytes(4, "big") == b"bmcd"


def test_everything_is_there_when_the_record_is_opened_again(path: Path) -> None:
    with Checkpoint.open(path) as record:
        work_id = succeeded(record, estimated_usd=0.5)
        before = (record.work(work_id), record.deliveries(), record.totals(), record.fact("folder_id"))
    with Checkpoint.open(path, create=False) as record:
        after = (record.work(work_id), record.deliveries(), record.totals(), record.fact("folder_id"))

    assert after == before


def test_a_closed_record_is_one_file(path: Path) -> None:
    with Checkpoint.open(path) as record:
        succeeded(record)

    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_record_that_should_be_there_is_not_made(path: Path) -> None:
    with pytest.raises(RecordRefused, match="there is no record"):
        Checkpoint.open(path, create=False)

    assert not path.exists()


def test_a_new_record_is_never_seen_half_made(path: Path) -> None:
    """It is renamed in whole, so nothing but the record is left beside it."""
    Checkpoint.open(path).close()

    assert not list(path.parent.glob(".*"))


def sqlite_file(path: Path, *statements: str) -> None:
    with sqlite3.connect(path) as db:
        for statement in statements:
            db.execute(statement)
    db.close()


def foreign(path: Path) -> None:
    sqlite_file(path, "PRAGMA journal_mode=WAL", "CREATE TABLE work (work_id)", "INSERT INTO work VALUES (1)")


def newer(path: Path) -> None:
    Checkpoint.open(path).close()
    sqlite_file(path, f"PRAGMA user_version = {checkpoint.VERSION + 1}")


def older(path: Path) -> None:
    Checkpoint.open(path).close()
    sqlite_file(path, "PRAGMA user_version = 0")


def filled(path: Path) -> None:
    with Checkpoint.open(path) as record:
        record.store_rows(rows(*(f"row-{number}" for number in range(2000))), digest="1")


def cut(path: Path) -> None:
    filled(path)
    os.truncate(path, path.stat().st_size // 2)


def damaged(path: Path) -> None:
    filled(path)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2 // 4096 * 4096)
        file.write(os.urandom(4096))


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "foreign": (foreign, "not a record of batchmod's"),
    "newer": (newer, "form 3; this batchmod reads form 2"),
    "older": (older, "form 0; this batchmod reads form 2"),
    "text": (lambda path: path.write_text("hello\n" * 99), "not a record of batchmod's"),
    "short": (lambda path: path.write_bytes(b"SQLite format 3\0"), "broken one"),
    "empty": (lambda path: path.touch(), "broken one"),
    "cut": (cut, "cannot be read"),
    "damaged": (damaged, "cannot be read"),
    "folder": (lambda path: path.mkdir(), "cannot be read"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_file_that_is_no_record_is_refused_and_left_untouched(path: Path, kind: str) -> None:
    make, words = REFUSED[kind]
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(RecordRefused, match=words) as refused:
        Checkpoint.open(path)

    assert str(path) in str(refused.value)
    assert (path.read_bytes() if path.is_file() else b"") == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_the_last_entries_of_a_lost_record_are_not_put_into_a_new_one(path: Path) -> None:
    record = Checkpoint.open(path)
    succeeded(record)
    shutil.copy(path.with_name(f"{path.name}-wal"), path.with_name("kept"))
    record.close()
    path.unlink()
    path.with_name("kept").rename(path.with_name(f"{path.name}-wal"))
    with pytest.raises(RecordRefused, match="record back"):
        Checkpoint.open(path)

    assert not path.exists()


def test_a_full_disk_keeps_the_record_as_it_was_and_usable(record: Checkpoint) -> None:
    work_id = opened(record)
    pages = record._db.execute("PRAGMA page_count").fetchone()[0]
    record._db.execute(f"PRAGMA max_page_count = {pages}")
    big = {"prompt": "x" * 500_000}
    with pytest.raises(StoppedEarly, match="full") as stopped:
        record.intend(work_id, body=big, at=1.0, reserved_usd=0.5, jobs=[JOB], state={})

    assert stopped.value.slug == "disk_full"
    assert (record.work(work_id).status, attempts(record)) == (Status.PLANNED, [])

    record._db.execute("PRAGMA max_page_count = 1000000")
    record.intend(work_id, body=big, at=1.0, reserved_usd=0.5, jobs=[JOB], state={})

    assert record.work(work_id).status is Status.SUBMITTING


def test_a_record_that_somebody_else_holds_stops_the_run_and_is_as_it_was(record: Checkpoint, path: Path) -> None:
    work_id = opened(record)
    record._db.execute("PRAGMA busy_timeout = 1")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoppedEarly, match="locked") as stopped:
        record.doubt(work_id, None, reason="?", at=1.0)
    other.execute("ROLLBACK")
    other.close()
    record.set_facts({"x": "1"})

    assert stopped.value.slug == "record_failed"
    assert record.work(work_id).status is Status.PLANNED


CHILD = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from batchmod.checkpoint import Checkpoint
from tests import given

JOB = given.job("shot")
record = Checkpoint.open(Path(sys.argv[1]))
left = int(sys.argv[2])

def count(statement):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)

def done(what):
    os.write(1, f"{what}\\n".encode())

record._db.set_trace_callback(count)
work_id = record.open_work(JOB, run_id="run").work_id
done("planned")
attempt = record.intend(work_id, body={"p": 1}, at=1.0, reserved_usd=0.5, jobs=[JOB, given.job("b")], state={})
done("submitting")
record.accept(work_id, attempt, request_id="r1", state={})
done("submitted")
record.output_known(work_id, location="u", cost_usd=0.5)
record.succeed(work_id, facts=given.CLIP, sha256="f", at=2.0)
done("succeeded")
"""


def consistent(record: Checkpoint) -> str:
    """The status of the only work, after looking at what must go with it."""
    (work,) = tuple(record.works()) or (None,)
    if work is None:
        assert attempts(record) == []
        return ""
    outcomes = [outcome for _, outcome, *_ in attempts(record)]
    delivered = [delivery.delivered for delivery in record.deliveries_of(work.work_id)]
    expected: dict[str, tuple[list[str], list[bool], str | None]] = {
        "planned": ([], [], None),
        "submitting": (["open"], [False, False], None),
        "submitted": (["accepted"], [False, False], "r1"),
        "succeeded": (["accepted"], [True, True], "r1"),
    }
    assert (outcomes, delivered, work.request_id) == expected[work.status.value]
    return work.status.value


def killed_at(statement: int, path: Path) -> tuple[int, list[str]]:
    """How the child ended that was to be killed at a statement, and what it said was done."""
    root = str(Path(__file__).parents[2])
    child = subprocess.run([sys.executable, "-c", CHILD, path, str(statement), root], capture_output=True, check=False)
    assert child.returncode in (0, -signal.SIGKILL), child.stderr.decode()
    return child.returncode, child.stdout.decode().split()


def test_a_record_whose_owner_was_killed_anywhere_is_consistent_and_keeps_what_it_said(tmp_path: Path) -> None:
    order = ["", "planned", "submitting", "submitted", "succeeded"]
    code, seen = -1, set()
    for statement in itertools.count():
        path = tmp_path / f"{statement}.sqlite3"
        code, told = killed_at(statement, path)
        with Checkpoint.open(path, create=False) as record:
            status = consistent(record)
        seen.add(status)

        assert order.index(status) >= len(told), (statement, status, told)
        if code == 0:
            break

    assert seen == set(order)


KEYS = [given.job(name, prompt=name) for name in "abc"]
works = st.sampled_from(range(3))


class Record(RuleBasedStateMachine):
    """The record beside a model in plain Python; calls come in any order that a run could make."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.record = Checkpoint.open(self.folder / "record")
        self.status: dict[int, str] = {}
        self.open: dict[int, int] = {}
        self.money: dict[int, float] = {}
        self.latest: dict[str, int] = {}
        self.taken: dict[str, int] = {}
        self.versions: dict[tuple[str, int], int] = {}

    def teardown(self) -> None:
        if hasattr(self, "record"):
            self.record.close()
            shutil.rmtree(self.folder)

    def having(self, *wanted: str) -> list[int]:
        return [work_id for work_id, status in self.status.items() if status in wanted]

    @rule(job=st.sampled_from(KEYS))
    def open_work(self, job: Job) -> None:
        work = self.record.open_work(job, run_id="run")
        last = self.latest.get(job.key)
        again = last is not None and self.status[last] in ("planned", "failed", "succeeded")

        assert (work.work_id == last) == again

        self.latest[job.key] = work.work_id
        self.status[work.work_id] = "planned"
        self.money[work.work_id] = 0.0

    @precondition(lambda self: self.having("planned"))
    @rule(data=st.data(), usd=st.sampled_from([0.5, 1.0]), twins=st.sets(st.sampled_from(["x", "X", "y"])))
    def intend(self, data: st.DataObject, usd: float, twins: set[str]) -> None:
        work_id = data.draw(st.sampled_from(self.having("planned")))
        key = next(job for job in KEYS if job.key == self.record.work(work_id).job_key)
        jobs = [key, *(replace(key, id=name, stem=f"{name.lower()}_{{version}}") for name in sorted(twins))]
        self.open[work_id] = self.record.intend(work_id, body={}, at=1.0, reserved_usd=usd, jobs=jobs, state={})
        self.status[work_id], self.money[work_id] = "submitting", usd

    @precondition(lambda self: self.having("submitting", "uncertain"))
    @rule(data=st.data(), request_id=st.sampled_from(["r1", "r2", "r3", "r4"]))
    def accept(self, data: st.DataObject, request_id: str) -> None:
        work_id = data.draw(st.sampled_from(self.having("submitting", "uncertain")))
        free = self.taken.get(request_id, self.open[work_id]) == self.open[work_id]

        assert self.record.accept(work_id, self.open[work_id], request_id=request_id, state={}) == free

        if free:
            self.taken = {name: attempt for name, attempt in self.taken.items() if attempt != self.open[work_id]}
            self.taken[request_id] = self.open[work_id]
            self.status[work_id] = "submitted"

    @precondition(lambda self: self.having("submitting", "uncertain"))
    @rule(data=st.data())
    def refuse(self, data: st.DataObject) -> None:
        work_id = data.draw(st.sampled_from(self.having("submitting", "uncertain")))
        self.record.refuse(work_id, self.open[work_id], outcome="refused", note="no")
        self.status[work_id], self.money[work_id] = "planned", 0.0

    @precondition(lambda self: self.having("submitting", "submitted"))
    @rule(data=st.data())
    def doubt(self, data: st.DataObject) -> None:
        work_id = data.draw(st.sampled_from(self.having("submitting", "submitted")))
        self.record.doubt(work_id, self.open[work_id], reason="?", at=1.0)
        self.status[work_id] = "uncertain"

    @precondition(lambda self: self.having("submitting", "submitted"))
    @rule(data=st.data())
    def succeed(self, data: st.DataObject) -> None:
        work_id = data.draw(st.sampled_from(self.having("submitting", "submitted")))
        self.record.succeed(work_id, facts=FACTS, sha256="f", at=1.0)
        self.status[work_id], self.money[work_id] = "succeeded", 0.0

    @precondition(lambda self: self.having("planned", "submitting", "submitted"))
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        work_id = data.draw(st.sampled_from(self.having("planned", "submitting", "submitted")))
        self.record.fail(work_id, code="x", message="x", billed=False, at=1.0)
        self.status[work_id], self.money[work_id] = "failed", 0.0

    @rule()
    def begin_again(self) -> None:
        self.record.close()
        self.record = Checkpoint.open(self.folder / "record", create=False)

    @invariant()
    def statuses_and_money_agree(self) -> None:
        found = list(self.record.works())
        uncertain = self.having("submitting", "submitted", "uncertain")

        assert {work.work_id: work.status.value for work in found} == self.status
        assert self.record.reservations() == {work_id: self.money[work_id] for work_id in uncertain}
        assert self.record.totals().reserved_usd == sum(self.money[work_id] for work_id in uncertain)

    @invariant()
    def ids_belong_to_one_attempt(self) -> None:
        proofs = self.record.accepted_attempts("hosted", given.ORIGIN)

        assert {proof.request_id: proof.attempt_id for proof in proofs} == self.taken

    @invariant()
    def versions_are_never_given_twice_and_never_taken_back(self) -> None:
        found = [d for deliveries in self.record.deliveries().values() for d in deliveries]
        given_out = {(d.id.casefold(), d.version): d.work_id for d in found}

        assert len(given_out) == len(found) == len({d.path for d in found})
        assert given_out.items() >= self.versions.items()

        self.versions = given_out


TestAnyOrderOfCalls = Record.TestCase
TestAnyOrderOfCalls.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)


def test_a_record_that_another_process_holds_is_no_full_disk(record: Checkpoint) -> None:
    work_id = opened(record)
    attempt_id = record.intend(work_id, body={}, at=1.0, reserved_usd=0.5, jobs=[JOB], state={})
    load_ballast(record.path)
    record._db.execute("PRAGMA busy_timeout = 10")
    with closing(sqlite3.connect(record.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoppedEarly, match="locked"):
            record.accept(work_id, attempt_id, request_id="r1", state={})

    assert record.path.with_name(BALLAST_NAME).exists()
    assert record.accept(work_id, attempt_id, request_id="r1", state={})


def test_further_versions_are_opened_all_or_none(record: Checkpoint) -> None:
    succeeded(record)
    broken = replace(JOB, key=None)  # type: ignore[arg-type]

    with pytest.raises(sqlite3.IntegrityError):
        record.open_again([(JOB, 2), (broken, 2)], run_id="run")

    assert len(list(record.works())) == 1
