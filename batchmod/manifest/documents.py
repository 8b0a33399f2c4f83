"""A document's bytes → its raw rows, and those of the documents it includes."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Final

from batchmod.errors import Place, Problem
from batchmod.manifest import jsonl
from batchmod.manifest.asking import Asked, Document, Note, Part, SheetRead, kind_of, no_rows
from batchmod.manifest.batch import HINT, Batch, Include, batch_of
from batchmod.manifest.clips import raw_rows
from batchmod.manifest.expanding import is_pattern, rooted
from batchmod.manifest.needs import Missing, Need
from batchmod.manifest.trees import Listed, Mapped, Node, Scalar, Tree, parse
from batchmod.model import DELIMITERS
from batchmod.rows import RawRow, Ways, decoding, from_table, is_header, sheets
from batchmod.rows.columns import Wishes, roles
from batchmod.rows.returning import Returned, names_lost, returned
from batchmod.rows.sheets import counted
from batchmod.rows.tables import Table
from batchmod.schema import shown
from batchmod.urls import without_query

CSV_HINT: Final = "under a header such as id,video_url,mode,prompt there is one line for each clip"
JSONL_HINT: Final = 'each line is a row: {"video_url": "clips/a.mp4"}'
_SAVE_AS: Final = "save it as UTF-8 (in Excel: `CSV UTF-8`)"
_DEEPEST: Final = 10
_ZIP: Final = b"PK\x03\x04"


def part_of(document: Document, asked: Asked) -> Part:
    """A document's rows and what is wrong with it, included ones after its own."""
    match document.kind:
        case "yaml":
            return yaml_part(document, asked)[2]
        case "jsonl":
            return _jsonl_part(document, asked)
        case _:
            return _sheet_part(document, asked)


def _sheet_part(document: Document, asked: Asked) -> Part:
    wishes = replace(document.wishes, in_file=False)
    found = sheets.read(
        document.data,
        file=document.file,
        kind=document.kind,
        ways=document.ways,
        is_header=lambda cells: is_header(cells, schemas=asked.schemas, wishes=wishes),
    )
    table = _named(found.table, document)
    from_us = returned(table)
    names = found.names or names_lost(table)
    if names is not None:
        table, wishes = names.undone(table, wishes)
    base = document.base
    if from_us is not None and document.above:
        # of the manifest itself, `app` finds out where it is from; an included one lies where it was written
        base = rooted(base, _folder_named(from_us))
    gathered = from_table(table, schemas=asked.schemas, wishes=wishes, defaults=document.defaults, base=base)
    problems = [*table.problems, *gathered.problems]
    if not gathered.rows and not table.problems:
        problems.append(no_rows(Place(file=document.file, line=1), CSV_HINT))
    notes = () if found.said is None else (Note(found.said, found.usual),)
    read = _sheet_read(document, replace(found, names=names), wishes, asked)
    if from_us is not None:
        problems += _of_several(from_us)
    return Part(runs=(gathered.rows,), problems=tuple(problems), notes=notes, sheets=(read,), returned=from_us)


def _named(table: Table, document: Document) -> Table:
    """The table; its places say the sheet that its entry of `include` names, since another entry may take another."""
    sheet = document.ways.sheet
    if not document.above or document.kind != "xlsx" or sheet is None:
        return table
    problems = (replace(each, place=replace(each.place, sheet=sheet)) for each in table.problems)
    return replace(table, sheet=sheet, problems=tuple(problems))


def _sheet_read(document: Document, found: sheets.Found, wishes: Wishes, asked: Asked) -> SheetRead:
    """A sheet for whoever writes a copy of it; a workbook that is the manifest comes back with its results."""
    delimiter = document.ways.delimiter or found.table.delimiter
    ways = replace(document.ways, delimiter=delimiter, sheet=found.sheet)
    headers = found.table.headers
    read = SheetRead(
        file=document.file,
        kind=document.kind,
        data=document.data,
        ways=ways,
        named=_named(found.table, document).sheet,
        headers=headers,
        roles=roles(headers, fields=asked.fields, wishes=wishes, sheet=True),
    )
    if document.kind != "xlsx" or document.above:
        return read
    table = found.table if found.names is None else found.names.users(found.table)
    return replace(read, table=table, roles=roles(table.headers, fields=asked.fields, wishes=wishes, sheet=True))


def _of_several(from_us: Returned) -> Iterator[Problem]:
    if len(from_us.manifests) > 1:
        message = (
            f"these are the results of {len(from_us.manifests)} manifests: {', '.join(map(shown, from_us.manifests))}"
        )
        hint = "keep the rows of one, and give the others a copy of their own"
        yield Problem(place=from_us.place, field="manifest", message=message, hint=hint)


def _folder_named(from_us: Returned) -> str:
    """The folder of the manifest that a table of results names, as seen from the table."""
    return next(iter(from_us.manifests), "").rpartition("/")[0]


def _jsonl_part(document: Document, asked: Asked) -> Part:
    decoded = decoding.decode(document.data, file=document.file, encoding=document.ways.encoding)
    if isinstance(decoded, Problem):
        return Part(problems=(decoded,))
    tree = jsonl.parse(decoded.text, file=document.file)
    assert isinstance(tree.root, Listed)
    rows = _rows_at(tree, tree.root.nodes, document, asked)
    problems = list(tree.problems)
    if not rows and not problems:
        problems.append(no_rows(Place(file=document.file, line=1), JSONL_HINT))
    note = Note(f"{document.file}: {decoded.encoding}, {counted(len(rows))}", decoded.encoding == "UTF-8")
    return Part(runs=(rows,), problems=tuple(problems), notes=(note,), texts={document.file: decoded.text})


