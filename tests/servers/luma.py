"""A stand-in for Luma's Dream Machine API (docs.lumalabs.ai, the vendor's openapi.yaml).

By hand: `python tests/servers/luma.py --port 8802`.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.servers.ledger import Job, Kind, State
from tests.servers.standin import Call, Origin, Route
from tests.servers.vendor import Settings, Vendor, VendorStandIn, route, serve_by_hand

_BASE = "/dream-machine/v1"
_MODES = tuple(f"{family}_{level}" for family in ("adhere", "flex", "reimagine") for level in (1, 2, 3))
_STATES = {State.QUEUED: "queued", State.PROCESSING: "dreaming", State.COMPLETED: "completed", State.FAILED: "failed"}


class Luma(Vendor):
    """Generations, their list, and the credits in cents."""

    name = "luma"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._deleted: set[str] = set()

    @classmethod
    def routes(cls) -> tuple[Route, ...]:
        return (
            route("POST", f"{_BASE}/generations/video/modify", Kind.SUBMIT, cls.submit),
            route("GET", f"{_BASE}/generations/([^/]+)", Kind.STATUS, cls.generation),
            route("GET", f"{_BASE}/generations", Kind.HISTORY, cls.generations),
            route("DELETE", f"{_BASE}/generations/([^/]+)", Kind.CANCEL, cls.delete),
            route("GET", f"{_BASE}/credits", Kind.CREDITS, cls.credits),
            route("GET", f"{_BASE}/ping", Kind.CREDITS, cls.ping),
        )

    def environment(self) -> dict[str, str]:
        return {"LUMAAI_API_KEY": self.settings.key, "LUMAAI_BASE_URL": f"{self.urls[Origin.API]}{_BASE}"}

    def check(self, inputs: Mapping[str, Any]) -> None:
        if inputs.get("generation_type") != "modify_video":
            self.refuse(400, "generation_type must be modify_video")
        for name, needed in (("media", True), ("first_frame", False)):
            given = inputs.get(name)
            url = given.get("url") if isinstance(given, dict) else None
            if (needed or given is not None) and not str(url).startswith(("http://", "https://")):
                self.refuse(400, f"{name}.url must be a URL")
        if inputs.get("model") not in ("ray-2", "ray-flash-2"):
            self.refuse(400, "model must be ray-2 or ray-flash-2")
        if inputs.get("mode") not in _MODES:
            self.refuse(400, "mode is required")
        prompt = inputs.get("prompt")
        if prompt is not None and not 3 <= len(prompt) <= 5000:
            self.refuse(400, "Prompt is too short" if len(prompt) < 3 else "Prompt is too long")

    def body(self, *, video_url: str, first_frame_url: str | None, mode: str, prompt: str | None) -> dict[str, Any]:
        made: dict[str, Any] = {"generation_type": "modify_video", "media": {"url": video_url}, "mode": mode}
        made |= {"model": "ray-2"} | ({"prompt": prompt} if prompt else {})
        return made | ({"first_frame": {"url": first_frame_url}} if first_frame_url else {})

    async def submit(self, call: Call) -> web.Response:
        return web.json_response(self._shown(await self.accept(call)), status=201)

    async def generation(self, call: Call) -> web.Response:
        return web.json_response(self._shown(self.job_of(call)))

    async def generations(self, call: Call) -> web.Response:
        query = call.request.query
        limit, offset = int(query.get("limit", "100")), int(query.get("offset", "0"))
        if not 1 <= limit <= 100:
            self.refuse(400, "limit is 1 to 100")
        jobs = [job for job in self.listed(call) if job.request_id not in self._deleted]
        page = {"generations": [self._shown(job) for job in jobs[offset : offset + limit]], "count": len(jobs)}
        return web.json_response({**page, "limit": limit, "offset": offset, "has_more": offset + limit < len(jobs)})

    async def delete(self, call: Call) -> web.Response:
        """The record goes; whether the job ends is not published: here it goes on, and is billed."""
        self._deleted.add(self.job_of(call).request_id)
        return web.Response(status=204)

    def job_of(self, call: Call) -> Job:
        if call.argument in self._deleted:
            self.refuse(404, "Generation not found")
        return super().job_of(call)

    async def ping(self, call: Call) -> web.Response:
        return web.json_response({"message": "pong"} if call.seen.admitted else {})

    async def credits(self, call: Call) -> web.Response:
        return web.json_response({"credit_balance": round(self.balance(call.account) * 100, 4)})

    def _shown(self, job: Job) -> dict[str, Any]:
        state = self.state_of(job)
        video = self.url_of(job) if state is State.COMPLETED else None
        return {
            "id": job.request_id,
            "generation_type": "video",
            "state": _STATES[state],
            "failure_reason": job.error if state is State.FAILED else None,
            "created_at": self.stamp(job.accepted_at),
            "model": job.inputs["model"],
            "assets": {"video": video, "image": None, "progress_video": None},
            "request": {**job.inputs, "callback_url": None},
        }


class LumaStandIn(VendorStandIn):
    """Luma's Dream Machine API behind sockets."""

    vendor = Luma


if __name__ == "__main__":
    serve_by_hand(LumaStandIn)
