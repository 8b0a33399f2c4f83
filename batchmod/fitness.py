"""What a service may mind about a clip or a first frame, in words, and what can be done about it without loss."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from batchmod.model import ClipFacts, FrameFacts, ProviderFacts
from batchmod.planning import flaw_of

Field = Literal["video_url", "first_frame_url"]

_FORM: Final = "h264-1"
"""Of what `--fix` writes: another number would make other requests of clips that were prepared before."""
_SHORT_OF_S: Final = 0.1
"""So much under a service's limit ends a clip that was cut: a sound's last packet may be a little longer."""
_MOST_CUT: Final = 0.2
"""The share of a clip that may be cut off its end; more is not ours to decide."""
_SAME_SHAPE: Final = 0.01
_ALIKE: Final = 0.2
_SMALL: Final = 0.5
_EIGHT: Final = 8
_WORDS: Final = {
    "mp4": "MP4",
    "mov": "QuickTime (MOV)",
    "mkv": "Matroska (MKV)",
    "webm": "WebM",
    "avi": "AVI",
    "ts": "MPEG-TS",
    "h264": "H.264",
    "hevc": "H.265",
    "prores": "ProRes",
    "vp9": "VP9",
    "av1": "AV1",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Concern:
    """Something a service may mind; `field` of the row."""

    field: Field
    slug: str
    message: str
    hint: str | None = None
    mended: bool = False
    """Whether the recipe for the clip, where there is one, does away with it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How a clip is written anew: upright H.264 in MP4, cut at `until_s`."""

    until_s: float | None = None

    @property
    def text(self) -> str:
        """As it stands in the identity of what was made by it; it must never change for what it stands for."""
        return _FORM if self.until_s is None else f"{_FORM},to={self.until_s:g}"


def end_of(recipe: str) -> float | None:
    """Where a clip was cut that was written anew so, in seconds from its beginning; None where it was not."""
    _, mark, end = recipe.partition(",to=")
    return float(end) if mark else None


def recipe_of(clip: ClipFacts, facts: ProviderFacts) -> Recipe | None:
    """What makes a clip one that the service takes; None where it is one, or nothing would without changing it."""
    flaw = flaw_of(clip.video, facts)
    unfit = flaw is not None or _is_foreign(clip, facts)
    if not facts.hosted or not unfit or clip.hdr or (flaw and flaw.slug == "clip_too_short"):
        return None
    if flaw is None or flaw.slug != "clip_too_long":
        return Recipe()
    seconds, longest = clip.video.duration_s or 0.0, facts.max_clip_s or 0.0
    until = round(longest - _SHORT_OF_S, 3)
    return Recipe(until_s=until) if seconds - until <= _MOST_CUT * seconds else None


def _is_foreign(clip: ClipFacts, facts: ProviderFacts) -> bool:
    """Whether it is stored in another way than every service is sure to read."""
    odd_codec = clip.codec != "h264" or clip.bits > _EIGHT
    return odd_codec or bool(clip.rotation) or _is_odd_container(clip, facts)


def _is_odd_container(clip: ClipFacts, facts: ProviderFacts) -> bool:
    return clip.container not in (facts.containers or {"mp4", "mov"})


def concerns_of(clip: ClipFacts, facts: ProviderFacts) -> Iterator[Concern]:
    """What a hosted service may mind about a clip, beyond what it refuses."""
    if not facts.hosted:
        return
    yield from _format(clip, facts)
    if clip.rotation:
        message = f"it is stored turned by {clip.rotation} degrees: a service that overlooks the mark turns the result"
        yield Concern(field="video_url", slug="clip_rotated", message=message, mended=True)
    yield from _time(clip, facts)
    yield from _size(clip, facts)


def _format(clip: ClipFacts, facts: ProviderFacts) -> Iterator[Concern]:
    container, codec = _WORDS.get(clip.container, clip.container), _WORDS.get(clip.codec, clip.codec)
    if _is_odd_container(clip, facts):
        takes = " and ".join(_WORDS[name] for name in sorted(facts.containers or {"mp4", "mov"}))
        said = "names" if facts.containers else "is sure to take"
        message = f"it is {container} ({codec}); {facts.name} {said} {takes} only"
        yield Concern(field="video_url", slug="clip_format", message=message, mended=True)
    elif clip.codec != "h264" or clip.bits > _EIGHT:
        message = f"it is coded as {codec} of {clip.bits} bits; H.264 of 8 bits is what every service reads"
        yield Concern(field="video_url", slug="clip_format", message=message, mended=True)
    if clip.hdr:
        message = "it is HDR: its colours will look flat, in its first frame too"
        yield Concern(field="video_url", slug="clip_format", message=message, hint="export it for SDR (Rec. 709)")
    if clip.interlaced:
        message = "it is interlaced: moving edges will show a comb"
        yield Concern(field="video_url", slug="clip_format", message=message, hint="export it progressive")


def _time(clip: ClipFacts, facts: ProviderFacts) -> Iterator[Concern]:
    fps = clip.video.fps
    if fps is None or not clip.steady:
        message = "its frames are not evenly spaced (variable frame rate): the result's timing may differ from its own"
        yield Concern(
            field="video_url", slug="frame_rate", message=message, hint="export it with a constant frame rate"
        )
    elif facts.max_fps is not None and fps > facts.max_fps:
        message = f"it has {float(fps):.5g} frames a second; {facts.name} takes at most {facts.max_fps:g}"
        yield Concern(field="video_url", slug="frame_rate", message=message, hint="export it with fewer")


def _size(clip: ClipFacts, facts: ProviderFacts) -> Iterator[Concern]:
    width, height = clip.video.width, clip.video.height
    if facts.max_sides is not None:
        longest, shorter = facts.max_sides
        if max(width, height) > longest or min(width, height) > shorter:
            message = f"its frames have {width}x{height} pixels; {facts.name} takes at most {longest}x{shorter}"
            yield Concern(field="video_url", slug="clip_size", message=message, hint="scale it down")
    if clip.pixel_shape != 1:
        shape = f"{clip.pixel_shape.numerator}:{clip.pixel_shape.denominator}"
        message = f"its pixels are not square ({shape}): a service that overlooks it squeezes the result"
        yield Concern(field="video_url", slug="clip_size", message=message, hint="export it with square pixels")


def concern_of_frame(frame: FrameFacts) -> Concern | None:
    """What is odd about a first frame beside its clip's own: the gravest thing, since others follow from it."""
    given, own = f"{frame.width}x{frame.height}", f"{frame.clip_width}x{frame.clip_height}"
    if abs(frame.width * frame.clip_height / (frame.height * frame.clip_width) - 1) > _SAME_SHAPE:
        message = f"the first frame has another shape ({given}) than the clip ({own}): it will be cropped or stretched"
        return Concern(field="first_frame_url", slug="frame_shape", message=message, hint="make it the clip's")
    if frame.unedited:
        message = "the first frame is the clip's own, unedited: it asks for no change"
        return Concern(field="first_frame_url", slug="frame_unedited", message=message, hint="edit it, or leave it out")
    if frame.likeness is not None and frame.likeness < _ALIKE:
        message = "the first frame shows other shapes than the clip's own: is it another clip's?"
        return Concern(field="first_frame_url", slug="frame_unlike", message=message)
    if frame.width < _SMALL * frame.clip_width:
        message = f"the first frame ({given}) is much smaller than the clip ({own})"
        return Concern(field="first_frame_url", slug="frame_shape", message=message, hint="give it in the clip's size")
    return None
