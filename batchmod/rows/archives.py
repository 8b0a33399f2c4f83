"""Workbooks are archives that somebody else has packed: which of them are refused, and what a damaged one raises."""

import zipfile
import zlib
from typing import Final

DAMAGED: Final = (
    *(OSError, EOFError, zipfile.BadZipFile, zlib.error),
    RuntimeError,  # a part that is packed in a way, or by a version, that nobody here knows
    SyntaxError,  # XML that is none
    *(AttributeError, LookupError, TypeError, ValueError),  # a part or a value that is not where it should be
)
"""What is raised by reading one: by the archive, by the parsers of XML, and by openpyxl, which trusts what it finds."""

_LOCKED: Final = 1


def objection(part: zipfile.ZipInfo) -> str | None:
    """Why no spreadsheet has written a part in this way, or None."""
    if part.flag_bits & _LOCKED:
        return "it has a password"
    if part.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"{part.filename} is packed in a way that no spreadsheet uses"
    return None
