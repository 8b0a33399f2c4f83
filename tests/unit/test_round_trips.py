"""What is written is read back as it was: rows in YAML and CSV, results as CSV and as workbooks, ids as file names."""

import csv
import io
import os
import string
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import yaml
from hypothesis import example, settings
from hypothesis import given as for_all
from hypothesis import strategies as st

from batchmod import jobs, results
from batchmod.manifest import Reading, manifest_of, read
from batchmod.model import MODES, Row, Status
from batchmod.results import workbook
from batchmod.rows import ids
from tests import given
from tests.unit.published import schemas

_PRINTED = st.characters(exclude_categories=["Cs", "Cc", "Cn"], exclude_characters="\ufffe\uffff\u2028\u2029")
_TEXT = st.text(_PRINTED, min_size=1, max_size=30).filter(lambda text: text == text.strip())
_PROMPT = _TEXT.map(jobs.normalised_prompt).filter(bool)
_ID = st.text(string.ascii_letters + string.digits + "äß日", min_size=1, max_size=12).filter(
    lambda text: ids.fault(ids.normal(text)) is None
)
_ROW = st.fixed_dictionaries(
    {"video_url": st.sampled_from(["a.mp4", "clips/b c.mp4", "https://example.com/c.mp4"]), "prompt": _PROMPT},
    optional={
        "first_frame_url": st.just("frames/a.png"),
        "mode": st.sampled_from(MODES),
        "variant": st.integers(1, 9),
        "provider": st.just("segmind"),
        "hold": st.booleans(),
        "review": st.sampled_from(["keep", "redo", "hold"]),
        "source_id": _ID,
        "Notes": _TEXT,
        "status": _TEXT,
        "my_frames": _TEXT,
    },
)
_ROWS = st.dictionaries(_ID.map(ids.normal), _ROW, min_size=1, max_size=4).filter(
    lambda rows: len({ids.folded(each) for each in rows}) == len(rows)
)
_FIELDS = (
    *("id", "video_url", "first_frame_url", "mode", "prompt", "provider", "variant"),
    *("hold", "review", "source_id", "keyframes"),
)


