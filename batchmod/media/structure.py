"""Reads how long a container says it is, so that a file that was cut short is found without decoding it."""

import os
from typing import BinaryIO, Final

_EBML_SEGMENT: Final = b"\x18\x53\x80\x67"
_TS_PACKET: Final = 188
_M2TS_PACKET: Final = 192
_BOX_HEADER: Final = 8


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
    """ISO/IEC 14496-12: 32-bit size and name; size 1 means a 64-bit size follows, 0 means to the end."""
    end, size = 0, _size(file)
    while end + 8 <= size:
        file.seek(end)
        header = file.read(16)
        length, name = int.from_bytes(header[:4], "big"), header[4:8]
        if length == 1:
            length = int.from_bytes(header[8:], "big")
        if length < _BOX_HEADER or not name.isascii():
            return None
        end += length
    return end


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
