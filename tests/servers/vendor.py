"""A stand-in for a vendor of modify-video: jobs, files, presigned uploads, charges, faults; a vendor adds its contract.

A vendor is a subclass of `Vendor` with its routes and the shapes of its answers, and a `VendorStandIn` that names it.
"""

import argparse
import json
import threading
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, NoReturn

from aiohttp import web

from tests.servers.clips import Clip, encoded, unique
from tests.servers.faults import HTML, PAID, WIRE, FaultBook, Recipe, Reply, Way, both
from tests.servers.files import ranged
from tests.servers.ledger import Clock, Job, Kind, Ledger, State, iso
from tests.servers.standin import Call, Origin, Refused, Route, StandIn
from tests.servers.storage import Storage, asset

KEY = "key-0123456789abcdef"


class No(NamedTuple):
    """Why a job fails: the vendor's code, where it has one, and its words."""

    text: str
    code: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What a contract leaves open, or a test wants otherwise; times in seconds, money in US dollars."""

    key: str = KEY
    other_keys: tuple[str, ...] = ()
    price: float = 0.60
    price_if_failed: float = 0.0
    """What a job costs that ran and failed."""
    credits: float = 1000.0
    queued_s: float = 0.0
    processing_s: float = 0.0
    ingest_s: float = 0.0
    """How long an upload is looked at before it can be used."""
    file_life_s: float = 7 * 86400.0
    link_life_s: float | None = None
    """How long a link to an output works; asking for the job again gives a fresh one."""
    history_delay_s: float = 0.0
    oldest_first: bool = False
    """How the history is sorted."""
    errors_under_200: bool | None = None
    """Whether errors come under HTTP 200 with a code of their own; None: as this vendor is said to do."""
    clock_skew_s: float = 0.0
    one_origin: bool = False
    """Everything on one port; else each host has its own."""
    output: Clip = field(default_factory=Clip)
    fail_prompts: Mapping[str, str] = field(default_factory=dict)
    """Text in a prompt → the reason for which its job fails."""


class Vendor:
    """A service without its contract; `urls` says where its hosts are."""

    name: ClassVar[str]
    """What the provider is called in a manifest."""
    origins: ClassVar[frozenset[Origin]] = frozenset({Origin.API, Origin.OUTPUTS})
    scheme: ClassVar[str] = "Bearer"
    """What stands before the key in `Authorization`."""
    errors_under_200: ClassVar[bool] = False
    """Whether its errors come under HTTP 200, the status being in the body."""
    reference: ClassVar[str] = ""
    """What an uploaded file's name begins with; empty: its URL at the outputs' host."""
    noes: ClassVar[Mapping[str, No]] = {
        "job_failed": No("Generation failed: internal model error"),
        "refused_prompt": No("Moderation: the prompt was refused"),
        "refused_frame": No("Moderation: the frame was refused"),
        "refused_clip": No("Moderation: the input video was refused"),
        "refused_output": No("Moderation: the output was refused"),
    }
    """Fault → why its job fails."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = Clock()
        self.ledger = Ledger(self.clock)
        self.faults = FaultBook(self.catalogue())
        self.urls: dict[Origin, str] = {}
        self.storage = Storage()
        self._tickets: dict[str, tuple[str, float]] = {}
        """Presigned upload → the file's name, and when it may be used."""
        self.bodies: dict[str, bytes] = {}
        """Request id → the submit's body, byte for byte."""
        self._promised: dict[str, str] = {}
        """Presigned upload → the name its file is to have, where that is told beforehand."""
        self._codes: dict[str, str] = {}

    @classmethod
    def routes(cls) -> tuple[Route, ...]:
        """Its endpoints, but for the hosts below."""
        raise NotImplementedError

    @classmethod
    def error(cls, status: int, text: str) -> Reply:
        """The shape of its errors."""
        return Reply(status=status, body=json.dumps({"detail": text}))

    def environment(self) -> dict[str, str]:
        """The variables that point a client here."""
        raise NotImplementedError

    def check(self, inputs: Mapping[str, Any]) -> None:
        """Refused where a submit breaks the contract."""
        raise NotImplementedError

    def body(self, *, video_url: str, first_frame_url: str | None, mode: str, prompt: str | None) -> dict[str, Any]:
        """What somebody else's client would send for this."""
        raise NotImplementedError

    def prompt_of(self, inputs: Mapping[str, Any]) -> str:
        """The prompt in a submit."""
        return str(inputs.get("prompt") or "")

    @classmethod
    def more_faults(cls) -> Mapping[str, Recipe]:
        """What can go wrong at this vendor alone."""
        return {}

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.settings.key, *self.settings.other_keys)

    def admit(self, call: Call) -> None:
        """Refused (401) without a good key, on the hosts that ask for one."""
        if call.origin in (Origin.OUTPUTS, Origin.BUCKET, Origin.ELSEWHERE):
            return
        if call.account not in self.keys:
            self.refuse(401, "Invalid API key" if call.account else "No API key was given")
        call.seen.admitted = True

    def refuse(self, status: int, text: str) -> NoReturn:
        raise Refused(self.error(status, text))

    def balance(self, account: str) -> float:
        return self.settings.credits - self.ledger.charged(account)

    def opened(self) -> None:
        """The hosts have their addresses."""
        self.storage.base = self.reference or f"{self.urls[Origin.OUTPUTS]}/assets/"

    async def accept(self, call: Call) -> Job:
        """The job of a JSON submit that keeps to the contract, in the ledger; Refused otherwise."""
        if call.request.content_type != "application/json":
            self.refuse(415, "Content-Type must be application/json")
        try:
            raw = await call.request.read()
            inputs = json.loads(raw)
        except ValueError:
            self.refuse(400, "The body is not valid JSON")
        if not isinstance(inputs, dict):
            self.refuse(400, "The body must be a JSON object")
        self.check(inputs)
        if self.balance(call.account) - self.ledger.reserved(call.account) < self.settings.price:
            self.refuse(402, "Insufficient credits")
        now = self.clock.now()
        no = self._no(inputs, call)
        job = self._job(inputs, account=call.account, at=now, no=no, seeded=False)
        self.ledger.accept(job)
        self.bodies[job.request_id] = raw
        return job

    def _job(self, inputs: Mapping[str, Any], *, account: str, at: float, no: No | None, seeded: bool) -> Job:
        starts_at = at + self.settings.queued_s
        job = Job(
            request_id=str(uuid.uuid4()),
            account=account,
            inputs=inputs,
            identity=self.storage.identity(inputs),
            accepted_at=at,
            starts_at=starts_at,
            ends_at=starts_at + self.settings.processing_s,
            price=self.settings.price,
            price_if_failed=self.settings.price_if_failed,
            video=encoded(self.settings.output),
            error=no.text if no else None,
            history_from=at if seeded else at + self.settings.history_delay_s,
            seeded=seeded,
        )
        self._codes[job.request_id] = no.code if no else ""
        return job

    def code_of(self, job: Job) -> str:
        """The vendor's code for why a job failed."""
        return self._codes[job.request_id]

    def _no(self, inputs: Mapping[str, Any], call: Call) -> No | None:
        planned = self.noes.get(call.fault.name) if call.fault else None
        if planned is not None and call.fault is not None:
            return planned._replace(text=call.fault.text or planned.text)
        prompt = self.prompt_of(inputs)
        return next((No(why) for text, why in self.settings.fail_prompts.items() if text in prompt), None)

    def seed(self, inputs: Mapping[str, Any], *, ago_s: float, error: str | None) -> Job:
        """A job that was accepted `ago_s` ago, without a request of the client under test."""
        no = No(error) if error else None
        job = self._job(inputs, account=self.settings.key, at=self.clock.now() - ago_s, no=no, seeded=True)
        self.ledger.accept(job)
        return job

    def job_of(self, call: Call) -> Job:
        """The job of a question; Refused (404) where the account has none of that id."""
        job = self.ledger.job(call.argument)
        if job is None or job.account != call.account:
            self.refuse(404, f"{call.argument} not found")
        return job

    def state_of(self, job: Job) -> State:
        """Where a job stands now."""
        return job.state(self.clock.now())

    def stamp(self, at: float) -> str:
        """A moment as the service's own clock tells it."""
        return iso(at + self.settings.clock_skew_s)

    def listed(self, call: Call) -> list[Job]:
        """The account's jobs that the history shows by now."""
        now = self.clock.now()
        jobs = [job for job in self.ledger.all_jobs if job.account == call.account and now >= job.history_from]
        return sorted(jobs, key=lambda job: job.accepted_at, reverse=not self.settings.oldest_first)

    def file_of(self, job: Job) -> bytes:
        """The output file of a job, byte for byte as it is served."""
        return unique(job.video, job.request_id)

    def url_of(self, job: Job) -> str:
        """A link to the output, minted now."""
        url = f"{self.urls[Origin.OUTPUTS]}/generations/{job.request_id}.mp4"
        return url if self.settings.link_life_s is None else f"{url}?at={self.clock.now():.3f}"

    async def download(self, call: Call) -> web.Response:
        """An output, or an asset, whole or the asked range."""
        folder, name = call.argument.split("/", 1)
        if folder == "assets" and (stored := self.storage.named(name)):
            return ranged(call, stored.content, stored.content_type)
        job = self.ledger.job(name.removesuffix(".mp4")) if folder == "generations" else None
        now = self.clock.now()
        if job is None or job.state(now) is not State.COMPLETED or now > job.ends_at + self.settings.file_life_s:
            self.refuse(404, "No such file")
        if self.settings.link_life_s is not None:
            minted = float(call.request.query.get("at", "0"))
            if now > minted + self.settings.link_life_s:
                self.refuse(403, "Request has expired")
        return ranged(call, self.file_of(job), "video/mp4")

    def ticket(self) -> str:
        """A presigned URL to PUT or POST a file's bytes to."""
        return f"{self.urls[Origin.BUCKET]}/put/{uuid.uuid4()}"

    def promise(self, content_type: str) -> tuple[str, str]:
        """A presigned URL to PUT a file's bytes to, and the URL the file will have."""
        ticket, name = self.ticket(), self.storage.new_name(content_type)
        self._promised[ticket.rsplit("/", 1)[-1]] = name
        return ticket, f"{self.storage.base}{name}"

    async def put(self, call: Call) -> web.Response:
        """The bytes of a presigned upload, alone (PUT) or in a form's `file` (POST)."""
        if call.request.content_type == "multipart/form-data":
            part = (await call.request.post()).get("file")
            if not isinstance(part, web.FileField):
                self.refuse(400, "the form has no file")
            with part.file as stream:
                content, kind = stream.read(), part.content_type
        else:
            content, kind = await call.request.read(), call.request.content_type
        url = self.storage.store(asset(content, kind), name=self._promised.get(call.argument))
        self._tickets[call.argument] = (url, self.clock.now() + self.settings.ingest_s)
        return web.Response(status=200)

    def put_at(self, ticket: str) -> str | None:
        """What the file sent to a presigned URL is called; None while nothing usable is there."""
        url, ready_at = self._tickets.get(ticket.rsplit("/", 1)[-1], ("", 0.0))
        return url or None if self.clock.now() >= ready_at else None

    async def elsewhere(self, call: Call) -> web.Response:
        """Serves files to whoever was lured here, and answers nothing else, so that leaks show."""
        _, _, path = call.request.path.partition("/")
        if not path.startswith(("assets/", "generations/")):
            self.refuse(404, "Not found")
        return await self.download(replace(call, argument=path))

    @classmethod
    def all_routes(cls) -> tuple[Route, ...]:
        """The vendor's own, and those of the hosts beside it."""
        file = "/((?:assets|generations)/[^/]+)"
        hosts = (
            (Origin.BUCKET, "PUT", "/put/([^/]+)", Kind.UPLOAD, cls.put),
            (Origin.BUCKET, "POST", "/put/([^/]+)", Kind.UPLOAD, cls.put),
            (Origin.OUTPUTS, "GET", file, Kind.DOWNLOAD, cls.download),
            (Origin.ELSEWHERE, "*", "/.*", Kind.ELSEWHERE, cls.elsewhere),
        )
        beside = (Route(origin=o, method=m, path=p, kind=k, handler=h) for o, m, p, k, h in hosts)
        return (*cls.routes(), *beside)

    @classmethod
    def catalogue(cls) -> dict[str, Recipe]:
        """The faults every vendor has under the same names, then its own."""
        return {**WIRE, **_faults_of(cls), **cls.more_faults()}


