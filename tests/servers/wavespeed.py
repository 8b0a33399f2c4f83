"""A stand-in for WaveSpeed's luma/modify-video (wavespeed.ai/docs, the vendor's Python SDK).

By hand: `python tests/servers/wavespeed.py --port 8806`.
"""

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
from tests.servers.vendor import Vendor, VendorStandIn, route, serve_by_hand

MODEL = "luma/modify-video"
_LARGEST = 200 * 2**20
_MODES = tuple(f"{family}_{level}" for family in ("adhere", "flex", "reimagine") for level in (1, 2, 3))
_STATES = {
    State.QUEUED: "created",
    State.PROCESSING: "processing",
    State.COMPLETED: "completed",
    State.FAILED: "failed",
}
ENDS = ("cancelled", "timeout", "deleted")
"""Words for an end that is neither completed nor failed."""


class WaveSpeed(Vendor):
    """Predictions in an envelope, and uploads by a ticket."""

    name = "wavespeed"
    origins = frozenset({Origin.API, Origin.BUCKET, Origin.OUTPUTS})

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self._ended: dict[str, str] = {}

    @classmethod
    def routes(cls) -> tuple[Route, ...]:
        return (
            route("POST", f"/api/v3/{MODEL}", Kind.SUBMIT, cls.submit),
            route("GET", "/api/v3/predictions/([^/]+)(?:/result)?", Kind.RESULT, cls.result),
            route("POST", "/api/v3/media/uploads", Kind.UPLOAD, cls.upload),
        )

    @classmethod
    def error(cls, status: int, text: str) -> Reply:
        return Reply(status=status, body=json.dumps({"code": status, "message": text, "data": None}))

    @classmethod
    def more_faults(cls) -> Mapping[str, Recipe]:
        ends = {f"ends_{word}": Recipe(way=Way.INSIDE, on=PAID, takes_effect=True) for word in ENDS}
        odd = Reply(status=200, body=json.dumps({"code": 1601, "message": "please wait", "data": None}))
        return {**ends, "code_1601_created": Recipe(way=Way.ANSWER, on=PAID, reply=odd, takes_effect=True)}

    def environment(self) -> dict[str, str]:
        return {"WAVESPEED_API_KEY": self.settings.key, "WAVESPEED_BASE_URL": self.urls[Origin.API]}

    def check(self, inputs: Mapping[str, Any]) -> None:
        for name, url in (("video", inputs.get("video")), ("first_frame", inputs.get("first_frame", "https://"))):
            if not str(url).startswith(("http://", "https://")):
                self.refuse(400, f"property '{name}' must be a URL")
        if inputs.get("mode", "adhere_1") not in _MODES:
            self.refuse(400, f"property 'mode' must be one of {', '.join(_MODES)}")

    def body(self, *, video_url: str, first_frame_url: str | None, mode: str, prompt: str | None) -> dict[str, Any]:
        made = {"video": video_url, "mode": mode} | ({"prompt": prompt} if prompt else {})
        return made | ({"first_frame": first_frame_url} if first_frame_url else {})

    async def submit(self, call: Call) -> web.Response:
        job = await self.accept(call)
        if call.fault and (word := call.fault.name.removeprefix("ends_")) in ENDS:
            self._ended[job.request_id] = word
            self.ledger.cancel(job.request_id)
        at = self.urls[Origin.ELSEWHERE] if call.faulty("foreign_urls") else self.urls[Origin.API]
        data = self._data(job, at=at)
        if job.inputs.get("enable_sync_mode") and data["status"] in ("created", "processing"):
            data |= {"status": "processing", "code": 5004, "error": "Sync mode timed out, query the result later"}
        return web.json_response(_envelope(data))

    async def result(self, call: Call) -> web.Response:
        return web.json_response(_envelope(self._data(self.job_of(call), at=self.urls[Origin.API])))

    def _data(self, job: Job, *, at: str) -> dict[str, Any]:
        status = self._ended.get(job.request_id) or _STATES[self.state_of(job)]
        return {
            "id": job.request_id,
            "model": MODEL,
            "status": status,
            "outputs": [self.url_of(job)] if status == "completed" else [],
            "urls": {"get": f"{at}/api/v3/predictions/{job.request_id}/result"},
            "timings": {"inference": 97000},
            "created_at": self.stamp(job.accepted_at),
            "error": job.error or "" if status == "failed" else "",
        }

    async def upload(self, call: Call) -> web.Response:
        wish = json.loads(await call.request.read() or b"{}")
        size = wish.get("size")
        if not isinstance(wish.get("filename"), str) or not isinstance(size, int) or not 0 < size <= _LARGEST:
            self.refuse(400, "filename and size are required, and a size is 200 MB at most")
        kind = wish.get("content_type") or "application/octet-stream"
        url, download_url = self.promise(kind)
        ticket = {"method": "PUT", "url": url, "headers": {"Content-Type": kind}}
        return web.json_response(_envelope({"upload": ticket, "download_url": download_url}))


def _envelope(data: Mapping[str, Any]) -> dict[str, Any]:
    return {"code": 200, "message": "success", "data": data}


class WaveSpeedStandIn(VendorStandIn):
    """WaveSpeed behind sockets."""

    vendor = WaveSpeed


if __name__ == "__main__":
    serve_by_hand(WaveSpeedStandIn)
