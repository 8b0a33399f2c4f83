"""What is known of an output folder without its record → the rows of a new one. Nothing paid is forgotten.

Evidence, in the order in which it is heard: what can be read of an old record, the event log, results.csv, the
per-user index, the files themselves. A request is taken for unsent only where something says so.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from batchmod import reconcile
from batchmod.checkpoint.anew import Rows
from batchmod.checkpoint.values import dump
from batchmod.model import Claim
from batchmod.urls import CUT, without_query

Values = dict[str, Any]

STRANGER: Final = "found:"
"""What the job_key of a file that no known request made begins with."""

LOST: Final = "its record was lost; whether the request was accepted is not known"
_NOTHING_CREATED: Final = ("refused", "never_sent", "never_accepted")
_PHASE_OF: Final = {"succeeded": "done", "failed": "failed", "planned": "planned"}
_VERSION: Final = re.compile(r"^(?P<id>.+?)_v(?P<version>\d+)$")


@dataclass(kw_only=True, slots=True)
class Story:
    """What is known of one work."""

    number: int
    job_key: str
    work: Values = field(default_factory=dict)
    attempts: dict[int, Values] = field(default_factory=dict)
    outputs: dict[str, Values] = field(default_factory=dict)
    """Id in casefold → its delivery."""
    phase: str = "planned"
    """planned, open (may be paid), done or failed."""

    @property
    def last(self) -> Values | None:
        """The newest attempt."""
        return self.attempts[max(self.attempts)] if self.attempts else None

    def learn(self, values: Mapping[str, Any], *names: str) -> None:
        """Take over what is not known yet."""
        for name in names:
            if self.work.get(name) is None and values.get(name) is not None:
                self.work[name] = values[name]

    def give(self, output: Mapping[str, Any]) -> None:
        """An id's version of the output; a later word counts."""
        path, row_id = str(output["path"]), str(output["id"])
        stem = output.get("stem") or re.sub(r"v\d+(?=\.mp4$)", "v{version:03d}", path)
        self.outputs[row_id.casefold()] = {
            "id": row_id,
            "id_folded": row_id.casefold(),
            "version": int(output["version"]),
            "path": path,
            "stem": stem.removeprefix("videos/").removesuffix(".mp4"),
        }


