"""`why`: one row's whole story."""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from batchmod import app, clock, files, judgement
from batchmod.app.services import Services
from batchmod.app.story import Asked, Cell
from batchmod.cli.loading import Environ, options_of
from batchmod.cli.plan import difference, item_json, why_words
from batchmod.cli.wording import duration, estimate, table, usd
from batchmod.errors import UsageError
from batchmod.model import Attempt, Job, Scored, Source, VideoFacts
from batchmod.planning import Action, Item
from batchmod.urls import cut

_LONGEST: Final = 72
_DOES: Final[Mapping[Action, str]] = {
    Action.SEND: "send it",
    Action.RESUME: "go on with the request that was sent, and collect its output",
    Action.ASK: "look it up at the provider, and send nothing by a guess",
    Action.FETCH: "fetch its output again, and send nothing",
    Action.REUSE: "take its output from another output folder, and send nothing",
    Action.COPY: "copy the output of another row",
    Action.KEEP: "keep it as it is",
    Action.FAIL: "send nothing, and write it down as failed",
    Action.LEAVE: "leave it as it is; --retry-failed sends again what was not billed",
    Action.HOLD: "hold it back",
    Action.INVALID: "leave it out",
}
_TOLD: Final = (
    "provider",
    "request_id",
    "outcome",
    "reason",
    "why",
    "after_s",
    "code",
    "message",
    "cost_usd",
    "output",
)
"""What a line tells of an event; the rest is in --json."""


def why(args: argparse.Namespace, environ: Environ) -> int:
    """Tell one row's story; nothing is sent, asked or written."""
    path = Path(args.path)
    if not path.exists():
        raise UsageError(f"{path} is not there; give a manifest or an output folder")
    story = app.tell(path, args.id, options_of(args), Services(environ=environ))
    if args.json:
        print(json.dumps(as_json(story), ensure_ascii=False, indent=2, default=str))
    else:
        print("\n".join(_lines(story)))
    return 0


def _lines(story: app.Story) -> Iterator[str]:
    yield _head(story)
    yield from (f"  {note}" for note in story.notes)
    if story.problems or story.invalid:
        yield from _section("What is wrong with it", [str(each) for each in story.problems] or [_invalid(story)])
    if story.cells:
        yield from _section("The row, as it was read", table([_cell_row(cell) for cell in story.cells]).splitlines())
    elif story.stored is not None:
        yield from _section("The row, as the last run saw it", _stored_lines(story))
    if story.job is not None:
        yield from _section("The job it makes", table(_job_rows(story.job, story.clip)).splitlines())
    if story.change is not None:
        costs = " (it is the same request all the same)" if story.change.same_request else ""
        yield from _section("Since the last run", [f"{difference(each)}{costs}" for each in story.change.fields])
    asked = [line for number, each in enumerate(story.requests, 1) for line in _request_lines(number, each, story.job)]
    yield from _section("Its requests, the oldest first", asked or ["none was ever sent"])
    if story.events:
        yield from _section("What happened", table([_event_row(each) for each in story.events]).splitlines())
    yield ""
    yield _verdict(story)


def _section(title: str, lines: Sequence[str]) -> Iterator[str]:
    yield ""
    yield f"{title}:"
    yield from (f"  {line}" for line in lines)


def _head(story: app.Story) -> str:
    if story.manifest is None:
        where = "a row of a manifest that cannot be read now"
    elif story.number is None:
        where = f"no row of {files.shortest(story.manifest)} any more"
    else:
        where = f"row {story.number} of {files.shortest(story.manifest)}"
    there = [output for asked in story.requests for output in asked.outputs if output.there]
    outputs = f"its newest output is {there[-1].path}" if there else "it has no output"
    spent = f", {usd(story.spent_usd)} spent on it" if story.spent_usd else ""
    return f"{story.id}: {where}, into {files.shortest(story.folder)}; {outputs}{spent}"


def _invalid(story: app.Story) -> str:
    return story.invalid.why if story.invalid else ""


def _cell_row(cell: Cell) -> tuple[str, str, str]:
    says = {
        "made": "made of video_url",
        "paired": "paired by its name",
        "default": "the default",
        "manifest": "the manifest's own",
    }
    place = " ".join(part for part in (cell.place, f"({cell.origin})" if cell.origin == "defaults" else "") if part)
    return cell.field, _clipped(cut(cell.value)), place or says.get(cell.origin, f"the {cell.origin}")


