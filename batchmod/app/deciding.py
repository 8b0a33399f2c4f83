"""What a run would do, and whether it may: the plan of the chosen rows, and what must hold before it begins."""

from collections.abc import Callable
from dataclasses import replace

from batchmod import planning
from batchmod.app import folder as folders
from batchmod.app.loading import Loaded
from batchmod.app.options import Options
from batchmod.checkpoint import Checkpoint
from batchmod.errors import UsageError
from batchmod.planning import Action, Plan

Confirm = Callable[[Plan, Loaded], bool]
"""Shows a paid plan and asks; raises SpendingNeedsAWord where nobody can be asked."""


def make_plan(record: Checkpoint | None, loaded: Loaded, options: Options) -> Plan:
    """What a run would do with the chosen rows; with no record yet, everything is new."""
    chosen = [job for job in loaded.jobs if job.number in loaded.chosen]
    facts = {job.provider: loaded.services.facts(job.provider) for job in chosen}
    known = folders.known(record, loaded.folder, facts) if record is not None else planning.Known()
    if options.reuse and any(of.hosted for of in facts.values()):
        elsewhere = loaded.services.elsewhere(record)
        known = replace(known, elsewhere=elsewhere, reusable=folders.reusable(elsewhere, chosen))
    wishes = planning.Wishes(
        retry_failed=options.retry_failed,
        max_attempts=loaded.limits.max_attempts,
        pay_again=loaded.matching(options.pay_again),
        redo=frozenset(folders.redo_asked(record, loaded)),
        locked=frozenset(row.number for row in loaded.manifest.rows if row.review == "keep"),
        price_usd=loaded.limits.price_usd,
    )
    return planning.plan(
        chosen, known=known, facts=facts, clips=loaded.clips, flaws=loaded.flaws, held=loaded.held, wishes=wishes
    )


def may_go(plan: Plan, loaded: Loaded, options: Options, confirm: Confirm) -> bool:
    """Everything that must hold before the first request: keys, the engine, and a word for the money."""
    needed = {item.job.provider for item in plan.items if item.action in (Action.SEND, Action.FETCH)}
    for name in sorted(needed):
        loaded.services.require(name)
        if options.no_wait and not options.accept_expiry:
            _refuse_expiry(loaded, name)
    capped = loaded.limits.max_cost_usd is not None or loaded.limits.max_cost_per_run_usd is not None
    if capped:
        _refuse_unpriced(plan, loaded)
    if not plan.paid_sends or options.yes or capped:
        return True
    return confirm(plan, loaded)


def _refuse_unpriced(plan: Plan, loaded: Loaded) -> None:
    """A cap over requests whose price nobody knows holds nothing back."""
    names = planning.unpriced(plan, {job.provider: loaded.services.facts(job.provider) for job in loaded.jobs})
    if names:
        text = f"{' and '.join(names)} publishes no price, so that a cap cannot hold"
        raise UsageError(f"{text}: say what a request costs with --price-usd X; nothing was sent")


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