def _facts(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """What rows say; an own column that is empty, as in a sheet, is none."""
    return [
        {name: getattr(row, name) for name in _FIELDS} | {"own": {name: text for name, text in row.own.items() if text}}
        for row in rows
    ]


def _rows_of(reading: Reading) -> Sequence[Row]:
    assert reading.problems == ()
    assert reading.manifest is not None
    return reading.manifest.rows


def _in_yaml(rows: dict[str, dict[str, Any]]) -> Sequence[Row]:
    clips = [{"id": name, **row, "prompt": _template(row["prompt"])} for name, row in rows.items()]
    text = yaml.safe_dump({"version": 1, "clips": clips}, allow_unicode=True, sort_keys=False)
    return manifest_of(text.encode(), file="shots.yaml", schemas=schemas()).rows


def _template(prompt: str) -> str:
    return prompt.replace("{", "{{").replace("}", "}}")


@for_all(_ROWS)
def test_yaml_and_csv_say_the_same_of_the_same_rows(rows: dict[str, dict[str, Any]]) -> None:
    names = ["id", *dict.fromkeys(name for row in rows.values() for name in row)]
    written = io.StringIO(newline="")
    writer = csv.DictWriter(written, names)
    writer.writeheader()
    for name, row in rows.items():
        writer.writerow({"id": name, **row, "prompt": _template(row["prompt"])})

    in_csv = manifest_of(written.getvalue().encode(), file="shots.csv", schemas=schemas()).rows

    assert _facts(in_csv) == _facts(_in_yaml(rows))


def _result(row: Row, number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A row as the record keeps it, and its line of results.csv."""
    kept: dict[str, Any] = {name: getattr(row, name) for name in _FIELDS} | {"own": dict(row.own)}
    kept |= {"provider": row.provider or "local", "hold": "true" if row.hold else None, "job_key": f"1-{number}"}
    line = results.record(
        kept, number=number, status=Status.PLANNED, work=None, delivery=None, manifest="../../shots.yaml"
    )
    return kept, line


@for_all(_ROWS)
def test_results_csv_says_the_same_as_its_manifest(
    tmp_path_factory: pytest.TempPathFactory, rows: dict[str, dict[str, Any]]
) -> None:
    written = _in_yaml(rows)
    lines = [_result(row, number)[1] for number, row in enumerate(written, 1)]
    own = list(dict.fromkeys(name for row in written for name in row.own))
    place = results.write(
        tmp_path_factory.getbasetemp() / "csv",
        lines,
        own,
        further={n for n in results.FURTHER for each in lines if each.get(n)},
    )
    reading = read(place.read_bytes(), file="results.csv", schemas=schemas())

    expected = [{**facts, "provider": facts["provider"] or "local"} for facts in _facts(written)]
    assert [_renamed(facts) for facts in _facts(_rows_of(reading))] == [_renamed(facts) for facts in expected]
    assert reading.returned is not None
    assert reading.returned.manifests == ("../../shots.yaml",)


def _renamed(facts: dict[str, Any]) -> dict[str, Any]:
    """`my_frames` reads back as `frames`, which is written as `my_frames` again."""
    return {**facts, "own": {name.replace("my_frames", "frames"): text for name, text in facts["own"].items()}}


_HEADER = st.sampled_from(["Notes", "status", "my_status", "my_my_status", "output", "run_id", "thumbnail", "Größe"])


@settings(max_examples=60)
@for_all(
    st.lists(_HEADER, unique=True, max_size=5).flatmap(
        lambda own: st.tuples(
            st.just(own),
            st.lists(st.tuples(_PROMPT, *([st.one_of(st.just(""), _TEXT)] * len(own))), min_size=1, max_size=3),
        )
    )
)
@example((["status"], [("wool {status}", "=1+1")]))
@example((["Notes"], [("wool", "0001"), ("wool", "1e5"), ("wool", "-7.50"), ("wool", "7.5"), ("wool", "1" * 20)]))
def test_a_workbook_of_results_is_the_users_sheet_again(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[list[str], list[tuple[str, ...]]]
) -> None:
    own, texts = case
    headers = (*own[:1], "Plate", "Look", *own[1:])
    fields = {"video_url": headers.index("Plate"), "prompt": headers.index("Look")}
    sheet = workbook.UsersSheet(
        title="Shots", headers=headers, fields=fields, own={name: headers.index(name) for name in own}
    )
    written = [
        (*cells[1:2][: len(own[:1])], f"{n}.mp4", _template(cells[0]), *cells[2:]) for n, cells in enumerate(texts)
    ]
    lines = [
        workbook.Line(results=_result(given_row(n), n)[1], cells=cells, row={"own": {}})
        for n, cells in enumerate(written, 1)
    ]
    place = workbook.write(
        tmp_path_factory.getbasetemp() / "xlsx", sheet, lines, further=[], modes=MODES, picture=lambda _: None
    )
    reading = read(place.read_bytes(), file="results.xlsx", schemas=schemas())
    (read_back,) = reading.sheets

    assert read_back.table is not None
    assert read_back.table.headers == headers
    assert [record.cells for record in read_back.table.records] == written
    assert [row.prompt for row in _rows_of(reading)] == [cells[0] for cells in texts]
    book: Any = openpyxl.load_workbook(place)
    assert not [cell for row in book.worksheets[0] for cell in row if cell.data_type in ("f", "e")]


def given_row(number: int) -> Row:
    """A row, as far as its results line wants it."""
    return manifest_of(f"id,video_url\nrow-{number},a.mp4\n".encode(), file="a.csv", schemas=schemas()).rows[0]


@settings(max_examples=60)
@for_all(st.lists(st.text(max_size=120), min_size=1, max_size=6))
@example(["con", "CON", "a/b", "a\\b", "..", "é", "e\u0301", "x" * 300, "日" * 100, "trailing.", " spaced "])
def test_any_clip_names_become_files_of_their_own(tmp_path_factory: pytest.TempPathFactory, stems: list[str]) -> None:
    labels = ids.assign(stems, taken=())
    folder = tmp_path_factory.mktemp("names")
    paths = [folder / jobs.output_path(given.job(label).stem, 12345) for label in labels]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        with path.open("xb"):
            pass

    there = os.listdir(folder / "videos")  # noqa: PTH208 - names as the system has them
    assert len(there) == len(stems)
    assert len({unicodedata.normalize("NFC", name).casefold() for name in there}) == len(stems)
    assert all(Path(name).suffix == ".mp4" and not set(name) & set('<>:"/\\|?*') for name in there)
