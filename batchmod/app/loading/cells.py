"""A row's cells by the names of their columns."""

from typing import Any, Final

from batchmod.model import Row

_INNER: Final = frozenset({"number", "own", "explicit", "place", "places"})
COLUMNS: Final = tuple(name for name in Row.__slots__ if name not in _INNER)
"""What a row may say, beside columns of the user's own."""


def said_by(row: Row) -> dict[str, Any]:
    """Column → what a row says there."""
    return {name: getattr(row, name) for name in COLUMNS}


def cell(row: Row, column: str) -> str | None:
    """What stands in a column as text, the user's own first; None where nothing does."""
    value: Any = row.own.get(column, getattr(row, column, None) if column in Row.__slots__ else None)
    return None if value is None else str(value)
