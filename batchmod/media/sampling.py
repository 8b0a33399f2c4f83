"""A clip reduced to what can be compared with another one: few small frames, and grey glances at even distances."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from batchmod.errors import MediaError
from batchmod.media.containers import OpenVideo, open_video
from batchmod.media.reading import decoded, facts, frame_rate, matrix_of, rising_pts
from batchmod.model import VideoFacts

_ACCURATE: Final = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
GLANCE: Final = (64, 36)
"""Width and height of a glance; frames of another shape are stretched to it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """A small frame: `rgb` is HxWx3 uint8, upright; `at_s` counts from the clip's first frame."""

    at_s: float
    rgb: NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampled:
    """What was taken of a clip: for each time that was wanted the frame nearest to it, as far as the clip reaches."""

    facts: VideoFacts
    """With the frames counted."""
    pictures: tuple[Taken, ...]
    glances: tuple[NDArray[np.uint8], ...]
    """Luma, 36x64."""


def sample(path: Path, *, pictures: Sequence[float], glances: Sequence[float], size: tuple[int, int]) -> Sampled:
    """Go through a clip once, and keep the frames at these times (seconds from its first frame on; they rise).

    `size`: width and height of the pictures; another shape is stretched. Every frame is decoded, in one thread, and
    only what is kept is made RGB. Raises MediaError as `probe_video` does.
    """
    small, tiny = _Shrinker(size, "rgb24"), _Shrinker(GLANCE, "gray")
    taken: list[Taken] = []
    seen: list[NDArray[np.uint8]] = []
    first: av.VideoFrame | None = None
    count = 0
    with open_video(path) as video:
        for frame, at_s, until_s in _timed(path, video):
            first = first or frame
            count += 1
            if times := _due(pictures, len(taken), until_s):
                taken += [Taken(at_s=at_s, rgb=small(frame))] * times
            if times := _due(glances, len(seen), until_s):
                seen += [tiny(frame)] * times
        if first is None:
            raise MediaError(f"{path} has no frame in it; fetch or export it again", slug="broken_video")
        return Sampled(facts=facts(video, first, count), pictures=tuple(taken), glances=tuple(seen))


def _timed(path: Path, video: OpenVideo) -> Iterator[tuple[av.VideoFrame, float, float]]:
    """Each frame with its time from the first one, and the time from which on the next one is nearer."""
    rate = frame_rate(video.stream)
    base = video.stream.time_base or 1 / rate
    step = max(1, round(1 / (rate * base)))
    video.stream.thread_count = 1
    start, last, waiting = 0, None, None
    for frame in decoded(path, video):
        pts = rising_pts(frame.pts, last, step)
        if waiting is None or last is None:
            start = pts
        else:
            yield waiting, float((last - start) * base), float(((last + pts) / 2 - start) * base)
        waiting, last = frame, pts
    if waiting is not None and last is not None:
        yield waiting, float((last - start) * base), float((last + step - start) * base)


def _due(times: Sequence[float], done: int, until_s: float) -> int:
    """How many of the times that are still open come before that one."""
    count = 0
    while done + count < len(times) and times[done + count] < until_s:
        count += 1
    return count


class _Shrinker:
    """Makes frames small, upright and of one kind, each pixel the mean of those it covers."""

    def __init__(self, size: tuple[int, int], kind: str) -> None:
        self._size = size
        self._kind = kind
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        lying = frame.rotation % 180 != 0
        width, height = self._size[::-1] if lying else self._size
        small = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format=self._kind,
            src_colorspace=matrix_of(frame),
            interpolation=_ACCURATE,
        )
        return np.ascontiguousarray(np.rot90(small.to_ndarray(), frame.rotation // 90))
