"""Whether a clip and a picture are within the limits, from their facts alone."""

from batchmod.model import VideoFacts
from batchmod.serve.settings import Limits


def unfit_clip(facts: VideoFacts, limits: Limits) -> str | None:
    """What speaks against a clip, or None; `facts.frames` must have been counted, not read from its header."""
    if facts.bytes > limits.clip_bytes:
        return f"Value rejected: video_url has {facts.bytes} bytes; at most {limits.clip_bytes} are taken"
    if facts.duration_s is not None and facts.duration_s > limits.clip_s:
        return f"Value rejected: video_url is {facts.duration_s:.2f} s long; at most {limits.clip_s:g} s are taken"
    if facts.frames is not None and facts.frames > limits.frames:
        return f"Value rejected: video_url has {facts.frames} frames; at most {limits.frames} are taken"
    return _unfit_size("video_url", facts.width, facts.height, limits)


def unfit_picture(size: tuple[int, int], limits: Limits) -> str | None:
    """What speaks against an edited first frame of this width and height, or None."""
    return _unfit_size("first_frame_url", *size, limits)


def _unfit_size(field: str, width: int, height: int, limits: Limits) -> str | None:
    if width * height <= limits.frame_pixels:
        return None
    return f"Value rejected: {field} is {width}x{height}; at most {limits.frame_pixels} pixels are taken, scale it down"
