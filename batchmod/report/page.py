"""Totals and Cards → the text of the page; the one place where HTML is written, so the one that escapes."""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from importlib import resources
from itertools import groupby, islice
from typing import Final

from batchmod.model import Status
from batchmod.report.cards import Card, Shown, cost_text, duration_text
from batchmod.report.tally import Totals, present

_FIRST_AT_ONCE: Final = 12
"""Cards that hold their videos from the start; in the others an empty picture keeps the place until one scrolls near.

Ten thousand video elements, even unloaded, take a browser a quarter of a minute to set up.
"""

_CARDS_IN_A_GRID: Final = 120
"""Cards laid out together: one grid of thousands is slow to scroll. Full rows for two to six columns."""

_COMMAND: Final = re.compile(r"`([^`]+)`")
_NO_OUTPUT: Final = {
    Status.FAILED: "no output",
    Status.UNCERTAIN: "not known yet",
    Status.INVALID: "not sent",
    Status.HELD: "held, not sent",
    Status.SUBMITTED: "in the making",
}


def render(
    *, title: str, made_at: str, totals: Totals, shown: int, cards: Iterable[Card], orphans: Sequence[str] = ()
) -> Iterator[str]:
    """The page in pieces; `shown` of the rows that `totals` counts have a card."""
    style, script = _asset("page.css"), _asset("page.js")
    yield _head(title, style=style, script=script)
    yield _top(title, made_at, totals, shown)
    yield "<main>\n"
    yield _orphans(orphans)
    for to_look_at, group in groupby(cards, key=lambda card: card.to_look_at):
        yield f"<section><h2>{_heading(totals, to_look_at=to_look_at)}</h2>\n"
        for grid in _batches(group):
            full = " full" if len(grid) == _CARDS_IN_A_GRID else ""
            yield from (f'<div class="cards{full}">\n', *map(_card, grid), "</div>\n")
        yield "</section>\n"
    yield f'<p id="nothing" {"" if not shown else "hidden"}>No row to show.</p>\n</main>\n'
    yield f"<script>{script}</script>\n</body>\n</html>\n"


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


def _top(title: str, made_at: str, totals: Totals, shown: int) -> str:
    made = f'<time datetime="{escape(made_at)}">{escape(made_at[:16].replace("T", " "))} UTC</time>'
    left_out = (
        f'<p class="note">This page shows {shown:,} of {totals.rows:,} rows: those that need a look, then the newest. '
        'All of them are in <a href="results.csv">results.csv</a>.</p>\n'
        if shown < totals.rows
        else ""
    )
    return f"""<header class="top">
<h1 dir="auto">{escape(title)}</h1>
<p class="quiet">Made {made} · as a table: <a href="results.csv">results.csv</a></p>
<dl class="totals">{"".join(_total(*item) for item in _totals(totals))}</dl>
{left_out}</header>
{_tools(totals)}"""


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


def _tools(totals: Totals) -> str:
    choices = [("all", "all", totals.rows)]
    choices += [("flagged", "flagged", totals.flagged)] if totals.flagged else []
    choices += [(status.value, status.value, count) for status, count in present(totals)]
    buttons = "".join(
        f'<button type="button" data-show="{show}" aria-pressed="{str(show == "all").lower()}">{label} '
        f"<b>{count:,}</b></button>"
        for show, label, count in choices
    )
    return f"""<div class="tools" role="search" hidden>
<input type="search" id="filter" placeholder="Filter by id, prompt, anything" aria-label="Filter the rows by text">
<div class="choices" role="group" aria-label="Show rows by status">{buttons}</div>
<p class="quiet" id="count" role="status"></p>
</div>
<noscript><p class="note">Without JavaScript most videos are only linked, under their places.</p></noscript>
"""


def _orphans(orphans: Sequence[str]) -> str:
    """Requests that were sent for rows which are gone or were edited since: paid all the same."""
    if not orphans:
        return ""
    items = "".join(f"<li>{escape(text)}</li>" for text in orphans)
    return f'<section id="orphans"><h2>Requests no row names any more</h2>\n<ul>{items}</ul>\n</section>\n'


def _batches(cards: Iterator[Card]) -> Iterator[list[Card]]:
    while batch := list(islice(cards, _CARDS_IN_A_GRID)):
        yield batch