def route(method: str, path: str, kind: Kind, handler: Any, *, at: Origin = Origin.API) -> Route:
    """An endpoint of a vendor."""
    return Route(origin=at, method=method, path=path, kind=kind, handler=handler)


_NO_TEXTS: Mapping[int, str] = {
    400: "Malformed request",
    401: "Invalid API key",
    402: "Insufficient credits",
    403: "This account may not use the model",
    404: "Model not found",
    405: "Method not allowed",
    410: "The model has been retired",
    413: "The media is too large",
    422: "The parameters cannot be used together",
}


def _faults_of(vendor: type[Vendor]) -> dict[str, Recipe]:
    inside = Recipe(way=Way.INSIDE, on=PAID, takes_effect=True)
    faults = {
        f"error_{status}": Recipe(way=Way.ANSWER, reply=vendor.error(status, text))
        for status, text in _NO_TEXTS.items()
    }
    too_many = vendor.error(429, "Rate limit exceeded")
    for status in (408, 409, 425, 500):
        faults |= both(f"error_{status}", vendor.error(status, "Something went wrong"))
    return {
        **faults,
        "error_400_asset": Recipe(way=Way.ANSWER, reply=vendor.error(400, "Could not read $video_url")),
        "error_400_moderation": Recipe(
            way=Way.ANSWER, reply=vendor.error(400, "Moderation: the prompt is not allowed")
        ),
        "error_429_neither": Recipe(way=Way.ANSWER, reply=too_many),
        "error_429_retry_after": Recipe(way=Way.ANSWER, reply=replace(too_many, headers={"Retry-After": "$seconds"})),
        "foreign_urls": inside,
        **dict.fromkeys(vendor.noes, inside),
        "output_truncated": Recipe(way=Way.INSIDE, on=(Kind.DOWNLOAD,), takes_effect=True),
        "output_cut": Recipe(way=Way.CUT_BODY, on=(Kind.DOWNLOAD,), takes_effect=True),
        "output_html": Recipe(
            way=Way.ANSWER, on=(Kind.DOWNLOAD,), reply=Reply(status=200, body="<html>wait</html>", content_type=HTML)
        ),
        "output_redirect": Recipe(
            way=Way.ANSWER,
            on=(Kind.DOWNLOAD,),
            reply=Reply(status=302, body="", content_type=HTML, headers={"Location": "$elsewhere$path"}),
        ),
    }


