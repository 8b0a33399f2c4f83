"""Brings decoded frames to a copy's size, pixel format and colours, in one pass of FFmpeg's own filters."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import av
from av.filter import Graph
from av.video.reformatter import ColorRange

from batchmod.media.conform.colours import Colours, colours_of
from batchmod.media.conform.shapes import Placing, Shape

_TURNS: Final = {90: (("transpose", "cclock"),), 180: (("hflip", ""), ("vflip", "")), 270: (("transpose", "clock"),)}
_EVENLY_SAMPLED: Final = "yuv420p|yuv444p|yuv420p10le|yuv444p10le|yuv420p12le|yuv444p12le|gbrp|rgb24"
"""Formats whose chroma is as fine across as down: a quarter turn keeps it."""
_SCALER: Final = "lanczos+accurate_rnd+full_chroma_int+full_chroma_inp"

Step = tuple[str, str]
"""A filter and its arguments."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """What frames become."""

    shape: Shape
    placing: Placing
    colours: Colours
    pixel_format: str


class Refitting:
    """Frames of one clip, one after the other; the chain is built anew where they change in the middle."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._graph: Graph | None = None
        self._of: tuple[object, ...] = ()

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame as the copy shows it."""
        colours = colours_of(frame)
        of = (frame.width, frame.height, frame.format.name, frame.rotation, colours)
        if self._graph is None or of != self._of:
            self._graph, self._of = _graph(frame, _steps(colours, frame.rotation, self._target)), of
        frame.pts = None
        self._graph.vpush(frame)
        made, into = self._graph.vpull(), self._target.colours
        made.color_primaries, made.color_trc, made.colorspace = into.primaries, into.transfer, into.matrix
        made.color_range = ColorRange.JPEG if into.full else ColorRange.MPEG
        return made


def _steps(colours: Colours, rotation: int, target: Target) -> list[Step]:
    turns = _TURNS.get(rotation % 360, ())
    upright: list[Step] = [("format", f"pix_fmts={_EVENLY_SAMPLED}"), *turns] if turns else []
    return [*upright, *_resized(colours, target)]


def _resized(colours: Colours, target: Target) -> list[Step]:
    placing, shape, into = target.placing, target.shape, target.colours
    scale = (
        f"w={placing.width}:h={placing.height}:flags={_SCALER}"
        f":in_color_matrix={colours.matrix_name}:out_color_matrix={into.matrix_name}"
        f":in_range={colours.range_name}:out_range={into.range_name}"
    )
    steps: list[Step] = [("scale", scale), ("format", f"pix_fmts={target.pixel_format}")]
    if placing.changed == "padded":
        steps.append(("pad", f"w={shape.width}:h={shape.height}:x=-1:y=-1:color=black"))
    elif placing.changed == "cropped":
        steps.append(("crop", f"w={shape.width}:h={shape.height}"))
    return [*steps, ("setsar", f"sar={shape.pixel.numerator}/{shape.pixel.denominator}")]


def _graph(frame: av.VideoFrame, steps: Sequence[Step]) -> Graph:
    graph = Graph()
    nodes = [graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)]
    nodes += [graph.add(name, arguments) for name, arguments in steps]
    graph.link_nodes(*nodes, graph.add("buffersink")).configure()
    return graph
