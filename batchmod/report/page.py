"""Totals and Cards → the text of the page; the one place where HTML is written, so the one that escapes."""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from typing import Any, Final

from batchmod.model import Status
from batchmod.report import data
from batchmod.report.cards import Card, cost_text, duration_text
from batchmod.report.chart import charts
from batchmod.report.dialogs import DIALOGS
from batchmod.report.tally import Totals, present

_SCRIPTS: Final = ("together.js", "marks.js", "cards.js", "list.js", "page.js")
"""One script, cut by what its parts do; later ones use earlier ones."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Since:
    """What the newest run into the folder changed."""

    began: float
    """Unix seconds."""
    began_at: str
    """The same, ISO 8601."""
    is_first: bool
    succeeded: int
    failed: int
    cost_usd: float
    is_estimated: bool = False
    """Whether a part of the cost was not confirmed by its provider."""


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """All that the page says besides its cards."""

    title: str
    made_at: str
    totals: Totals
    shown: int
    """How many of the rows that `totals` counts have a card."""
    orphans: tuple[str, ...] = ()
    since: Since | None = None
    generations: int = 0
    spent_usd: float = 0.0
    is_estimated: bool = False
    """Whether a part of that was not confirmed by its provider."""
    folder_id: str = ""
    for_client: bool = False
    """Whether it is sent to somebody who need not know of money, doubts and failures."""


def render(about: About, cards: Sequence[Card]) -> Iterator[str]:
    """The page in pieces."""
    style, script = _asset("page.css"), "\n".join(map(_asset, _SCRIPTS))
    yield _head(about.title, style=style, script=script)
    yield _top(about)
    yield _tools(about)
    yield '<main>\n<div id="list" role="feed" aria-label="Outputs, by their clips"></div>\n'
    yield f'<p id="nothing" {"" if not about.shown else "hidden"}>No row to show.</p>\n'
    yield from _without_script(cards)
    yield _orphans(about.orphans)
    yield "</main>\n"
    yield _foot(about)
    yield DIALOGS
    yield '<script type="application/json" id="data">'
    yield from data.pieces(cards, _for_script(about))
    yield f"</script>\n<script>{script}</script>\n</body>\n</html>\n"


def policy(*, style: str, script: str) -> str:
    """The page's Content-Security-Policy: its own style and script by their hashes, files beside it, nothing else.

    `'self'` is the page's origin where it is served; a page from disk has none in some browsers, hence `file:`.
    """
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "img-src 'self' file: data:; media-src 'self' file:; base-uri 'none'; form-action 'none'"
    )


def _asset(name: str) -> str:
    return resources.files("batchmod.report").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _for_script(about: About) -> dict[str, Any]:
    return {
        "title": about.title,
        "folder": about.folder_id,
        "client": about.for_client,
        "generations": about.generations,
        "estimated": about.is_estimated,
        "usd": 0.0 if about.for_client else round(about.spent_usd, 6),
        "keptBeyond": about.totals.kept if about.shown < about.totals.rows else 0,
    }


def _head(title: str, *, style: str, script: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{escape(policy(style=style, script=script))}">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="batchmod">
<link rel="icon" href="data:,">
<title>{escape(title)} · batchmod</title>
<style>{style}</style>
</head>
<body>
"""


def _top(about: About) -> str:
    made_at, totals = about.made_at, about.totals
    made = f'<time datetime="{escape(made_at)}">{escape(made_at[:16].replace("T", " "))} UTC</time>'
    table = "" if about.for_client else ' · as a table: <a href="results.csv">results.csv</a>'
    left_out = (
        f'<p class="note">This page shows {about.shown:,} of {totals.rows:,} rows: those that need a look, then the '
        'newest. All of them are in <a href="results.csv">results.csv</a>.</p>\n'
        if about.shown < totals.rows
        else ""
    )
    figures = "" if about.for_client else _figures(about)
    return f"""<header class="top">
<h1 dir="auto">{escape(about.title)}</h1>
<p class="quiet">Made {made}{table}</p>
{figures}{left_out}</header>
"""


def _figures(about: About) -> str:
    tiles = "".join(_total(*item) for item in _totals(about.totals))
    drawn = charts(
        tuple(about.totals.timeline.points()), rows=about.totals.rows, is_estimated=about.totals.estimated_usd > 0
    )
    return f'<dl class="totals">{tiles}</dl>\n{_news(about.since)}{drawn}'


def _totals(totals: Totals) -> Iterator[tuple[str, str, str]]:
    """Label, figure and small print of each tile."""
    yield "rows", f"{totals.rows:,}", f"{totals.by_status[Status.SUCCEEDED]:,} succeeded"
    yield "need a look", f"{totals.to_look_at:,}", "failed, uncertain, invalid or flagged"
    yield "cost", cost_text(totals.cost_usd, estimated=False), _cost_note(totals)
    yield "time", duration_text(totals.seconds), "from submit to output, all requests added up"


def _cost_note(totals: Totals) -> str:
    notes = ["as the provider said" if totals.cost_usd else "nothing was charged, as far as is known"]
    if totals.estimated_usd:
        notes = [f"{cost_text(totals.estimated_usd, estimated=False)} of it estimated"]
    if uncertain := totals.by_status[Status.UNCERTAIN]:
        notes.append(f"without {uncertain:,} uncertain, which may have been charged")
    return "; ".join(notes)


