"""What the endpoints ask for, whichever form they were asked in."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from batchmod import clock
from batchmod.serve import contract, history
from batchmod.serve.contract import MEDIA, Refused
from batchmod.serve.door import Door, answers_to
from batchmod.serve.queue import File, Job, Queue, State
from batchmod.serve.settings import Settings
from batchmod.serve.store import ASSETS, OUTPUTS, NoRoomError, Store
from batchmod.serve.workshop import CLIP, FRAME, Workshop

_FILE: Final = re.compile(rf"/({ASSETS}|{OUTPUTS})/([\w-]{{43}}\.\w{{3,4}})", re.ASCII)
_SWEEP_S: Final = 60.0
_ROLES: Final = dict(zip(MEDIA, (CLIP, FRAME), strict=True))


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """One service at work."""

    settings: Settings
    door: Door
    port: int
    """Where it listens."""
    queue: Queue
    store: Store
    workshop: Workshop

    def accept(self, inputs: Mapping[str, Any], *, host: str) -> Job:
        """Put a submit into the queue; Refused where it breaks the contract, or there is no room for it.

        `host` is the Host that the client asked. What the inputs name of the service's own files is laid aside for
        the job, so that it does not expire while the job waits.
        """
        asked = contract.asked(inputs, self.settings.limits)
        if self.queue.waiting() >= self.settings.limits.queued:
            text = f"Rate limit exceeded: {self.settings.limits.queued} requests are waiting already"
            raise Refused(429, text, {"Retry-After": "10"})
        urls = {"video_url": asked.video_url, "first_frame_url": asked.first_frame_url}
        own = {field: self._own(field, url, host) for field, url in urls.items() if url is not None}
        request_id = str(uuid.uuid4())
        for field, file in own.items():
            if file is not None:
                self.store.lay_out(request_id, _ROLES[field], file)
        job = self.queue.accept(request_id, inputs, at=clock.now())
        self.workshop.take(job)
        return job

    def _own(self, field: str, url: str, host: str) -> File | None:
        """The service's own file that a URL names; None for a URL of anybody else's, Refused for one that is gone."""
        parts = urlsplit(url)
        if parts.netloc != host and not answers_to(self.door, parts.netloc, port=self.port):
            return None
        found = _FILE.fullmatch(parts.path)
        file = self.store.find(found[1], found[2], at=clock.now()) if found else None
        if file is None:
            raise Refused(
                400, f"Could not download {field} {url}: there is no such file here any more; upload it again"
            )
        return file[0]

    def adopt(self, arrived: Path) -> File:
        """Make an asset of an upload."""
        return self.store.adopt(arrived, at=clock.now())

    def job(self, request_id: str) -> Job:
        """A request by its id; Refused (404) for one that nobody knows."""
        job = self.queue.job(request_id)
        if job is None:
            raise contract.not_found(request_id)
        return job

    def status(self, request_id: str, base: str) -> tuple[int, dict[str, Any]]:
        """The HTTP status and the body of a status poll."""
        job = self.job(request_id)
        code = 422 if job.state is State.FAILED else 200
        return code, contract.status(job, base, self.workshop.standing(job))

    def result(self, request_id: str, base: str) -> tuple[int, dict[str, Any]]:
        """The HTTP status and the body of a result; before the end it is the status."""
        job = self.job(request_id)
        url = _url_of(job, base)
        return (200, contract.result(job, url=url)) if url else self.status(request_id, base)

    async def made(self, job: Job) -> tuple[Job, Path]:
        """Wait for a job's video; Refused (406, 500, 503) where there will be none."""
        if not await self.workshop.ended(job.request_id):
            raise Refused(503, f"The service is stopping; request {job.request_id} goes on when it starts again")
        ended = self.job(job.request_id)
        found = self.store.find(OUTPUTS, ended.output, at=clock.now()) if ended.output else None
        if found is None:
            raise Refused(406 if ended.of_input else 500, ended.error or "The video is gone")
        return ended, found[1]

    def history(self, query: Mapping[str, str], base: str) -> dict[str, Any]:
        """A page of the history."""
        asked = history.asked(query, now=clock.now())
        if asked.model not in contract.SLUG:
            return history.page([], 0, asked)
        jobs, total = self.queue.history(
            since=asked.since,
            until=asked.until,
            states=asked.states,
            newest_first=asked.newest_first,
            skip=asked.skip,
            take=asked.size,
        )
        return history.page([history.row(job, url=_url_of(job, base)) for job in jobs], total, asked)

    def history_of(self, request_id: str, base: str) -> dict[str, Any]:
        """One request as the history shows it."""
        job = self.job(request_id)
        return history.row(job, url=_url_of(job, base))

    def file(self, kind: str, name: str) -> tuple[File, Path]:
        """A file to be fetched; Refused (404)."""
        found = self.store.find(kind, name, at=clock.now())
        if found is None:
            raise Refused(404, "No such file, or its time is over")
        return found

    async def sweep_forever(self) -> None:
        """Remove what has had its time, once a minute."""
        while True:
            self.store.sweep(at=clock.now())
            await clock.sleep(_SWEEP_S)


def url_of(file: File, base: str) -> str:
    """Where a file can be fetched."""
    return f"{base}/{file.kind}/{file.name}"


def no_room(error: NoRoomError) -> Refused:
    """What is said where the service's files take all the room they may."""
    return Refused(507, str(error))


def _url_of(job: Job, base: str) -> str | None:
    return f"{base}/{OUTPUTS}/{job.output}" if job.output else None
