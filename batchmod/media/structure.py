"""Reads how long a container says it is, so that a file that was cut short is found without decoding it."""

import os
from collections.abc import Iterator
from typing import BinaryIO, Final

_EBML_SEGMENT: Final = b"\x18\x53\x80\x67"
_TS_PACKET: Final = 188
_M2TS_PACKET: Final = 192
_BOX_HEADER: Final = 8
_MATRIX_AT: Final = {0: 40, 1: 52}
"""Where a track header of each version holds its matrix, after the name."""
_UPRIGHT: Final = b"".join(word.to_bytes(4, "big") for word in (0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000))
_LONGEST_INDEX: Final = 64 * 2**20
"""Bytes of an index that are read at once; that of a day of video is shorter, and who sends more may send 2 GB."""
_LENGTH_SIZE_AT: Final = {"h264": 4, "hevc": 21}
"""Where the decoder's configuration in an MP4 says how long the lengths of units are (ISO/IEC 14496-15)."""


def declared_size(file: BinaryIO, demuxer: str) -> int | None:
    """Bytes the file should have by its own boxes; None where the container does not say.

    A fragmented MP4 or a live Matroska cut exactly between two fragments says nothing.
    """
    match demuxer:
        case "mov":
            return _boxes_end(file)
        case "matroska":
            return _segment_end(file)
        case "avi":
            return _riff_end(file)
        case "mpegts":
            return _whole_packets(file)
        case _:
            return None


def _size(file: BinaryIO) -> int:
    return file.seek(0, os.SEEK_END)


def _boxes_end(file: BinaryIO) -> int | None:
    end = 0
    for name, start, length in _boxes(file):
        if length < _BOX_HEADER or not name.isascii():
            return None
        end = start + length
    return end


def _boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """ISO/IEC 14496-12: 32-bit size and name; size 1 means a 64-bit size follows, 0 means to the end.

    (name, first byte, length) of each outermost box; the last one is the first that has no sensible length.
    """
    start, size = 0, _size(file)
    while start + _BOX_HEADER <= size:
        file.seek(start)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:], "big")
        yield header[4:8], start, length
        if length < _BOX_HEADER:
            return
        start += length


def is_upright(file: BinaryIO) -> bool:
    """Whether every track of an MP4 is shown as it is stored, by the matrices of its index; False where none is found.

    False as well where the index is too long to be read at once. The matrix stands in the track header
    (ISO/IEC 14496-12, 8.3.2).
    """
    index = next(((start, length) for name, start, length in _boxes(file) if name == b"moov"), None)
    if index is None or index[1] > _LONGEST_INDEX:
        return False
    file.seek(index[0])
    headers = file.read(index[1]).split(b"tkhd")[1:]
    return bool(headers) and all(_matrix(header) == _UPRIGHT for header in headers)


def _matrix(header: bytes) -> bytes:
    at = _MATRIX_AT.get(header[0] if header else -1, 0)
    return header[at : at + len(_UPRIGHT)]


def is_chain(packet: bytes, *, codec: str, described: bytes | None) -> bool:
    """Whether a packet of H.264 or HEVC from an MP4 is filled by its units, as their own lengths say.

    `described`: the decoder's configuration there. Packets of other codecs are not looked at.
    """
    at = _LENGTH_SIZE_AT.get(codec, -1)
    if described is None or not 0 <= at < len(described) or described[0] != 1:
        return True
    width, start = (described[at] & 3) + 1, 0
    while start + width <= len(packet):
        length = int.from_bytes(packet[start : start + width], "big")
        if not length:
            return False
        start += width + length
    return start == len(packet)


def _segment_end(file: BinaryIO) -> int | None:
    """RFC 8794 and 9559: the EBML header, then the one Segment; all size bits set means unknown."""
    file.seek(4)
    header = _vint(file)
    if header is None:
        return None
    file.seek(header, os.SEEK_CUR)
    if file.read(4) != _EBML_SEGMENT:
        return None
    length = _vint(file)
    return None if length is None else file.tell() + length


def _vint(file: BinaryIO) -> int | None:
    """An EBML variable-length integer at the current place; None for the reserved unknown size."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    more = 8 - first[0].bit_length()
    value = int.from_bytes(bytes([first[0] & (0x7F >> more)]) + file.read(more), "big")
    return None if value == (1 << 7 * (more + 1)) - 1 else value


def _riff_end(file: BinaryIO) -> int | None:
    """OpenDML: one or more RIFF chunks, one after the other, padded to even lengths."""
    end, size = 0, _size(file)
    while end + 8 <= size:
        file.seek(end)
        header = file.read(8)
        length = int.from_bytes(header[4:], "little")
        if header[:4] != b"RIFF" or not length:
            break
        end += 8 + length
    return end or None


def _whole_packets(file: BinaryIO) -> int:
    file.seek(0)
    packet = _TS_PACKET if file.read(1) == b"\x47" else _M2TS_PACKET
    return -(-_size(file) // packet) * packet
