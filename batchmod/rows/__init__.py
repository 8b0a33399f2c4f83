"""Sheets and raw rows → complete Rows, and every problem of theirs with its place."""

from batchmod.rows.completing import Completed, complete
from batchmod.rows.gathering import from_table, is_header
from batchmod.rows.named import files_of, source_fault
from batchmod.rows.raw import Default, Gathered, RawRow
from batchmod.rows.sheets import Ways

__all__ = [
    "Completed",
    "Default",
    "Gathered",
    "RawRow",
    "Ways",
    "complete",
    "files_of",
    "from_table",
    "is_header",
    "source_fault",
]
