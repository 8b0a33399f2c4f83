"""A stand-in for kie.ai's Luma modify (docs.kie.ai): errors under HTTP 200, links that die, a gateway that is picky.

By hand: `python tests/servers/kie.py --port 8807`.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.servers.faults import HTML, PAID, Recipe, Reply, Way
from tests.servers.ledger import Job, Kind, State
from tests.servers.standin import Call, Origin, Refused, Route
from tests.servers.storage import asset
from tests.servers.vendor import Vendor, VendorStandIn, route, serve_by_hand

_BANNED = Reply(status=403, body="error code: 1010", content_type=HTML)
_TAKEN = frozenset({"prompt", "videoUrl", "callBackUrl", "waterMark"})
_FLAGS = {State.QUEUED: 0, State.PROCESSING: 0, State.COMPLETED: 1, State.FAILED: 3}


class Kie(Vendor):
    """Tasks by their id, fresh links, and a store that gives public URLs."""

    name = "kie"
    origins = frozenset({Origin.API, Origin.UPLOAD, Origin.OUTPUTS})
    errors_under_200 = True

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self._called_back: set[str] = set()
        """Tasks whose callback failed: done all the same."""

    @classmethod
    def routes(cls) -> tuple[Route, ...]:
        return (
            route("POST", "/api/v1/modify/generate", Kind.SUBMIT, cls.submit),
            route("GET", "/api/v1/modify/record-info", Kind.STATUS, cls.record),
            route("POST", "/api/v1/common/download-url", Kind.RESULT, cls.fresh_link),
            route("POST", "/api/file-stream-upload", Kind.UPLOAD, cls.upload, at=Origin.UPLOAD),
        )

    @classmethod
    def error(cls, status: int, text: str) -> Reply:
        return Reply(status=status, body=json.dumps({"code": status, "msg": text, "data": None}))

    @classmethod
    def more_faults(cls) -> Mapping[str, Recipe]:
        texts = {455: "The service is being maintained", 501: "Generation failed", 505: "The feature is disabled"}
        codes = {f"error_{code}": Recipe(way=Way.ANSWER, reply=cls.error(code, text)) for code, text in texts.items()}
        return {
            **codes,
            "error_501_created": Recipe(way=Way.ANSWER, on=PAID, reply=cls.error(501, texts[501]), takes_effect=True),
            "banned_1010": Recipe(way=Way.ANSWER, reply=_BANNED),
            "callback_failed": Recipe(way=Way.INSIDE, on=PAID, takes_effect=True),
        }

    def environment(self) -> dict[str, str]:
        return {
            "KIE_API_KEY": self.settings.key,
            "KIE_BASE_URL": self.urls[Origin.API],
            "KIE_UPLOAD_BASE_URL": self.urls[Origin.UPLOAD],
        }

    def admit(self, call: Call) -> None:
        """The gateway first: it wants a client that looks like a browser, on every host."""
        if not call.request.headers.get("User-Agent", "").startswith("Mozilla/"):
            raise Refused(_BANNED)
        super().admit(call)

    def check(self, inputs: Mapping[str, Any]) -> None:
        if not isinstance(inputs.get("prompt"), str) or not inputs["prompt"]:
            self.refuse(422, "prompt is required")
        if not str(inputs.get("videoUrl")).startswith(("http://", "https://")):
            self.refuse(422, "videoUrl must be a URL")
        if unknown := set(inputs) - _TAKEN:
            self.refuse(422, f"unknown fields: {', '.join(sorted(unknown))}")

    def body(self, *, video_url: str, prompt: str | None, **_left_out: str | None) -> dict[str, Any]:
        return {"videoUrl": video_url, "prompt": prompt or ""}

    async def submit(self, call: Call) -> web.Response:
        job = await self.accept(call)
        if call.faulty("callback_failed"):
            self._called_back.add(job.request_id)
        return web.json_response(_told({"taskId": job.request_id}))

    async def record(self, call: Call) -> web.Response:
        job = self._job_named(call, call.request.query.get("taskId", ""))
        state = self.state_of(job)
        done = state is State.COMPLETED
        flag = 4 if done and job.request_id in self._called_back else _FLAGS[state]
        urls = {"resultUrls": [self._original(job)], "originUrls": [job.inputs["videoUrl"]]}
        data = {
            "taskId": job.request_id,
            "promptJson": json.dumps(dict(job.inputs)),
            "createTime": round(job.accepted_at * 1000),
            "completeTime": round(job.ends_at * 1000) if state in (State.COMPLETED, State.FAILED) else None,
            "response": urls if done else None,
            "successFlag": flag,
            "errorCode": 400 if state is State.FAILED else None,
            "errorMessage": job.error if state is State.FAILED else "",
        }
        return web.json_response(_told(data))

    def _job_named(self, call: Call, request_id: str) -> Job:
        job = self.ledger.job(request_id)
        if job is None or job.account != call.account:
            self.refuse(422, "recordInfo is null")
        return job

    def _original(self, job: Job) -> str:
        """The link a task is done with: it works for a while from then on."""
        url = f"{self.urls[Origin.OUTPUTS]}/generations/{job.request_id}.mp4"
        return url if self.settings.link_life_s is None else f"{url}?at={job.ends_at:.3f}"

    async def fresh_link(self, call: Call) -> web.Response:
        given = json.loads(await call.request.read() or b"{}").get("url")
        begin, _, rest = str(given).partition("/generations/")
        job = self.ledger.job(rest.partition(".mp4")[0])
        if begin != self.urls[Origin.OUTPUTS] or job is None or job.account != call.account:
            self.refuse(422, "The URL is none of kie's own")
        return web.json_response(_told(self.url_of(job)))

    async def upload(self, call: Call) -> web.Response:
        if call.request.content_type != "multipart/form-data":
            self.refuse(400, "Content-Type must be multipart/form-data")
        form = await call.request.post()
        part, path, name = form.get("file"), form.get("uploadPath"), form.get("fileName")
        if not isinstance(part, web.FileField) or not isinstance(path, str) or not path:
            self.refuse(400, "file and uploadPath are required")
        with part.file as stream:
            stored = asset(stream.read(), part.content_type)
        url = self.storage.store(stored)
        called = name if isinstance(name, str) else part.filename
        data = {
            "fileName": called,
            "filePath": f"{path}/{called}",
            "downloadUrl": url,
            "fileSize": len(stored.content),
            "mimeType": stored.content_type,
            "uploadedAt": self.stamp(self.clock.now()),
        }
        return web.json_response({"success": True, **_told(data)})


def _told(data: Any) -> dict[str, Any]:
    return {"code": 200, "msg": "success", "data": data}


class KieStandIn(VendorStandIn):
    """kie.ai behind sockets."""

    vendor = Kie


if __name__ == "__main__":
    serve_by_hand(KieStandIn)
