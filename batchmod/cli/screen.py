"""What `status --watch` draws: a view in lines, each as wide as the terminal at most."""

import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, Final

from batchmod import app, clock, files
from batchmod.app.logs import words
from batchmod.app.traces import seconds
from batchmod.app.watching import WINDOW_S, flight_phase
from batchmod.cli.wording import counted, counts, duration, usd
from batchmod.model import Event

_FLIGHTS: Final = 8
_EVENTS: Final = 5
_WIDE: Final = ("W", "F")


def drawn(view: app.View) -> Iterator[str]:
    """A view as a screen of lines."""
    yield f"{files.shortest(view.folder)}  {clock.time_of_day(view.at)}"
    yield f"  {about_run(view)}"
    if view.seen is None:
        return
    yield f"  {counted(view.seen.rows, 'row')}: {counts(view.seen.counts)}"
    yield f"  {_money(view)}"
    if (speed := _speed(view)) is not None:
        yield f"  {speed}"
    yield from _flights(view)
    yield from _events(view)


def line_of(view: app.View) -> str:
    """A view in one line, which stays the same while nothing happens."""
    seen, where = view.seen, files.shortest(view.folder)
    if seen is None:
        return f"{where}: {about_run(view)}"
    running = view.phase is app.Phase.RUNNING and view.run is not None
    about = f"run {view.run.run_id} goes on" if running and view.run is not None else about_run(view)
    return f"{where}: {about}; {counts(seen.counts)}; {_money(view)}"


def about_run(view: app.View) -> str:
    """Whether a run goes on, and else how the last one ended."""
    run = view.run
    match view.phase:
        case app.Phase.WAITING:
            return "no run yet; waiting for one to begin"
        case app.Phase.PREPARING:
            last = f"; the last one was {run.run_id}" if run is not None else ""
            return f"a run is getting ready ({view.holder}){last}"
        case app.Phase.RUNNING if run is not None:
            return f"run {run.run_id} has gone on for {duration(view.at - run.started_at)} ({view.holder})"
        case app.Phase.CUT_OFF if run is not None:
            text = f"no run is alive: run {run.run_id} of {clock.iso(run.started_at)} was cut off"
            return f"{text}; say the same `batchmod run` again to go on"
        case _ if run is not None:
            why = f" [{run.stop_reason}]" if run.stop_reason else ""
            took = duration((run.ended_at or run.started_at) - run.started_at)
            return f"run {run.run_id} ended with {run.exit_code}{why} after {took}, at {clock.iso(run.ended_at or 0.0)}"
        case _:
            return "no run"


def _money(view: app.View) -> str:
    assert view.seen is not None
    held = f", up to {usd(view.seen.reserved_usd)} reserved" if view.seen.reserved_usd else ""
    return f"{usd(view.seen.spent_usd)} spent{held}"


def _speed(view: app.View) -> str | None:
    if view.per_minute is None:
        return None
    left = f", about {duration(view.left_s)} left" if view.left_s else ""
    text = f"{view.per_minute:.1f} rows a minute (over {WINDOW_S / 60:.0f} min at most){left}"
    tried = ", ".join(f"{number} at {name}" for name, number in view.retries.items())
    return f"{text}; tried again: {tried}" if tried else text


def _flights(view: app.View) -> Iterator[str]:
    seen = view.seen
    if seen is None or not seen.flights:
        return
    yield "  in flight:" if view.phase is app.Phase.RUNNING else "  not finished:"
    for flight in seen.flights[:_FLIGHTS]:
        age = "" if flight.since is None else f", {duration(max(0.0, view.at - flight.since))}"
        yield f"    {flight.id or flight.request_id or '(no row)'}  {flight.provider}: {flight_phase(flight)}{age}"
    if seen.flying > _FLIGHTS:
        yield f"    and {seen.flying - _FLIGHTS:,} more"


def _events(view: app.View) -> Iterator[str]:
    if view.events:
        yield "  last:"
    for event in view.events[-_EVENTS:]:
        at = seconds(event.get("at"))
        yield f"    {'' if at is None else clock.time_of_day(at)} {said(event)}"


def said(line: Mapping[str, Any]) -> str:
    """A line of events.jsonl in words."""
    head = ("event", "at", "run_id", "id", "job_key")
    kind, at, run_id = (str(line.get(name, "")) for name in head[:3])
    facts = {name: value for name, value in line.items() if name not in head}
    return words(Event(kind=kind, at=at, run_id=run_id, id=line.get("id"), facts=facts))


def fitted(text: str, columns: int, *, encoding: str | None) -> str:
    """The text in so many columns at most, cut with `...`; what a terminal would act upon, or cannot show, is `?`."""
    shown = text.encode(encoding or "ascii", "replace").decode(encoding or "ascii")
    shown = "".join(each if each.isprintable() else "?" for each in shown)
    if sum(map(_columns, shown)) <= columns:
        return shown
    kept, used, dots = [], 0, "..."[: max(0, columns)]
    for each in shown:
        used += _columns(each)
        if used > columns - len(dots):
            break
        kept.append(each)
    return "".join(kept) + dots


def _columns(character: str) -> int:
    """How many columns of a terminal a character takes."""
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in _WIDE else 1
