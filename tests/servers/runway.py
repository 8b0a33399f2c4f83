"""A stand-in for Runway's video_to_video with aleph2 (docs.dev.runwayml.com, the vendor's SDK 5.24.0).

By hand: `python tests/servers/runway.py --port 8804`.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from aiohttp import web

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.servers.faults import Reply
from tests.servers.ledger import Job, Kind, State
from tests.servers.standin import Call, Origin, Route
from tests.servers.vendor import No, Settings, Vendor, VendorStandIn, route, serve_by_hand

_STATUSES = {
    State.QUEUED: "PENDING",
    State.PROCESSING: "RUNNING",
    State.COMPLETED: "SUCCEEDED",
    State.FAILED: "FAILED",
}


class Runway(Vendor):
    """Tasks, organisation, and uploads by a form; what is cancelled or deleted cannot be asked for any more."""

    name = "runway"
    origins = frozenset({Origin.API, Origin.OUTPUTS, Origin.BUCKET})
    reference = "runway://"
    noes: ClassVar[Mapping[str, No]] = {
        "job_failed": No("An unexpected error occurred.", "INTERNAL.BAD_OUTPUT.CODE01"),
        "refused_prompt": No("The prompt did not pass.", "SAFETY.INPUT.TEXT"),
        "refused_frame": No("The image did not pass.", "SAFETY.INPUT.IMAGE"),
        "refused_clip": No("The video did not pass.", "SAFETY.INPUT.VIDEO"),
        "refused_output": No("The output did not pass.", "SAFETY.OUTPUT.VIDEO"),
    }

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._deleted: set[str] = set()
        self._uris: dict[str, str] = {}
        """The URI a file was promised → its ticket."""

    @classmethod
    def routes(cls) -> tuple[Route, ...]:
        return (
            route("POST", "/v1/video_to_video", Kind.SUBMIT, cls.submit),
            route("GET", "/v1/tasks/([^/]+)", Kind.STATUS, cls.task),
            route("DELETE", "/v1/tasks/([^/]+)", Kind.CANCEL, cls.delete),
            route("GET", "/v1/organization", Kind.CREDITS, cls.organization),
            route("POST", "/v1/uploads", Kind.UPLOAD, cls.create_upload),
        )

    @classmethod
    def error(cls, status: int, text: str) -> Reply:
        return Reply(status=status, body=json.dumps({"error": text}))

    def environment(self) -> dict[str, str]:
        return {"RUNWAYML_API_SECRET": self.settings.key, "RUNWAYML_BASE_URL": self.urls[Origin.API]}

    def admit(self, call: Call) -> None:
        super().admit(call)
        if call.origin is Origin.API and call.request.headers.get("X-Runway-Version") != "2024-11-06":
            self.refuse(400, "X-Runway-Version is required")

    async def create_upload(self, call: Call) -> web.Response:
        asked = json.loads(await call.request.read())
        if asked.get("type") != "ephemeral" or not isinstance(asked.get("filename"), str):
            self.refuse(400, "filename and type are required")
        ticket = self.ticket()
        uri = f"runway://{ticket.rsplit('/', 1)[-1]}"
        self._uris[uri] = ticket
        fields = {"key": f"uploads/{asked['filename']}", "policy": "signed", "x-amz-signature": "c0ffee"}
        return web.json_response({"uploadUrl": ticket, "runwayUri": uri, "fields": fields})

    async def put(self, call: Call) -> web.Response:
        """The file must be a form's last part, after all that was asked for beside it."""
        form = await call.request.post()
        if [*form][-1:] != ["file"] or form.get("x-amz-signature") != "c0ffee":
            self.refuse(403, "the form is not as it was signed")
        answer = await super().put(call)
        url, ready_at = self._tickets[call.argument]
        stored = self.storage.named(url.removeprefix(self.storage.base))
        if stored is not None:
            self.storage.rename(url, f"runway://{call.argument}")
        self._tickets[call.argument] = (f"runway://{call.argument}", ready_at)
        return answer

    def check(self, inputs: Mapping[str, Any]) -> None:
        if inputs.get("model") != "aleph2":
            self.refuse(400, "model must be aleph2")
        if unknown := set(inputs) - {"model", "videoUri", "promptText", "keyframes", "seed"}:
            self.refuse(400, f"unrecognised keys: {', '.join(sorted(unknown))}")
        frames = inputs.get("keyframes", ())
        uris = [inputs.get("videoUri"), *(frame.get("uri") for frame in frames)]
        for uri in uris:
            if not isinstance(uri, str) or not uri.startswith(("http://", "https://", "runway://", "data:")):
                self.refuse(400, "a URI must be https, runway or data")
            if uri.startswith("runway://") and self.storage.at(uri) is None:
                self.refuse(400, f"{uri} was not found, or has expired")
        if len(inputs.get("keyframes", ())) > 5 or not all(
            "seconds" in f or "at" in f for f in inputs.get("keyframes", ())
        ):
            self.refuse(400, "up to five keyframes, each with its moment")

    def prompt_of(self, inputs: Mapping[str, Any]) -> str:
        return str(inputs.get("promptText") or "")

    async def submit(self, call: Call) -> web.Response:
        job = await self.accept(call)
        return web.json_response({"id": job.request_id, "estimatedCost": {"credits": round(job.price * 100)}})

    def job_of(self, call: Call) -> Job:
        if call.argument in self._deleted:
            self.refuse(404, "Task not found")
        return super().job_of(call)

    async def task(self, call: Call) -> web.Response:
        job = self.job_of(call)
        state = self.state_of(job)
        body: dict[str, Any] = {
            "id": job.request_id,
            "createdAt": self.stamp(job.accepted_at),
            "status": _STATUSES[state],
        }
        cost = {"credits": round(job.billed(self.clock.now()) * 100)}
        match state:
            case State.COMPLETED:
                body |= {"output": [self.url_of(job)], "cost": cost}
            case State.FAILED:
                body |= {"failure": job.error, "failureCode": self.code_of(job) or "INTERNAL", "cost": cost}
            case State.PROCESSING:
                body |= {"progress": 0.5, "estimatedCost": {"credits": round(job.price * 100)}}
            case State.QUEUED:
                body |= {"estimatedCost": {"credits": round(job.price * 100)}}
        return web.json_response(body)

    async def delete(self, call: Call) -> web.Response:
        """Cancels what is live, refunded unless it runs; deletes what has ended, output and all."""
        job = self.job_of(call)
        state, now = self.state_of(job), self.clock.now()
        if state in (State.QUEUED, State.PROCESSING):
            kept = job.price if state is State.PROCESSING else 0.0
            self.ledger.accept(replace(job, ends_at=now, error="cancelled", price_if_failed=kept))
        self._deleted.add(job.request_id)
        return web.Response(status=204)

    async def organization(self, call: Call) -> web.Response:
        credits_ = round(self.balance(call.account) * 100)
        return web.json_response(
            {"creditBalance": credits_, "tier": {"maxMonthlyCreditSpend": 1, "models": {}}, "usage": {"models": {}}}
        )


class RunwayStandIn(VendorStandIn):
    """Runway behind sockets."""

    vendor = Runway


if __name__ == "__main__":
    serve_by_hand(RunwayStandIn)
