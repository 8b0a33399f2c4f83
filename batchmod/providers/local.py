"""The embedded engine behind the same face as any service: free, on this machine, in worker processes."""

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from batchmod import clock, files
from batchmod import work as workers
from batchmod.errors import MediaError, MissingExtra, StoppedEarly, StorageError
from batchmod.model import Blocked, Call, Done, Failed, ProviderFacts, Reply, Request, Sent, Step, Work
from batchmod.providers.base import Cancelled, Executor, Fetched, Progress
from batchmod.providers.objects import stored_in
from batchmod.reconcile import Walk
from batchmod.storage import Stores
from batchmod.urls import is_loopback_host, is_stored, without_query

if TYPE_CHECKING:  # the HTTP client is loaded only where a source is a URL
    from batchmod.transport import Transport

Result = TypeVar("Result")

_LOOK_EVERY_S: Final = 0.5
_LOOKS_PER_S: Final = 64.0
"""Of all works together: each is a question to the storage."""

_WAITS_S: Final = (1.0, 4.0, 15.0)
"""Before a store that could not be reached is asked again."""

_DEATHS: Final = 3
"""Workers that may die over one work until it is taken for the cause."""

_MACHINES: Final = 10
"""Machines that may go under one work: they do, where they are rented by the minute."""

FACTS: Final = ProviderFacts(
    name="local",
    title="the embedded engine: example-based synthesis on the CPU",
    hosted=False,
    fields=frozenset({"video_url", "first_frame_url", "mode", "prompt", "keyframes"}),
    typical_s_per_megapixel=0.65,
    cancel="yes",
    contract="none: it is part of batchmod",
    last_run_live="always",
    options_schema={"type": "object", "properties": {}, "additionalProperties": False},
)


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """What is to be made, and where it is put until it is whole."""

    work: Work
    part: Path
    sha256: str = ""
    """Of the file, once it is there."""


