"""Turns a JPEG upright by the orientation tag of its EXIF block (TIFF 6.0, tag 274)."""

import struct
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

_ORIENTATION_TAG: Final = 274
_HEAD_BYTES: Final = 128 * 1024
_MARK, _APP1, _START_OF_SCAN = 0xFF, 0xE1, 0xDA
_UPRIGHT: Final = 1
_TRANSPOSED: Final = (5, 6, 7, 8)
_MIRRORED: Final = (2, 3, 6, 7)
_FLIPPED: Final = (3, 4, 7, 8)


def orientation(path: Path) -> int:
    """The EXIF orientation, 1 to 8; 1 (upright) where the file is no JPEG or says nothing sensible."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head.startswith(b"\xff\xd8"):
        return _UPRIGHT
    try:
        found = _from_tiff(_exif_block(head))
    except (struct.error, IndexError):
        return _UPRIGHT
    return found if found in (*_MIRRORED, *_FLIPPED, *_TRANSPOSED) else _UPRIGHT


def upright(rgb: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """The picture as it is meant to be seen: 2 to 8 are the mirrorings and quarter turns of EXIF."""
    if orientation in _TRANSPOSED:
        rgb = rgb.transpose(1, 0, 2)
    if orientation in _MIRRORED:
        rgb = rgb[:, ::-1]
    if orientation in _FLIPPED:
        rgb = rgb[::-1]
    return np.ascontiguousarray(rgb)


def _exif_block(jpeg: bytes) -> bytes:
    """The TIFF structure inside the APP1 segment; empty where there is none."""
    at = 2
    while jpeg[at] == _MARK and jpeg[at + 1] != _START_OF_SCAN:
        length = int.from_bytes(jpeg[at + 2 : at + 4], "big")
        segment = jpeg[at + 4 : at + 2 + length]
        if jpeg[at + 1] == _APP1 and segment.startswith(b"Exif\0\0"):
            return segment[6:]
        at += 2 + length
    return b""


def _from_tiff(tiff: bytes) -> int:
    order = ">" if tiff[:2] == b"MM" else "<"
    (start,) = struct.unpack_from(f"{order}I", tiff, 4)
    (entries,) = struct.unpack_from(f"{order}H", tiff, start)
    for index in range(entries):
        tag, _type, _count, value = struct.unpack_from(f"{order}HHIH", tiff, start + 2 + 12 * index)
        if tag == _ORIENTATION_TAG:
            return int(value)
    return _UPRIGHT
