"""The rows of a YAML manifest → raw rows."""

import json
from collections.abc import Iterator, Mapping, Sequence

from batchmod.errors import Place, Problem
from batchmod.manifest.trees import Listed, Mapped, Node, Scalar, Tree, plain
from batchmod.rows import Default, RawRow
from batchmod.rows.columns import Fields, Roles, Wishes, roles
from batchmod.schema import shown


def raw_rows(
    tree: Tree, nodes: Sequence[Node], *, fields: Fields, wishes: Wishes, defaults: Mapping[str, Default]
) -> Iterator[RawRow]:
    """A raw row for each node of `clips:`, with `defaults`; one that is no mapping carries its problem."""
    known: dict[tuple[str, ...], Roles] = {}
    for node in nodes:
        if not isinstance(node, Mapped):
            yield _no_row(tree, node)
            continue
        headers = tuple(node.entries)
        if headers not in known:
            known[headers] = roles(headers, fields=fields, wishes=wishes, sheet=False)
        yield _raw_row(tree, node, headers, known[headers], defaults)


def _no_row(tree: Tree, node: Node) -> RawRow:
    what = "a list" if isinstance(node, Listed) else "a text"
    problem = Problem(place=tree.at(node.spot), message=f"a row is a mapping (`video_url: …`), not {what}")
    excused = frozenset({"video_url"})
    return RawRow(place=tree.at(node.spot), texts={}, places={}, problems=(problem,), excused=excused)


def _raw_row(tree: Tree, node: Mapped, headers: Sequence[str], found: Roles, defaults: Mapping[str, Default]) -> RawRow:
    wrong = [
        Problem(place=tree.at(node.entries[slip.header].key), message=slip.message, hint=slip.hint)
        for slip in found.slips
    ]
    excused = {slip.meant for slip in found.slips if slip.meant}
    texts: dict[str, str] = {}
    places: dict[str, Place] = {}
    for name, index in found.ours.items():
        cell = node.entries[headers[index]].node
        if name != "video_url" and isinstance(cell, Scalar) and cell.is_null:
            continue
        places[name] = tree.at(cell.spot)
        if not isinstance(cell, Scalar):
            message = f"{name} must be a single value, not {shown(plain(cell))}"
            wrong.append(Problem(place=places[name], field=name, message=message))
            excused.add(name)
        elif not cell.is_null:
            texts[name] = cell.text
    places |= {name: tree.at(node.entries[headers[index]].node.spot) for name, index in found.own.items()}
    return RawRow(
        place=tree.at(node.spot),
        texts=texts,
        places=places,
        own={name: _as_text(node.entries[headers[index]].node) for name, index in found.own.items()},
        headers={name: headers[index] for name, index in found.ours.items()},
        defaults=defaults,
        excused=frozenset(excused),
        problems=tuple(wrong),
    )


def _as_text(node: Node) -> str:
    """The user's own value as written; a list or mapping as JSON."""
    if isinstance(node, Scalar):
        return "" if node.is_null else node.text
    return json.dumps(plain(node), ensure_ascii=False)