def _total(label: str, figure: str, note: str) -> str:
    return f"<div><dt>{label}</dt><dd><b>{figure}</b><small>{note}</small></dd></div>"


def _news(since: Since | None) -> str:
    """What the newest run changed, in a sentence."""
    if since is None:
        return ""
    began = f'<time datetime="{escape(since.began_at)}">{escape(since.began_at[:16].replace("T", " "))} UTC</time>'
    if since.is_first:
        return f'<p class="news">The first run into this folder began {began}.</p>\n'
    counts = ((since.succeeded, "new outputs" if since.succeeded != 1 else "new output"), (since.failed, "failed"))
    changed = ", ".join(f"{count:,} {what}" for count, what in counts if count)
    cost = f", {cost_text(since.cost_usd, estimated=since.is_estimated)}" if since.cost_usd else ""
    return f'<p class="news">Since the previous run: {changed or "nothing new"}{cost} (run of {began}).</p>\n'


def _tools(about: About) -> str:
    totals = about.totals
    choices = [("all", "all", about.shown if about.for_client else totals.rows)]
    if not about.for_client:
        choices += [("look", "need a look", totals.to_look_at)] if totals.to_look_at else []
        choices += [("flagged", "flagged", totals.flagged)] if totals.flagged else []
        choices += [(status.value, status.value, count) for status, count in present(totals)]
    buttons = "".join(_choice("show", *choice, pressed=choice[0] == "all") for choice in choices)
    marks = "".join(
        _choice("mark", name, label, None) for name, label in (
            ("keep", "keep"), ("redo", "redo"), ("hold", "hold"), ("none", "not marked"),
        )
    )  # fmt: skip
    news = '<button type="button" data-news aria-pressed="false" hidden>new in this run <b></b></button>'
    return f"""<div class="tools" role="search" hidden>
<input type="search" id="filter" placeholder="Filter by id, prompt, anything" aria-label="Filter the rows by text">
<label class="sort"><span>Sort</span> <select id="sort">{_orders(about)}</select></label>
<p class="quiet" id="count" role="status"></p>
<div class="acts"><button type="button" id="export" class="strong">Export marks</button>
<button type="button" id="help" aria-label="Keyboard shortcuts" title="Keyboard shortcuts">?</button></div>
<div class="which"><div class="choices" role="group" aria-label="Show rows by status">{buttons}{news}</div>
<div class="choices" role="group" aria-label="Show rows by mark">{marks}</div></div>
</div>
"""


def _choice(kind: str, name: str, label: str, count: int | None, *, pressed: bool = False) -> str:
    number = "<b></b>" if count is None else f"<b>{count:,}</b>"
    on = str(pressed).lower()
    return f'<button type="button" data-{kind}="{name}" aria-pressed="{on}">{label} {number}</button>'


def _orders(about: About) -> str:
    orders = [("look", "needs a look first"), ("row", "manifest order"), ("newest", "newest first"), ("id", "id")]
    orders += [] if about.for_client else [("usd", "dearest first")]
    names = () if about.for_client else sorted(about.totals.scored)
    for name in names:
        label = data.short(name)
        orders += [(f"{name}:up", f"{label} score, lowest first"), (f"{name}:down", f"{label} score, highest first")]
    return "".join(f'<option value="{value}">{label}</option>' for value, label in orders)


def _without_script(cards: Iterable[Card]) -> Iterator[str]:
    """A plain table with links, for a browser that runs no script."""
    heads = "".join(f"<th>{name}</th>" for name in ("id", "status", "before", "after", "mode", "prompt", "problem"))
    yield '<noscript><p class="note">Without JavaScript this is a table of links.</p>\n'
    yield f"<table><thead><tr>{heads}</tr></thead><tbody>\n"
    for card in cards:
        after = card.after.shown if card.after else None
        cells = (
            escape(card.id),
            card.status.value,
            _link(card.before.name, card.before.href),
            _link(after.name, after.href) if after else "",
            escape(card.mode or ""),
            escape(card.prompt or ""),
            escape(card.error or card.flag_reason or ""),
        )
        yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>\n"
    yield "</tbody></table></noscript>\n"


def _link(name: str, href: str | None) -> str:
    return f'<a href="{escape(href)}">{escape(name)}</a>' if href else escape(name)


def _orphans(orphans: Sequence[str]) -> str:
    """Requests that were sent for rows which are gone or were edited since: paid all the same."""
    if not orphans:
        return ""
    items = "".join(f"<li>{escape(text)}</li>" for text in orphans)
    return f'<section id="orphans"><h2>Requests no row names any more</h2>\n<ul>{items}</ul>\n</section>\n'


def _foot(about: About) -> str:
    words = "" if about.for_client else _per_kept(about)
    return f'<footer><p id="kept">{words}</p><p class="quiet">Made by batchmod</p></footer>\n'


def _per_kept(about: About) -> str:
    """The same that the script keeps up to date while marks are set."""
    made, spent, kept = about.generations, about.spent_usd, about.totals.kept
    guess = about.is_estimated
    text = f"{made:,} generation{'' if made == 1 else 's'}, {cost_text(spent, estimated=guess)}"
    if not kept:
        return f"{text}; no shot is kept yet."
    each = f"{made / kept:.1f} generations and {cost_text(spent / kept, estimated=guess)} per kept shot"
    return f"{text}; {kept:,} kept: {each}."
