"""Writes single pictures: PNG without loss, and small JPEG posters."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation
from numpy.typing import NDArray


def write_png(path: Path, rgb: NDArray[np.uint8]) -> None:
    """Write an HxWx3 uint8 picture as PNG, without loss."""
    path.write_bytes(png_of(rgb))


def png_of(rgb: NDArray[np.uint8]) -> bytes:
    """An HxWx3 uint8 picture as a PNG file, without loss."""
    return _encoded(_frame(rgb), "png")


def thumbnail_jpeg(rgb: NDArray[np.uint8], width: int) -> bytes:
    """The picture as a JPEG file `width` pixels wide in its own proportions, for posters in a report."""
    height = max(1, round(rgb.shape[0] * width / rgb.shape[1]))
    small = _frame(rgb).reformat(
        width=width,
        height=height,
        format="yuvj420p",
        interpolation=Interpolation.AREA,
        dst_color_range=ColorRange.JPEG,
    )
    return _encoded(small, "mjpeg")


def _frame(rgb: NDArray[np.uint8]) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")


def _encoded(frame: av.VideoFrame, codec: str) -> bytes:
    encoder = av.VideoCodecContext.create(codec, "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, frame.format.name
    encoder.time_base = Fraction(1, 25)
    encoder.sample_aspect_ratio = Fraction(1)  # else a PNG says that its pixels are 0 wide
    return b"".join(bytes(packet) for packet in (*encoder.encode(frame), *encoder.encode(None)))
