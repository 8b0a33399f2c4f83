"""The service behind the stand-in: accounts, jobs, assets and the handlers of its endpoints."""

import asyncio
import base64
import binascii
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from aiohttp import web

from tests.servers import segmind_contract as contract
from tests.servers.clips import Clip, encoded, unique
from tests.servers.faults import WIRE, Fault, FaultBook
from tests.servers.ledger import Clock, Job, Kind, Ledger, Seen, State, canonical, iso

KEY = "SG_0123456789abcdef"
OTHER_CLIPS: Mapping[str, Callable[[Clip], Clip]] = {
    "output_silent": lambda clip: replace(clip, audio=False),
    "output_24fps": lambda clip: replace(clip, fps=24),
    "output_other_size": lambda clip: replace(clip, width=clip.width // 2, height=clip.height // 2),
    "output_other_length": lambda clip: replace(clip, frames=clip.frames // 2),
}


class Origin(StrEnum):
    """The hosts of the real service, and one that is none of its."""

    API = "api"
    UPLOAD = "upload"
    HISTORY = "history"
    OUTPUTS = "outputs"
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What the contract leaves open, or a test wants otherwise; times in seconds, money in US dollars."""

    key: str = KEY
    other_keys: tuple[str, ...] = ()
    """Keys of other accounts, each with its own jobs and balance."""
    price: float = 0.60
    credits: float = 1000.0
    queued_s: float = 0.02
    processing_s: float = 0.05
    slots: int | None = None
    """How many jobs run at a time; the others wait QUEUED."""
    submits_per_minute: int | None = None
    rate_window_s: float = 60.0
    rate_counts_polls: bool = False
    record_life_s: float = 3600.0
    """From the submit on; then all three poll URLs answer 404."""
    file_life_s: float = 7 * 86400.0
    output: Clip | Path | Literal["echo"] = field(default_factory=Clip)
    """What a job delivers: a made clip, a file's content, or the uploaded source (else a made clip)."""
    blocking_answer: Literal["bytes", "json"] = "bytes"
    upload_answer: Literal["urls", "file_urls"] = "urls"
    missing_asset: Literal["fail", "refuse"] = "fail"
    """A source on our own host that is not there: the job fails, or the submit is refused with 400."""
    early_result: Literal["status", "not_found"] = "status"
    history_envelope: str = "data"
    """`data`, `data.results`, `items`; empty: a plain list."""
    history_one_envelope: str = ""
    history_delay_s: float = 0.0
    clock_skew_s: float = 0.0
    """How far the service's own clock (Date header, history) is ahead of ours."""
    fail_prompts: Mapping[str, str] = field(default_factory=dict)
    """Text in a prompt → the reason for which its job fails."""
    one_origin: bool = False
    """Everything on one port; else each host has its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asset:
    """An uploaded file."""

    content: bytes
    content_type: str

    @property
    def hash(self) -> str:
        return f"sha256:{sha256(self.content).hexdigest()}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """A request on its way through the stand-in."""

    request: web.Request
    kind: Kind
    origin: Origin
    account: str
    argument: str
    """The request id or file name in the path."""
    seen: Seen
    fault: Fault | None = None

    def faulty(self, prefix: str) -> str | None:
        """The name of this call's fault if it begins so."""
        return self.fault.name if self.fault and self.fault.name.startswith(prefix) else None


class Service:
    """Knows nothing of sockets; `urls` says where its hosts are."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = Clock()
        self.ledger = Ledger(self.clock)
        self.faults = FaultBook({**WIRE, **contract.FAULTS})
        self.urls: dict[Origin, str] = {}
        self.assets: dict[str, Asset] = {}

    # --- who and how often ----------------------------------------------------------------------------------

    def knows(self, key: str) -> bool:
        return key in (self.settings.key, *self.settings.other_keys)

    def balance(self, account: str) -> float:
        """What is left after what was charged, in US dollars."""
        now = self.clock.now()
        return self.settings.credits - sum(job.billed(now) for job in self.ledger.jobs if job.account == account)

    def admit(self, call: Call) -> None:
        """Refused (401, 429) without a good key or above the rate."""
        if call.kind in (Kind.DOWNLOAD, Kind.ELSEWHERE):
            return
        if not self.knows(call.account):
            raise contract.Refused(contract.KEY_INVALID if call.account else contract.KEY_MISSING)
        limited = {Kind.SUBMIT, Kind.BLOCKING}
        if self.settings.rate_counts_polls:
            limited |= {Kind.STATUS, Kind.RESULT, Kind.CREDITS}
        if call.kind in limited and self.settings.submits_per_minute is not None:
            self._count(limited, self.settings.submits_per_minute)

    def _count(self, limited: set[Kind], most: int) -> None:
        """A sliding window over what was let through; the reset is when its oldest request leaves it."""
        begin = self.clock.now() - self.settings.rate_window_s
        passed = [
            seen.at
            for seen in self.ledger.requests
            if seen.kind in limited and seen.at > begin and seen.status not in (None, 429)
        ]
        if len(passed) >= most:
            reset = passed[-most] + self.settings.rate_window_s
            raise contract.Refused(
                replace(contract.RESET_AT, headers={"x-rate-limit-reset-at-utc": iso(reset)}),
            )

    # --- submits --------------------------------------------------------------------------------------------

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
        if self.settings.missing_asset == "refuse" and (lost := self._lost_assets(inputs)):
            contract.refuse(400, f"Could not download {lost[0]}")
        now = self.clock.now()
        reserved = sum(job.reserved(now) for job in self.ledger.jobs if job.account == call.account)
        available = self.balance(call.account) - reserved
        if available < self.settings.price:
            raise contract.Refused(contract.credits_short(available, self.settings.price))
        job = self._job(inputs, call, now)
        self.ledger.accept(job)
        return job

    async def _inputs(self, request: web.Request) -> dict[str, Any]:
        if request.content_type == "application/json" and "Content-Type" in request.headers:
            return contract.decoded(await request.read())
        if request.content_type == "multipart/form-data":
            form = await request.post()
            return {name: self._form_value(value) for name, value in form.items()}
        raise contract.Refused(contract.CONTENT_TYPE)

    def _form_value(self, value: str | bytearray | web.FileField | bytes) -> str:
        """A file part becomes an asset and its URL."""
        if isinstance(value, web.FileField):
            with value.file as part:
                return self._stored(Asset(content=part.read(), content_type=value.content_type))
        return value if isinstance(value, str) else value.decode()

    def _job(self, inputs: Mapping[str, Any], call: Call, now: float) -> Job:
        starts_at = max(now + self.settings.queued_s, self._slot_free_at())
        fault = call.fault.name if call.fault else None
        late = call.fault.seconds if call.fault and call.faulty("history_late") else None
        return Job(
            request_id=str(uuid.uuid4()),
            account=call.account,
            inputs=inputs,
            identity=self.identity(inputs),
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
            identity=self.identity(inputs),
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
        ends = sorted(job.ends_at for job in self.ledger.jobs if job.ends_at > self.clock.now())
        return ends[-self.settings.slots] if len(ends) >= self.settings.slots else 0.0

    def _error(self, inputs: Mapping[str, Any], call: Call) -> str | None:
        if call.fault and call.faulty("failed_"):
            return call.fault.text or "Generation failed: internal model error"
        if lost := self._lost_assets(inputs):
            return f"Could not read the input at {lost[0]}"
        prompt = inputs.get("prompt", "")
        return next((why for text, why in self.settings.fail_prompts.items() if text in prompt), None)

    # --- assets and files -----------------------------------------------------------------------------------

    def _asset(self, url: object) -> Asset | None:
        return self.assets.get(str(url).removeprefix(f"{self.urls[Origin.OUTPUTS]}/assets/"))

    def _lost_assets(self, inputs: Mapping[str, Any]) -> list[str]:
        """The URLs that point into our own storage, where nothing is."""
        ours = f"{self.urls[Origin.OUTPUTS]}/assets/"
        urls = [inputs[name] for name in ("video_url", "first_frame_url") if name in inputs]
        return [url for url in urls if url.startswith(ours) and self._asset(url) is None]

    def identity(self, inputs: Mapping[str, Any]) -> str:
        """One spelling of the inputs: two uploads of the same file are the same source."""
        by_content = {name: asset.hash if (asset := self._asset(value)) else value for name, value in inputs.items()}
        return canonical(by_content)

    def _stored(self, asset: Asset) -> str:
        name = f"{uuid.uuid4()}.{asset.content_type.rsplit('/', 1)[-1]}"
        self.assets[name] = asset
        return f"{self.urls[Origin.OUTPUTS]}/assets/{name}"

    async def upload(self, call: Call) -> web.Response:
        if call.request.content_type != "application/json":
            raise contract.Refused(contract.CONTENT_TYPE)
        data_urls = contract.decoded(await call.request.read()).get("data_urls")
        if not isinstance(data_urls, list) or not data_urls:
            contract.refuse(400, "data_urls must be a list of data URLs")
        urls = [self._stored(_from_data_url(data_url)) for data_url in data_urls]
        if self.settings.upload_answer == "urls":
            return web.json_response({"urls": urls})
        return web.json_response({"file_urls": urls, "message": "Files uploaded successfully"})

    def _video(self, inputs: Mapping[str, Any], fault: str | None) -> bytes:
        output = self.settings.output
        if isinstance(output, Path):
            return output.read_bytes()
        if output == "echo":
            source = self._asset(inputs["video_url"])
            return source.content if source else encoded(Clip())
        return encoded(OTHER_CLIPS[fault](output) if fault and fault in OTHER_CLIPS else output)

    def file_of(self, job: Job) -> bytes:
        """The output file of a job, byte for byte as it is served."""
        return unique(job.video, job.request_id)

    def url_of(self, job: Job) -> str:
        return f"{self.urls[Origin.OUTPUTS]}/generations/{job.request_id}.mp4"

    async def download(self, call: Call) -> web.Response:
        """An output file or an asset, whole or the asked range."""
        folder, name = call.argument.split("/", 1)
        if folder == "assets" and (asset := self.assets.get(name)):
            return _ranged(call, asset.content, asset.content_type)
        job = self.ledger.job(name.removesuffix(".mp4")) if folder == "generations" else None
        now = self.clock.now()
        if job is None or job.state(now) is not State.COMPLETED or now > job.ends_at + self.settings.file_life_s:
            contract.refuse(404, "No such file")
        return _ranged(call, self.file_of(job), "video/mp4")

    # --- polls ----------------------------------------------------------------------------------------------

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

    # --- history --------------------------------------------------------------------------------------------

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

    # --- another origin -------------------------------------------------------------------------------------

    async def elsewhere(self, call: Call) -> web.Response:
        """Serves polls and files to whoever was lured here, without asking for a key, so that leaks show."""
        path = call.request.path
        if found := re.fullmatch(r"/v[12]/requests/([^/]+)(/status)?", path):
            handler = self.status if found[2] else self.result
            return await handler(replace(call, argument=found[1]))
        if found := re.fullmatch(r"/((?:assets|generations)/.+)", path):
            return await self.download(replace(call, argument=found[1]))
        raise contract.Refused(contract.NO_ROUTE)


Handler = Callable[[Service, Call], Awaitable[web.Response]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """An endpoint; the path's group is the call's argument."""

    origin: Origin
    method: str
    path: str
    kind: Kind
    handler: Handler


def _routes() -> tuple[Route, ...]:
    api, outputs, past = Origin.API, Origin.OUTPUTS, Origin.HISTORY
    history = "/inference-request/request-history"
    file = "/((?:assets|generations)/[^/]+)"
    table: tuple[tuple[Origin, str, str, Kind, Handler], ...] = (
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


def _from_data_url(value: object) -> Asset:
    """A `data:video/mp4;base64,…` as a file; Refused (400) where it is none."""
    found = re.match(r"data:([\w.+-]+/[\w.+-]+);base64,", value) if isinstance(value, str) else None
    if found is None or not isinstance(value, str):
        contract.refuse(400, "data_urls must hold base64 data URLs")
    try:
        content = base64.b64decode(value[found.end() :], validate=True)
    except binascii.Error:
        contract.refuse(400, "data_urls must hold base64 data URLs")
    return Asset(content=content, content_type=found[1])


def _ranged(call: Call, content: bytes, content_type: str) -> web.Response:
    """200 with all, 206 with the asked range, or 416; a fault may shorten the file or ignore the range."""
    if call.faulty("output_truncated"):
        content = content[: len(content) // 2]
    headers = {"Accept-Ranges": "bytes"}
    asked = call.request.http_range
    if call.faulty("output_no_range") or (asked.start is None and asked.stop is None):
        return web.Response(body=content, content_type=content_type, headers=headers)
    first, end, _ = asked.indices(len(content))
    if first >= end:
        return web.Response(status=416, headers={"Content-Range": f"bytes */{len(content)}"})
    headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(content)}"
    return web.Response(status=206, body=content[first:end], content_type=content_type, headers=headers)