def _stored_lines(story: app.Story) -> list[str]:
    fields = story.stored.fields if story.stored else {}
    shown = {name: fields.get(name) for name in ("provider", "model", "mode", "prompt", "video_url", "first_frame_url")}
    shown |= dict(fields.get("own", {}))
    return table([(name, _clipped(cut(str(value)))) for name, value in shown.items() if value]).splitlines()


def _job_rows(job: Job, clip: VideoFacts | None) -> list[tuple[str, str]]:
    where = f" at {job.origin}" if job.origin else ""
    rows = [("provider", f"{job.provider}{where}"), ("model", job.model or ""), ("mode", job.mode)]
    rows += [("prompt", _clipped(job.prompt or "")), ("video", _source(job.video))]
    rows += [("", _clip(clip))] if clip else []
    rows += [("first_frame", _source(job.first_frame)), ("keyframes", _source(job.keyframes))]
    rows += [("options", json.dumps(dict(job.options), ensure_ascii=False) if job.options else "")]
    rows += [("variant", str(job.variant)), ("job_key", job.key)]
    return [(name, text) for name, text in rows if text]


def _source(source: Source | None) -> str:
    return "" if source is None else f"{cut(source.location)}  {cut(source.identity)}"


def _clip(facts: VideoFacts) -> str:
    rate = f", {float(facts.fps):.4g} frames/s" if facts.fps else ""
    length = f", {facts.duration_s:.1f} s" if facts.duration_s is not None else ""
    return f"{facts.width}x{facts.height}{rate}{length}, {facts.bytes / 1e6:.1f} MB"


def _request_lines(number: int, asked: Asked, job: Job | None) -> Iterator[str]:
    work = asked.work
    cost = f", {usd(work.cost_usd)} ({work.cost_source})" if work.cost_usd is not None else ""
    held = f", up to {usd(work.reserved_usd)} reserved" if work.reserved_usd else ""
    took = f", took {duration(work.finished_at - work.submitted_at)}" if work.finished_at and work.submitted_at else ""
    older = "" if asked.current or job is None else "; the row asks for something else now"
    yield f"{number}. {work.provider}: {work.status.value}{cost}{held}{took}{older}"
    yield f"   {work.inputs.get('mode')}, {_clipped(str(work.inputs.get('prompt') or 'no prompt'))}"
    if work.error:
        yield f"   {work.error_code or 'error'}: {work.error}"
    yield from (f"   {_attempt(each)}" for each in asked.attempts)
    for output in asked.outputs:
        there = "there" if output.there else "not there" if output.delivered else "not made yet"
        yield f"   version {output.version}: {output.path}, {there}"
    if asked.also:
        yield f"   made for {', '.join(asked.also)} too"
    yield from (f"   warning: {each}" for each in (*work.warnings, *([work.flag_reason] if work.flag_reason else [])))
    if asked.scored is not None:
        yield from (f"   {each}" for each in _score_lines(asked.scored, work.inputs.get("mode")))


def _score_lines(scored: Scored, mode: str | None) -> Iterator[str]:
    if scored.scores is None:
        yield f"no scores: {scored.problem}"
        return
    said = ((name, getattr(scored.scores, name)) for name in judgement.NAMES)
    yield "scores: " + ", ".join(f"{name.replace('_', ' ')} {value:.0f}" for name, value in said if value is not None)
    if review := judgement.needs_review(scored.scores, mode):
        yield review


def _attempt(attempt: Attempt) -> str:
    accepted = f" as {attempt.request_id}" if attempt.request_id else ""
    note = f": {attempt.note}" if attempt.note else ""
    return f"sent {clock.iso(attempt.sent_at)}: {attempt.outcome.replace('_', ' ')}{accepted}{note}"


def _event_row(event: Mapping[str, Any]) -> tuple[str, str, str]:
    words = ", ".join(f"{name} {_clipped(str(event[name]))}" for name in _TOLD if event.get(name) not in (None, ""))
    return str(event.get("at", "")), str(event["event"]), words


