"""Drives any hosted dialect: sends its requests with the key, downloads, walks the history."""

import asyncio
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from batchmod import clock
from batchmod.model import (
    Call,
    Done,
    Endpoints,
    FileAsDataUrl,
    HistoryRow,
    ProviderFacts,
    Reply,
    Request,
    Sent,
    Step,
    Work,
)
from batchmod.providers.base import Fetched, Progress, UploadShelf
from batchmod.reconcile import Walk
from batchmod.transport import Transport
from batchmod.urls import is_loopback_host, origin_of

_MOST_PAGES: Final = 1000


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

    def history_request(self, endpoints: Endpoints, *, page: int, since: float, until: float) -> Request | None:
        """A page of the history between two moments, newest first; None where there is no history."""
        ...

    def history_spans(self, since: float, now: float) -> Iterator[tuple[float, float]]:
        """The pieces of time the provider lets one ask for, newest first."""
        ...

    def history_rows(self, reply: Reply) -> list[HistoryRow] | None:
        """The rows of a history page; None where the answer is no such page."""
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

    def __init__(self, dialect: Dialect, *, endpoints: Endpoints, key: str, salt: str, shelf: UploadShelf) -> None:
        self.facts = dialect.FACTS
        self.origin = origin_of(endpoints.api)
        self._dialect = dialect
        self._endpoints = endpoints
        self.account = hashlib.sha256(f"{salt}:{key}".encode()).hexdigest()[:16]
        self._key = key
        self._secret = dialect.key_headers(key)
        self._origins = {origin_of(url) for url in (endpoints.api, endpoints.upload, endpoints.history) if url}
        self._shelf = shelf
        self._transport = Transport()
        self._uploading: dict[str, asyncio.Lock] = {}

    def watch(self, progress: Progress) -> None:
        """These services do not say how far they are."""

    def begin(self, work: Work) -> Step:
        """The first step; files that are already up are not sent again."""
        uploads = {}
        for source in (work.inputs.get("video"), work.inputs.get("first_frame")):
            sha256 = source["sha256"] if source and source["local"] else None
            url = self._shelf.recall(self._upload_origin, sha256) if sha256 else None
            if sha256 and url:
                uploads[sha256] = url
        return self._dialect.begin(work, self._endpoints, uploads)

    def resume(self, work: Work) -> Step:
        """The next step from the record."""
        return self._dialect.resume(work, self._endpoints)

    def forget_uploads(self, work: Work) -> None:
        """The provider did not find a file of this work where it was sent up."""
        for source in (work.inputs.get("video"), work.inputs.get("first_frame")):
            if source and source["local"]:
                self._shelf.forget(self._upload_origin, source["sha256"])

    def next(self, state: Any, reply: Reply | None) -> Step:
        """What follows from a reply."""
        return self._dialect.next_step(state, reply)

    def request_id(self, state: Any) -> str | None:
        """The provider's id of the request, once there is one."""
        found = state.request_id
        return None if found is None else str(found)

    def saved(self, state: Any) -> dict[str, Any]:
        """What of a state the record keeps."""
        return self._dialect.saved(state)

    @property
    def _upload_origin(self) -> str:
        return origin_of(self._endpoints.upload or self._endpoints.api)

    async def send(self, call: Call) -> Reply:
        """Carry out a call; one file that several jobs need goes up once."""
        leaf = _file_in(call.request.json)
        if leaf is None:
            return await self._send(call)
        async with self._uploading.setdefault(leaf.sha256, asyncio.Lock()):
            url = self._shelf.recall(self._upload_origin, leaf.sha256)
            if url is not None:
                return Reply(sent=Sent.ANSWERED, status=200, uploaded_url=url)
            reply = await self._send(call)
            uploads = self._dialect.next_step(call.state, reply).state.uploads
            if leaf.sha256 in uploads:
                self._shelf.remember(self._upload_origin, leaf.sha256, uploads[leaf.sha256])
            return reply

    async def _send(self, call: Call) -> Reply:
        own = origin_of(call.request.url) in self._origins
        secret = self._secret if own else {}
        return self._without_key(await self._transport.send(call.request, secret_headers=secret, fresh=call.paying))

    def _without_key(self, reply: Reply) -> Reply:
        """A service may repeat the key in its answer; it goes no further than here."""
        if self._key.encode() not in reply.body and self._key not in str(reply.headers) + reply.problem:
            return reply
        return replace(
            reply,
            body=reply.body.replace(self._key.encode(), b"[key]"),
            headers={name: value.replace(self._key, "[key]") for name, value in reply.headers.items()},
            problem=reply.problem.replace(self._key, "[key]"),
        )

    async def collect(self, done: Done, part: Path) -> Fetched:
        """Download the output to `part`; the key does not go along."""
        local = is_loopback_host(urlsplit(self._endpoints.api).hostname or "")
        got = await self._transport.download(done.location, part, loopback_allowed=local, resume=True)
        return Fetched(ok=got.ok, problem=got.problem, retry=got.retry, gone=got.gone)

    async def history(self, *, since: float, now: float) -> Walk | None:
        """Walk the history until its end or, where it is seen to be newest first, a row older than `since`."""
        if self._endpoints.history is None:
            return None
        rows: list[HistoryRow] = []
        skew = 0.0
        for start, end in self._dialect.history_spans(since, now):
            for page in range(1, _MOST_PAGES + 1):
                request = self._dialect.history_request(self._endpoints, page=page, since=start, until=end)
                assert request is not None
                reply = self._without_key(await self._transport.send(request, secret_headers=self._secret))
                found = self._dialect.history_rows(reply)
                if found is None:
                    problem = reply.problem or f"HTTP {reply.status}, and no list of requests"
                    return Walk(rows=tuple(rows), complete=False, problem=f"the history cannot be read: {problem}")
                stamp = self._dialect.http_date(reply.headers.get("date"))
                skew = skew if stamp is None else max(skew, abs(clock.now() - stamp) - 1.0)
                new = {row.request_id for row in found} - {row.request_id for row in rows}
                rows += found
                if not found:
                    break
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
        reply = await self._transport.send(request, secret_headers=self._secret)
        return self._dialect.balance_of(reply)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._transport.aclose()


def _file_in(value: Any) -> FileAsDataUrl | None:
    """The file leaf of a body, if it has one."""
    if isinstance(value, FileAsDataUrl):
        return value
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        return next((leaf for item in value if (leaf := _file_in(item)) is not None), None)
    return None


def _newest_first(rows: Sequence[HistoryRow]) -> bool:
    """Whether a walk came in that order, across its pages too: only then what follows an old row is older."""
    stamps = [row.at for row in rows if row.at is not None]
    return all(earlier <= later for later, earlier in pairwise(stamps)) and stamps[-1] < stamps[0]
