"""Cards → the JSON that the page's script draws them from: compact, and safe inside a script element."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from batchmod.report.cards import FACTS, NO_CLIP, Card, Clip, Shown
from batchmod.report.tally import SCORES

_LONE: Final = re.compile("[\ud800-\udfff]")


def pieces(cards: Iterable[Card], about: Mapping[str, Any]) -> Iterator[str]:
    """The text of the page's data, card by card; `about`: what concerns all of them."""
    sources: dict[tuple[str, str | None, str], int] = {}
    thumbs: dict[int, str] = {}
    yield f'{{"about":{as_json({**about, "facts": FACTS, "scores": [short(name) for name in SCORES]})},\n"cards":['
    separator = ""
    for card in cards:
        alone = card.id if card.before.name == NO_CLIP else ""
        number = sources.setdefault((card.before.name, card.before.href, alone), len(sources))
        if card.before_thumb:
            thumbs.setdefault(number, card.before_thumb)
        yield f"{separator}\n{as_json(entry(card, source=number))}"
        separator = ","
    named = [[name, href or "", thumbs.get(number, "")] for (name, href, _), number in sources.items()]
    yield f'],\n"sources":{as_json(named)}}}'


def as_json(value: object) -> str:
    """JSON in which nothing ends a script element, and with no half characters, which a file cannot hold."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return _LONE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def short(name: str) -> str:
    """A score's column as the page calls it: `first frame`."""
    return name.removesuffix("_score").replace("_", " ")


def entry(card: Card, *, source: int) -> dict[str, Any]:
    """One row; what it has nothing of is left out."""
    after = card.after
    said: dict[str, Any] = {
        "id": card.id,
        "row": card.row,
        "status": card.status.value,
        "flagged": card.flagged,
        "look": card.to_look_at,
        "source": source,
        "clip": None if after is None else _clip(after),
        "older": [_clip(each) for each in card.older],
        "frame": None if card.first_frame is None else _shown(card.first_frame),
        "mode": card.mode,
        "prompt": card.prompt,
        "scores": card.scores if any(score is not None for score in card.scores) else None,
        "facts": card.facts if any(card.facts) else None,
        "copy": None if card.copy is None else _shown(card.copy),
        "usd": card.cost_usd,
        "at": card.finished_at,
        "own": card.own,
        "doubt": card.flag_reason,
        "code": card.error_code,
        "error": card.error,
        "warnings": card.warnings,
        "advice": card.advice,
        "review": card.review,
        "of": card.review_of,
        "note": card.review_note,
        "news": card.news,
        "key": card.job_key,
        "run": card.run_id,
        "manifest": card.manifest,
    }
    return {name: value for name, value in said.items() if _says(value)}


def _shown(shown: Shown) -> list[str]:
    return [shown.name, shown.href or ""]


def _clip(clip: Clip) -> dict[str, Any]:
    said: dict[str, Any] = {
        "v": clip.version,
        "name": clip.shown.name,
        "href": clip.shown.href,
        "thumb": clip.thumb,
        "size": clip.size,
        "fps": None if clip.fps is None else round(clip.fps, 4),
        "at": clip.at,
        "cost": clip.cost,
        "about": clip.about,
        "scores": clip.scores if any(score is not None for score in clip.scores) else None,
        "facts": clip.facts if any(clip.facts) else None,
        "doubt": clip.flag_reason,
    }
    return {name: value for name, value in said.items() if _says(value)}


def _says(value: object) -> bool:
    return value is not None and value is not False and value not in ("", (), [])