class Evidence:
    """Hears all there is, then answers with the rows of a record."""

    def __init__(self, *, hosted: Collection[str], origin: Callable[[str], str], now: float) -> None:
        """`origin`: where a provider is asked from here; for works of which nothing says where they were."""
        self._hosted = hosted
        self._origin = origin
        self._now = now
        self._stories: dict[tuple[int, str], Story] = {}
        self._next_attempt = 1
        self._lines: dict[str, Mapping[str, str]] = {}
        self._plain: Rows = {"manifest_row": [], "review": [], "upload": []}
        self.runs: dict[str, Values] = {}
        self.facts: dict[str, str] = {}

    # --- an old record ---

    def hear_record(self, old: Rows) -> None:
        """What could be read of a record, older ones first."""
        for table in self._plain:
            self._plain[table] = list(old.get(table, ())) or self._plain[table]
        self.facts |= {str(row["name"]): str(row["value"]) for row in old.get("folder", ())}
        self.runs |= {str(row["run_id"]): dict(row) for row in old.get("run", ())}
        of_number = {}
        for row in old.get("work", ()):
            story = self._story(str(row["job_key"]), int(row["work_id"]))
            story.work |= row
            story.phase = _PHASE_OF.get(str(row["status"]), "open")
            of_number[story.number] = story
        for row in old.get("attempt", ()):
            if row["work_id"] in of_number:
                of_number[row["work_id"]].attempts[int(row["attempt_id"])] = dict(row)
        for row in old.get("delivery", ()):
            if row["work_id"] in of_number:
                of_number[row["work_id"]].give(row)

    # --- the event log ---

    def hear_events(self, events: Iterable[Mapping[str, Any]]) -> None:
        """The event log, from its beginning."""
        for event in events:
            match event["event"]:
                case "run_started":
                    started = {"run_id": event.get("run_id"), "started_at": _seconds(event.get("at")) or self._now}
                    self.runs.setdefault(str(event.get("run_id")), started)
                    names = ("folder_id", "manifest_name", "manifest_file")
                    self.facts |= {name: str(event[name]) for name in names if event.get(name)}
                case "run_ended" if str(event.get("run_id")) in self.runs:
                    ended = {"ended_at": _seconds(event.get("at")), "exit_code": event.get("exit_code")}
                    self.runs[str(event["run_id"])] |= {**ended, "stop_reason": event.get("stop_reason")}
                case _ if event.get("job_key"):
                    self._hear_event(event)
                case _:
                    pass

    def _hear_event(self, event: Mapping[str, Any]) -> None:
        number = event.get("work")
        story = self._story(str(event["job_key"]), number if isinstance(number, int) else None)
        story.learn(event, "provider", "model", "origin")
        if isinstance(event.get("reserved_usd"), int | float):
            story.work["reserved_usd"] = event["reserved_usd"]
        for name in ("options", "inputs"):
            if story.work.get(name) is None and event.get(name) is not None:
                story.work[name] = dump(_uncut(event[name]))
        if event.get("again"):
            story.work["again"] = 1
        for output in event.get("outputs") or ():
            story.give(output)
        self._hear_kind(event, story)

    def _hear_kind(self, event: Mapping[str, Any], story: Story) -> None:
        at, request_id = _seconds(event.get("at")), event.get("request_id")
        match event["event"]:
            case "intended":
                story.phase = "open"
                attempt = self._attempt(story, event)
                story.work |= {"submitted_at": attempt["sent_at"], "request_id": attempt["request_id"]}
                story.work |= {"error_code": None, "error": None, "billed": None, "finished_at": None}
                story.work["run_id"] = event.get("run_id")
            case "submitted" | "resolved" if request_id:
                story.phase = "open"
                self._accept(self._attempt(story, event), str(request_id))
            case "resolved":
                self._nothing_created(story, "never_accepted")
            case "refused":
                self._nothing_created(story, str(event.get("outcome") or "refused"))
            case "output_known" if event.get("cost_usd") is not None:
                story.work |= {"cost_usd": event["cost_usd"], "cost_source": "provider"}
            case "succeeded":
                story.phase = "done"
                if request_id:
                    self._accept(self._attempt(story, event), str(request_id))
                cost = event.get("charged_usd", event.get("cost_usd"))
                ended = {"finished_at": event.get("finished_at") or at, "flag_reason": event.get("flag_reason")}
                story.work |= {"sha256": event.get("sha256") or story.work.get("sha256"), **ended}
                story.work |= {"cost_usd": cost, "cost_source": event.get("cost_source"), "billed": event.get("billed")}
            case "failed":
                story.phase = "failed"
                about = {"error_code": event.get("code"), "error": event.get("message"), "finished_at": at}
                story.work |= {**about, "billed": event.get("billed"), "cost_usd": event.get("cost_usd")}
            case "copied" if event.get("reused_from"):
                story.phase = "done"
                reused = {"cost_usd": 0.0, "cost_source": "reused", "billed": False, "finished_at": at}
                story.work |= {**reused, "sha256": event.get("sha256")}
            case _:
                pass

    def _attempt(self, story: Story, about: Mapping[str, Any]) -> Values:
        """The attempt that is meant: by its number, else the newest, else one that nothing else tells of."""
        number = about.get("attempt")
        if not isinstance(number, int):
            number = max(story.attempts, default=self._free_attempt())
        if number in story.attempts:
            return story.attempts[number]
        sent_at = about.get("sent_at") or _seconds(about.get("at")) or self._now
        made = {"attempt_id": number, "account": about.get("account"), "sent_at": sent_at, "outcome": "open"}
        story.attempts[number] = {**made, "body": dump(_gappy(about.get("body") or {})), "request_id": None}
        return story.attempts[number]

    def _accept(self, attempt: Values, request_id: str) -> None:
        attempt |= {"outcome": "accepted", "request_id": request_id}

    def _nothing_created(self, story: Story, outcome: str) -> None:
        story.phase = "planned"
        if story.last is not None:
            story.last["outcome"] = outcome

    # --- results.csv ---

    def hear_results(self, lines: Iterable[Mapping[str, str]]) -> None:
        """The lines of results.csv: older than the event log, but safer on disk, and they know the files."""
        known = list(lines)
        if not self._plain["manifest_row"]:
            self._plain["manifest_row"] = [{"line": line} for line in known]
        for line in known:
            self._lines[line.get("job_key", "")] = line
            if line.get("job_key") and line.get("status") in (
                "submitting",
                "submitted",
                "succeeded",
                "failed",
                "uncertain",
            ):
                self._hear_line(line)

    def _hear_line(self, line: Mapping[str, str]) -> None:
        story = self._meant_by(line)
        new = not story.work and not story.attempts
        story.learn({name: value or None for name, value in line.items()}, "provider", "model")
        request_id = line.get("request_id") or None
        if new:
            story.phase = _PHASE_OF.get(line["status"], "open")
            story.work |= {"error_code": line.get("error_code") or None, "error": line.get("error") or None}
            story.work |= {"submitted_at": _seconds(line.get("submitted_at")), "run_id": line.get("run_id") or None}
            story.work |= {"billed": {"true": 1, "false": 0}.get(line.get("billed", "")), **_cost_of(line)}
        if request_id and all(each.get("request_id") != request_id for each in story.attempts.values()):
            about = {"body": _body_of(line), "at": line.get("submitted_at")}
            self._accept(self._attempt(story, about), request_id)
        elif new and line["status"] in ("submitting", "submitted", "uncertain"):
            self._attempt(story, {"body": _body_of(line), "at": line.get("submitted_at")})
        if line["status"] == "succeeded":
            self._hear_output(story, line, request_id)

    def _hear_output(self, story: Story, line: Mapping[str, str], request_id: str | None) -> None:
        last = story.last
        if story.phase == "open" and (last is None or last.get("request_id") == request_id):
            story.phase = "done"
        for name, value in {"sha256": line.get("sha256") or None, **_cost_of(line)}.items():
            if story.work.get(name) is None:
                story.work[name] = value
        if story.work.get("facts") is None and story.work.get("sha256") == line.get("sha256"):
            story.work["facts"] = _facts_of(line)
        if story.work.get("finished_at") is None:
            story.work["finished_at"] = _seconds(line.get("finished_at"))
        folded = line["id"].casefold()
        if line.get("output") and line.get("version", "").isdigit() and folded not in story.outputs:
            story.give({"id": line["id"], "version": line["version"], "path": line["output"]})

    def _meant_by(self, line: Mapping[str, str]) -> Story:
        """The work of a line: the one with its request id, else the newest of its key that has none, else a new one."""
        of_key = [story for story in self._stories.values() if story.job_key == line["job_key"]]
        request_id = line.get("request_id") or None
        for story in of_key:
            if request_id and any(each.get("request_id") == request_id for each in story.attempts.values()):
                return story
        newest = max(of_key, key=lambda story: story.number, default=None)
        if newest is not None and (request_id is None or newest.last is None or newest.last.get("request_id") is None):
            return newest
        return self._story(line["job_key"], self._free_work())

    # --- the index ---

    def hear_claims(self, claims: Mapping[str, Claim]) -> None:
        """What this folder has claimed in the per-user index: no claim is dropped because nothing else tells of it."""
        for job_key, claim in claims.items():
            of_key = [story for story in self._stories.values() if story.job_key == job_key]
            if any(story.phase in ("open", "done") for story in of_key):
                continue
            newest = max(of_key, key=lambda story: story.number, default=None)
            if newest is not None and newest.phase == "failed":
                continue
            story = newest or self._story(job_key, self._free_work())
            line = self._lines.get(job_key, {})
            story.learn(line, "provider", "model")
            story.phase = "done" if claim.output and claim.sha256 else "open"
            story.work |= {"sha256": claim.sha256, "cost_usd": claim.cost_usd, "cost_source": "estimate"}
            found = _VERSION.match((claim.output or "").removeprefix("videos/").removesuffix(".mp4"))
            if claim.output and found:
                story.give({"id": line.get("id") or found["id"], "version": found["version"], "path": claim.output})
            if story.phase == "open" and story.last is None:
                self._attempt(story, {"body": _body_of(line) if line else {}, "at": f"{claim.on}T00:00:00Z"})

    # --- the answer ---

    def rows(self, files: Mapping[str, str]) -> Rows:
        """The rows of the record; `files`: each output that is there → its hash."""
        tables: Rows = {"work": [], "attempt": [], "delivery": [], "run": list(self.runs.values())}
        tables["folder"] = [{"name": name, "value": value} for name, value in self.facts.items()]
        tables["upload"], tables["review"] = self._plain["upload"], self._plain["review"]
        tables["manifest_row"] = [
            _manifest_row(row["line"]) if "line" in row else row for row in self._plain["manifest_row"]
        ]
        spoken_for: set[str] = set()
        requests: set[tuple[str, str, str]] = set()
        numbers: set[int] = set()
        for story in sorted(self._stories.values(), key=lambda each: each.number):
            if story.number in numbers:
                story.number = self._free_work()
            numbers.add(story.number)
            self._settle(story, files)
            tables["work"].append(story.work)
            tables["attempt"] += self._attempts_of(story, requests)
            for output in _distinct(story.outputs.values(), spoken_for):
                there = story.work["status"] == "succeeded" and _is(files, output["path"], story.work.get("sha256"))
                tables["delivery"].append({**output, "work_id": story.number, "delivered": int(there)})
        for path in sorted(set(files) - spoken_for):
            self._add_stranger(path, files[path], tables)
        return tables

    def _settle(self, story: Story, files: Mapping[str, str]) -> None:
        """The work's row, with the status that follows from all that was heard."""
        line = self._lines.get(story.job_key, {})
        provider = story.work.get("provider") or line.get("provider") or next(iter(self._hosted), "local")
        defaults = {"provider": provider, "options": "{}", "inputs": dump(_inputs_of(line)), "reserved_usd": 0.0}
        defaults |= {"origin": self._origin(provider), "warnings": "[]"}
        for name, value in defaults.items():
            if story.work.get(name) is None:
                story.work[name] = value
        held = story.work.get("request_id") if story.last is None else story.last.get("request_id")
        if held is not None and story.last is None:
            self._accept(self._attempt(story, {"at": None}), str(held))
        status = self._status(story, files, held)
        attempts = max(len(story.attempts), int(story.work.get("attempts") or 0))
        story.work |= {"work_id": story.number, "job_key": story.job_key, "status": status, "attempts": attempts}
        story.work |= {"request_id": held, "output_location": None}
        if status in ("planned", "succeeded", "failed"):
            story.work["reserved_usd"] = 0.0
        if status in ("planned", "submitted", "succeeded"):
            story.work |= {"error_code": None, "error": None}
        if status == "uncertain":
            story.work |= {"error_code": "uncertain", "error": LOST}
            if story.last is not None:
                story.last.update(outcome="unknown", seen_dead_at=self._now, note=LOST)

    def _status(self, story: Story, files: Mapping[str, str], held: str | None) -> str:
        free = story.work["provider"] not in self._hosted or story.work.get("cost_source") == "reused"
        sha256 = story.work.get("sha256")
        if story.phase == "failed":
            return "failed"
        if story.phase == "done" and any(_is(files, each["path"], sha256) for each in story.outputs.values()):
            return "succeeded"
        if free or (story.phase == "planned" and held is None):
            return "planned"
        if held is not None:
            return "submitted"
        refused = story.last is not None and story.last["outcome"] in _NOTHING_CREATED
        return "planned" if refused and story.phase != "done" else "uncertain"

    def _attempts_of(self, story: Story, requests: set[tuple[str, str, str]]) -> list[Values]:
        made = []
        for attempt in story.attempts.values():
            where = {"work_id": story.number, "provider": story.work["provider"], "origin": story.work["origin"]}
            held = (where["provider"], where["origin"], str(attempt.get("request_id")))
            if held in requests:
                attempt |= {"request_id": None, "outcome": "unknown"}
            elif attempt.get("request_id"):
                requests.add(held)
            made.append({**attempt, **where})
        return made

    def _add_stranger(self, path: str, sha256: str, tables: Rows) -> None:
        """A file that no known request made keeps its name for ever: no version is given twice."""
        stem = path.removeprefix("videos/").removesuffix(".mp4")
        found = _VERSION.match(stem)
        row_id, version = (found["id"], int(found["version"])) if found else (stem, 1)
        taken = {(row["id_folded"], row["version"]) for row in tables["delivery"]}
        if (row_id.casefold(), version) in taken:
            row_id = path
        number = self._free_work()
        self._story(f"{STRANGER}{path}", number)
        work = {"work_id": number, "job_key": f"{STRANGER}{path}", "provider": "local", "origin": "", "options": "{}"}
        tables["work"].append({**work, "inputs": dump(_inputs_of({})), "status": "succeeded", "sha256": sha256})
        output = {"id": row_id, "id_folded": row_id.casefold(), "version": version, "work_id": number, "path": path}
        tables["delivery"].append({**output, "stem": stem, "delivered": 1})

    # --- numbers ---

    def _story(self, job_key: str, number: int | None) -> Story:
        """The work of this number and key; without a number the newest of the key, else a new one."""
        if number is None:
            of_key = [each for each in self._stories if each[1] == job_key]
            number = max(of_key)[0] if of_key else self._free_work()
        return self._stories.setdefault((number, job_key), Story(number=number, job_key=job_key))

    def _free_work(self) -> int:
        return 1 + max((number for number, _ in self._stories), default=0)

    def _free_attempt(self) -> int:
        return 1 + max((number for story in self._stories.values() for number in story.attempts), default=0)


