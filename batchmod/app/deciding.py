"""What a run would do, and whether it may: the plan of the chosen rows, and what must hold before it begins."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from batchmod import clock, jobs, planning, storage
from batchmod.app import past, redoing
from batchmod.app.loading import Loaded
from batchmod.app.options import Options
from batchmod.checkpoint import Checkpoint
from batchmod.errors import SpendingNeedsAWord, UsageError
from batchmod.limits import Budget
from batchmod.model import ProviderFacts
from batchmod.planning import Action, Plan
from batchmod.rows import saying
from batchmod.urls import is_stored

Confirm = Callable[[Plan, Loaded], bool]
"""Shows a paid plan and asks; raises SpendingNeedsAWord where nobody can be asked."""


def make_plan(record: Checkpoint | None, loaded: Loaded, options: Options) -> Plan:
    """What a run would do with the chosen rows; with no record yet, everything is new."""
    chosen = loaded.jobs if loaded.is_whole else jobs.those(loaded.jobs, loaded.chosen)
    facts = {name: loaded.services.facts(name) for name in jobs.providers_of(chosen)}
    known = past.known(record, loaded.folder, facts) if record is not None else planning.Known()
    if options.reuse and any(of.hosted for of in facts.values()):
        elsewhere = loaded.services.elsewhere(record)
        known = replace(known, elsewhere=elsewhere, reusable=past.Reusable(elsewhere=elsewhere))
    wishes = planning.Wishes(
        retry_failed=options.retry_failed,
        max_attempts=loaded.limits.max_attempts,
        pay_again=loaded.matching(options.pay_again),
        redo=frozenset(redoing.asked(record, loaded)),
        locked=frozenset(row.number for row in saying(loaded.manifest.rows, "review") if row.review == "keep"),
        price_usd=loaded.limits.price_usd,
        changed=loaded.changed,
        stale_before=None if loaded.manifest.max_age_s is None else clock.now() - loaded.manifest.max_age_s,
    )
    return planning.plan(
        chosen, known=known, facts=facts, clips=loaded.clips, flaws=loaded.flaws, held=loaded.held, wishes=wishes
    )


def may_go(plan: Plan, loaded: Loaded, options: Options, confirm: Confirm) -> bool:
    """Everything that must hold before the first request: keys, the engine, and a word for the money."""
    for objection in objections(plan, loaded, options):
        raise objection
    return not needs_a_word(plan, loaded, options) or confirm(plan, loaded)


def objections(plan: Plan, loaded: Loaded, options: Options) -> Iterator[UsageError]:
    """Why a run would be refused before it sends anything."""
    needed = {item.job.provider for item, _ in plan.counted() if item.action in (Action.SEND, Action.FETCH)}
    for name in sorted(needed):
        try:
            loaded.services.require(name)
            if options.no_wait and not options.accept_expiry:
                _refuse_expiry(loaded, name)
        except UsageError as error:
            yield error
    for url in _stores(plan):
        try:
            storage.require(url)
        except UsageError as error:
            yield error
    if any(item.renews for item in plan.paid_sends.samples()) and not _is_capped(loaded):
        text = "max_age would pay for outputs that are there, and nothing says for how many"
        yield SpendingNeedsAWord(f"{text}: set limits.max_cost_per_run_usd, or --max-cost-usd; nothing was sent")
    if _is_capped(loaded) and (names := planning.unpriced(plan, facts_of(loaded))):
        text = f"{' and '.join(names)} publishes no price, so that a cap cannot hold"
        yield UsageError(f"{text}: say what a request costs with --price-usd X; nothing was sent")


def _stores(plan: Plan) -> Iterator[str]:
    """An object of each kind of store that a run would read."""
    found: dict[str, str] = {}
    for item, _ in plan.counted():
        if item.action is Action.SEND:
            named = (each.location for each in (item.job.video, item.job.first_frame) if each is not None)
            found |= {url.partition("://")[0]: url for url in named if is_stored(url)}
    return iter(found.values())


def needs_a_word(plan: Plan, loaded: Loaded, options: Options) -> bool:
    """Whether a run asks before it spends, or, where nobody can be asked, is refused."""
    return bool(plan.paid_sends) and not options.yes and not _is_capped(loaded)


def _is_capped(loaded: Loaded) -> bool:
    return loaded.limits.max_cost_usd is not None or loaded.limits.max_cost_per_run_usd is not None


def facts_of(loaded: Loaded) -> dict[str, ProviderFacts]:
    """The facts of the providers that the rows name."""
    return {name: loaded.services.facts(name) for name in jobs.providers_of(loaded.jobs)}


def budgets(record: Checkpoint | None, loaded: Loaded) -> tuple[Budget, Budget]:
    """The caps: one over the folder since its record began, one over this run since its first start."""
    caps = loaded.limits.max_cost_usd, loaded.limits.max_cost_per_run_usd
    if record is None:
        return Budget(cap_usd=caps[0]), Budget(cap_usd=caps[1])
    totals, (spent, reserved) = record.totals(), record.money_of_this_run()
    return (
        Budget(cap_usd=caps[0], done_usd=totals.spent_usd, reserved_usd=totals.reserved_usd),
        Budget(cap_usd=caps[1], done_usd=spent, reserved_usd=reserved),
    )


def _refuse_expiry(loaded: Loaded, name: str) -> None:
    facts = loaded.services.facts(name)
    has_history = (
        facts.hosted
        and facts.history
        and facts.history_keeps_outputs
        and loaded.services.endpoints(name).history is not None
    )
    problem = planning.expiry_problem(facts, has_history=has_history)
    if problem is not None:
        raise UsageError(f"--no-wait: {problem}; wait for them, or say --accept-expiry")
