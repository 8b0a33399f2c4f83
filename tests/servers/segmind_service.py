"""The service behind the stand-in: accounts, jobs, assets and the handlers of its endpoints."""

import asyncio
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.servers import segmind_contract as contract
from tests.servers.clips import Clip, encoded, unique
from tests.servers.faults import WIRE, FaultBook
from tests.servers.files import ranged
from tests.servers.ledger import Clock, Job, Kind, Ledger, State, iso
from tests.servers.segmind_settings import Settings
from tests.servers.standin import Call, Origin, Refused, Route
from tests.servers.storage import Storage, asset, from_data_url

OTHER_CLIPS: Mapping[str | None, Callable[[Clip], Clip]] = {
    "output_silent": lambda clip: replace(clip, audio=False),
    "output_24fps": lambda clip: replace(clip, fps=24),
    "output_other_size": lambda clip: replace(clip, width=clip.width // 2, height=clip.height // 2),
    "output_other_length": lambda clip: replace(clip, frames=clip.frames // 2),
}


class Service:
    """Knows nothing of sockets; `urls` says where its hosts are."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = Clock()
        self.ledger = Ledger(self.clock)
        self.faults = FaultBook({**WIRE, **contract.FAULTS})
        self.urls: dict[Origin, str] = {}
        self.storage = Storage()

    def opened(self) -> None:
        """The hosts have their addresses."""
        self.storage.base = f"{self.urls[Origin.OUTPUTS]}/assets/"

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.settings.key, *self.settings.other_keys)

    def balance(self, account: str) -> float:
        """What is left after what was charged, in US dollars."""
        return self.settings.credits - self.ledger.charged(account)

    def admit(self, call: Call) -> None:
        """Refused (401, 429) without a good key or above the rate."""
        if call.kind in (Kind.DOWNLOAD, Kind.ELSEWHERE):
            return
        if call.account not in self.keys:
            raise Refused(contract.KEY_INVALID if call.account else contract.KEY_MISSING)
        limited = {Kind.SUBMIT, Kind.BLOCKING}
        if self.settings.rate_counts_polls:
            limited |= {Kind.STATUS, Kind.RESULT, Kind.CREDITS}
        if call.kind in limited and self.settings.submits_per_minute is not None:
            self._count(limited, self.settings.submits_per_minute)
        call.seen.admitted = True

    def _count(self, limited: set[Kind], most: int) -> None:
        """A sliding window over what was let through; the reset is when its oldest request leaves it."""
        begin = self.clock.now() - self.settings.rate_window_s
        passed = [
            seen.at for seen in self.ledger.requests if seen.admitted and seen.kind in limited and seen.at > begin
        ]
        if len(passed) >= most:
            reset = passed[-most] + self.settings.rate_window_s
            raise Refused(
                replace(contract.RESET_AT, headers={"x-rate-limit-reset-at-utc": iso(reset)}),
            )

    async def submit(self, call: Call) -> web.Response:
        job = await self._accepted(call)
        base = self.urls[Origin.ELSEWHERE if call.faulty("foreign_status_url") else Origin.API]
        told = job.request_id
        if call.faulty("answer_repeats_id"):
            told = self.ledger.jobs[0].request_id
        return web.json_response(contract.submitted(told, base))

    async def blocking(self, call: Call) -> web.Response:
        job = await self._accepted(call)
        while (left := job.ends_at - self.clock.now()) > 0:  # noqa: ASYNC110  the clock may be pushed
            await asyncio.sleep(min(left, 0.05))
        if job.error is not None:
            contract.refuse(500, job.error)
        remaining = self.balance(job.account)
        headers = contract.blocking_headers(job, remaining)
        if self.settings.blocking_answer == "bytes":
            return web.Response(body=self.file_of(job), content_type="video/mp4", headers=headers)
        return web.json_response(self._result_body(job), headers=headers)

    async def _accepted(self, call: Call) -> Job:
        """The job of a submit that keeps to the contract, in the ledger; Refused otherwise."""
        inputs = await self._inputs(call.request)
        contract.check(inputs)
        if self.settings.missing_asset == "refuse" and (lost := self.storage.lost(inputs)):
            contract.refuse(400, f"Could not download {lost[0]}")
        now = self.clock.now()
        available = self.balance(call.account) - self.ledger.reserved(call.account)
        if available < self.settings.price:
            raise Refused(contract.credits_short(available, self.settings.price))
        job = self._job(inputs, call, now)
        self.ledger.accept(job)
        return job

    async def _inputs(self, request: web.Request) -> dict[str, Any]:
        if request.content_type == "application/json" and "Content-Type" in request.headers:
            return contract.decoded(await request.read())
        if request.content_type == "multipart/form-data":
            form = await request.post()
            return {name: self._form_value(value) for name, value in form.items()}
        raise Refused(contract.CONTENT_TYPE)

    def _form_value(self, value: str | bytearray | web.FileField | bytes) -> str:
        """A file part becomes an asset and its URL."""
        if isinstance(value, web.FileField):
            with value.file as part:
                return self.storage.store(asset(part.read(), value.content_type))
        return value if isinstance(value, str) else value.decode()

    def _job(self, inputs: Mapping[str, Any], call: Call, now: float) -> Job:
        starts_at = max(now + self.settings.queued_s, self._slot_free_at())
        fault = call.fault.name if call.fault else None
        late = call.fault.seconds if call.fault and call.faulty("history_late") else None
        return Job(
            request_id=str(uuid.uuid4()),
            account=call.account,
            inputs=inputs,
            identity=self.storage.identity(inputs),
            accepted_at=now,
            starts_at=starts_at,
            ends_at=starts_at + self.settings.processing_s,
            price=self.settings.price,
            video=self._video(inputs, fault),
            error=self._error(inputs, call),
            failed_status=200 if fault == "failed_200" else 422,
            history_from=now + (self.settings.history_delay_s if late is None else late),
            history_fault=call.faulty("history_"),
            blocking=call.kind is Kind.BLOCKING,
        )

    def seed(self, inputs: Mapping[str, Any], *, ago_s: float, error: str | None) -> Job:
        """A job that ended `ago_s` less its own time ago, without a request."""
        accepted_at = self.clock.now() - ago_s
        starts_at = accepted_at + self.settings.queued_s
        job = Job(
            request_id=str(uuid.uuid4()),
            account=self.settings.key,
            inputs=dict(inputs),
            identity=self.storage.identity(inputs),
            accepted_at=accepted_at,
            starts_at=starts_at,
            ends_at=starts_at + self.settings.processing_s,
            price=self.settings.price,
            video=self._video(inputs, None),
            error=error,
            seeded=True,
        )
        self.ledger.accept(job)
        return job

    def _slot_free_at(self) -> float:
        """When the next job may start: at once, or when so many have ended that a slot is free."""
        if self.settings.slots is None:
            return 0.0
        ends = self.ledger.running_until()
        return ends[-self.settings.slots] if len(ends) >= self.settings.slots else 0.0

    def _error(self, inputs: Mapping[str, Any], call: Call) -> str | None:
        if call.fault and call.faulty("failed_"):
            return call.fault.text or "Generation failed: internal model error"
        if lost := self.storage.lost(inputs):
            return f"Could not read the input at {lost[0]}"
        prompt = inputs.get("prompt", "")
        return next((why for text, why in self.settings.fail_prompts.items() if text in prompt), None)

    async def upload(self, call: Call) -> web.Response:
        if call.request.content_type != "application/json":
            raise Refused(contract.CONTENT_TYPE)
        data_urls = contract.decoded(await call.request.read()).get("data_urls")
        if not isinstance(data_urls, list) or not data_urls:
            contract.refuse(400, "data_urls must be a list of data URLs")
        files = [file for data_url in data_urls if (file := from_data_url(data_url))]
        if len(files) < len(data_urls):
            contract.refuse(400, "data_urls must hold base64 data URLs")
        urls = [self.storage.store(file) for file in files]
        if self.settings.upload_answer == "urls":
            return web.json_response({"urls": urls})
        return web.json_response({"file_urls": urls, "message": "Files uploaded successfully"})

    def _video(self, inputs: Mapping[str, Any], fault: str | None) -> bytes:
        """The job's output; a fault that asks for another video is made from a clip, whatever is set."""
        output = self.settings.output
        if fault in OTHER_CLIPS:
            return encoded(OTHER_CLIPS[fault](output if isinstance(output, Clip) else Clip()))
        if isinstance(output, Path):
            return _content(output, output.stat().st_mtime_ns)
        if output == "echo":
            source = self.storage.at(inputs["video_url"])
            return source.content if source else encoded(Clip())
        return encoded(output)

    def file_of(self, job: Job) -> bytes:
        """The output file of a job, byte for byte as it is served."""
        return unique(job.video, job.request_id)

    def url_of(self, job: Job) -> str:
        return f"{self.urls[Origin.OUTPUTS]}/generations/{job.request_id}.mp4"

    async def download(self, call: Call) -> web.Response:
        """An output file or an asset, whole or the asked range."""
        folder, name = call.argument.split("/", 1)
        if folder == "assets" and (stored := self.storage.named(name)):
            return ranged(call, stored.content, stored.content_type)
        job = self.ledger.job(name.removesuffix(".mp4")) if folder == "generations" else None
        now = self.clock.now()
        if job is None or job.state(now) is not State.COMPLETED or now > job.ends_at + self.settings.file_life_s:
            contract.refuse(404, "No such file")
        return ranged(call, self.file_of(job), "video/mp4")

    def _known(self, call: Call) -> tuple[Job, State]:
        """The job of a poll; Refused (404) when unknown, another account's, or expired."""
        job, now = self.ledger.job(call.argument), self.clock.now()
        foreign = job and call.kind is not Kind.ELSEWHERE and job.account != call.account
        if job is None or foreign or now > job.accepted_at + self.settings.record_life_s:
            contract.refuse(404, f"Request {call.argument} not found")
        return job, job.state(now)

    async def status(self, call: Call) -> web.Response:
        job, state = self._known(call)
        body = contract.status(job, state, self.urls[Origin.API])
        if call.faulty("status_unknown_word"):
            body["status"] = "PAUSED"
        return web.json_response(body, status=job.failed_status if state is State.FAILED else 200)

    async def result(self, call: Call) -> web.Response:
        job, state = self._known(call)
        if state is State.COMPLETED:
            return web.json_response(self._result_body(job))
        if state is not State.FAILED and self.settings.early_result == "not_found":
            contract.refuse(404, f"Request {call.argument} not found")
        return await self.status(call)

    def _result_body(self, job: Job) -> dict[str, Any]:
        size, remaining = len(self.file_of(job)), self.balance(job.account)
        return contract.result(job, url=self.url_of(job), size=size, remaining=remaining)

    async def credits(self, call: Call) -> web.Response:
        return web.json_response({"credits": round(self.balance(call.account), 6), "free-credits": 0.0})

    async def history(self, call: Call) -> web.Response:
        """A page of the account's requests, as documented; the envelope is a setting."""
        now = self.clock.now()
        today = datetime.fromtimestamp(now + self.settings.clock_skew_s, UTC).date()
        rows = [row for job in self.ledger.all_jobs for row in self._rows(job, call, now)]
        page = contract.history_page(rows, call.request.query, today=today)
        return web.json_response(contract.enveloped(page, self.settings.history_envelope))

    async def history_one(self, call: Call) -> web.Response:
        job = self.ledger.job(call.argument)
        rows = self._rows(job, call, self.clock.now()) if job else []
        if not rows:
            contract.refuse(404, f"Request {call.argument} not found")
        envelope = self.settings.history_one_envelope
        return web.json_response({envelope: rows[0]} if envelope else rows[0])

    def _rows(self, job: Job, call: Call, now: float) -> list[dict[str, Any]]:
        if job.account != call.account or now < job.history_from:
            return []
        row = contract.history_row(job, now, url=self.url_of(job), skew_s=self.settings.clock_skew_s)
        return contract.spoiled_rows(row, call.faulty("history_") or job.history_fault)

    async def elsewhere(self, call: Call) -> web.Response:
        """Serves polls and files to whoever was lured here, without asking for a key, so that leaks show."""
        path = call.request.path
        if found := re.fullmatch(r"/v[12]/requests/([^/]+)(/status)?", path):
            handler = self.status if found[2] else self.result
            return await handler(replace(call, argument=found[1]))
        if found := re.fullmatch(r"/((?:assets|generations)/.+)", path):
            return await self.download(replace(call, argument=found[1]))
        raise Refused(contract.NO_ROUTE)


def _routes() -> tuple[Route, ...]:
    api, outputs, past = Origin.API, Origin.OUTPUTS, Origin.HISTORY
    history = "/inference-request/request-history"
    file = "/((?:assets|generations)/[^/]+)"
    table: tuple[tuple[Origin, str, str, Kind, Any], ...] = (
        (api, "POST", f"/v2/{contract.SLUG}", Kind.SUBMIT, Service.submit),
        (api, "POST", f"/v1/{contract.SLUG}", Kind.BLOCKING, Service.blocking),
        (api, "GET", "/v2/requests/([^/]+)/status", Kind.STATUS, Service.status),
        (api, "GET", "/v[12]/requests/([^/]+)", Kind.RESULT, Service.result),
        (api, "GET", "/v1/get-user-credits", Kind.CREDITS, Service.credits),
        (Origin.UPLOAD, "POST", "/upload-asset", Kind.UPLOAD, Service.upload),
        (past, "GET", history, Kind.HISTORY, Service.history),
        (past, "GET", f"{history}/([^/]+)", Kind.HISTORY, Service.history_one),
        (outputs, "GET", file, Kind.DOWNLOAD, Service.download),
        (outputs, "HEAD", file, Kind.DOWNLOAD, Service.download),
        (Origin.ELSEWHERE, "*", "/.*", Kind.ELSEWHERE, Service.elsewhere),
    )
    return tuple(Route(origin=o, method=m, path=p, kind=k, handler=h) for o, m, p, k, h in table)


ROUTES = _routes()


@lru_cache(maxsize=8)
def _content(path: Path, _changed_ns: int) -> bytes:
    return path.read_bytes()
