"""What is known of clips and pictures."""

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoFacts:
    """What a video file is: pixels upright, `fps` a rational such as `24000/1001`."""

    width: int
    height: int
    fps: Fraction | None
    frames: int | None
    duration_s: float | None
    has_audio: bool
    bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipFacts:
    """What a service may mind about a clip beside its `video` facts: how it is stored."""

    video: VideoFacts
    container: str
    """`mp4`, `mov`, `mkv`, `webm`, `avi` or `ts`, by its bytes."""
    codec: str
    """As FFmpeg calls it: `h264`, `hevc`, `prores`, `vp9`."""
    bits: int
    """Of one colour of a pixel."""
    rotation: int = 0
    """Degrees, against the clock, by which a player has to turn what is stored."""
    pixel_shape: Fraction = Fraction(1)
    """A pixel's width by its height, as stored."""
    interlaced: bool = False
    hdr: bool = False
    """Whether its brightness is coded for HDR (PQ or HLG)."""
    steady: bool = True
    """Whether its frames are evenly spaced in time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameFacts:
    """A first frame beside the clip's own: sizes upright, in pixels."""

    width: int
    height: int
    clip_width: int
    clip_height: int
    equal: bool
    """Every pixel is the clip's own."""
    unedited: bool
    """Nothing but what saving it anew or scaling it does was done to it."""
    likeness: float | None
    """Of the shapes in it, whatever their colours: 1 the same, 0 unrelated; None where one of the two shows none."""
