"""multipart/form-data as a stream: file parts go to disk as they come."""

from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from batchmod.serve.bodies import MOST_TEXT, Arriving, Parts
from batchmod.serve.contract import Refused

_MALFORMED = "Malformed request: the body is not valid multipart/form-data"
_MOST_FIELDS = 64


@dataclass(kw_only=True, slots=True)
class _Part:
    header: bytearray = field(default_factory=bytearray)
    value: bytearray = field(default_factory=bytearray)
    headers: dict[bytes, bytes] = field(default_factory=dict)
    name: str = ""
    file: Arriving | None = None


class Form:
    """A body's fields by name: a text, or a file of `parts`."""

    def __init__(self, content_type: str, parts: Parts) -> None:
        """Refused (400) where the header names no boundary."""
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise Refused(400, _MALFORMED)
        self.fields: dict[str, str | Arriving] = {}
        self._parts = parts
        self._part = _Part()
        self._text = 0
        self._ended = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._header,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_finished,
                    "on_part_data": self._data,
                    "on_part_end": self._end,
                    "on_end": self._all,
                },
            )
        except FormParserError:
            raise Refused(400, _MALFORMED) from None

    def feed(self, piece: bytes) -> None:
        """The next piece of the body."""
        try:
            self._parser.write(piece)
        except FormParserError:
            raise Refused(400, _MALFORMED) from None

    def finish(self) -> None:
        """The body is over; Refused (400) where it is cut."""
        if not self._ended:
            raise Refused(400, _MALFORMED)

    def _all(self) -> None:
        self._ended = True

    def _begin(self) -> None:
        self._part = _Part()

    def _header(self, data: bytes, start: int, end: int) -> None:
        self._part.header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._part.value += data[start:end]

    def _header_end(self) -> None:
        part = self._part
        part.headers[bytes(part.header).lower()] = bytes(part.value)
        part.header.clear()
        part.value.clear()

    def _headers_finished(self) -> None:
        options = parse_options_header(self._part.headers.get(b"content-disposition"))[1]
        self._part.name = options.get(b"name", b"").decode("utf-8", "replace")
        if b"filename" in options:
            self._part.file = self._parts.open()
        if not self._part.name or len(self.fields) >= _MOST_FIELDS:
            raise Refused(400, _MALFORMED)

    def _data(self, data: bytes, start: int, end: int) -> None:
        piece = data[start:end]
        if self._part.file is not None:
            self._part.file.write(piece)
            return
        self._text += len(piece)
        if self._text > MOST_TEXT:
            raise Refused(413, f"A request may hold at most {MOST_TEXT} bytes beside its files")
        self._part.value += piece

    def _end(self) -> None:
        part = self._part
        self.fields[part.name] = part.file or part.value.decode("utf-8", "replace")