def _is(files: Mapping[str, str], path: str, sha256: str | None) -> bool:
    return sha256 is not None and files.get(path) == sha256


def _distinct(outputs: Iterable[Values], spoken_for: set[str]) -> list[Values]:
    """The outputs whose names are still free; from now on they are not."""
    mine = [output for output in outputs if output["path"] not in spoken_for]
    spoken_for.update(output["path"] for output in mine)
    return mine


def _seconds(text: object) -> float | None:
    """Unix seconds of an ISO 8601 text."""
    try:
        return datetime.fromisoformat(str(text)).timestamp() if text else None
    except ValueError:
        return None


def _gappy(body: Mapping[str, Any]) -> Values:
    """A body as an event keeps it: where a query was cut, only the rest of the URL is known."""
    return {name: reconcile.gap(_before_cut(value)) if _holds_cut(value) else value for name, value in body.items()}


def _holds_cut(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_holds_cut(inner) for inner in value.values())
    if isinstance(value, list):
        return any(_holds_cut(inner) for inner in value)
    return isinstance(value, str) and value.endswith(CUT)


def _before_cut(value: Any) -> str | None:
    return value.removesuffix(CUT) if isinstance(value, str) else None


def _uncut(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _uncut(inner) for name, inner in value.items()}
    return value.removesuffix(CUT) if isinstance(value, str) else value


