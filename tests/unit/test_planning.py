"""What a run would do: each row one action, and nothing that may be paid is ever sent again."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from batchmod import planning
from batchmod.model import Job, Price, Status, VideoFacts, Work
from batchmod.planning import Action, Flaw, Item, Known, Plan, Wishes
from tests import given

FLAW = Flaw(slug="broken_video", message="a.mp4: cut short")
UNFINISHED = (Status.SUBMITTING, Status.SUBMITTED, Status.UNCERTAIN)
IN_RECORDS = (Status.PLANNED, *UNFINISHED, Status.SUCCEEDED, Status.FAILED)


def known(*pairs: tuple[Job, Work], there: Sequence[Job] = (), gone: Sequence[Job] = ()) -> Known:
    """A record of these works; the outputs of jobs in `there` are on disk, those in `gone` were once."""
    work_of = {job.key: work for job, work in pairs}
    deliveries: dict[int, tuple[Any, ...]] = {}
    for job in (*there, *gone):
        work_id = work_of[job.key].work_id
        deliveries[work_id] = (*deliveries.get(work_id, ()), given.delivery(job, work_id=work_id))
    return Known(
        works=work_of,
        deliveries=deliveries,
        unfinished=tuple(work for work in work_of.values() if work.status in UNFINISHED),
        files=frozenset(given.delivery(job).path for job in there),
    )


def plan(*jobs: Job, known: Known | None = None, **more: Any) -> Plan:
    how: dict[str, Any] = {"known": known or Known(), "facts": given.FACTS, "clips": {}, "flaws": {}, **more}
    return planning.plan(jobs, **how)


def action(job: Job, **more: Any) -> Action:
    (item,) = plan(job, **more).items
    return item.action


def twins(*ids: str, **fields: Any) -> list[Job]:
    """Rows that differ in nothing but their ids."""
    return [given.job(id_, number=number, **fields) for number, id_ in enumerate(ids, 1)]


def test_a_new_row_is_sent() -> None:
    (item,) = plan(given.job()).items

    assert (item.action, item.why, item.work_id) == (Action.SEND, "new", None)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (Status.PLANNED, Action.SEND),
        (Status.SUBMITTING, Action.ASK),
        (Status.SUBMITTED, Action.RESUME),
        (Status.UNCERTAIN, Action.ASK),
        (Status.SUCCEEDED, Action.FETCH),
        (Status.FAILED, Action.LEAVE),
    ],
)
def test_a_hosted_row_goes_on_from_where_the_record_has_it(status: Status, expected: Action) -> None:
    job = given.job()

    assert action(job, known=known((job, given.work(job, status)))) is expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (Status.PLANNED, Action.SEND),
        (Status.SUBMITTING, Action.SEND),
        (Status.SUCCEEDED, Action.SEND),
        (Status.FAILED, Action.LEAVE),
    ],
)
def test_a_local_row_is_made_again_since_it_costs_nothing(status: Status, expected: Action) -> None:
    job = given.job(facts=given.LOCAL)

    assert action(job, known=known((job, given.work(job, status)))) is expected


@pytest.mark.parametrize("facts", given.FACTS.values(), ids=lambda facts: str(facts.name))
def test_a_row_whose_output_is_there_is_kept(facts: Any) -> None:
    job = given.job(facts=facts)

    assert action(job, known=known((job, given.work(job, Status.SUCCEEDED)), there=[job])) is Action.KEEP


def test_an_output_belongs_to_its_id_in_any_case() -> None:
    small, big = given.job("shot"), given.job("SHOT")

    assert action(big, known=known((small, given.work(small, Status.SUCCEEDED)), there=[small])) is Action.KEEP


@pytest.mark.parametrize(("facts", "expected"), [(given.HOSTED, Action.FETCH), (given.LOCAL, Action.SEND)])
def test_a_missing_file_is_fetched_where_it_was_paid_and_made_again_where_it_was_not(
    facts: Any, expected: Action
) -> None:
    job = given.job(facts=facts)

    assert action(job, known=known((job, given.work(job, Status.SUCCEEDED)), gone=[job])) is expected


def test_a_file_that_was_never_finished_does_not_count_as_there() -> None:
    job = given.job()
    record = known((job, given.work(job, Status.SUCCEEDED)), there=[job])
    record = replace(record, deliveries={1: (given.delivery(job, delivered=False),)})

    assert action(job, known=record) is Action.FETCH


def test_a_missing_file_is_copied_where_another_id_has_it() -> None:
    job, other = twins("a", "b")
    record = known((job, given.work(job, Status.SUCCEEDED)), gone=[job], there=[other])
    (item,) = plan(job, known=record).items

    assert (item.action, item.twin_of, item.work_id) == (Action.COPY, "b", 1)


def test_what_cannot_be_sent_fails_without_money() -> None:
    (item,) = plan(given.job(), flaws={1: FLAW}).items

    assert (item.action, item.why, item.flaw, item.estimate) == (Action.FAIL, FLAW.message, FLAW, None)


@pytest.mark.parametrize("status", [*UNFINISHED, Status.SUCCEEDED])
def test_a_clip_that_broke_later_does_not_lose_what_was_paid(status: Status) -> None:
    job = given.job()

    assert action(job, known=known((job, given.work(job, status))), flaws={1: FLAW}) is not Action.FAIL


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        ({"billed": False, "attempts": 1}, Action.SEND),
        ({"billed": None, "attempts": 1}, Action.LEAVE),
        ({"billed": False, "attempts": 3}, Action.LEAVE),
        ({"billed": True, "attempts": 1}, Action.LEAVE),
    ],
)
def test_a_failure_is_tried_again_on_demand_unless_it_may_be_billed_or_came_too_often(
    work: dict[str, Any], expected: Action
) -> None:
    job = given.job()
    record = known((job, given.work(job, Status.FAILED, error="moderated", **work)))

    assert action(job, known=record, wishes=Wishes(retry_failed=True, max_attempts=3)) is expected
    assert action(job, known=record) is Action.LEAVE


def test_a_failure_that_is_left_says_why_it_failed() -> None:
    job = given.job()
    (item,) = plan(job, known=known((job, given.work(job, Status.FAILED, error="moderated")))).items

    assert item.why == "moderated"


@pytest.mark.parametrize("status", [*UNFINISHED, Status.SUCCEEDED])
def test_retrying_failures_touches_nothing_else(status: Status) -> None:
    job = given.job()

    assert action(job, known=known((job, given.work(job, status))), wishes=Wishes(retry_failed=True)) is not Action.SEND


@pytest.mark.parametrize("facts", given.FACTS.values(), ids=lambda facts: str(facts.name))
@pytest.mark.parametrize("status", [None, Status.PLANNED, Status.FAILED])
def test_a_held_row_is_not_begun(status: Status | None, facts: Any) -> None:
    job = given.job(facts=facts)
    record = known((job, given.work(job, status))) if status else Known()

    assert action(job, known=record, held={1}) is Action.HOLD
    assert action(job, known=record, held={1}, flaws={1: FLAW}) is Action.HOLD
    assert action(job, known=record, held={1}, wishes=Wishes(retry_failed=True)) is Action.HOLD


@pytest.mark.parametrize("status", [Status.SUBMITTING, Status.SUCCEEDED])
def test_a_held_local_row_is_not_made_again(status: Status) -> None:
    job = given.job(facts=given.LOCAL)

    assert action(job, known=known((job, given.work(job, status))), held={1}) is Action.HOLD


def test_a_held_row_is_given_no_copy() -> None:
    job, other = twins("a", "b")
    record = known((job, given.work(job, Status.SUCCEEDED)), there=[job])

    assert action(other, known=record, held={2}) is Action.HOLD


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (Status.SUBMITTING, Action.ASK),
        (Status.SUBMITTED, Action.RESUME),
        (Status.UNCERTAIN, Action.ASK),
        (Status.SUCCEEDED, Action.FETCH),
    ],
)
def test_a_hold_does_not_lose_what_was_paid(status: Status, expected: Action) -> None:
    job = given.job()

    assert action(job, known=known((job, given.work(job, status))), held={1}) is expected


def test_a_held_row_does_not_hold_its_twins() -> None:
    first, second, third = twins("a", "b", "c")

    assert [item.action for item in plan(first, second, third, held={1}).items] == [
        Action.HOLD,
        Action.SEND,
        Action.COPY,
    ]


def test_identical_rows_are_one_request() -> None:
    first, *others = plan(*twins("a", "b", "c")).items

    assert first.action is Action.SEND
    assert [(item.action, item.twin_of, item.estimate) for item in others] == [(Action.COPY, "a", None)] * 2


@pytest.mark.parametrize("status", UNFINISHED)
def test_identical_rows_wait_for_one_request(status: Status) -> None:
    first, second = twins("a", "b")
    items = plan(first, second, known=known((first, given.work(first, status)))).items

    assert items[0].action in (Action.RESUME, Action.ASK)
    assert (items[1].action, items[1].twin_of, items[1].work_id) == (Action.COPY, "a", 1)


def test_variants_are_requests_of_their_own() -> None:
    one, two = given.job("a"), given.job("b", number=2, variant=2)

    assert plan(one, two).count(Action.SEND) == 2


def test_an_edited_row_is_sent_and_its_old_request_is_collected_too() -> None:
    old, new = given.job(prompt="wool"), given.job(prompt="clay")
    made = plan(new, known=known((old, given.work(old, Status.SUBMITTED))))

    assert made.items[0].action is Action.SEND
    assert [orphan.job_key for orphan in made.orphans] == [old.key]


@pytest.mark.parametrize("status", UNFINISHED)
def test_a_deleted_row_leaves_an_orphan(status: Status) -> None:
    gone, kept = given.job("gone", prompt="wool"), given.job("kept")
    made = plan(kept, known=known((gone, given.work(gone, status))))

    assert [orphan.job_key for orphan in made.orphans] == [gone.key]


def test_a_row_that_is_named_is_no_orphan() -> None:
    job = given.job()

    assert plan(job, known=known((job, given.work(job, Status.SUBMITTED)))).orphans == ()


def test_the_latest_work_of_a_key_counts() -> None:
    job = given.job()
    works = [given.work(job, status, work_id=number) for number, status in ((2, Status.FAILED), (7, Status.SUBMITTED))]

    assert planning.latest_by_key(reversed(works)) == {job.key: works[1]}


def test_an_estimate_goes_by_the_clips_length() -> None:
    job = given.job()
    made = plan(job, clips={job.video.identity: given.CLIP})
    estimate = made.items[0].estimate

    assert estimate is not None
    assert (estimate.low, estimate.likely, estimate.high) == pytest.approx((0.2, 0.2, 0.6))


def test_an_unknown_clip_is_estimated_at_the_longest_that_is_taken() -> None:
    estimate = plan(given.job()).items[0].estimate

    assert estimate is not None
    assert (estimate.low, estimate.likely, estimate.high) == pytest.approx((0.6, 0.6, 3.0))


def test_only_what_is_sent_is_estimated() -> None:
    done, new, twin = given.job("a", prompt="x"), given.job("b", number=2), given.job("c", number=3)
    free = given.job("d", number=4, facts=given.LOCAL)
    record = known((done, given.work(done, Status.SUCCEEDED)), there=[done])
    made = plan(done, new, twin, free, known=record, clips={new.video.identity: given.CLIP})

    assert [item.job.id for item in made.paid_sends] == ["b"]
    assert made.cost.high == pytest.approx(0.6)


def test_a_service_without_a_known_price_is_paid_all_the_same() -> None:
    """Else such a run would need no word."""
    unpriced = replace(given.HOSTED, price=None)

    assert len(plan(given.job(), facts={"hosted": unpriced}).paid_sends) == 1


def test_a_plan_that_sends_nothing_costs_nothing_exactly() -> None:
    cost = plan().cost

    assert (cost.low, cost.likely, cost.high, cost.exact) == (0, 0, 0, True)


def test_one_guess_makes_the_sum_a_guess() -> None:
    sure = replace(given.HOSTED, name="sure", price=Price(per_call_usd=1.0, exact=True))
    jobs = given.job("a", facts=sure, origin=given.ORIGIN), given.job("b", number=2)
    facts = {"sure": sure, "hosted": given.HOSTED}

    assert plan(jobs[0], facts=facts).cost.exact
    assert not plan(*jobs, facts=facts).cost.exact


@pytest.mark.parametrize(
    ("clip", "slug"),
    [
        ({"duration_s": 29.99}, None),
        ({"duration_s": 30.0}, "clip_too_long"),
        ({"duration_s": None}, None),
        ({"bytes": 100_000_000}, None),
        ({"bytes": 100_000_001}, "clip_too_large"),
    ],
)
def test_a_clip_beyond_the_published_limits_is_not_sent(clip: dict[str, Any], slug: str | None) -> None:
    flaw = planning.flaw_of(replace(given.CLIP, **clip), given.HOSTED)

    assert (flaw.slug if flaw else None) == slug


def test_a_provider_without_limits_takes_any_clip() -> None:
    assert planning.flaw_of(replace(given.CLIP, duration_s=9e9, bytes=10**15), given.LOCAL) is None


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[Job], dict[str, Any]]:
    """Rows that may share requests, a record of some of them and of others, files that are there or not."""
    facts = {name: draw(st.sampled_from([given.HOSTED, given.LOCAL])) for name in "abcde"}
    requests = {name: given.job(name, facts=facts[name], prompt=name) for name in "abcde"}
    rows = draw(st.lists(st.sampled_from("abcd"), max_size=7))
    jobs = [
        replace(requests[name], id=f"row{n}", number=n, stem=f"row{n}_v{{version}}") for n, name in enumerate(rows, 1)
    ]
    works = {
        requests[name].key: given.work(
            requests[name],
            draw(st.sampled_from(IN_RECORDS)),
            work_id=number,
            attempts=draw(st.integers(0, 4)),
            billed=draw(st.sampled_from([True, False, None])),
        )
        for number, name in enumerate(sorted(draw(st.sets(st.sampled_from("abcde")))), 1)
    }
    delivered = [given.delivery(job, work_id=works[job.key].work_id) for job in jobs if job.key in works]
    delivered = draw(st.lists(st.sampled_from(delivered), unique=True)) if delivered else []
    by_work = {work.work_id: tuple(d for d in delivered if d.work_id == work.work_id) for work in works.values()}
    files = frozenset(d.path for d in delivered if draw(st.booleans()))
    unfinished = tuple(work for work in works.values() if work.status in UNFINISHED)
    numbers = st.sampled_from(range(1, 8))
    more = {
        "known": Known(works=works, deliveries=by_work, unfinished=unfinished, files=files),
        "facts": given.FACTS,
        "clips": draw(st.dictionaries(st.just(given.source().identity), st.just(given.CLIP))),
        "flaws": draw(st.dictionaries(numbers, st.just(FLAW))),
        "held": draw(st.frozensets(numbers)),
        "wishes": Wishes(retry_failed=draw(st.booleans()), max_attempts=3),
    }
    return jobs, more


def may_be_paid(work: Work | None) -> bool:
    if work is None or work.provider != "hosted":
        return False
    return work.status in (*UNFINISHED, Status.SUCCEEDED) or (work.status is Status.FAILED and bool(work.billed))


@for_all(situations())
def test_every_row_has_exactly_one_action_in_the_manifests_order(found: tuple[list[Job], dict[str, Any]]) -> None:
    jobs, more = found
    made = planning.plan(jobs, **more)

    assert [item.job for item in made.items] == jobs
    assert sum(made.count(action) for action in Action) == len(jobs)


@for_all(situations())
def test_nothing_that_may_be_paid_is_ever_sent(found: tuple[list[Job], dict[str, Any]]) -> None:
    jobs, more = found
    works: Mapping[str, Work] = more["known"].works
    sends = [item for item in planning.plan(jobs, **more).items if item.action is Action.SEND]

    assert not [item for item in sends if may_be_paid(works.get(item.job.key))]
    assert len({item.job.key for item in sends}) == len(sends)
    assert not [item for item in sends if item.job.number in more["held"]]


@for_all(situations())
def test_everything_unfinished_is_carried_on_or_an_orphan(found: tuple[list[Job], dict[str, Any]]) -> None:
    jobs, more = found
    made = planning.plan(jobs, **more)
    carried = {item.work_id for item in made.items if item.action in (Action.RESUME, Action.ASK)}
    orphans = {work.work_id for work in made.orphans}
    paid = {work.work_id for work in more["known"].unfinished if work.provider == "hosted"}

    assert paid <= carried | orphans
    assert not carried & orphans


@for_all(situations())
def test_a_copy_has_something_to_be_copied_from(found: tuple[list[Job], dict[str, Any]]) -> None:
    jobs, more = found
    made = planning.plan(jobs, **more)
    sources = {item.job.id: item for item in made.items}

    def comes(item: Item) -> bool:
        known: Known = more["known"]
        there = [d for d in known.deliveries.get(item.work_id or 0, ()) if d.delivered and d.path in known.files]
        first = sources.get(item.twin_of or "")
        begun = first is not None and first.job.key == item.job.key and first.action is not Action.HOLD
        return bool(there) or begun

    assert all(comes(item) for item in made.items if item.action is Action.COPY)


@for_all(situations())
def test_only_hosted_sends_have_an_estimate(found: tuple[list[Job], dict[str, Any]]) -> None:
    jobs, more = found

    for item in planning.plan(jobs, **more).items:
        assert (item.estimate is not None) == (item.action is Action.SEND and item.job.provider == "hosted")


def test_clips_are_matched_by_content_not_by_name() -> None:
    job = given.job(video=given.source("b"))
    other: VideoFacts = given.CLIP
    estimate = plan(job, clips={given.source("a").identity: other}).items[0].estimate

    assert estimate is not None
    assert estimate.high == pytest.approx(3.0)
