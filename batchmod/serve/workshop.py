"""Carries jobs out: sources fetched and looked at, clips made on the engine, as many side by side as there are hands.

Each pair of hands is a process pool of one: a clip that kills its process takes no other one along. A job that was
worked on when the service ended, however it ended, is begun anew when it starts again.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from batchmod import clock, work
from batchmod.executors import Processes
from batchmod.serve import contract
from batchmod.serve.contract import Standing
from batchmod.serve.fetch import Fetcher, UnreachableError
from batchmod.serve.fitness import unfit_clip, unfit_picture
from batchmod.serve.queue import Job, Queue, State
from batchmod.serve.settings import Limits
from batchmod.serve.store import VIDEO_TYPE, NoRoomError, Store, kind_of

Result = TypeVar("Result")

CLIP: Final = "video"
FRAME: Final = "frame"
MADE: Final = "made.mp4"
_FETCHED_AT_A_TIME: Final = 4
_MOST_BEGINNINGS: Final = 3


class Unfit(Exception):
    """A job that fails, and whether that is because of what was sent."""

    def __init__(self, text: str, *, of_input: bool = True) -> None:
        super().__init__(text)
        self.of_input = of_input


@dataclass(frozen=True, kw_only=True, slots=True)
class _Bench:
    """What a job works with."""

    asked: contract.Asked
    clip: Path
    frame: Path | None
    made: Path


class Workshop:
    """The jobs of one service, for one event loop."""

    def __init__(
        self, *, queue: Queue, store: Store, fetcher: Fetcher, hands: Sequence[Processes], limits: Limits
    ) -> None:
        self._queue = queue
        self._store = store
        self._fetcher = fetcher
        self._hands = tuple(hands)
        self._limits = limits
        self._idle: asyncio.Queue[Processes] = asyncio.Queue()
        self._fetching = asyncio.Semaphore(_FETCHED_AT_A_TIME)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()

    def start(self) -> int:
        """Take up what an earlier service has left; how many that are."""
        for hand in self._hands:
            self._idle.put_nowait(hand)
        left = self._queue.unfinished()
        for job in left:
            self._queue.put_back(job.request_id, on_purpose=False)
            self.take(job)
        return len(left)

    def take(self, job: Job) -> None:
        """Have a job carried out when it is its turn."""
        task = asyncio.create_task(self._carried_out(job))
        self._tasks[job.request_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(job.request_id, None))

    def standing(self, job: Job) -> Standing:
        """How far an unfinished job is."""
        if job.state is State.QUEUED:
            return Standing(ahead=self._queue.ahead_of(job.request_id))
        done, frames = work.told(str(_progress_of(self._store.bench(job.request_id) / MADE))) or (0, 0)
        return Standing(frames_done=done, frames=frames)

    async def ended(self, request_id: str) -> bool:
        """Wait until a job has ended; False where the service is stopped before."""
        task = self._tasks.get(request_id)
        if task is not None:
            stopping = asyncio.ensure_future(self._stopping.wait())
            await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
        job = self._queue.job(request_id)
        return job is not None and job.state.ended

    def stop_waiting(self) -> None:
        """Whoever waits for a job is told that the service stops."""
        self._stopping.set()

    async def stop(self) -> int:
        """Stop all work at once; what is unfinished waits for the next start: how many that are."""
        self._stopping.set()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for hand in self._hands:
            hand.close()
        left = self._queue.unfinished()
        for job in left:
            self._queue.put_back(job.request_id, on_purpose=True)
        return len(left)

    async def _carried_out(self, job: Job) -> None:
        try:
            await self._made(job)
        except (Unfit, UnreachableError, contract.Refused) as error:
            self._fail(job, str(error), of_input=getattr(error, "of_input", True))
        except NoRoomError as error:
            self._fail(job, str(error), of_input=False)
        except OSError as error:
            self._fail(job, f"The service's disk failed: {error.strerror or type(error).__name__}", of_input=False)
        except Exception as error:  # noqa: BLE001 - one job must not end the others; its text is shown
            self._fail(job, f"The service failed: {type(error).__name__}: {error}", of_input=False)

    def _fail(self, job: Job, text: str, *, of_input: bool) -> None:
        self._queue.fail(job.request_id, text, of_input=of_input, at=clock.now())
        self._store.clear(job.request_id)

    async def _made(self, job: Job) -> None:
        if job.beginnings >= _MOST_BEGINNINGS:
            raise Unfit(f"The service ended {job.beginnings} times while it worked on this clip", of_input=False)
        bench = await self._laid_out(job)
        hand = await self._idle.get()
        try:
            # a video is seldom larger than the clips that are taken
            with self._store.room(self._limits.clip_bytes):
                made = await self._worked(job, bench, hand)
        finally:
            self._idle.put_nowait(hand)
        at = clock.now()
        output = await asyncio.to_thread(self._store.hand_out, bench.made, at=at)
        self._queue.complete(job.request_id, output, warnings=made.warnings, at=at)
        self._store.clear(job.request_id)

    async def _laid_out(self, job: Job) -> _Bench:
        """The job's sources, on its bench; what the service itself holds was laid there when it was accepted."""
        asked = contract.asked(job.inputs, self._limits)
        folder = self._store.bench(job.request_id)
        folder.mkdir(exist_ok=True)
        clip, frame = folder / CLIP, folder / FRAME if asked.first_frame_url else None
        await self._at_hand("video_url", asked.video_url, clip, self._limits.clip_bytes)
        if kind_of(clip).media_type != VIDEO_TYPE:
            raise Unfit(f"Value rejected: video_url is {kind_of(clip).words}; only MP4 videos are taken")
        if frame and asked.first_frame_url:
            await self._at_hand("first_frame_url", asked.first_frame_url, frame, self._limits.picture_bytes)
        return _Bench(asked=asked, clip=clip, frame=frame, made=folder / MADE)

    async def _at_hand(self, field: str, url: str, place: Path, most: int) -> None:
        if _is_there(place):
            return
        part = place.with_suffix(".part")
        async with self._fetching:
            with self._store.room(most):
                await self._fetcher.fetch(field, url, part, most=most)
        part.replace(place)

    async def _worked(self, job: Job, bench: _Bench, hand: Processes) -> work.Made:
        """The engine's work; a process that dies is replaced, and the clip tried again."""
        beginnings = job.beginnings
        while True:
            self._queue.begin(job.request_id, at=clock.now())
            beginnings += 1
            try:
                async with asyncio.timeout(self._limits.job_s):
                    await self._check(bench, hand)
                    return await self._modified(bench, hand)
            except work.WorkerDied:
                if beginnings >= _MOST_BEGINNINGS:
                    raise Unfit("The engine ended unexpectedly while it worked on this clip", of_input=False) from None
            except TimeoutError:
                hand.close()
                raise Unfit(f"The clip took the engine longer than {self._limits.job_s:g} seconds") from None
            except asyncio.CancelledError:
                hand.close()
                raise

    async def _check(self, bench: _Bench, hand: Processes) -> None:
        """Raise Unfit for a clip or picture that is broken or beyond a limit."""
        facts = _given(await hand.submit(work.verify_video, str(bench.clip), "container"), bench.clip.parent)
        if problem := unfit_clip(facts, self._limits):
            raise Unfit(problem)
        if bench.frame is not None:
            size = _given(await hand.submit(work.probe_image, str(bench.frame)), bench.frame.parent)
            if problem := unfit_picture(size, self._limits):
                raise Unfit(problem)

    async def _modified(self, bench: _Bench, hand: Processes) -> work.Made:
        _remove(bench.made, _progress_of(bench.made))
        frame = str(bench.frame) if bench.frame else None
        asked = bench.asked
        made = await hand.submit(work.modify, str(bench.clip), str(bench.made), asked.mode, asked.prompt, frame, None)
        if isinstance(made, work.Refusal):
            raise Unfit(_plain(made.message, bench.made.parent))
        return made


def _progress_of(made: Path) -> Path:
    """Where a worker says how far it is."""
    return made.with_name(f"{made.name}.progress")


def _is_there(place: Path) -> bool:
    return place.exists()


def _remove(*places: Path) -> None:
    for place in places:
        place.unlink(missing_ok=True)


def _given(answer: Result | work.Refusal, folder: Path) -> Result:
    """A worker's answer; Unfit where it is a refusal."""
    if isinstance(answer, work.Refusal):
        raise Unfit(f"Value rejected: {_plain(answer.message, folder)}")
    return answer


def _plain(message: str, folder: Path) -> str:
    """A message without the paths of this machine."""
    names: dict[str, str] = {str(folder / CLIP): "video_url", str(folder / FRAME): "first_frame_url"}
    for path, name in names.items():
        message = message.replace(path, name)
    return message.replace(str(folder), "the job")