def _heading(totals: Totals, *, to_look_at: bool) -> str:
    if to_look_at:
        return "Need a look"
    return "The others" if totals.to_look_at else "Rows"


def _card(card: Card) -> str:
    name = f"c{card.number}"
    flagged = " data-flagged" if card.flagged else ""
    return f"""<article class="card" id="{name}" data-status="{card.status.value}"{flagged} aria-labelledby="{name}h">
<header><h3 id="{name}h" dir="auto">{escape(card.id)}</h3>{_badges(card)}
<span class="quiet">row {card.row}</span></header>
{_pair(card)}{_said(card)}{_trouble(card)}{_table("facts", card.facts)}{_own(card)}</article>
"""


def _badges(card: Card) -> str:
    status = f'<span class="badge {card.status.value}">{card.status.value}</span>'
    return status + ('<span class="badge flagged">flagged</span>' if card.flagged else "")


def _pair(card: Card) -> str:
    before, after = card.before, card.after or Shown(name=_NO_OUTPUT.get(card.status, "not made yet"))
    both = '<button type="button" class="both" hidden>Play both</button>\n' if before.href and after.href else ""
    return f'<div class="pair">{_clip(card, "before", before)}{_clip(card, "after", after)}</div>\n{both}'


def _clip(card: Card, side: str, clip: Shown) -> str:
    name = escape(clip.name)
    if clip.href is None:
        return f'<figure><p class="none" dir="auto">{name}</p><figcaption>{side}</figcaption></figure>'
    width, height = card.size or (16, 9)
    label = f"{side}: {escape(card.id)}"
    video = f'controls muted loop playsinline width="{width}" height="{height}" aria-label="{label}"'
    place = (
        f'<video {video} preload="metadata" src="{clip.href}"></video>'
        if card.number <= _FIRST_AT_ONCE
        else f'<svg width="{width}" height="{height}" role="img" aria-label="{label}"></svg>'
    )
    return f'<figure>{place}<figcaption>{side} <a href="{clip.href}" dir="auto">{name}</a></figcaption></figure>'


def _said(card: Card) -> str:
    """The prompt, beside the edited first frame where there is one."""
    parts = [_frame(card, card.first_frame) if card.first_frame else ""]
    parts.append(f'<p class="prompt" dir="auto">{escape(card.prompt)}</p>' if card.prompt else "")
    return f'<div class="said">{"".join(parts)}</div>\n' if any(parts) else ""


def _frame(card: Card, frame: Shown) -> str:
    name = escape(frame.name)
    if frame.href is None:
        return f'<p class="quiet" dir="auto">first frame: {name}</p>'
    alt = f"edited first frame of {escape(card.id)}"
    return (
        f'<a class="frame" href="{frame.href}" title="{name}"><img src="{frame.href}" alt="{alt}" loading="lazy"></a>'
    )


def _trouble(card: Card) -> str:
    """What went wrong or is doubted, and what to do next."""
    parts = []
    if card.error or card.error_code:
        code = f"<code>{escape(card.error_code)}</code> " if card.error_code else ""
        parts.append(f'<p dir="auto">{code}{escape(card.error or "")}</p>')
    if card.flag_reason:
        parts.append(f'<p dir="auto">Flagged: {escape(card.flag_reason)}</p>')
    if card.warnings:
        parts.append(f'<p dir="auto">Noticed: {escape(card.warnings)}</p>')
    if card.advice:
        parts.append(f'<p class="advice">{_with_commands(card.advice)}</p>')
    return f'<div class="trouble">{"".join(parts)}</div>\n' if parts else ""


def _with_commands(text: str) -> str:
    return _COMMAND.sub(r"<code>\1</code>", escape(text))


def _own(card: Card) -> str:
    return f"<details><summary>Your columns</summary>{_table('own', card.own)}</details>\n" if card.own else ""


def _table(kind: str, pairs: Iterable[tuple[str, str]]) -> str:
    items = "".join(
        f'<div><dt dir="auto">{escape(label)}</dt><dd dir="auto">{escape(text)}</dd></div>' for label, text in pairs
    )
    return f'<dl class="{kind}">{items}</dl>\n' if items else ""