class VendorStandIn(StandIn):
    """A vendor behind sockets; `settings` are the fields of its `Settings`."""

    vendor: ClassVar[type[Vendor]]
    no_route: ClassVar[Reply] = Reply(status=404, body='{"detail": "Not found"}')
    wrong_verb: ClassVar[Reply] = Reply(status=405, body='{"detail": "Method not allowed"}')
    clip_in_body: ClassVar[bytes] = rb'"(?:video|url|video_url|videoUrl|videoUri|file_id)":\s*"([^"]*)"'

    def __init_subclass__(cls) -> None:
        cls.origins = cls.vendor.origins
        cls.routes = cls.vendor.all_routes()

    def __init__(self, *, port: int = 0, faults: Iterable[str] = (), **settings: Any) -> None:
        super().__init__(self.vendor(Settings(**settings)), port=port, faults=faults)

    def key_in(self, request: web.Request) -> str:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        return key if scheme == self.vendor.scheme else ""

    def error(self, status: int, text: str) -> Reply:
        return self.vendor.error(status, text)

    def dressed(self, _call: Call, response: web.Response) -> web.Response:
        """A gateway's page keeps its status; so does whatever comes from another host than the vendor's own."""
        chosen = self.settings.errors_under_200
        under_200 = self.vendor.errors_under_200 if chosen is None else chosen
        own = _call.origin in (Origin.API, Origin.UPLOAD) and response.content_type == "application/json"
        if under_200 and own and response.status >= 400:
            response.set_status(200)
        return response

    def environment(self) -> dict[str, str]:
        found: dict[str, str] = self._service.environment()
        return found

    def body_of(self, request_id: str) -> bytes:
        """The body of the submit that made a job, byte for byte."""
        return bytes(self._service.bodies[request_id])

    def seed_fields(
        self,
        *,
        video_url: str,
        mode: str,
        first_frame_url: str | None = None,
        prompt: str | None = None,
        ago_s: float = 60.0,
    ) -> Job:
        """A job somebody else has made of these; see `seed`."""
        body = self._service.body(video_url=video_url, first_frame_url=first_frame_url, mode=mode, prompt=prompt)
        return self.seed(body, ago_s=ago_s)


def serve_by_hand(server: type[VendorStandIn]) -> None:
    """Serves until Ctrl-C, then prints the ledger."""
    parser = argparse.ArgumentParser(description=f"A stand-in for {server.vendor.name}, on loopback.")
    parser.add_argument("--port", type=int, default=8801)
    parser.add_argument("--fault", action="append", default=[], metavar="NAME[@KIND][:TIMES]")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long a job takes")
    chosen = parser.parse_args()
    with server(port=chosen.port, faults=chosen.fault, processing_s=chosen.seconds) as running:
        for name, value in running.environment().items():
            print(f"export {name}={value}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print(json.dumps(running.ledger.snapshot(), indent=2, ensure_ascii=False))
