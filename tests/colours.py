"""Clips of known colours: planes computed from the standards' own equations, so that no converter is trusted."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]

_PATCHES: Final = (
    ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)),
    ((0, 255, 255), (255, 0, 255), (255, 255, 255), (0, 0, 0)),
    ((128, 128, 128), (200, 120, 60), (60, 90, 160), (240, 200, 180)),
)
_WEIGHTS: Final[Mapping[str, tuple[float, float]]] = {"bt709": (0.2126, 0.0722), "bt601": (0.299, 0.114)}
"""Kr and Kb of ITU-R BT.709 and BT.601."""
_TAGS: Final = {"bt709": 1, "bt601": 6}
"""Of ITU-T H.273, table 4."""


def card(width: int, height: int) -> Rgb:
    """Twelve patches, no two alike: every turn and every wrong matrix shows."""
    picture = np.zeros((height, width, 3), np.uint8)
    for row, colours in enumerate(_PATCHES):
        for column, colour in enumerate(colours):
            picture[row * height // 3 : (row + 1) * height // 3, column * width // 4 : (column + 1) * width // 4] = (
                colour
            )
    return picture


def inside(picture: Rgb, *, turns: int = 0) -> Rgb:
    """The middles of the patches of a card turned by so many quarters, as they lie in an upright one."""
    upright = np.rot90(picture, -turns)
    height, width = upright.shape[:2]
    rows, columns = [height * k // 6 for k in (1, 3, 5)], [width * k // 8 for k in (1, 3, 5, 7)]
    return np.ascontiguousarray(upright[np.ix_(rows, columns)])


def write_card(
    path: Path,
    *,
    size: tuple[int, int] = (192, 108),
    matrix: str = "bt709",
    full: bool = False,
    bits: int = 8,
    rotation: int = 0,
    tagged: bool = True,
    frames: int = 3,
) -> Path:
    """A clip without loss whose frames are the card, coded by this matrix, range and depth."""
    path.parent.mkdir(parents=True, exist_ok=True)
    planes = _planes(card(*size), matrix=matrix, full=full, bits=bits)
    pixels = "yuv420p" if bits == 8 else f"yuv420p{bits}le"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"qp": "0", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        if tagged:
            stream.codec_context.colorspace = _TAGS[matrix]
            stream.codec_context.color_range = 2 if full else 1
        if rotation:
            stream.set_display_rotation(rotation)
        for _ in range(frames):
            container.mux(stream.encode(_frame(planes, pixels, size)))
        container.mux(stream.encode(None))
    return path


def _planes(rgb: Rgb, *, matrix: str, full: bool, bits: int) -> list[NDArray[np.uint16]]:
    red, green, blue = (rgb[..., channel] / 255 for channel in range(3))
    kr, kb = _WEIGHTS[matrix]
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    chroma = ((blue - luma) / (2 * (1 - kb)), (red - luma) / (2 * (1 - kr)))
    scale, most = 2 ** (bits - 8), 2**bits - 1
    bright, dark, wide = (most, 0, most) if full else (219 * scale, 16 * scale, 224 * scale)
    middle = 128 * scale
    thin = (wide * plane[::2, ::2] + middle for plane in chroma)
    return [np.rint(plane).clip(0, most).astype(np.uint16) for plane in (bright * luma + dark, *thin)]


def _frame(planes: list[NDArray[np.uint16]], pixels: str, size: tuple[int, int]) -> av.VideoFrame:
    frame = av.VideoFrame(*size, pixels)
    kind: Any = np.uint8 if pixels == "yuv420p" else np.dtype("<u2")
    for plane, values in zip(frame.planes, planes, strict=True):
        room = np.frombuffer(memoryview(plane), kind).reshape(plane.height, -1)
        room[:, : plane.width] = values
    return frame
