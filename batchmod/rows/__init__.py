"""Sheets and raw rows → complete Rows, and every problem of theirs with its place."""

from batchmod.rows.checking import Checker
from batchmod.rows.completing import Completed, Draft, complete
from batchmod.rows.gathering import from_table, is_header
from batchmod.rows.kept import Rows, Stretch, numbers_of, parts_of, saying, those, without
from batchmod.rows.named import files_of, source_fault
from batchmod.rows.plain import Plain, glance
from batchmod.rows.raw import Default, Gathered, RawRow
from batchmod.rows.repeats import Repeats
from batchmod.rows.sheet_rows import SheetRows
from batchmod.rows.sheets import Ways

__all__ = [
    "Checker",
    "Completed",
    "Default",
    "Draft",
    "Gathered",
    "Plain",
    "RawRow",
    "Repeats",
    "Rows",
    "SheetRows",
    "Stretch",
    "Ways",
    "complete",
    "files_of",
    "from_table",
    "glance",
    "is_header",
    "numbers_of",
    "parts_of",
    "saying",
    "source_fault",
    "those",
    "without",
]
