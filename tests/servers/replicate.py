"""A stand-in for Replicate's predictions of luma/modify-video (replicate.com/docs, the vendor's Python SDK).

By hand: `python tests/servers/replicate.py --port 8808`.
"""

import asyncio
import base64
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.servers.faults import PAID, Recipe, Reply, Way
from tests.servers.ledger import Job, Kind, State
from tests.servers.standin import Call, Origin, Route
from tests.servers.storage import asset
from tests.servers.vendor import Vendor, VendorStandIn, route, serve_by_hand

MODEL = "luma/modify-video"
KEPT_S = 3600.0
"""How long inputs and outputs are kept after a prediction has ended."""
_PAGE = 100
_MODES = tuple(f"{family}_{level}" for family in ("adhere", "flex", "reimagine") for level in (1, 2, 3))
_STATES = {
    State.QUEUED: "starting",
    State.PROCESSING: "processing",
    State.COMPLETED: "succeeded",
    State.FAILED: "failed",
}


class Replicate(Vendor):
    """Predictions, their list by cursors, and files that want the key."""

    name = "replicate"

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self._ended: dict[str, str] = {}
        """Request id → the word for a prediction that neither succeeded nor failed."""

    @classmethod
    def routes(cls) -> tuple[Route, ...]:
        return (
            route("POST", f"/v1/models/{MODEL}/predictions", Kind.SUBMIT, cls.submit),
            route("POST", "/v1/predictions", Kind.SUBMIT, cls.submit),
            route("GET", "/v1/predictions/([^/]+)", Kind.STATUS, cls.prediction),
            route("POST", "/v1/predictions/([^/]+)/cancel", Kind.CANCEL, cls.cancel),
            route("GET", "/v1/predictions", Kind.HISTORY, cls.predictions),
            route("POST", "/v1/files", Kind.UPLOAD, cls.upload),
            route("GET", "/v1/files/([^/]+)", Kind.UNKNOWN, cls.file),
            route("DELETE", "/v1/files/([^/]+)", Kind.UNKNOWN, cls.delete_file),
        )

    @classmethod
    def error(cls, status: int, text: str) -> Reply:
        """A problem document (RFC 7807)."""
        body = {"type": "about:blank", "title": f"HTTP {status}", "status": status, "detail": text}
        return Reply(status=status, body=json.dumps(body), content_type="application/problem+json")

    @classmethod
    def more_faults(cls) -> Mapping[str, Recipe]:
        throttled = cls.error(429, "Request was throttled. Your rate limit for creating predictions resets in ~1s.")
        return {
            "error_429_words": Recipe(way=Way.ANSWER, on=PAID, reply=throttled),
            "aborted": Recipe(way=Way.INSIDE, on=PAID, takes_effect=True),
            "canceled": Recipe(way=Way.INSIDE, on=PAID, takes_effect=True),
        }

    def environment(self) -> dict[str, str]:
        return {"REPLICATE_API_TOKEN": self.settings.key, "REPLICATE_BASE_URL": self.urls[Origin.API]}

    def opened(self) -> None:
        self.storage.base = f"{self.urls[Origin.API]}/v1/files/"

    def check(self, inputs: Mapping[str, Any]) -> None:
        given = inputs.get("input")
        if not isinstance(given, dict):
            self.refuse(422, "- input: is required")
        video = given.get("video") or given.get("video_url")
        frame = given.get("first_frame") or given.get("first_frame_url") or "https://none"
        for name, url in (("video", video), ("first_frame", frame)):
            if not str(url).startswith(("http://", "https://", "data:")):
                self.refuse(422, f"- input.{name}: Does not match format 'uri'")
        if given.get("mode", "adhere_1") not in _MODES:
            self.refuse(422, f"- input.mode: must be one of {', '.join(_MODES)}")

    def prompt_of(self, inputs: Mapping[str, Any]) -> str:
        return str(inputs["input"].get("prompt") or "")

    def body(self, *, video_url: str, first_frame_url: str | None, mode: str, prompt: str | None) -> dict[str, Any]:
        given = {"video": video_url, "mode": mode} | ({"prompt": prompt} if prompt else {})
        return {"input": given | ({"first_frame": first_frame_url} if first_frame_url else {})}

    async def submit(self, call: Call) -> web.Response:
        if call.request.path == "/v1/predictions":
            wanted = json.loads(await call.request.read() or b"{}").get("version")
            if wanted != MODEL:
                self.refuse(422, "- version: does not exist")
        job = await self.accept(call)
        if call.fault and call.fault.name in ("aborted", "canceled"):
            self._ended[job.request_id] = call.fault.name
            self.ledger.cancel(job.request_id)
        await self._held(job, call.request.headers.get("Prefer", ""))
        at = self.urls[Origin.ELSEWHERE] if call.faulty("foreign_urls") else self.urls[Origin.API]
        return web.json_response(self._shown(job, at=at), status=201)

    async def _held(self, job: Job, wish: str) -> None:
        """`Prefer: wait` holds the answer until the job has ended, for a minute or the seconds it names."""
        if not wish.startswith("wait"):
            return
        until = self.clock.now() + float(wish.partition("=")[2] or 60)
        while self.clock.now() < min(until, job.ends_at):  # noqa: ASYNC110  the clock may be pushed
            await asyncio.sleep(0.01)

    async def prediction(self, call: Call) -> web.Response:
        return web.json_response(self._shown(self.job_of(call), at=self.urls[Origin.API]))

    async def cancel(self, call: Call) -> web.Response:
        job = self.job_of(call)
        if self.state_of(job) in (State.QUEUED, State.PROCESSING):
            self._ended[job.request_id] = "canceled"
            self.ledger.cancel(job.request_id)
        return await self.prediction(call)

    async def predictions(self, call: Call) -> web.Response:
        cursor = call.request.query.get("cursor", "")
        first = int(base64.urlsafe_b64decode(cursor)) if cursor else 0
        jobs = self.listed(call)
        shown = [self._shown(job, at=self.urls[Origin.API]) for job in jobs[first : first + _PAGE]]
        following = None
        if first + _PAGE < len(jobs):
            mark = base64.urlsafe_b64encode(str(first + _PAGE).encode()).decode()
            following = f"{self.urls[Origin.API]}/v1/predictions?cursor={mark}"
        return web.json_response({"previous": None, "next": following, "results": shown})

    def _shown(self, job: Job, *, at: str) -> dict[str, Any]:
        status = self._ended.get(job.request_id) or _STATES[self.state_of(job)]
        over = status not in ("starting", "processing")
        removed = over and self.clock.now() > job.ends_at + KEPT_S
        asked = f"{at}/v1/predictions/{job.request_id}"
        return {
            "id": job.request_id,
            "model": MODEL,
            "version": "hidden",
            "status": status,
            "input": {} if removed else job.inputs["input"],
            "output": self.url_of(job) if status == "succeeded" and not removed else None,
            "error": job.error if status == "failed" else None,
            "logs": "",
            "metrics": {"predict_time": job.ends_at - job.starts_at} if status == "succeeded" else None,
            "data_removed": removed,
            "created_at": self.stamp(job.accepted_at),
            "started_at": self.stamp(job.starts_at) if status != "starting" else None,
            "completed_at": self.stamp(job.ends_at) if over else None,
            "urls": {"get": asked, "cancel": f"{asked}/cancel", "web": f"https://replicate.com/p/{job.request_id}"},
        }

    async def upload(self, call: Call) -> web.Response:
        if call.request.content_type != "multipart/form-data":
            self.refuse(415, "Content-Type must be multipart/form-data")
        part = (await call.request.post()).get("content")
        if not isinstance(part, web.FileField):
            self.refuse(400, "Missing content")
        with part.file as stream:
            url = self.storage.store(asset(stream.read(), part.content_type))
        return web.json_response(self._file(url.rsplit("/", 1)[-1]), status=201)

    async def file(self, call: Call) -> web.Response:
        return web.json_response(self._file(call.argument))

    async def delete_file(self, call: Call) -> web.Response:
        self._file(call.argument)
        self.storage.delete(call.argument)
        return web.Response(status=204)

    def _file(self, name: str) -> dict[str, Any]:
        stored = self.storage.named(name)
        if stored is None:
            self.refuse(404, "The requested resource could not be found.")
        now = self.clock.now()
        return {
            "id": name,
            "name": name,
            "content_type": stored.content_type,
            "size": len(stored.content),
            "etag": stored.hash[7:19],
            "checksums": {"sha256": stored.hash.removeprefix("sha256:")},
            "metadata": {},
            "created_at": self.stamp(now),
            "expires_at": self.stamp(now + 86400.0),
            "urls": {"get": f"{self.storage.base}{name}"},
        }


class ReplicateStandIn(VendorStandIn):
    """Replicate behind sockets."""

    vendor = Replicate


if __name__ == "__main__":
    serve_by_hand(ReplicateStandIn)
