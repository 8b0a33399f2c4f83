"""Settings that the command line and the manifest both may give: the command line is heard first."""

from batchmod.app.options import Options
from batchmod.model import Limits, Manifest, Row


def provider_of(row: Row, parsed: Manifest, options: Options) -> str:
    """The provider of a row: the command line, else the row, else the manifest, else the embedded engine."""
    return provider_for(row.provider, parsed, options)


def provider_for(named: str | None, parsed: Manifest, options: Options) -> str:
    """The same, of any row that names this one."""
    if options.rehearse:
        return "local"
    return options.provider or named or parsed.provider or "local"


def limits_of(given: Limits, options: Options) -> Limits:
    """Command line before manifest before default."""
    return Limits(
        max_in_flight=options.max_in_flight or given.max_in_flight,
        submits_per_minute=options.submits_per_minute or given.submits_per_minute,
        polls_per_minute=options.polls_per_minute or given.polls_per_minute,
        max_cost_usd=given.max_cost_usd if options.max_cost_usd is None else options.max_cost_usd,
        max_cost_per_run_usd=given.max_cost_per_run_usd,
        price_usd=given.price_usd if options.price_usd is None else options.price_usd,
        max_attempts=given.max_attempts,
        stop_after_failures=given.stop_after_failures,
    )
