"""A plan's counts, money and time by provider, from values alone."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from batchmod import forecast, planning
from batchmod.forecast import Conditions, Share
from batchmod.limits import Budget
from batchmod.model import Claim, Job, Limits, Price, ProviderFacts, Status
from batchmod.planning import Action, Known, Plan
from tests import given

PACED = replace(given.HOSTED, submits_per_minute=6.0, burst=2, typical_s=100.0)


def plan_of(jobs: Sequence[Job], *, facts: ProviderFacts = PACED, **known: Any) -> Plan:
    every = {**given.FACTS, facts.name: facts}
    return planning.plan(jobs, known=Known(**known), facts=every, clips={}, flaws={})


def share(jobs: Sequence[Job], *, facts: ProviderFacts = PACED, limits: Limits | None = None, **more: Any) -> Share:
    how = Conditions(facts={**given.FACTS, facts.name: facts}, limits=limits or Limits(), **more)
    (found,) = forecast.shares(plan_of(jobs, facts=facts), how)
    return found


def distinct(count: int) -> list[Job]:
    return [given.job(f"j{number}", number=number, prompt=f"p{number}") for number in range(1, count + 1)]


@pytest.mark.parametrize(
    ("count", "limits", "sending", "all_s"),
    [
        (2, Limits(), 0.0, 100.0),  # both at once
        (5, Limits(), 30.0, 130.0),  # two at once, then one in 10 s
        (9, Limits(submits_per_minute=600.0), 100.0, 200.0),  # eight in flight: the ninth waits for the first
        (4, Limits(max_in_flight=1), 300.0, 400.0),  # one after the other
        (14, Limits(max_in_flight=100), 120.0, 220.0),  # the pace alone
    ],
)
def test_the_slower_of_pace_and_places_in_flight_decides(
    count: int, limits: Limits, sending: float, all_s: float
) -> None:
    found = share(distinct(count), limits=limits).seconds

    assert found.sending == pytest.approx(sending)
    assert found.all == pytest.approx(all_s)


def test_what_was_seen_here_comes_before_what_is_published() -> None:
    assert share(distinct(1), typical_s={"hosted": 40.0}).seconds.all == 40.0


def test_where_nobody_knows_how_long_one_takes_only_the_sending_is_known() -> None:
    found = share(distinct(5), facts=replace(PACED, typical_s=None))

    assert (found.seconds.sending, found.seconds.all, found.each_s) == (30.0, None, None)


def test_a_clip_on_this_machine_takes_as_long_as_it_has_pixels() -> None:
    jobs = [given.job(f"j{n}", number=n, facts=given.LOCAL, prompt=f"p{n}", video=given.source("a")) for n in (1, 2, 3)]
    facts = replace(given.LOCAL, typical_s_per_megapixel=1.0)
    clips = {jobs[0].video.identity: given.CLIP}
    each = 64 * 48 * 48 / 1e6

    assert share(jobs, facts=facts, clips=clips, cores=2).seconds.all == pytest.approx(2 * each)
    assert share(jobs, facts=facts, clips={}, cores=2).seconds.all is None


def test_a_share_counts_and_sums_what_is_its_own() -> None:
    jobs = [*distinct(2), given.job("free", number=3, facts=given.LOCAL)]
    parts = forecast.shares(plan_of(jobs), Conditions(facts={**given.FACTS, "hosted": PACED}, limits=Limits()))

    assert [(part.provider, dict(part.counts), part.requests) for part in parts] == [
        ("hosted", {Action.SEND: 2}, 2),
        ("local", {Action.SEND: 1}, 1),
    ]
    assert [part.cost.high for part in parts] == pytest.approx([6.0, 0.0])


def test_copies_are_no_requests() -> None:
    twins = [given.job(name, number=number) for number, name in enumerate(("a", "b"), 1)]

    assert (share(twins).requests, share(twins).counts) == (1, {Action.SEND: 1, Action.COPY: 1})


@pytest.mark.parametrize(("cap", "committed", "fits"), [(10.0, 0.0, 3), (7.0, 0.0, 2), (7.0, 2.0, 1), (2.9, 0.0, 0)])
def test_a_cap_lets_through_what_surely_fits(cap: float, committed: float, fits: int) -> None:
    plan = plan_of(distinct(3), facts=replace(PACED, price=Price(per_call_usd=3.0)))
    (found,) = forecast.caps(
        plan, Limits(max_cost_usd=cap), folder=Budget(cap_usd=cap, done_usd=committed), run=Budget(cap_usd=None)
    )

    assert (found.name, found.committed_usd, found.requests) == ("max_cost_usd", committed, fits)


def test_a_request_that_several_rows_reuse_was_paid_once() -> None:
    jobs = [given.job("a", number=1), given.job("b", number=2, prompt="other")]
    claims: Mapping[str, Claim] = {
        job.key: Claim(
            folder="/old", status=Status.SUCCEEDED, output="v.mp4", sha256="0", cost_usd=0.6, on="2026-05-03"
        )
        for job in jobs
    }
    plan = plan_of([*jobs, given.job("c", number=3)], elsewhere=claims, reusable=frozenset(claims))
    (found,) = forecast.reused(plan)

    assert (found.folder, found.rows) == ("/old", 2)
    assert found.paid_usd == pytest.approx(1.2)
    assert [item.action for item in plan.items] == [Action.REUSE, Action.REUSE, Action.COPY]
