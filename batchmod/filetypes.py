"""Tells what a file is from its first bytes, since FFmpeg opens what it recognises whatever the name says."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

HEAD_BYTES: Final = 4096
"""How much of a file `sniff` wants to see."""

MEDIA_TYPES: Final = {
    "mov": "video/mp4",
    "matroska": "video/x-matroska",
    "avi": "video/x-msvideo",
    "mpegts": "video/mp2t",
    "png_pipe": "image/png",
    "jpeg_pipe": "image/jpeg",
    "webp_pipe": "image/webp",
    "bmp_pipe": "image/bmp",
    "tiff_pipe": "image/tiff",
}
"""Demuxer → what a request calls such a file."""

_TS_PACKET: Final = 188
_M2TS_PACKET: Final = 192
_QUICKTIME_ATOMS: Final = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_PICTURE_BRANDS: Final = (b"avif", b"avis", b"heic", b"heix", b"hevc", b"mif1", b"msf1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """What a file is: in words, and the one demuxer allowed to open it as a video or as an image."""

    words: str
    video: str | None = None
    image: str | None = None


_BY_START: Final[tuple[tuple[bytes, Kind], ...]] = (
    (b"\x1a\x45\xdf\xa3", Kind(words="a Matroska or WebM file", video="matroska")),
    (b"\x89PNG\r\n\x1a\n", Kind(words="a PNG picture", image="png_pipe")),
    (b"\xff\xd8\xff", Kind(words="a JPEG picture", image="jpeg_pipe")),
    (b"BM", Kind(words="a BMP picture", image="bmp_pipe")),
    (b"II*\0", Kind(words="a TIFF picture", image="tiff_pipe")),
    (b"MM\0*", Kind(words="a TIFF picture", image="tiff_pipe")),
    (b"GIF8", Kind(words="a GIF picture")),
    (b"8BPS", Kind(words="a Photoshop picture")),
    (b"%PDF", Kind(words="a PDF document")),
    (b"PK\x03\x04", Kind(words="a ZIP archive")),
    (b"\x1f\x8b", Kind(words="a gzip archive")),
    (b"FLV\x01", Kind(words="a Flash video")),
    (b"\x30\x26\xb2\x75", Kind(words="a Windows Media file")),
    (b"OggS", Kind(words="an Ogg file")),
    (b"ID3", Kind(words="an MP3 sound")),
    (b"fLaC", Kind(words="a FLAC sound")),
)

_BY_TEXT: Final[tuple[tuple[bytes, Kind], ...]] = (
    (b"#extm3u", Kind(words="an HLS playlist")),
    (b"ffconcat", Kind(words="an FFmpeg list of other files")),
    (b"<!doctype html", Kind(words="an HTML page")),
    (b"<html", Kind(words="an HTML page")),
    (b"<svg", Kind(words="an SVG drawing")),
    (b"<mpd", Kind(words="a DASH playlist")),
    (b"<?xml", Kind(words="an XML document")),
    (b"<smil", Kind(words="an XML document")),
    (b"{", Kind(words="a JSON text")),
    (b"[playlist]", Kind(words="a playlist")),
    (b"[", Kind(words="a JSON text")),
    (b"v=0", Kind(words="a description of a network stream")),
)

_CONTROLS: Final = bytes(set(range(0x20)) - set(b"\t\n\f\r"))
_UNKNOWN: Final = Kind(words="a file of unknown kind")


def sniff(head: bytes) -> Kind:
    """The kind of the file whose first `HEAD_BYTES` bytes these are."""
    for start, kind in _BY_START:
        if head.startswith(start):
            return kind
    return _iso(head) or _riff(head) or _transport_stream(head) or _text(head) or _UNKNOWN


def png_size(head: bytes) -> tuple[int, int] | None:
    """Width and height from the header of a PNG; None for anything else."""
    if head[12:16] != b"IHDR":
        return None
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")


def _iso(head: bytes) -> Kind | None:
    """MP4, MOV, M4V, 3GP: a `ftyp` box first, or an atom that began QuickTime files before `ftyp` existed."""
    name, brand = head[4:8], head[8:12]
    if name == b"ftyp" and brand in _PICTURE_BRANDS:
        return Kind(words="an AVIF or HEIC picture")
    if name == b"ftyp" or name in _QUICKTIME_ATOMS:
        return Kind(words="an MP4 or QuickTime file", video="mov")
    return None


def _riff(head: bytes) -> Kind | None:
    if head[:4] != b"RIFF":
        return None
    match head[8:12]:
        case b"AVI ":
            return Kind(words="an AVI file", video="avi")
        case b"WEBP":
            return Kind(words="a WebP picture", image="webp_pipe")
        case b"WAVE":
            return Kind(words="a WAV sound")
        case _:
            return None


def _transport_stream(head: bytes) -> Kind | None:
    for packet, first in ((_TS_PACKET, 0), (_M2TS_PACKET, 4)):
        if head[first::packet][:4] == b"\x47" * 4:
            return Kind(words="an MPEG transport stream", video="mpegts")
    return None


def _text(head: bytes) -> Kind | None:
    if head.translate(None, _CONTROLS) != head:
        return None
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for mark, kind in _BY_TEXT:
        if start.startswith(mark):
            return _xml_kind(start) if mark == b"<?xml" else kind
    return Kind(words="a text")


def _xml_kind(start: bytes) -> Kind:
    """What follows the XML declaration tells a drawing or a playlist from other documents."""
    for mark, kind in _BY_TEXT:
        if mark in (b"<svg", b"<mpd", b"<html") and mark in start:
            return kind
    return Kind(words="an XML document")


def media_type(path: Path) -> str:
    """What a request calls a file, by its first bytes."""
    with path.open("rb") as file:
        kind = sniff(file.read(HEAD_BYTES))
    return MEDIA_TYPES.get(kind.video or kind.image or "", "application/octet-stream")
