"""Evidence + the files that are there → the rows of a new record. Nothing paid is forgotten.

A request is taken for unsent only where something says so; one that is finished only where its very file is there.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

from batchmod.app import traces
from batchmod.app.evidence import Evidence, Story, versioned
from batchmod.app.traces import Values
from batchmod.checkpoint.anew import Rows
from batchmod.checkpoint.values import dump

STRANGER: Final = "found:"
"""What the job_key of a file that no known request made begins with."""

LOST: Final = "its record was lost; whether the request was accepted is not known"
_NOTHING_CREATED: Final = ("refused", "never_sent", "never_accepted")
_STALE: Final = ("rows_digest", "indexed")


def settle(heard: Evidence, files: Mapping[str, str], *, hosted: Collection[str], origin: Callable[[str], str]) -> Rows:
    """The rows of the record.

    `files`: each output that is there → its hash; `origin`: where a provider is asked from here, for works of which
    nothing says where they were sent.
    """
    tables: Rows = {"work": [], "attempt": [], "delivery": [], "run": list(heard.runs.values())}
    tables["folder"] = [{"name": name, "value": value} for name, value in heard.facts.items() if name not in _STALE]
    tables["upload"], tables["review"] = heard.plain["upload"], heard.plain["review"]
    rows = heard.plain["manifest_row"]
    tables["manifest_row"] = [
        traces.manifest_row(row["line"], position) if "line" in row else row for position, row in enumerate(rows, 1)
    ]
    used: set[object] = set()
    seen: set[object] = set()
    for story in _renumbered(heard.stories):
        _settle(heard, story, files, hosted=hosted, origin=origin)
        tables["work"].append(story.work)
        tables["attempt"] += _attempts_of(story, seen)
        for output in _distinct(story.outputs.values(), used):
            there = story.work["status"] == "succeeded" and _is(files, output["path"], story.work.get("sha256"))
            tables["delivery"].append({**output, "work_id": story.number, "delivered": int(there)})
    _add_strangers({path: files[path] for path in sorted(files) if path not in used}, tables)
    return tables


def _renumbered(stories: list[Story]) -> list[Story]:
    """The works, no two with one number: two records in one folder may have begun to count anew."""
    free = 1 + max((story.number for story in stories), default=0)
    seen: set[int] = set()
    for story in stories:
        if story.number in seen:
            story.number, free = free, free + 1
        seen.add(story.number)
    return stories


def _settle(
    heard: Evidence,
    story: Story,
    files: Mapping[str, str],
    *,
    hosted: Collection[str],
    origin: Callable[[str], str],
) -> None:
    """Complete a work's row, with the status that follows from all that was heard."""
    line, work = heard.lines.get(story.job_key, {}), story.work
    provider = work.get("provider") or line.get("provider") or next(iter(hosted), "local")
    defaults = {"provider": provider, "options": "{}", "inputs": dump(traces.inputs_of(line)), "reserved_usd": 0.0}
    story.learn({**defaults, "origin": origin(provider), "warnings": "[]"}, *defaults, "origin", "warnings")
    if story.last is None and work.get("request_id"):
        heard.attempt(story, {}).update(outcome="accepted", request_id=work["request_id"])
    held = story.last.get("request_id") if story.last is not None else None
    status = _status(story, files, held, free=provider not in hosted or work.get("cost_source") == "reused")
    attempts = max(len(story.attempts), int(work.get("attempts") or 0))
    work |= {"work_id": story.number, "job_key": story.job_key, "status": status, "attempts": attempts}
    work |= {"request_id": held, "output_location": None}
    if status in ("planned", "succeeded", "failed"):
        work["reserved_usd"] = 0.0
    if status in ("planned", "submitted", "succeeded"):
        work |= {"error_code": None, "error": None}
    if status == "uncertain":
        work |= {"error_code": "uncertain", "error": LOST}
        last = story.last or heard.attempt(story, {"body": traces.body_of(line) if line else {}})
        last.update(outcome="unknown", seen_dead_at=heard.now, note=LOST)


def _status(story: Story, files: Mapping[str, str], held: str | None, *, free: bool) -> str:
    if story.phase == "failed":
        return "failed"
    sha256 = story.work.get("sha256")
    if story.phase == "done" and any(_is(files, each["path"], sha256) for each in story.outputs.values()):
        return "succeeded"
    if free or (story.phase == "planned" and held is None):
        return "planned"
    if held is not None:
        return "submitted"
    refused = story.last is not None and story.last["outcome"] in _NOTHING_CREATED
    return "planned" if refused and story.phase != "done" else "uncertain"


def _attempts_of(story: Story, seen: set[object]) -> list[Values]:
    """A work's attempts; a number and a request id belong to one attempt for ever."""
    where = {"work_id": story.number, "provider": story.work["provider"], "origin": story.work["origin"]}
    made: list[Values] = []
    for attempt in story.attempts.values():
        row = {**attempt, **where}
        request = (row["provider"], row["origin"], row["request_id"])
        if row["request_id"] and request in seen:
            row |= {"request_id": None, "outcome": "unknown"}
        if row["attempt_id"] in seen:
            row["attempt_id"] = None  # SQLite gives the next one
        seen |= {request, attempt["attempt_id"]}
        made.append(row)
    return made


def _is(files: Mapping[str, str], path: str, sha256: str | None) -> bool:
    return sha256 is not None and files.get(path) == sha256


def _distinct(outputs: Iterable[Values], used: set[object]) -> list[Values]:
    """The outputs whose names and versions are still free; from now on they are not."""
    mine = []
    for output in outputs:
        names = {output["path"], (output["id_folded"], output["version"])}
        if not names & used:
            used |= names
            mine.append(output)
    return mine


def _add_strangers(files: Mapping[str, str], tables: Rows) -> None:
    """Files that no known request made keep their names for ever: no version is given twice."""
    given = {(row["id_folded"], row["version"]) for row in tables["delivery"]}
    first = 1 + max((work["work_id"] for work in tables["work"]), default=0)
    for number, (path, sha256) in enumerate(files.items(), first):
        row_id, version = versioned(path)
        if (row_id.casefold(), version) in given:
            row_id = path
        given.add((row_id.casefold(), version))
        work = {"work_id": number, "job_key": f"{STRANGER}{path}", "provider": "local", "origin": "", "options": "{}"}
        tables["work"].append({**work, "inputs": dump(traces.inputs_of({})), "status": "succeeded", "sha256": sha256})
        output = {"id": row_id, "id_folded": row_id.casefold(), "version": version, "work_id": number, "path": path}
        stem = path.removeprefix("videos/").removesuffix(".mp4")
        tables["delivery"].append({**output, "stem": stem, "delivered": 1})