def _verdict(story: app.Story) -> str:
    if story.item is not None:
        return f"run would {_does(story.item, story)}"
    if story.invalid is not None:
        return "run would be refused; with --skip-invalid it would leave this row out."
    if story.problems:
        return "run would be refused: the manifest has problems."
    if any(asked.work.status in ("submitting", "submitted", "uncertain") for asked in story.requests):
        return "run would collect what is unfinished: it may be paid, though no row asks for it any more."
    return "run would do nothing with it: no row has this id any more."


def _does(item: Item, story: app.Story) -> str:
    changed = {item.job.id: story.change} if story.change else {}
    does = _DOES[item.action]
    if item.action is Action.SEND and item.estimate is not None:
        does += f", for {estimate(item.estimate)}"
    return f"{does}: {why_words(item, changed)}."


def _clipped(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def as_json(story: app.Story) -> dict[str, Any]:
    """A story as docs/plan.md says."""
    change = story.change
    return {
        "id": story.id,
        "manifest": None if story.manifest is None else str(story.manifest),
        "output": str(story.folder),
        "row": story.number,
        "values": [asdict(cell) | {"value": cut(cell.value)} for cell in story.cells],
        "job": None if story.job is None else _job_json(story.job, story.clip),
        "last_seen": None if story.stored is None else _without_secrets(story.stored.fields),
        "change": None if change is None else asdict(change),
        "requests": [_request_json(asked) for asked in story.requests],
        "spent_usd": round(story.spent_usd, 6),
        "events": list(story.events),
        "plan": None
        if story.item is None
        else item_json(story.item, {story.item.job.id: change} if change is not None else {}),
        "verdict": _verdict(story),
        "problems": [str(problem) for problem in story.problems],
        "notes": [*story.notes, *([story.invalid.why] if story.invalid else [])],
    }


def _job_json(job: Job, clip: VideoFacts | None) -> dict[str, Any]:
    return {
        "job_key": job.key,
        "provider": job.provider,
        "origin": job.origin,
        "model": job.model,
        "mode": job.mode,
        "prompt": job.prompt,
        "variant": job.variant,
        "options": dict(job.options),
        "video": _source_json(job.video) | {"facts": _facts_json(clip)},
        "first_frame": _source_json(job.first_frame) if job.first_frame else None,
        "keyframes": _source_json(job.keyframes) if job.keyframes else None,
    }


def _source_json(source: Source) -> dict[str, Any]:
    return {"location": cut(source.location), "local": source.local, "identity": cut(source.identity)}


def _facts_json(facts: VideoFacts | None) -> dict[str, Any] | None:
    return None if facts is None else asdict(facts) | {"fps": None if facts.fps is None else str(facts.fps)}


def _without_secrets(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: cut(value) if isinstance(value, str) else value for name, value in fields.items()}


def _request_json(asked: Asked) -> dict[str, Any]:
    work = asked.work
    return {
        "job_key": work.job_key,
        "current": asked.current,
        "provider": work.provider,
        "origin": work.origin,
        "model": work.model,
        "status": work.status.value,
        "request_id": work.request_id,
        "error_code": work.error_code,
        "error": work.error,
        "billed": work.billed,
        "cost_usd": work.cost_usd,
        "cost_source": work.cost_source,
        "reserved_usd": work.reserved_usd,
        "submitted_at": _iso(work.submitted_at),
        "finished_at": _iso(work.finished_at),
        "run_id": work.run_id,
        "warnings": list(work.warnings),
        "flag_reason": work.flag_reason,
        "scores": _scores_json(asked.scored),
        "facts": _facts_json(work.facts),
        "attempts": [
            {
                "sent_at": _iso(attempt.sent_at),
                "outcome": attempt.outcome,
                "request_id": attempt.request_id,
                "note": attempt.note,
            }
            for attempt in asked.attempts
        ],
        "outputs": [asdict(output) for output in asked.outputs],
        "also": list(asked.also),
    }


def _scores_json(scored: Scored | None) -> dict[str, Any] | None:
    if scored is None or scored.scores is None:
        return None
    return {name: getattr(scored.scores, name) for name in judgement.NAMES}


def _iso(at: float | None) -> str | None:
    return None if at is None else clock.iso(at)
