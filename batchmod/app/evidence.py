"""What is known of an output folder without its record: one story per work, from whatever tells of it.

Heard in this order: what can be read of an old record, the event log, results.csv, the per-user index. `settling`
makes a record of it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from batchmod.app import traces
from batchmod.app.traces import Values
from batchmod.checkpoint.anew import Rows
from batchmod.checkpoint.values import BOOKED, dump
from batchmod.model import Claim, Status

_VERSION: Final = re.compile(r"^(?P<id>.+?)_v(?P<version>\d+)$")
_PHASE_OF: Final = {"succeeded": "done", "failed": "failed", "planned": "planned"}
_RANK: Final = ("planned", "submitting", "uncertain", "submitted", "failed", "succeeded")
_WORK: Final = {"work_id": int, "job_key": str, "status": str, "provider": str, "origin": str}
_ATTEMPT: Final = {"attempt_id": int, "work_id": int, "body": str, "outcome": str, "sent_at": float}
_JSON: Final = ("options", "inputs", "state", "facts", "warnings")
_SENT: Final = ("submitting", "submitted", "succeeded", "failed", "uncertain")


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

    def versions_of(self, row_id: str) -> list[int]:
        """The versions of an id that are this work's."""
        given = self.outputs.get(row_id.casefold())
        return [] if given is None else [given["version"]]

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
    """Hears all there is."""

    def __init__(self, *, now: float) -> None:
        self.now = now
        self.lines: dict[str, Mapping[str, str]] = {}
        """job_key → its line of results.csv."""
        self.plain: Rows = {"manifest_row": [], "review": [], "upload": []}
        """Tables that are taken over as they are."""
        self.runs: dict[str, Values] = {}
        self.facts: dict[str, str] = {}
        self._by_key: dict[str, dict[int, Story]] = {}
        self._top_work = 0
        self._top_attempt = 0

    @property
    def stories(self) -> list[Story]:
        """Every work that anything tells of, oldest first."""
        every = (story for of_key in self._by_key.values() for story in of_key.values())
        return sorted(every, key=lambda story: story.number)

    def hear_record(self, old: Rows) -> None:
        """What could be read of a record, older ones first."""
        for table in self.plain:
            self.plain[table] = list(old.get(table, ())) or self.plain[table]
        self.facts |= {str(row["name"]): str(row["value"]) for row in old.get("folder", ())}
        self.runs |= {str(row["run_id"]): dict(row) for row in old.get("run", ())}
        of_number: dict[int, Story] = {}
        for found in old.get("work", ()):
            row = traces.sound(found, needed=_WORK, json_columns=_JSON)
            if row is not None and row["status"] in _RANK:
                self._hear_work(row, of_number)
        for found in old.get("attempt", ()):
            row = traces.sound(found, needed=_ATTEMPT, json_columns=("body",))
            if row is not None and row["work_id"] in of_number:
                self._top_attempt = max(self._top_attempt, row["attempt_id"])
                attempts = of_number[row["work_id"]].attempts
                if attempts.get(row["attempt_id"], {}).get("request_id") is None:
                    attempts[row["attempt_id"]] = row
        for row in old.get("delivery", ()):
            if row["work_id"] in of_number and isinstance(row["version"], int):
                of_number[row["work_id"]].give(row)

    def _hear_work(self, row: Values, of_number: dict[int, Story]) -> None:
        story = self._story(row["job_key"], row["work_id"])
        of_number[story.number] = story
        if _how_far(row) >= _how_far(story.work):
            story.work |= row
            story.phase = _PHASE_OF.get(row["status"], "open")

    def hear_events(self, events: Iterable[Mapping[str, Any]]) -> None:
        """The event log, from its beginning."""
        for event in events:
            match event["event"]:
                case "run_started":
                    started = {
                        "run_id": event.get("run_id"),
                        "started_at": traces.seconds(event.get("at")) or self.now,
                    }
                    self.runs.setdefault(str(event.get("run_id")), started)
                    names = ("folder_id", "account_salt", "manifest_name", "manifest_file")
                    self.facts |= {name: str(event[name]) for name in names if event.get(name)}
                case "run_ended" if str(event.get("run_id")) in self.runs:
                    ended = {"ended_at": traces.seconds(event.get("at")), "exit_code": event.get("exit_code")}
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
                story.work[name] = dump(traces.uncut(event[name]))
        if event.get("again"):
            story.work["again"] = int(event["again"])
        for output in event.get("outputs") or ():
            story.give(output)
        self._hear_kind(event, story)

    def _hear_kind(self, event: Mapping[str, Any], story: Story) -> None:
        at, request_id = traces.seconds(event.get("at")), event.get("request_id")
        match event["event"]:
            case "intended":
                story.phase = "open"
                attempt = self.attempt(story, event)
                story.work |= {"submitted_at": attempt["sent_at"], "request_id": attempt["request_id"]}
                story.work |= {"error_code": None, "error": None, "billed": None, "finished_at": None}
                story.work["run_id"] = event.get("run_id")
            case "submitted" | "resolved" if request_id:
                story.phase = "open"
                attempt = self.attempt(story, event)
                _accept(attempt, str(request_id), how=str(event.get("how")))
                story.learn({"submitted_at": attempt["sent_at"]}, "submitted_at")
            case "resolved":
                _nothing_created(story, "never_accepted")
            case "refused":
                _nothing_created(story, str(event.get("outcome") or "refused"))
            case "output_known" if event.get("cost_usd") is not None:
                story.work |= {"cost_usd": event["cost_usd"], "cost_source": "provider"}
            case "succeeded":
                story.phase = "done"
                if request_id:
                    _accept(self.attempt(story, event), str(request_id))
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

    def attempt(self, story: Story, about: Mapping[str, Any]) -> Values:
        """The attempt that is meant: by its number, else the newest, else one that nothing else tells of."""
        number = about.get("attempt")
        if not isinstance(number, int):
            number = max(story.attempts, default=self._top_attempt + 1)
        if number in story.attempts:
            return story.attempts[number]
        self._top_attempt = max(self._top_attempt, number)
        sent_at = about.get("sent_at") or traces.seconds(about.get("at")) or self.now
        made = {"attempt_id": number, "account": about.get("account"), "sent_at": sent_at, "outcome": "open"}
        story.attempts[number] = {**made, "body": dump(traces.gappy(about.get("body") or {})), "request_id": None}
        return story.attempts[number]

    def hear_results(self, lines: Iterable[Mapping[str, str]]) -> None:
        """The lines of results.csv: older than the event log, but safer on disk, and they know the files."""
        known = list(lines)
        if not self.plain["manifest_row"]:
            self.plain["manifest_row"] = [{"line": line} for line in known]
        for line in known:
            self.lines[line.get("job_key", "")] = line
            if line.get("job_key") and line.get("status") in _SENT:
                self._hear_line(line)

    def _hear_line(self, line: Mapping[str, str]) -> None:
        story = self._meant_by(line)
        new = not story.work and not story.attempts
        story.learn({name: value or None for name, value in line.items()}, "provider", "model")
        request_id = line.get("request_id") or None
        if new:
            story.phase = _PHASE_OF.get(line["status"], "open")
            story.work |= {"error_code": line.get("error_code") or None, "error": line.get("error") or None}
            story.work |= {
                "submitted_at": traces.seconds(line.get("submitted_at")),
                "run_id": line.get("run_id") or None,
            }
            story.work |= {"billed": {"true": 1, "false": 0}.get(line.get("billed", "")), **traces.cost_of(line)}
        if request_id and all(each.get("request_id") != request_id for each in story.attempts.values()):
            about = {"body": traces.body_of(line), "at": line.get("submitted_at")}
            _accept(self.attempt(story, about), request_id)
        elif new and line["status"] in ("submitting", "submitted", "uncertain"):
            self.attempt(story, {"body": traces.body_of(line), "at": line.get("submitted_at")})
        if line.get("version", "").isdigit() and line["id"].casefold() not in story.outputs:
            path = line.get("output") or f"videos/{line['id']}_v{int(line['version']):03d}.mp4"
            story.give({"id": line["id"], "version": line["version"], "path": path})
        if line["status"] == "succeeded":
            _hear_output(story, line, request_id)

    def _meant_by(self, line: Mapping[str, str]) -> Story:
        """The work of a line: the one with its request id, else the newest of its key that has none, else a new one."""
        of_key = self._by_key.get(line["job_key"], {})
        request_id = line.get("request_id") or None
        for story in of_key.values():
            if request_id and any(each.get("request_id") == request_id for each in story.attempts.values()):
                return story
        newest = of_key[max(of_key)] if of_key else None
        if newest is not None and (request_id is None or newest.last is None or newest.last.get("request_id") is None):
            return newest
        return self._story(line["job_key"], self._top_work + 1)

    def hear_claims(self, claims: Mapping[str, Claim]) -> None:
        """What this folder has claimed in the per-user index: no claim is dropped because nothing else tells of it."""
        told = {story.job_key for story in self.stories if story.phase != "planned"}
        for job_key, claim in claims.items():
            if job_key not in told:
                self._hear_claim(job_key, claim, self.lines.get(job_key, {}))

    def _hear_claim(self, job_key: str, claim: Claim, line: Mapping[str, str]) -> None:
        story = self._story(job_key, None)
        story.learn(line, "provider", "model")
        story.phase = "done" if claim.output and claim.sha256 else "open"
        if claim.status is Status.FAILED:  # only what was paid, or may have been, still holds its claim
            story.phase = "failed"
            story.work |= {"billed": None, "error_code": "given_up", "error": "it was paid, or may have been, and lost"}
        story.work |= {"sha256": claim.sha256, "cost_usd": claim.cost_usd, "cost_source": "estimate"}
        path = claim.output or ""
        row_id, version = versioned(path)
        row_id = line.get("id") or row_id
        if not path and row_id:
            version = 1 + max((v for each in self.stories for v in each.versions_of(row_id)), default=0)
            path = f"videos/{row_id}_v{version:03d}.mp4"
        if path:
            story.give({"id": row_id, "version": version, "path": path})
        if story.last is None:
            self.attempt(story, {"body": traces.body_of(line) if line else {}, "at": f"{claim.on}T00:00:00Z"})

    def _story(self, job_key: str, number: int | None) -> Story:
        """The work of this number and key; without a number the newest of the key, else a new one."""
        of_key = self._by_key.setdefault(job_key, {})
        if number is None:
            number = max(of_key, default=self._top_work + 1)
        self._top_work = max(self._top_work, number)
        return of_key.setdefault(number, Story(number=number, job_key=job_key))


