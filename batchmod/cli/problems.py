"""Problems as a person, an editor or a machine reads them: text, JSON, SARIF, GitHub's annotations."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from batchmod import __version__
from batchmod.errors import ManifestError, Place, Problem

_MANY: Final = 20
_FIRST: Final = 3
_WIDTH: Final = 100


def shown(error: ManifestError, form: str) -> str:
    """All problems of a manifest as `text`, `json`, `sarif` or `github`; that there is none is said in those too."""
    match form:
        case "json":
            return json.dumps(as_json(error), ensure_ascii=False, indent=2)
        case "sarif":
            return json.dumps(_sarif(error.problems), ensure_ascii=False, indent=2)
        case "github":
            return "\n".join(map(_annotation, error.problems))
        case _:
            return "\n".join(_text(error))


def _text(error: ManifestError) -> Iterator[str]:
    """A line for each problem, with its source line where it has a column; what repeats is counted."""
    yield from error.notes
    for group in _groups(error.problems):
        many = len(group) >= _MANY
        for problem in group[:_FIRST] if many else group:
            yield str(problem)
            yield from _source(problem, error.lines)
        if many:
            yield _rest(group[_FIRST:])
    count = len(error.problems)
    yield f"{count:,} problem{'s' if count != 1 else ''}; nothing was sent."


def warned(problems: Sequence[Problem]) -> Iterator[str]:
    """A line for each warning; what repeats is counted."""
    for group in _groups(problems):
        many = len(group) >= _MANY
        yield from (f"warning: {problem}" for problem in (group[:_FIRST] if many else group))
        if many:
            yield _rest(group[_FIRST:])


def _groups(problems: Sequence[Problem]) -> list[list[Problem]]:
    """The problems in their order; those of one kind in one file together, where there are many of them."""
    alike: dict[tuple[str, str | None, str], list[Problem]] = {}
    for problem in problems:
        alike.setdefault(_kind(problem), []).append(problem)
    groups: list[list[Problem]] = []
    for problem in problems:
        group = alike[_kind(problem)]
        if len(group) < _MANY:
            groups.append([problem])
        elif group[0] is problem:
            groups.append(group)
    return groups


def _kind(problem: Problem) -> tuple[str, str | None, str]:
    """File, field, and the message without what it quotes and counts."""
    return problem.place.document, problem.field, re.sub(r"'[^']*'|\d+", "…", problem.message)


def _rest(rest: Sequence[Problem]) -> str:
    lines = [problem.place.line for problem in rest if problem.place.line is not None]
    where = f", in lines {min(lines):,} to {max(lines):,}" if lines else ""
    return f"{rest[0].place.document}: {len(rest):,} more like these{where}; --format json lists each"


def _source(problem: Problem, lines: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The line of a text where the problem stands, and a caret under its column."""
    place = problem.place
    text = lines.get(place.file, ())
    if place.line is None or place.column is None or place.line > len(text):
        return
    line = text[place.line - 1].replace("\t", " ")
    line = "".join(each if each.isprintable() else "·" for each in line)
    start = max(0, place.column - _WIDTH // 2) if len(line) > _WIDTH else 0
    number = f"{place.line} | "
    yield f"  {number}{line[start : start + _WIDTH]}".rstrip()
    yield f"  {' ' * (len(number) - 2)}| {' ' * (place.column - 1 - start)}^"


def as_json(error: ManifestError) -> dict[str, Any]:
    """Each problem as an object, and how the sheets were read."""
    problems = [
        {
            "file": problem.place.file,
            "line": problem.place.line,
            "column": problem.place.column,
            "cell": problem.place.cell,
            "sheet": problem.place.sheet,
            "field": problem.field,
            "row": problem.row,
            "severity": _severity(problem),
            "slug": problem.slug,
            "message": problem.message,
            "hint": problem.hint,
        }
        for problem in error.problems
    ]
    return {"problems": problems, "notes": list(error.notes)}


def _severity(problem: Problem) -> str:
    return "warning" if problem.warning else "error"


def _words(problem: Problem) -> str:
    return problem.message if problem.hint is None else f"{problem.message}; {problem.hint}"


def _sarif(problems: Sequence[Problem]) -> dict[str, Any]:
    """SARIF 2.1.0, as code scanners and editors read it."""
    rules = [{"id": slug} for slug in dict.fromkeys(problem.slug for problem in problems)]
    driver = {"name": "batchmod", "version": __version__, "rules": rules}
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver},
                "columnKind": "unicodeCodePoints",
                "results": [_sarif_result(problem) for problem in problems],
            }
        ],
    }


def _sarif_result(problem: Problem) -> dict[str, Any]:
    place = problem.place
    location: dict[str, Any] = {"physicalLocation": {"artifactLocation": {"uri": quote(place.file, safe="/:")}}}
    if place.line is not None:
        column = {} if place.column is None else {"startColumn": place.column}
        location["physicalLocation"]["region"] = {"startLine": place.line, **column}
    if place.cell is not None:
        location["logicalLocations"] = [{"fullyQualifiedName": _cell(place), "kind": "member"}]
    field = "" if problem.field is None else f"{problem.field}: "
    message = {"text": f"{field}{_words(problem)}"}
    return {"ruleId": problem.slug, "level": _severity(problem), "message": message, "locations": [location]}


def _cell(place: Place) -> str:
    """`C14`, or `'Day 2'!C14` as spreadsheets say it."""
    sheet = "" if place.sheet is None else f"'{place.sheet}'!"
    return f"{sheet}{place.cell}{place.line}"


def _annotation(problem: Problem) -> str:
    """A workflow command of GitHub Actions, which marks the line in a pull request."""
    place = problem.place
    said: dict[str, object] = {"file": place.file, "line": place.line}
    said["col"] = place.column
    said["title"] = f"{_cell(place)} ({problem.field})" if place.cell and problem.field else problem.field
    listed = ",".join(f"{name}={_property(str(value))}" for name, value in said.items() if value is not None)
    return f"::{_severity(problem)} {listed}::{_data(_words(problem))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
