"""Drives any hosted dialect: sends its requests with the key, downloads, walks the history."""

import asyncio
import hashlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import parse_qs, urlsplit

from batchmod import clock, limits
from batchmod.errors import MissingExtra, StoppedEarly, StorageError
from batchmod.model import (
    Again,
    Blocked,
    Call,
    Done,
    Endpoints,
    Failed,
    HistoryRow,
    ProviderFacts,
    Reply,
    Request,
    Sent,
    Step,
    Wait,
    Work,
)
from batchmod.providers import steps
from batchmod.providers.base import Cancelled, Courier, Fetched, Progress, Secret, UploadShelf
from batchmod.providers.objects import Bringing, Objects, stored_in, with_signed, without_signed
from batchmod.reconcile import Walk
from batchmod.transport import BRIEFLY_S, Transport
from batchmod.urls import is_loopback_host, origin_of, without_query

_MOST_PAGES: Final = 1000
_LEAST_PAGE: Final = 20
"""So many rows a numbered page has by itself: a service that ignores the page may ignore the size that is asked for."""


class Dialect(Protocol):
    """A vendor's contract as pure functions; a module is one."""

    @property
    def FACTS(self) -> ProviderFacts:  # noqa: N802 - a module's constant
        """The vendor as data."""
        ...

    def key_headers(self, key: str) -> dict[str, str]:
        """The headers that carry the key."""
        ...

    def begin(self, work: Work, endpoints: Endpoints, uploads: Mapping[str, str]) -> Step:
        """The first step of a work; `uploads`: SHA-256 → URL of files that are already up."""
        ...

    def resume(self, work: Work, endpoints: Endpoints) -> Step:
        """The next step of a work whose request id is known."""
        ...

    def next_step(self, state: Any, reply: Reply | None) -> Step:
        """What follows from a reply, or from a wait that is over."""
        ...

    def saved(self, state: Any) -> dict[str, Any]:
        """What of a state the record keeps."""
        ...

    def history_request(
        self, endpoints: Endpoints, *, page: int, since: float, until: float, last: Reply | None = None
    ) -> Request | None:
        """A page of the history between two moments; None where there is no history, or no further page.

        `last`: the answer to the page before, which may hold a cursor.
        """
        ...

    def history_spans(self, since: float, now: float) -> Iterator[tuple[float, float]]:
        """The pieces of time the provider lets one ask for, newest first."""
        ...

    def history_rows(self, reply: Reply) -> list[HistoryRow] | None:
        """The rows of a history page; None where the answer is no such page."""
        ...

    def cancel_request(self, work: Work, endpoints: Endpoints) -> Request | None:
        """The wish that a running request be stopped; None where the provider knows none."""
        ...

    def balance_request(self, endpoints: Endpoints) -> Request | None:
        """The question for the balance; None where there is none to ask."""
        ...

    def balance_of(self, reply: Reply) -> float | None:
        """The balance in US dollars."""
        ...

    def http_date(self, text: str | None) -> float | None:
        """Unix seconds of a `Date` header."""
        ...


