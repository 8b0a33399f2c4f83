"""Each manifest in tests/examples is read as its neighbour says; adding a case is adding two files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from batchmod.manifest import Note, distinct, trees
from batchmod.model import Manifest
from tests.unit.published import reading_of, schemas

_EXAMPLES = Path(__file__).parents[1] / "examples"


def _cases(folder: str) -> list[Path]:
    found = sorted(path for path in (_EXAMPLES / folder).iterdir() if path.suffix not in {".expected", ".files"})
    assert found, f"no examples in {folder}"
    return found


def _included(path: Path) -> list[str]:
    """The files in the folder `<name>.files` beside an example, which it may include."""
    folder = path.with_suffix(".files")
    return [f"{folder.name}/{each.name}" for each in sorted(folder.iterdir())] if folder.exists() else []


def _said(manifest: Manifest, notes: Sequence[Note]) -> str:
    """What a manifest says, short enough to be read beside its file."""
    lines = [
        *(note.text for note in notes if not note.usual),
        f"name={manifest.name} provider={manifest.provider} output={manifest.output} naming={manifest.naming}",
        f"options={json.dumps(dict(manifest.provider_options))}",
        f"limits={manifest.limits}",
        f"own={list(manifest.own_columns)}",
    ]
    for row in manifest.rows:
        facts = {
            "id": row.id,
            "video_url": row.video_url,
            "first_frame_url": row.first_frame_url,
            "mode": row.mode,
            "prompt": row.prompt,
            "provider": row.provider,
            "model": row.model,
            "variant": row.variant,
            "hold": row.hold,
            "source_id": row.source_id,
            "own": dict(row.own),
            "explicit": sorted(row.explicit),
        }
        given = {name: value for name, value in facts.items() if value not in (None, {})}
        lines.append(f"{row.place} {json.dumps(given, ensure_ascii=False)}")
    return "\n".join(lines)


def _expected(path: Path) -> str:
    return path.with_name(f"{path.name}.expected").read_text("utf-8").rstrip("\n")


@pytest.mark.parametrize("path", _cases("bad"), ids=lambda path: path.name)
def test_a_bad_manifest_is_refused_with_exactly_these_lines(path: Path) -> None:
    said = "\n".join(map(str, distinct(reading_of(path).problems)))

    assert said.replace(f"{path.parent}/", "") == _expected(path)


@pytest.mark.parametrize("path", _cases("bad"), ids=lambda path: path.name)
def test_every_problem_is_one_line_with_its_file_first(path: Path) -> None:
    lines = [str(problem) for problem in reading_of(path).problems]
    files = tuple(f"{each}:" for each in (path.name, *_included(path)))

    assert lines
    assert all(line.startswith(files) and line.isprintable() for line in lines)


@pytest.mark.parametrize("path", _cases("good"), ids=lambda path: path.name)
def test_a_good_manifest_says_exactly_this(path: Path) -> None:
    reading = reading_of(path, variables={"BATCHMOD_VAR_DAY": "day2"})

    assert reading.problems == ()
    assert reading.manifest is not None
    assert _said(reading.manifest, reading.notes) == _expected(path)


@pytest.mark.parametrize(
    "path",
    # a section that is commented out is null, of which editors warn
    [path for path in _cases("good") if path.suffix == ".yaml" and path.stem != "commented_out"],
    ids=lambda path: path.name,
)
def test_an_editor_finds_nothing_wrong_with_a_good_manifest(path: Path) -> None:
    registry: Registry[Any] = Registry().with_resources(
        (each["$id"], Resource.from_contents(each)) for each in schemas().all()
    )
    root = trees.parse(path.read_text("utf-8"), file=path.name).root
    assert root is not None

    document = trees.plain(root)
    errors = list(Draft202012Validator(dict(schemas().manifest), registry=registry).iter_errors(document))

    assert not errors
