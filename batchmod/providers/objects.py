"""Clips and pictures in buckets, for a service: signed where that can be, else fetched to be sent up."""

import asyncio
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from batchmod import clock, files
from batchmod.errors import StorageError
from batchmod.filetypes import media_type
from batchmod.model import Request, Work
from batchmod.storage import SIGNED_FOR_S, Stored, Stores
from batchmod.urls import is_stored

_ROLES: Final = ("video", "first_frame")
_WAITS_S: Final = (1.0, 4.0)
_MARK: Final = "stored-"


@dataclass(frozen=True, kw_only=True, slots=True)
class Bringing:
    """Where a job stands whose objects are looked at before anything is asked of the service."""

    work: Work
    inputs: Mapping[str, Any]
    uploading: str | None = None
    request_id: str | None = None


def stored_in(inputs: Mapping[str, Any]) -> tuple[str, ...]:
    """The objects among a request's sources, by their URLs."""
    sources = (inputs.get(role) for role in _ROLES)
    return tuple(each["location"] for each in sources if each and not each["local"] and is_stored(each["location"]))


@dataclass(kw_only=True, slots=True)
class Objects:
    """The objects of a run at one service; `near`: the service runs on this machine; `takes_files`: as uploads too."""

    scratch: Path
    near: bool
    takes_files: bool
    _stores: Stores = field(default_factory=Stores)
    _fetched: dict[str, tuple[Stored, Mapping[str, Any]]] = field(default_factory=dict)
    _busy: dict[str, asyncio.Lock] = field(default_factory=dict)

    async def sign(self, urls: tuple[str, ...]) -> dict[str, str] | None:
        """URL → a signed one, made now; None where one of them cannot be signed any more. Raises StorageError."""
        signed = {url: await asyncio.to_thread(self._signed, url) for url in urls}
        found = {url: its for url, its in signed.items() if its is not None}
        return found if len(found) == len(signed) else None

    def _signed(self, url: str) -> str | None:
        return self._stores.presign_public(url, SIGNED_FOR_S, near=self.near)

    async def ready(self, inputs: Mapping[str, Any], *, is_up: Callable[[str], bool]) -> dict[str, Any]:
        """The inputs with every object seen to be there; one that cannot be signed is a local file from here on.

        `is_up`: whether the file of a hash is at the service already: then it need not be on this disk.
        Raises StorageError, MissingExtra, and OSError of this machine's disk.
        """
        made = dict(inputs)
        for role in _ROLES:
            source = inputs.get(role)
            if source and not source["local"] and is_stored(source["location"]):
                made[role] = await self._ready(source, is_up)
        return made

    def known_as(self, url: str) -> str | None:
        """The SHA-256 of an object that was fetched."""
        found = self._fetched.get(url)
        return None if found is None else str(found[1]["sha256"])

    def used(self, path: str) -> None:
        """A file that was sent up needs no room here any more, if it is one of ours."""
        place = Path(path)
        if place.parent == self.scratch and place.name.startswith(_MARK):
            place.unlink(missing_ok=True)

    async def _seen(self, url: str) -> Stored:
        for wait_s in _WAITS_S:
            try:
                return await asyncio.to_thread(self._stores.seen, url)
            except StorageError as error:
                if not error.retry:
                    raise
            await clock.sleep(wait_s)
        return await asyncio.to_thread(self._stores.seen, url)

    async def _ready(self, source: Mapping[str, Any], is_up: Callable[[str], bool]) -> Mapping[str, Any]:
        url = source["location"]
        async with self._busy.setdefault(url, asyncio.Lock()):
            seen = await self._seen(url)
            if await asyncio.to_thread(self._signed, url) is not None:
                return source
            if not self.takes_files:
                message = (
                    f"{url} cannot be signed for a service that takes URLs alone: see who may sign (docs/storage.md)"
                )
                raise StorageError(message, slug="no_upload")
            before = self._fetched.get(url)
            if before is None or _differs(before[0], seen) or not (_is_there(before[1]) or is_up(before[1]["sha256"])):
                self._fetched[url] = await asyncio.to_thread(self._fetch, url, source)
            return self._fetched[url][1]

    def _fetch(self, url: str, source: Mapping[str, Any]) -> tuple[Stored, Mapping[str, Any]]:
        place = self.scratch / f"{_MARK}{uuid.uuid4().hex}"
        stored = self._stores.fetch(url, place)
        about = {"location": str(place), "local": True, "sha256": files.sha256_of(place)}
        return stored, {**source, **about, "media_type": media_type(place)}

    def close(self) -> None:
        """Let go of the connections; what is under way is given up."""
        self._stores.close()


def _is_there(source: Mapping[str, Any]) -> bool:
    return Path(source["location"]).exists()


def _differs(before: Stored, now: Stored) -> bool:
    return not now.etag or (before.etag, before.size) != (now.etag, now.size)


def with_signed(request: Request, signed: Mapping[str, str]) -> Request:
    """The request as it leaves, each object by its signed URL."""
    return replace(request, json=_put_in(request.json, signed), form=_put_in(request.form, signed))


def _put_in(value: Any, signed: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return signed.get(value, value)
    if isinstance(value, Mapping):
        return {name: _put_in(inner, signed) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_put_in(inner, signed) for inner in value]
    return value


def without_signed(text: str, signed: Mapping[str, str]) -> str:
    """A text in which a service may repeat what it was sent, with the objects' own URLs instead."""
    for url, its in signed.items():
        for written in (its, its.replace("&", "\\u0026"), its.replace("/", "\\/"), its.replace("&", "&amp;")):
            text = text.replace(written, url)
    return text
