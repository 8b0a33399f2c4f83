"""A table of results that comes back as a manifest: what it says about where it is from."""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from typing import Final

from batchmod.errors import Place
from batchmod.rows.tables import Table

MARKS: Final = frozenset({"job_key", "status"})
"""The headers that tell a sheet that it is a table of results of ours."""

NAMES_PAGE: Final = "batchmod"
"""The hidden sheet of a workbook of results: what its columns were called, and whose they are."""

_SOME: Final = 50
_HEAD: Final = 1 << 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Returned:
    """Which manifest a table of results names, and by what its output folder knows it."""

    manifests: tuple[str, ...]
    """The files that its rows name, as seen from the output folder."""
    run_ids: tuple[str, ...]
    job_keys: tuple[str, ...]
    """Some of each."""
    place: Place
    """Where the manifest is named."""


def returned(table: Table) -> Returned | None:
    """What a sheet says about where it is from; None where it is no table of results."""
    if not set(table.headers) >= MARKS:
        return None
    where = _column(table, "manifest")
    return Returned(
        manifests=tuple(dict.fromkeys(where)),
        run_ids=tuple(islice(dict.fromkeys(_column(table, "run_id")), _SOME)),
        job_keys=tuple(islice(dict.fromkeys(_column(table, "job_key")), _SOME)),
        place=table.place(table.line, table.headers.index("manifest") if "manifest" in table.headers else None),
    )


def _column(table: Table, name: str) -> Iterator[str]:
    """The cells of a column that are not empty."""
    if name not in table.headers:
        return iter(())
    index = table.headers.index(name)
    return (text for record in table.records if (text := record.cells[index].strip().removeprefix("'")))


def may_be_returned(data: bytes, kind: str | None) -> bool:
    """Whether a document could be a table of results, at a glance."""
    if kind != "xlsx":
        return kind in ("csv", "tsv") and b"job_key" in data[:_HEAD].replace(b"\0", b"")
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive, archive.open("xl/workbook.xml") as part:
            return f'name="{NAMES_PAGE}"'.encode() in part.read(_HEAD)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, EOFError, NotImplementedError):
        return False
