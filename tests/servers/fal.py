"""A stand-in for fal's queue with Luma's ray-2 modify (docs.fal.ai, the vendor's Python SDK).

By hand: `python tests/servers/fal.py --port 8805`.
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

from tests.servers.faults import PAID, Recipe, Reply, Way
from tests.servers.ledger import Job, Kind, State
from tests.servers.standin import Call, Origin, Route
from tests.servers.storage import asset
from tests.servers.vendor import No, Vendor, VendorStandIn, route, serve_by_hand

APP = "fal-ai/luma-dream-machine"
_MODES = tuple(f"{family}_{level}" for family in ("adhere", "flex", "reimagine") for level in (1, 2, 3))
_SAID = {"request_timeout": (504, "Request timed out"), "client_cancelled": (499, "Request was cancelled")}
"""fal's own types of errors: the status of the result, and the words."""
_FILTER = "content_policy_violation"


class Fal(Vendor):
    """The queue by owner and app, results that carry a job's error, and uploads to a presigned place."""

    name = "fal"
    scheme = "Key"
    origins = frozenset({Origin.API, Origin.UPLOAD, Origin.BUCKET, Origin.OUTPUTS})
    noes: ClassVar[Mapping[str, No]] = {
        "job_failed": No("The model could not make a video of this", "model_error"),
        "refused_prompt": No("The prompt was not accepted", _FILTER),
        "refused_frame": No("The frame was not accepted", _FILTER),
        "refused_clip": No("The input video was not accepted", _FILTER),
        "refused_output": No("The output was not accepted", _FILTER),
    }

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self._infra: dict[str, str] = {}
        """Request id → fal's own type of an error that is in the status already, and in the result."""
        self._given: set[str] = set()
        """Tokens for uploads."""

    @classmethod
    def routes(cls) -> tuple[Route, ...]:
        asked = f"/{APP}/requests/([^/]+)"
        return (
            route("POST", f"/{APP}/(ray-2|ray-2-flash)/modify", Kind.SUBMIT, cls.submit),
            route("GET", f"{asked}/status", Kind.STATUS, cls.status),
            route("GET", asked, Kind.RESULT, cls.result),
            route("PUT", f"{asked}/cancel", Kind.CANCEL, cls.cancel),
            route("POST", "/storage/upload/initiate", Kind.UPLOAD, cls.initiate, at=Origin.UPLOAD),
            route("POST", "/storage/auth/token", Kind.UPLOAD, cls.token, at=Origin.UPLOAD),
            route("POST", "/files/upload", Kind.UPLOAD, cls.take, at=Origin.BUCKET),
        )

    @classmethod
    def more_faults(cls) -> Mapping[str, Recipe]:
        locked = cls.error(403, "User is locked. Reason: Exhausted balance. Top up your balance.")
        too_late = Reply(status=504, body='{"detail": "Request timed out", "error_type": "request_timeout"}')
        return {
            "error_403_balance": Recipe(way=Way.ANSWER, on=PAID, reply=locked),
            "initiate_gone": Recipe(way=Way.INSIDE, on=(Kind.UPLOAD,), takes_effect=True),
            "completed_with_error": Recipe(way=Way.INSIDE, on=PAID, takes_effect=True),
            "result_504_typed": Recipe(way=Way.ANSWER, on=(Kind.RESULT,), reply=too_late),
        }

    def environment(self) -> dict[str, str]:
        return {
            "FAL_KEY": self.settings.key,
            "FAL_QUEUE_BASE_URL": self.urls[Origin.API],
            "FAL_UPLOAD_BASE_URL": self.urls[Origin.UPLOAD],
        }

    def check(self, inputs: Mapping[str, Any]) -> None:
        for name, url in (("video_url", inputs.get("video_url")), ("image_url", inputs.get("image_url", "https://"))):
            if not str(url).startswith(("http://", "https://", "data:")):
                self.refuse(422, f"{name}: must be a URL")
        if inputs.get("mode", "flex_1") not in _MODES:
            self.refuse(422, f"mode: must be one of {', '.join(_MODES)}")

    def body(self, *, video_url: str, first_frame_url: str | None, mode: str, prompt: str | None) -> dict[str, Any]:
        made = {"video_url": video_url, "mode": mode} | ({"prompt": prompt} if prompt else {})
        return made | ({"image_url": first_frame_url} if first_frame_url else {})

    async def submit(self, call: Call) -> web.Response:
        job = await self.accept(call)
        if call.faulty("completed_with_error"):
            self._infra[job.request_id] = "request_timeout"
            self.ledger.cancel(job.request_id)
        at = self.urls[Origin.ELSEWHERE] if call.faulty("foreign_urls") else self.urls[Origin.API]
        body = {"status": "IN_QUEUE", "request_id": job.request_id, "queue_position": 0, **_links(job, at)}
        return web.json_response(body)

    async def status(self, call: Call) -> web.Response:
        job = self.job_of(call)
        told: dict[str, Any] = {"request_id": job.request_id, **_links(job, self.urls[Origin.API])}
        match self.state_of(job):
            case State.QUEUED:
                return web.json_response({"status": "IN_QUEUE", "queue_position": 0, **told}, status=202)
            case State.PROCESSING:
                return web.json_response({"status": "IN_PROGRESS", "logs": None, **told}, status=202)
            case State.COMPLETED | State.FAILED:
                body = {"status": "COMPLETED", "logs": None, "metrics": {"inference_time": 97.4}, **told}
                if job.request_id in self._infra:
                    kind = self._infra[job.request_id]
                    body |= {"error": _SAID[kind][1], "error_type": kind}
                return web.json_response(body)

    async def result(self, call: Call) -> web.Response:
        job = self.job_of(call)
        if job.request_id in self._infra:
            kind = self._infra[job.request_id]
            status, words = _SAID[kind]
            body = {"detail": words, "error_type": kind}
            return web.json_response(body, status=status, headers={"X-Fal-Error-Type": kind})
        match self.state_of(job):
            case State.COMPLETED:
                url = self.url_of(job)
                video = {"url": url, "content_type": "video/mp4", "file_name": url.rsplit("/", 1)[-1]}
                return web.json_response({"video": video | {"file_size": len(self.file_of(job))}})
            case State.FAILED:
                error: dict[str, Any] = {"type": self.code_of(job), "msg": job.error, "loc": ["body"], "ctx": {}}
                return web.json_response({"detail": [error]}, status=422, headers={"X-Fal-Needs-Retry": "0"})
            case _:
                return web.json_response({"detail": "Request is still in progress"}, status=400)

    async def cancel(self, call: Call) -> web.Response:
        job = self.job_of(call)
        if self.state_of(job) in (State.COMPLETED, State.FAILED):
            return web.json_response({"status": "ALREADY_COMPLETED"}, status=400)
        self._infra[job.request_id] = "client_cancelled"
        self.ledger.cancel(job.request_id)
        return web.json_response({"status": "CANCELLATION_REQUESTED"}, status=202)

    async def token(self, call: Call) -> web.Response:
        if call.request.query.get("storage_type") != "fal-cdn-v3":
            self.refuse(422, "storage_type: must be fal-cdn-v3")
        token = f"token-{uuid.uuid4()}"
        self._given.add(token)
        told = {"token": token, "token_type": "Bearer", "base_url": self.urls[Origin.BUCKET]}
        return web.json_response(told | {"expires_at": self.stamp(self.clock.now() + 900)})

    async def take(self, call: Call) -> web.Response:
        scheme, _, token = call.request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or token not in self._given:
            self.refuse(401, "No good token")
        if not call.request.headers.get("X-Fal-File-Name"):
            self.refuse(422, "X-Fal-File-Name is required")
        content = await call.request.read()
        return web.json_response({"access_url": self.storage.store(asset(content, call.request.content_type))})

    async def initiate(self, call: Call) -> web.Response:
        if call.faulty("initiate_gone"):
            self.refuse(404, "Not found")
        wish = json.loads(await call.request.read() or b"{}")
        if not isinstance(wish.get("content_type"), str) or not isinstance(wish.get("file_name"), str):
            self.refuse(422, "file_name and content_type are required")
        upload_url, file_url = self.promise(wish["content_type"])
        return web.json_response({"upload_url": upload_url, "file_url": file_url})


def _links(job: Job, at: str) -> dict[str, str]:
    asked = f"{at}/{APP}/requests/{job.request_id}"
    return {"response_url": asked, "status_url": f"{asked}/status", "cancel_url": f"{asked}/cancel"}


class FalStandIn(VendorStandIn):
    """fal behind sockets."""

    vendor = Fal

    def _leaks(self, request: web.Request, origins: frozenset[Origin]) -> bool:
        """The store takes a token of its own, which is no leak; the key beside it would be one."""
        if request.path != "/files/upload":
            return super()._leaks(request, origins)
        return any(key in value for value in (*request.headers.values(), request.path_qs) for key in self._service.keys)


if __name__ == "__main__":
    serve_by_hand(FalStandIn)