class Hosted:
    """A hosted provider at given endpoints, with a key that goes to those origins only."""

    def __init__(
        self,
        dialect: Dialect,
        *,
        endpoints: Endpoints,
        key: Secret,
        salt: str,
        shelf: UploadShelf,
        scratch: Path,
        courier: Courier | None = None,
    ) -> None:
        self.facts = dialect.FACTS
        self.origin = origin_of(endpoints.api)
        self._dialect = dialect
        self._endpoints = endpoints
        self.account = hashlib.sha256(f"{salt}:{key.value}".encode()).hexdigest()[:16]
        self.key_id = hashlib.sha256(key.value.encode()).hexdigest()
        self._key = key.value
        self._key_variable = key.variable
        self._secret = dialect.key_headers(key.value)
        self._origins = {origin_of(url) for url in (endpoints.api, endpoints.upload, endpoints.history) if url}
        self._near = is_loopback_host(urlsplit(endpoints.api).hostname or "")
        self._shelf = shelf
        self._scratch = scratch
        self._transport = Transport(user_agent=self.facts.user_agent)
        self._courier = courier
        self._uploading: dict[str, asyncio.Lock] = {}
        self._objects = Objects(scratch=scratch, near=self._near, takes_files=endpoints.upload is not None)

    @property
    def width(self) -> None:
        """What it takes at a time is a matter of limits."""

    def watch(self, progress: Progress) -> None:
        """These services do not say how far they are."""

    def begin(self, work: Work) -> Step:
        """The first step; files that are already up are not sent again, and objects in buckets are looked at."""
        if stored := stored_in(work.inputs):
            state = Bringing(work=work, inputs=work.inputs)
            return Call(request=Request(method="BRING", url=stored[0]), state=state)
        return self._begin(work)

    def _begin(self, work: Work) -> Step:
        uploads = {}
        for source in (work.inputs.get("video"), work.inputs.get("first_frame")):
            sha256 = source["sha256"] if source and source["local"] else None
            url = self._recalled(sha256) if sha256 else None
            if sha256 and url:
                uploads[sha256] = url
        return self._dialect.begin(work, self._endpoints, uploads)

    def _recalled(self, sha256: str) -> str | None:
        """Where a file is up already, if the provider still has it."""
        life = self.facts.upload_life_s
        return self._shelf.recall(self._upload_origin, sha256, since=0.0 if life is None else clock.now() - life)

    def resume(self, work: Work) -> Step:
        """The next step from the record."""
        return self._dialect.resume(work, self._endpoints)

    def forget_uploads(self, work: Work) -> None:
        """The provider did not find a file of this work where it was sent up."""
        for source in (work.inputs.get("video"), work.inputs.get("first_frame")):
            sha256 = source["sha256"] if source and source["local"] else None
            if source and not source["local"]:
                sha256 = self._objects.known_as(source["location"])
            if sha256:
                self._shelf.forget(self._upload_origin, sha256)

    def next(self, state: Any, reply: Reply | None) -> Step:
        """What follows from a reply."""
        if reply is not None and reply.ended is not None:
            return self._by_our_names(reply.ended)
        return self._by_our_names(self._dialect.next_step(state, reply))

    def _by_our_names(self, step: Step) -> Step:
        """A dialect names the provider's own variable; the key may be in another one."""
        own = self.facts.key_env
        if not isinstance(step, Blocked) or not own or own == self._key_variable:
            return step
        return replace(step, message=step.message.replace(own, self._key_variable))

    def request_id(self, state: Any) -> str | None:
        """The provider's id of the request, once there is one."""
        found = state.request_id
        return None if found is None else str(found)

    def saved(self, state: Any) -> dict[str, Any]:
        """What of a state the record keeps."""
        return {} if isinstance(state, Bringing) else self._dialect.saved(state)

    @property
    def _upload_origin(self) -> str:
        return origin_of(self._endpoints.upload or self._endpoints.api)

    async def send(self, call: Call) -> Reply:
        """Carry out a call; one file that several jobs need goes up once."""
        if isinstance(call.state, Bringing):
            return Reply(sent=Sent.ANSWERED, ended=await self._brought(call.state))
        sha256 = call.state.uploading
        if sha256 is None:
            return await self._send(call)
        async with self._uploading.setdefault(sha256, asyncio.Lock()):
            url = self._recalled(sha256)
            if url is None:
                step = await self._upload(call, sha256)
                url = step.state.uploads.get(sha256)
                if url is None:
                    return Reply(sent=Sent.ANSWERED, ended=step)
                self._shelf.remember(self._upload_origin, sha256, url)
            self._objects.used(steps.under_way(call.state)["location"])
            return Reply(sent=Sent.ANSWERED, status=200, uploaded_url=url)

    async def _brought(self, state: Bringing) -> Step:
        """The first step at the service, once every object of a work is there and can be had by it.

        What is wrong with one is known here, before anything could be paid for.
        """
        try:
            inputs = await self._objects.ready(state.inputs, is_up=lambda sha256: bool(self._recalled(sha256)))
        except MissingExtra as missing:
            return Blocked(state=state, slug=missing.slug, message=str(missing))
        except StorageError as error:
            if error.slug == "no_store_credentials":
                return Blocked(state=state, slug=error.slug, message=str(error))
            again = Again.UNREACHED if error.retry else Again.NEVER
            return Failed(state=state, slug=error.slug, message=str(error), again=again)
        except OSError as error:
            stopped = StoppedEarly.of(error)
            return Blocked(state=state, slug=stopped.slug, message=str(stopped))
        return self._begin(replace(state.work, inputs=inputs))

    async def _upload(self, call: Call, sha256: str) -> Step:
        """All requests of one upload; the step that follows the last of them."""
        step: Step = call
        asked = 0
        while step.state.uploading == sha256 and isinstance(step, Call | Wait):
            if isinstance(step, Call):
                step = self._dialect.next_step(step.state, await self._send(step))
            else:
                asked += 1
                await clock.sleep(limits.poll_delay(asked))
                step = self._dialect.next_step(step.state, None)
        return step

    async def _send(self, call: Call) -> Reply:
        request, signed = call.request, {}
        if (request.json or request.form) and (stored := stored_in(call.state.inputs)):
            try:
                found = await self._objects.sign(stored)
            except StorageError as error:
                return Reply(sent=Sent.NEVER_SENT, problem=str(error))
            if found is None:
                problem = f"{stored[0]} cannot be signed any more: have the credentials expired?"
                return Reply(sent=Sent.NEVER_SENT, problem=problem)
            request, signed = with_signed(request, found), found
        own = origin_of(request.url) in self._origins
        if not own and not self._near and not request.url.startswith("https://"):
            problem = f"the service asks for a file to be sent in the open: {without_query(request.url)}"
            return Reply(sent=Sent.NEVER_SENT, problem=problem)
        into = self._scratch / f"answer-{uuid.uuid4().hex}.part" if request.brings_file else None
        secret = self._secret if own else {}
        if self._courier is not None and request.method == "GET" and not call.paying and into is None:
            answer = await self._courier.send(request, secret_headers=secret, by=self._transport)
            return self._without_key(_without_signed(answer, signed))
        reply: Reply | None = None
        try:
            idle_s = BRIEFLY_S if call.paying else None
            reply = await self._transport.send(request, secret_headers=secret, idle_s=idle_s, into=into)
        finally:
            if into is not None and (reply is None or reply.file is None):
                into.unlink(missing_ok=True)  # what is cut is asked for again by its id
        return self._without_key(_without_signed(reply, signed))

    def _without_key(self, reply: Reply) -> Reply:
        """A service may repeat the key in its answer; it goes no further than here."""
        texts = (reply.problem, *reply.headers.values())
        if self._key.encode() not in reply.body and not any(self._key in text for text in texts):
            return reply
        return replace(
            reply,
            body=reply.body.replace(self._key.encode(), b"[key]"),
            headers={name: value.replace(self._key, "[key]") for name, value in reply.headers.items()},
            problem=reply.problem.replace(self._key, "[key]"),
        )

    async def collect(self, done: Done, part: Path) -> Fetched:
        """Download the output to `part`, the key does not go along; or take the file that came with the answer."""
        if "://" not in done.location:
            came = self._scratch / Path(done.location).name
            try:
                await asyncio.to_thread(came.replace, part)
            except FileNotFoundError:
                return Fetched(ok=False, problem="the file that came with the answer is gone", gone=True)
            return Fetched(ok=True)
        if self._courier is not None:
            got = await self._courier.download(done.location, part, loopback_allowed=self._near, by=self._transport)
        else:
            got = await self._transport.download(done.location, part, loopback_allowed=self._near, resume=True)
        return Fetched(ok=got.ok, problem=got.problem, retry=got.retry, gone=got.gone, sha256=got.sha256)

    async def cancel(self, work: Work) -> Cancelled:
        """Ask that a request be stopped, if it still runs: at some providers the same wish deletes what has ended."""
        wish = self._dialect.cancel_request(work, self._endpoints)
        if wish is None:
            return Cancelled(asked=False, problem=f"{self.facts.name} knows no way to stop a request")
        step, _ = await self._asked_once(work)
        if not isinstance(step, Wait):
            return Cancelled(asked=False, problem="it has ended by now: run again to collect it")
        if not step.state.seen:
            return Cancelled(asked=False, problem="whether it still runs cannot be asked now; nothing was stopped")
        reply = await self._send(Call(request=wish, state=step.state))
        if reply.sent is not Sent.ANSWERED or not 200 <= reply.status < 300:
            said = reply.problem or f"HTTP {reply.status}"
            return Cancelled(asked=False, problem=f"the service did not take it: {said}")
        _, status = await self._asked_once(work)
        return Cancelled(asked=True, gone=status == 404)

    async def _asked_once(self, work: Work) -> tuple[Step, int]:
        """What the provider says of a request now, and the last answer's status (0: none)."""
        step, status = self._dialect.next_step(self.resume(work).state, None), 0
        while isinstance(step, Call):
            reply = await self._send(step)
            step, status = self._dialect.next_step(step.state, reply), reply.status
        return step, status

    async def history(self, *, since: float, now: float) -> Walk | None:
        """Walk the history until its end or, where it is seen to be newest first, a row older than `since`.

        A short page that comes again is the end too: the service has one page and ignores which is asked for.
        """
        if self._endpoints.history is None or not self.facts.history:
            return None
        rows: list[HistoryRow] = []
        skew = 0.0
        for start, end in self._dialect.history_spans(since, now):
            last: Reply | None = None
            before: list[str] = []
            for page in range(1, _MOST_PAGES + 1):
                request = self._dialect.history_request(self._endpoints, page=page, since=start, until=end, last=last)
                if request is None:
                    break
                last = self._without_key(await self._transport.send(request, secret_headers=self._secret))
                found = self._dialect.history_rows(last)
                if found is None:
                    problem = last.problem or f"HTTP {last.status}, and no list of requests"
                    return Walk(rows=tuple(rows), complete=False, problem=f"the history cannot be read: {problem}")
                stamp = self._dialect.http_date(last.headers.get("date"))
                skew = skew if stamp is None else max(skew, abs(clock.now() - stamp) - 1.0)
                new = {row.request_id for row in found} - {row.request_id for row in rows}
                rows += found
                listed = [row.request_id for row in found]
                if not found or (listed == before and _is_short(request, found)):
                    break
                before = listed
                if not new:
                    problem = "the history cannot be read: it gives the same page again"
                    return Walk(rows=tuple(rows), complete=False, problem=problem)
                past = any(row.at is not None and row.at < since - skew for row in found)
                if past and page > 1 and _newest_first(rows):
                    return Walk(rows=tuple(rows), complete=True, skew_s=skew)
            else:
                problem = "the history cannot be read: it has no end"
                return Walk(rows=tuple(rows), complete=False, problem=problem)
        return Walk(rows=tuple(rows), complete=True, skew_s=skew)

    async def balance(self) -> float | None:
        """What is left on the account, if the service says so within two seconds."""
        request = self._dialect.balance_request(self._endpoints)
        if request is None:
            return None
        reply = self._without_key(await self._transport.send(request, secret_headers=self._secret))
        return self._dialect.balance_of(reply)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._transport.aclose()
        await asyncio.to_thread(self._objects.close)


def _without_signed(reply: Reply, signed: Mapping[str, str]) -> Reply:
    """A service may repeat the URLs it was given; signed ones go no further than here."""
    if not signed:
        return reply
    return replace(
        reply,
        body=without_signed(reply.body.decode("utf-8", "surrogateescape"), signed).encode("utf-8", "surrogateescape"),
        headers={name: without_signed(value, signed) for name, value in reply.headers.items()},
        problem=without_signed(reply.problem, signed),
    )


def _is_short(request: Request, rows: Sequence[HistoryRow]) -> bool:
    """Whether a numbered page has fewer rows than were asked for: given again, it is a whole list without pages."""
    asked = parse_qs(urlsplit(request.url).query).get("per_page", ["0"])[0]
    return len(rows) < min(int(asked), _LEAST_PAGE)


def _newest_first(rows: Sequence[HistoryRow]) -> bool:
    """Whether a walk came in that order, across its pages too: only then what follows an old row is older."""
    stamps = [row.at for row in rows if row.at is not None]
    return all(earlier <= later for later, earlier in pairwise(stamps)) and stamps[-1] < stamps[0]
