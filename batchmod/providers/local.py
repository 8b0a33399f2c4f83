"""The embedded engine behind the same face as any service: free, on this machine, in worker processes."""

import asyncio
import json
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from batchmod import work as workers
from batchmod.errors import MediaError
from batchmod.model import Call, Done, Failed, ProviderFacts, Reply, Request, Sent, Step, Work
from batchmod.providers.base import Cancelled, Executor, Fetched, Progress
from batchmod.reconcile import Walk
from batchmod.urls import is_loopback_host, without_query

if TYPE_CHECKING:  # the HTTP client is loaded only where a source is a URL
    from batchmod.transport import Transport

Result = TypeVar("Result")

_LOOK_EVERY_S: Final = 0.5

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


class Local:
    """The engine as a provider; `scratch` is a folder on the outputs' file system."""

    def __init__(self, *, executor: Executor, scratch: Path) -> None:
        self.facts = FACTS
        self.origin = ""
        self.account = self.key_id = ""
        self._executor = executor
        self._progress: Progress = lambda *_: None
        self._scratch = scratch
        self._transport: Transport | None = None

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
        if "slug" in answer:
            return Failed(state=state, slug=answer["slug"], message=answer["message"])
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
            video = await self._at_hand(inputs["video"], state.part.with_suffix(".video"))
            frame = await self._at_hand(inputs["first_frame"], state.part.with_suffix(".frame"))
            keyframes = inputs.get("keyframes")
            folder = keyframes["location"] if keyframes else None
            made = self._executor.submit(
                workers.modify, video, str(state.part), inputs["mode"], inputs["prompt"], frame, folder
            )
            answer = await self._watched(made, state)
        except MediaError as error:
            return _answered({"slug": error.slug, "message": str(error)})
        except Exception as error:  # noqa: BLE001 - one broken clip must not end the others; the text is shown
            return Reply(sent=Sent.UNKNOWN, problem=f"the engine failed: {type(error).__name__}: {error}")
        if isinstance(answer, workers.Refusal):
            return _answered({"slug": answer.slug, "message": answer.message})
        return _answered({"frames": answer.frames, "look": answer.look, "warnings": answer.warnings})

    async def _watched(self, made: Awaitable[Result], state: State) -> Result:
        """Wait for a worker, and pass on how far it is."""
        running = asyncio.ensure_future(made)
        said: tuple[int, int] | None = None
        try:
            while not running.done():
                await asyncio.wait([running], timeout=_LOOK_EVERY_S)
                now = await asyncio.to_thread(workers.told, f"{state.part}.progress")
                if now is not None and now != said:
                    said = now
                    self._progress(state.work, *now)
        finally:
            running.cancel()
        return await running

    async def _at_hand(self, source: Mapping[str, Any] | None, place: Path) -> str | None:
        """A source as a local path: itself, or fetched to `place` where it is a URL."""
        if source is None or source["local"]:
            return source["location"] if source else None
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

    async def collect(self, done: Done, part: Path) -> Fetched:
        """Take what the engine made."""
        try:
            await asyncio.to_thread(Path(done.location).replace, part)
        except FileNotFoundError:
            return Fetched(ok=False, problem="the engine's file is gone", gone=True)
        return Fetched(ok=True)

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


def _answered(value: dict[str, Any]) -> Reply:
    return Reply(sent=Sent.ANSWERED, status=200, body=json.dumps(value).encode())
