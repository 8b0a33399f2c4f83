"""A table → raw rows: which column is what, and what batchmod itself wrote into a results.csv."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from batchmod.errors import Problem
from batchmod.rows.columns import Fields, Roles, Wishes, roles, unmapped
from batchmod.rows.raw import Default, Gathered
from batchmod.rows.returning import COPY, MARKS, as_it_was
from batchmod.rows.sheet_rows import SheetRows
from batchmod.rows.tables import Table
from batchmod.schema import Schemas


def is_header(cells: Iterable[str], *, schemas: Schemas, wishes: Wishes) -> bool:
    """Whether the cells name a clip column, or a slip of it: what a manifest's header must have."""
    return roles(list(cells), fields=Fields.of(schemas.row), wishes=wishes, sheet=True).meant("video_url")


def from_table(
    table: Table, *, schemas: Schemas, wishes: Wishes, defaults: Mapping[str, Default], base: str = ""
) -> Gathered:
    """The raw rows of a sheet; empty cells are absent, and columns that batchmod itself wrote are dropped.

    `defaults` and `base` go with each row.
    """
    fields = Fields.of(schemas.row)
    results = table.headers if set(table.headers) >= MARKS else ()
    if results:  # our fields have exactly our names there, and whatever is called otherwise was meant so
        wishes = replace(wishes, columns={}, extra=frozenset(table.headers).difference(fields.names))
    ours_too = {*fields.names} | {*wishes.columns.values()}
    dropped = {*schemas.results["properties"], COPY} - ours_too if results else set()
    headers = ["" if header in dropped else as_it_was(header, table.headers, dropped) for header in table.headers]
    found = roles(headers, fields=fields, wishes=wishes, sheet=True)
    faults = _header_problems(table, found, wishes)
    excused: frozenset[str] = frozenset()
    if table.headers and not found.meant("video_url") and "video_url" not in defaults:
        excused = frozenset({"video_url"})
        if not faults:
            faults.append(_no_clip_column(table, schemas))
    excused |= {slip.meant for slip in found.slips if slip.meant}
    rows = SheetRows(
        table=table,
        roles=found,
        headers={name: table.headers[index] for name, index in found.ours.items()},
        literal=bool(results),
        excused=excused,
        defaults=defaults,
        base=base,
    )
    return Gathered(rows=rows, problems=tuple(faults))


def _header_problems(table: Table, found: Roles, wishes: Wishes) -> list[Problem]:
    if not table.headers:
        return []
    slips = [
        Problem(place=table.place(table.line, slip.column), message=slip.message, hint=slip.hint)
        for slip in found.slips
    ]
    absent = [
        Problem(
            place=table.place(table.line),
            message=f"there is no column '{header}', which columns names for {name}",
            hint=hint,
        )
        for name, header, hint in unmapped(table.headers, wishes)
    ]
    return slips + absent


def _no_clip_column(table: Table, schemas: Schemas) -> Problem:
    there = ", ".join(each for each in table.headers if each) or "none"
    why = schemas.row["properties"]["video_url"]["x-missing"]
    message = f"there is no column video_url: {why}"
    hint = f"the columns are {there}; `columns: {{video_url: …}}` or `--column video_url=…` names yours"
    return Problem(place=table.place(table.line), message=message, hint=hint)