class Local:
    """The engine as a provider; `scratch` is a folder on the outputs' file system.

    `through`: a folder of a store where workers that do not see ours leave large outputs.
    """

    def __init__(self, *, executor: Executor, scratch: Path, through: str | None = None) -> None:
        self._through = through
        self.facts = FACTS
        self.origin = ""
        self.account = self.key_id = ""
        self._executor = executor
        self._progress: Progress = lambda *_: None
        self._scratch = scratch
        self._transport: Transport | None = None
        self._stores = Stores()
        self._watched_now = 0

    @property
    def width(self) -> int:
        """As many as its workers can take."""
        return self._executor.width

    def watch(self, progress: Progress) -> None:
        """Hear how many frames of a work are done."""
        self._progress = progress

    def begin(self, work: Work) -> Step:
        """One call does it all."""
        state = State(work=work, part=self._scratch / f"{work.work_id}.made")
        return Call(request=Request(method="MAKE", url=""), state=state, paying=True)

    def resume(self, work: Work) -> Step:
        """A local work never waits anywhere: it is made anew."""
        return self.begin(work)

    def forget_uploads(self, work: Work) -> None:
        """Nothing is ever sent up."""

    def next(self, state: Any, reply: Reply | None) -> Step:
        """The engine's answer."""
        if reply is None or reply.sent is not Sent.ANSWERED:
            message = reply.problem if reply else "the engine was not asked"
            return Failed(state=state, slug="engine_failed", message=message)
        answer = json.loads(reply.body)
        if "stop" in answer:
            return Blocked(state=state, slug=answer["stop"], message=answer["message"])
        if "slug" in answer:
            return Failed(state=state, slug=answer["slug"], message=answer["message"])
        state = replace(state, sha256=answer["sha256"])
        return Done(state=state, location=str(state.part), cost_usd=None, warnings=tuple(answer["warnings"]))

    def request_id(self, state: Any) -> str | None:
        """The engine gives none."""
        return None

    def saved(self, state: Any) -> dict[str, Any]:
        """Nothing needs to survive."""
        return {}

    async def send(self, call: Call) -> Reply:
        """Make the video in a worker."""
        state: State = call.state
        inputs = state.work.inputs
        state.part.unlink(missing_ok=True)
        try:
            answer = await self._answer(state, there=self._executor.is_elsewhere and bool(stored_in(inputs)))
        except MediaError as error:
            return _answered({"slug": error.slug, "message": str(error)})
        except (StoppedEarly, MissingExtra) as error:
            return _answered({"stop": error.slug, "message": str(error)})
        except Exception as error:  # noqa: BLE001 - one broken clip must not end the others; the text is shown
            return Reply(sent=Sent.UNKNOWN, problem=f"the engine failed: {type(error).__name__}: {error}")
        if isinstance(answer, workers.Refusal):
            return _answered({"slug": answer.slug, "message": answer.message})
        return _answered({"sha256": answer.sha256, "warnings": answer.warnings})

    async def _answer(self, state: State, *, there: bool) -> workers.Made | workers.Refusal:
        """What a worker says; `there`: it fetches objects itself, and where it cannot, they are fetched here."""
        inputs = state.work.inputs
        fetched = [state.part.with_suffix(suffix) for suffix in (".video", ".frame")]
        try:
            video = await self._at_hand(inputs["video"], fetched[0], there=there)
            frame = await self._at_hand(inputs["first_frame"], fetched[1], there=there)
            keyframes = inputs.get("keyframes")
            folder = keyframes["location"] if keyframes else None
            assert video is not None
            sources = (video, frame, folder)
            if self._executor.shares_files:
                answer = await self._watched(self._made(state, *sources), state)
            else:
                answer = await self._made_elsewhere(state, *sources)
        finally:
            for path in fetched:
                path.unlink(missing_ok=True)
        if there and isinstance(answer, workers.Refusal) and answer.slug == workers.UNREAD:
            return await self._answer(state, there=False)
        return answer

    async def _made(
        self, state: State, video: str, frame: str | None, keyframes: str | None
    ) -> workers.Made | workers.Refusal:
        """Made by a worker that sees our files, straight into its place."""
        inputs = state.work.inputs
        values = (video, str(state.part), inputs["mode"], inputs["prompt"], frame, keyframes)
        reads = tuple(path for path in (video, frame, keyframes) if path and not is_stored(path))
        return await self._by_a_worker(workers.modify, *values, reads=reads)

    async def _made_elsewhere(
        self, state: State, video: str, frame: str | None, keyframes: str | None
    ) -> workers.Made | workers.Refusal:
        """Made by a worker that does not see our files: they go there and back as bytes, while they are small."""
        inputs = state.work.inputs
        carried = await asyncio.to_thread(_carried, video, frame, keyframes)
        if isinstance(carried, workers.Refusal):
            return carried
        source, picture, edits = carried
        through = None if self._through is None else f"{self._through}/{uuid.uuid4().hex}.mp4"
        found = await self._by_a_worker(
            workers.modify_carried, source, inputs["mode"], inputs["prompt"], picture, edits, through
        )
        if isinstance(found, workers.Refusal):
            return found
        made, content = found
        if isinstance(content, bytes):
            await asyncio.to_thread(files.write_whole, state.part, lambda file: file.write(content))
        else:
            await self._taken(content, state.part)
        return made

    async def _taken(self, url: str, place: Path) -> None:
        """An output that a worker has left in the store: fetched, and removed there."""
        await self._object(url, place)
        with suppress(StorageError):  # one that stays is in nobody's way
            await asyncio.to_thread(self._stores.remove, url)

    async def _by_a_worker(self, function: Callable[..., Result], *values: object, reads: Sequence[str] = ()) -> Result:
        """Again where a worker is lost, until it seems that the work itself ends them."""
        deaths = machines = 0
        while True:
            try:
                return await self._executor.submit(function, *values, reads=reads)
            except workers.WorkerDied as died:
                deaths += not died.with_its_machine
                machines += died.with_its_machine
                if deaths >= _DEATHS or machines >= _MACHINES:
                    text = f"{deaths + machines} workers died over it, the last one so: {died}"
                    raise MediaError(text, slug="worker_died") from died

    async def _watched(self, made: Awaitable[Result], state: State) -> Result:
        """Wait for a worker, and pass on how far it is."""
        running = asyncio.ensure_future(made)
        said: tuple[int, int] | None = None
        self._watched_now += 1
        try:
            while not running.done():
                every_s = max(_LOOK_EVERY_S, self._watched_now / _LOOKS_PER_S)
                await asyncio.wait([running], timeout=every_s)
                now = await asyncio.to_thread(workers.told, f"{state.part}.progress")
                if now is not None and now != said:
                    said = now
                    self._progress(state.work, *now)
        finally:
            self._watched_now -= 1
            running.cancel()
        return await running

    async def _at_hand(self, source: Mapping[str, Any] | None, place: Path, *, there: bool) -> str | None:
        """A source as a local path: itself, or fetched to `place` where it is a URL; `there`: objects stay theirs."""
        if source is None or source["local"]:
            return source["location"] if source else None
        if is_stored(source["location"]):
            return str(source["location"]) if there else await self._object(source["location"], place)
        if self._transport is None:
            from batchmod.transport import Transport

            self._transport = Transport()
        url = str(source["location"])
        near = is_loopback_host(urlsplit(url).hostname or "")
        got = await self._transport.download(url, place, loopback_allowed=near)
        if not got.ok:
            message = f"{without_query(url)} could not be fetched: {got.problem}"
            raise MediaError(message, slug="source_unreachable")
        return str(place)

    async def _object(self, url: str, place: Path) -> str:
        """An object as a file of this machine; tried again while its store cannot be reached."""
        for wait_s in (*_WAITS_S, None):
            try:
                await asyncio.to_thread(self._stores.fetch, url, place)
            except StorageError as error:
                if not error.retry or wait_s is None:
                    raise MediaError(str(error), slug="source_unreachable") from error
                await clock.sleep(wait_s)
            else:
                break
        return str(place)

    async def collect(self, done: Done, part: Path) -> Fetched:
        """Take what the engine made."""
        try:
            await asyncio.to_thread(Path(done.location).replace, part)
        except FileNotFoundError:
            return Fetched(ok=False, problem="the engine's file is gone", gone=True)
        return Fetched(ok=True, sha256=done.state.sha256)

    async def cancel(self, work: Work) -> Cancelled:
        """Nothing runs once a run has ended."""
        return Cancelled(asked=False, problem="the engine stops with its run")

    async def history(self, *, since: float, now: float) -> Walk | None:
        """None: the record is all there is."""
        return None

    async def balance(self) -> float | None:
        """The engine is free."""
        return None

    async def close(self) -> None:
        """Stop the workers and let go of connections."""
        self._executor.close()
        if self._transport is not None:
            await self._transport.aclose()
        await asyncio.to_thread(self._stores.close)


def _carried(
    video: str, frame: str | None, keyframes: str | None
) -> tuple[workers.Carried | str, workers.Carried | str | None, Mapping[str, bytes] | None] | workers.Refusal:
    """The inputs as values, where they are not too large for that; objects go by their URLs."""
    edits = sorted(path for path in Path(keyframes).iterdir() if path.is_file()) if keyframes else []
    named = [each for each in (video, frame) if each is not None]
    all_of_them = [*(Path(each) for each in named if not is_stored(each)), *edits]
    if (size := sum(path.stat().st_size for path in all_of_them)) > workers.MOST_CARRIED:
        return workers.too_large_to_carry("the clip with its pictures", size)
    source, *pictures = (each if is_stored(each) else _as_value(Path(each)) for each in named)
    shots = {path.name: path.read_bytes() for path in edits}
    return source, pictures[0] if pictures else None, shots if keyframes else None


def _as_value(path: Path) -> workers.Carried:
    return workers.Carried(name=path.name, content=path.read_bytes())


def _answered(value: dict[str, Any]) -> Reply:
    return Reply(sent=Sent.ANSWERED, status=200, body=json.dumps(value).encode())