def _body_of(line: Mapping[str, str]) -> Values:
    """What a line of results.csv tells of the body that was sent: a link may have been signed anew since."""
    body: Values = {"mode": line.get("mode", ""), "video_url": _sent_url(line.get("video_url", ""))}
    if line.get("first_frame_url"):
        body["first_frame_url"] = _sent_url(line["first_frame_url"])
    if line.get("prompt"):
        body["prompt"] = line["prompt"]
    return body


def _sent_url(given: str) -> Any:
    """A clip's URL as it was sent: unknown for a local file, without its query for a link."""
    if not given.lower().startswith(("http://", "https://")):
        return reconcile.gap()
    return reconcile.gap(without_query(given)) if "?" in given or "#" in given else given


def _inputs_of(line: Mapping[str, str]) -> Values:
    def source(given: str | None) -> Values | None:
        return (
            {"location": given, "local": False, "identity": "", "sha256": None, "media_type": None} if given else None
        )

    video = source(line.get("video_url")) or source("unknown")
    frame = source(line.get("first_frame_url"))
    return {"mode": line.get("mode"), "prompt": line.get("prompt") or None, "video": video, "first_frame": frame}


def _cost_of(line: Mapping[str, str]) -> Values:
    cost = line.get("cost_usd")
    return {"cost_usd": float(cost) if cost else None, "cost_source": line.get("cost_source") or None}