def _rows_at(tree: Tree, nodes: Sequence[Node], document: Document, asked: Asked) -> tuple[RawRow, ...]:
    found = raw_rows(tree, nodes, fields=asked.fields, wishes=document.wishes, defaults=document.defaults)
    return tuple(replace(row, base=document.base) for row in found) if document.base else tuple(found)


def yaml_part(document: Document, asked: Asked) -> tuple[Tree | None, Batch | None, Part]:
    """The tree and the mapping, where there are such, and the rows with all their problems."""
    text = _decode(document.data, document.file)
    if isinstance(text, Problem):
        return None, None, Part(problems=(text,))
    tree = parse(text, file=document.file)
    if not isinstance(tree.root, Mapped):
        return tree, None, Part(problems=tuple(_no_mapping(tree, document)), texts={document.file: text})
    batch = batch_of(tree, tree.root, document=document, asked=asked)
    own = replace(document, wishes=batch.wishes, defaults=batch.defaults)
    parts = [Part(runs=(_rows_at(tree, batch.clips, own, asked),))]
    parts += [part for include in batch.includes for part in _included(include, own, asked)]
    runs = tuple(run for part in parts for run in part.runs)
    if batch.matrix.axes:
        runs = (tuple(batch.matrix.over(chain.from_iterable(runs))),)
    problems = (*batch.problems, *(each for part in parts for each in part.problems))
    texts = {document.file: text}
    for part in parts:
        texts |= part.texts
    notes = tuple(each for part in parts for each in part.notes)
    sheets_read = tuple(each for part in parts for each in part.sheets)
    return tree, batch, Part(runs=runs, problems=problems, notes=notes, sheets=sheets_read, texts=texts)


def _decode(data: bytes, file: str) -> str | Problem:
    if data.startswith(_ZIP):
        message = "this is an Excel workbook or another zip file, not a text"
        return Problem(place=Place(file=file), message=message, hint="export it as `CSV UTF-8`, or call it .xlsx")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            return Problem(place=Place(file=file, line=1), message="this is UTF-16, not UTF-8", hint="save it as UTF-8")
        message = f"not UTF-8: the byte 0x{data[error.start]:02X} stands here"
        return Problem(place=decoding.place_of_byte(data, error.start, file), message=message, hint=_SAVE_AS)


def _no_mapping(tree: Tree, document: Document) -> Iterator[Problem]:
    yield from tree.problems
    root = tree.root
    if root is None:
        if not tree.problems:
            yield no_rows(Place(file=document.file, line=1), HINT)
    elif isinstance(root, Scalar) and root.is_null:
        yield no_rows(tree.at(root.spot), HINT)
    else:
        what = "a list" if isinstance(root, Listed) else "a text"
        hint = "put the rows under `clips:`" if isinstance(root, Listed) else None
        yield Problem(place=tree.at(root.spot), message=f"a manifest is a mapping, not {what}", hint=hint)


def _included(include: Include, document: Document, asked: Asked) -> Iterator[Part]:
    """The parts of the documents that one entry of `include:` names."""
    pattern = rooted(document.base, include.name)
    names: tuple[str, ...] | Missing | None = (pattern,)
    if is_pattern(pattern):
        names = asked.answers.names(Need("listing", pattern))
    if names is None:
        return
    if isinstance(names, Missing) or not names:
        reason = names.reason if isinstance(names, Missing) else "matches no file"
        yield _wrong(include, f"{shown(include.name)} {reason}")
        return
    for name in names:
        yield _included_one(name, include, document, asked)


def _included_one(name: str, include: Include, document: Document, asked: Asked) -> Part:
    kind = kind_of(name.partition("?")[0]) or ("csv" if "://" in name else None)
    if kind is None:
        return _wrong(include, f"{shown(name)} is no kind of manifest", "there are .yaml, .csv, .tsv, .xlsx and .jsonl")
    file = _file_label(name, asked.file)
    if file in (*document.above, document.file):
        return _wrong(include, f"{shown(name)} includes this file, or is it: that would never end")
    if len(document.above) >= _DEEPEST:
        return _wrong(include, f"files that include files, {_DEEPEST} deep")
    content = asked.answers.content(Need("document", name))
    if content is None:
        return Part()
    if isinstance(content, Missing):
        return _wrong(include, f"{shown(name)} {content.reason}")
    return part_of(
        Document(
            data=content,
            file=file,
            kind=kind,
            base=name.rpartition("/")[0] if "://" not in name else "",
            ways=_ways(include),
            wishes=_wishes(include, document.wishes),
            defaults=document.defaults,
            above=(*document.above, document.file),
        ),
        asked,
    )


def _wrong(include: Include, message: str, hint: str | None = None) -> Part:
    return Part(problems=(Problem(place=include.place, field="include", message=message, hint=hint),))


def _file_label(name: str, manifest: str) -> str:
    """A document as problems show it: beside the manifest as the user named that."""
    if "://" in name:
        return without_query(name)
    folder = manifest.rpartition("/")[0] if "://" not in manifest else ""
    return rooted(folder, name)


def _ways(include: Include) -> Ways:
    said = dict(include.ways)
    if "delimiter" in said:
        said["delimiter"] = DELIMITERS.get(said["delimiter"], said["delimiter"])
    return Ways(**said)


def _wishes(include: Include, wishes: Wishes) -> Wishes:
    return wishes if include.columns is None else replace(wishes, columns=include.columns)
