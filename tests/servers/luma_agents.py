"""A stand-in for Luma's Agents API (docs.agents.lumalabs.ai, the vendor's SDK 0.5.0).

By hand: `python tests/servers/luma_agents.py --port 8803`.
"""

import json
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from aiohttp import web

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.servers.faults import Recipe, Way
from tests.servers.ledger import Job, Kind, State
from tests.servers.standin import Call, Origin, Route
from tests.servers.vendor import No, Settings, Vendor, VendorStandIn, route, serve_by_hand

_MODES = tuple(f"{family}_{level}" for family in ("adhere", "flex", "reimagine") for level in (1, 2, 3))
_STATES = {
    State.QUEUED: "queued",
    State.PROCESSING: "processing",
    State.COMPLETED: "completed",
    State.FAILED: "failed",
}


class LumaAgents(Vendor):
    """Generations, and files that are created, put, completed and looked at."""

    name = "luma-agents"
    origins = frozenset({Origin.API, Origin.OUTPUTS, Origin.BUCKET})
    reference = "file-"
    noes: ClassVar[Mapping[str, No]] = {
        "job_failed": No("Something went wrong", "generation_failed"),
        "refused_prompt": No("The prompt was refused", "content_moderated"),
        "refused_frame": No("The start frame was refused", "content_moderated"),
        "refused_clip": No("The source was refused", "content_moderated"),
        "refused_output": No("The output was refused", "content_moderated"),
        "job_corrupt_input": No("The source cannot be decoded", "corrupt_input"),
        "job_no_budget": No("The budget is used up", "budget_exhausted"),
        "job_too_many": No("Too many requests at the same time", "rate_limited"),
    }

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._files: dict[str, dict[str, Any]] = {}

    @classmethod
    def routes(cls) -> tuple[Route, ...]:
        return (
            route("POST", "/v1/generations", Kind.SUBMIT, cls.submit),
            route("GET", "/v1/generations/([^/]+)", Kind.STATUS, cls.generation),
            route("POST", "/v1/files", Kind.UPLOAD, cls.create_file),
            route("POST", "/v1/files/([^/]+)/complete", Kind.UPLOAD, cls.complete_file),
            route("GET", "/v1/files/([^/]+)", Kind.UPLOAD, cls.file),
        )

    def environment(self) -> dict[str, str]:
        return {"LUMA_AGENTS_API_KEY": self.settings.key, "LUMA_AGENTS_BASE_URL": f"{self.urls[Origin.API]}/v1"}

    @classmethod
    def more_faults(cls) -> Mapping[str, Recipe]:
        return {"file_refused": Recipe(way=Way.INSIDE, on=(Kind.UPLOAD,), takes_effect=True)}

    async def create_file(self, call: Call) -> web.Response:
        try:
            asked = json.loads(await call.request.read())
        except ValueError:
            self.refuse(400, "The body is not valid JSON")
        if not isinstance(asked.get("mime_type"), str) or not isinstance(asked.get("size_bytes"), int):
            self.refuse(400, "mime_type and size_bytes are required")
        file_id, ticket = f"file-{uuid.uuid4()}", self.ticket()
        self._files[file_id] = {"ticket": ticket, "state": "pending", **asked}
        headers = {"Content-Type": asked["mime_type"], "x-amz-meta-file": file_id}
        upload = {"method": "PUT", "url": ticket, "headers": headers, "expires_at": self.stamp(self.clock.now() + 900)}
        shown = self._shown_file(file_id)
        answer = {"id": file_id, "state": "pending", "file": shown, "upload": upload}
        return web.json_response(answer, status=201)

    async def complete_file(self, call: Call) -> web.Response:
        known = self._files.get(call.argument) or self.refuse(404, "file not found")
        ticket = known["ticket"].rsplit("/", 1)[-1]
        if ticket not in self._tickets:
            self.refuse(409, "no bytes have been received")
        url, ready_at = self._tickets[ticket]
        if url != call.argument:
            self.storage.rename(url, call.argument)
            self._tickets[ticket] = (call.argument, ready_at)
        stored = self.storage.at(call.argument)
        whole = stored is not None and len(stored.content) == known["size_bytes"]
        known["state"] = "complete" if whole and not call.faulty("file_refused") else "failed"
        known["why"] = "Moderation: the video was refused" if whole else "the size is not the one that was announced"
        return web.json_response(self._shown_file(call.argument))

    async def file(self, call: Call) -> web.Response:
        if call.argument not in self._files:
            self.refuse(404, "file not found")
        return web.json_response(self._shown_file(call.argument))

    def _shown_file(self, file_id: str) -> dict[str, Any]:
        known = self._files[file_id]
        state = known["state"]
        if state == "complete":
            state = "ready" if self.put_at(known["ticket"]) else "pending"
        return {
            "id": file_id,
            "created_at": self.stamp(self.clock.now()),
            "mime_type": known["mime_type"],
            "purpose": known.get("purpose", "input"),
            "size_bytes": known["size_bytes"],
            "state": state,
            "failure_reason": known["why"] if state == "failed" else None,
        }

    def _is_ready(self, file_id: Any) -> bool:
        return file_id in self._files and self._shown_file(file_id)["state"] == "ready"

    def check(self, inputs: Mapping[str, Any]) -> None:
        if inputs.get("type") != "video_edit" or inputs.get("model") != "ray-3.2":
            self.refuse(422, "type must be video_edit and model ray-3.2")
        if not isinstance(inputs.get("prompt"), str) or not 1 <= len(inputs["prompt"]) <= 6000:
            self.refuse(422, "prompt must have 1 to 6000 characters")
        video = inputs.get("video") or {}
        if video.get("resolution", "720p") not in ("360p", "540p", "720p", "1080p"):
            self.refuse(422, "resolution is one of 360p, 540p, 720p, 1080p")
        if "duration" in video or (video.get("edit") or {}).get("strength") not in _MODES:
            self.refuse(422, "edit.strength must be one of the nine, and an edit takes no duration")
        self._check_source(inputs.get("source"), typed=True)
        if "start_frame" in video:
            self._check_source(video["start_frame"], typed=False)

    def _check_source(self, source: Any, *, typed: bool) -> None:
        given = {name for name in ("url", "data", "file_id", "generation_id") if (source or {}).get(name)}
        if len(given) != 1:
            self.refuse(422, "exactly one of url, data, generation_id, file_id")
        if "file_id" in given and not self._is_ready(source["file_id"]):
            self.refuse(422, f"file {source['file_id']} is not ready")
        if typed and "url" in given and not str(source.get("media_type")).startswith("video/"):
            self.refuse(422, "media_type is required with a video's url")

    async def submit(self, call: Call) -> web.Response:
        job = await self.accept(call)
        headers = {"X-Request-Id": job.request_id, "X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "59"}
        return web.json_response(self._shown(job), status=201, headers=headers)

    async def generation(self, call: Call) -> web.Response:
        return web.json_response(self._shown(self.job_of(call)))

    def _shown(self, job: Job) -> dict[str, Any]:
        state = self.state_of(job)
        done, failed = state is State.COMPLETED, state is State.FAILED
        return {
            "id": job.request_id,
            "created_at": self.stamp(job.accepted_at),
            "model": job.inputs["model"],
            "type": "video_edit",
            "state": _STATES[state],
            "failure_code": (self.code_of(job) or "generation_failed") if failed else None,
            "failure_reason": job.error if failed else None,
            "output": [{"type": "video", "url": self.url_of(job)}] if done else None,
        }


class LumaAgentsStandIn(VendorStandIn):
    """Luma's Agents API behind sockets."""

    vendor = LumaAgents


if __name__ == "__main__":
    serve_by_hand(LumaAgentsStandIn)
