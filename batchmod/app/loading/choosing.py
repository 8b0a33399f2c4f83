"""Which rows a command is about: `--only`, `--where`, `--first`, and a report's marks."""

import fnmatch
import functools
import heapq
import itertools
from collections.abc import Callable, Collection, Iterable, Sequence

from batchmod import rows, schema
from batchmod.app.loading import cells
from batchmod.app.options import Options
from batchmod.errors import Place, Problem, UsageError
from batchmod.manifest import Rejected
from batchmod.model import Manifest, Row
from batchmod.schema import did_you_mean

_Cell = Callable[[str], str | None]
"""A column's name → what stands there."""


def chosen(
    parsed: Manifest, options: Options, *, rejected: Sequence[Rejected], left_out: Iterable[tuple[int, Row]]
) -> Collection[int]:
    """The numbers of the rows that a command is about, the invalid ones among them where these are skipped.

    `rejected`: those that are bad as texts already. `left_out`: those that were left out later, by their numbers.
    Raises UsageError for a column that there is not.
    """
    _refuse_unknown_columns(parsed, options, rejected)
    wanted: Iterable[int] = rows.numbers_of(parsed.rows)
    if options.only or options.where or options.chosen_ids is not None:
        wanted = (row.number for row in parsed.rows if _wanted(row.id, functools.partial(cells.cell, row), options))
    if options.skip_invalid:
        invalid: dict[int, tuple[str, _Cell]] = {
            number: (row.id, functools.partial(cells.cell, row)) for number, row in left_out
        }
        invalid |= {each.number: (each.id, each.cells.get) for each in rejected}
        wanted = heapq.merge(
            wanted, sorted(number for number, (of, cell) in invalid.items() if _wanted(of, cell, options))
        )
    return _together(list(itertools.islice(wanted, options.first)))


def matches(row_id: str, globs: Iterable[str]) -> bool:
    """Whether an id is one of those that `--only` names, in any case."""
    return any(fnmatch.fnmatchcase(row_id.casefold(), glob.casefold()) for glob in globs)


def nothing_chosen(parsed: Manifest, options: Options) -> Problem:
    """The warning that no row is what was asked for."""
    asked = [f"--only {glob}" for glob in options.only]
    asked += ["a mark that counts"] if options.chosen_ids is not None else []
    asked += [f"--where {column}={value}" for column, value in options.where]
    message = f"no row is what was asked for ({' '.join(asked)}): nothing to do"
    return Problem(place=Place(file=parsed.file), message=message, warning=True)


def _refuse_unknown_columns(parsed: Manifest, options: Options, rejected: Sequence[Rejected]) -> None:
    there = (*parsed.own_columns, *cells.COLUMNS)
    for column, _ in options.where:
        if column not in there and not any(column in each.cells for each in rejected):
            hint = did_you_mean(column, there) or f"there are {', '.join(there)}"
            raise UsageError(f"--where: {parsed.file} has no column {schema.shown(column)}; {hint}")


def _wanted(row_id: str, cell: _Cell, options: Options) -> bool:
    if options.only and not matches(row_id, options.only):
        return False
    if options.chosen_ids is not None and row_id.casefold() not in options.chosen_ids:
        return False
    return all((cell(column) or "") == value for column, value in options.where)


def _together(numbers: Sequence[int]) -> Collection[int]:
    """Rising numbers as a collection: all of a million rows take no room."""
    if numbers and numbers[-1] - numbers[0] + 1 == len(numbers):
        return range(numbers[0], numbers[-1] + 1)
    return frozenset(numbers)