def versioned(path: str) -> tuple[str, int]:
    """The id and the version that an output's name tells; version 1 where it tells none."""
    stem = path.removeprefix("videos/").removesuffix(".mp4")
    found = _VERSION.match(stem)
    return (found["id"], int(found["version"])) if found else (stem, 1)


def _how_far(work: Mapping[str, Any]) -> tuple[int, int]:
    """How far a work has come: of two records of it the one that knows more counts."""
    status = work.get("status")
    return int(work.get("attempts") or 0), _RANK.index(status) if status in _RANK else -1


def _accept(attempt: Values, request_id: str, *, how: str = "") -> None:
    attempt |= {"outcome": "accepted", "request_id": request_id}
    if how.startswith(BOOKED):
        attempt["note"] = BOOKED


def _nothing_created(story: Story, outcome: str) -> None:
    story.phase = "planned"
    if story.last is not None:
        story.last["outcome"] = outcome


def _hear_output(story: Story, line: Mapping[str, str], request_id: str | None) -> None:
    """What a line of results.csv knows of a finished output."""
    if story.phase == "open" and (story.last is None or story.last.get("request_id") == request_id):
        story.phase = "done"
    known = {"sha256": line.get("sha256") or None, "finished_at": traces.seconds(line.get("finished_at"))}
    story.learn({**known, **traces.cost_of(line)}, "sha256", "finished_at", "cost_usd", "cost_source")
    if story.work.get("sha256") == line.get("sha256"):
        story.learn({"facts": traces.facts_of(line)}, "facts")