def _facts_of(line: Mapping[str, str]) -> str | None:
    """An output's facts as the record keeps them."""
    if not (line.get("width") and line.get("height") and line.get("bytes")):
        return None
    return dump(
        {
            "width": int(line["width"]),
            "height": int(line["height"]),
            "fps": line.get("fps") or None,
            "frames": int(line["frames"]) if line.get("frames") else None,
            "duration_s": float(line["duration_s"]) if line.get("duration_s") else None,
            "has_audio": line.get("has_audio") == "true",
            "bytes": int(line["bytes"]),
        }
    )


def _manifest_row(line: Mapping[str, str]) -> Values:
    """A row of the manifest as the last run saw it, as far as results.csv tells."""
    own = {name: value for name, value in line.items() if name not in _ours()}
    fields: Values = {name: line.get(name) or None for name in _FIELDS}
    fields |= {"variant": int(line.get("variant") or 1), "own": own, "why": line.get("error") or None}
    fields |= {"source": fields["video_url"] or "", "frame": fields["first_frame_url"]}
    status = line["status"] if line.get("status") in ("held", "invalid") else None
    row = {"number": int(line.get("row") or 0), "id": line["id"], "job_key": line.get("job_key") or None}
    return {**row, "status": status, "fields": dump(fields)}


_FIELDS: Final = ("id", "provider", "model", "mode", "prompt", "video_url", "first_frame_url", "job_key")


def _ours() -> Collection[str]:
    from batchmod import results

    return results.columns()
