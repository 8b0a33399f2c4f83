"""results.csv: every row and every text arrives, and no cell does anything in a spreadsheet."""

import csv
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import example
from hypothesis import given as for_all
from hypothesis import strategies as st

from batchmod import results
from batchmod.model import Status, VideoFacts, Work
from tests import given

FACTS = VideoFacts(
    width=640, height=480, fps=Fraction(24000, 1001), frames=48, duration_s=2.0021, has_audio=True, bytes=9
)
DONE = given.work(
    given.job(),
    Status.SUCCEEDED,
    attempts=2,
    request_id="r1",
    cost_usd=0.1234567,
    cost_source="provider",
    billed=True,
    facts=FACTS,
    sha256="f" * 64,
    warnings=("no sound", "odd size"),
    submitted_at=1_777_777_777.0,
    finished_at=1_777_777_900.25,
    run_id="run-1",
)
FIRST = ["id", "status", "output", "error_code", "error", "provider", "model", "mode", "prompt", "video_url"]
LAST = ["review", "review_of", "job_key", "manifest", "row"]


def line(
    id_: str = "shot", *, number: int = 1, work: Work | None = None, own: Mapping[str, str] | None = None, **fields: Any
) -> dict[str, Any]:
    status = work.status if work else Status.PLANNED
    return results.record(
        {"id": id_, "own": own or {}, **fields},
        number=number,
        status=status,
        work=work,
        delivery=given.delivery(given.job(id_)) if work else None,
        manifest="autumn.yaml",
    )


def written(folder: Path, *lines: Mapping[str, Any], own: Sequence[str] = ()) -> list[dict[str, str]]:
    return list(results.read(results.write(folder, lines, own)))


def test_a_finished_row_says_all_there_is() -> None:
    found = line(work=DONE, mode="flex_1", prompt="wool", video_url="a.mp4", job_key="1-x", variant=2)

    assert {name: value for name, value in found.items() if value is not None} == {
        "id": "shot",
        "status": "succeeded",
        "output": "videos/shot_v001.mp4",
        "mode": "flex_1",
        "prompt": "wool",
        "video_url": "a.mp4",
        "variant": 2,
        "version": 1,
        "attempts": 2,
        "request_id": "r1",
        "cost_usd": 0.123457,
        "cost_source": "provider",
        "submitted_at": "2026-05-03T03:09:37.000Z",
        "finished_at": "2026-05-03T03:11:40.250Z",
        "seconds": 123.25,
        "width": 640,
        "height": 480,
        "fps": "24000/1001",
        "frames": 48,
        "duration_s": 2.002,
        "has_audio": "true",
        "bytes": 9,
        "sha256": "f" * 64,
        "flagged": "false",
        "warnings": "no sound; odd size",
        "billed": "true",
        "run_id": "run-1",
        "review_of": 1,
        "job_key": "1-x",
        "manifest": "autumn.yaml",
        "row": 1,
    }


def test_a_doubt_about_an_output_is_flagged_with_its_reason() -> None:
    found = line(work=replace(DONE, flag_reason="48 frames expected"))

    assert (found["flagged"], found["flag_reason"]) == ("true", "48 frames expected")


@pytest.mark.parametrize("status", [Status.SUBMITTED, Status.FAILED, Status.UNCERTAIN])
def test_an_output_is_named_only_when_it_is_there(status: Status) -> None:
    found = line(work=given.work(given.job(), status))

    assert (found["output"], found["flagged"], found["version"]) == (None, None, 1)


def test_a_row_that_was_never_begun_has_a_status_and_no_numbers() -> None:
    found = line()

    assert (found["status"], found["attempts"], found["cost_usd"], found["row"]) == ("planned", None, None, 1)


def test_what_is_not_known_of_a_video_is_left_open() -> None:
    found = line(
        work=replace(DONE, facts=replace(FACTS, fps=None, duration_s=None, frames=None), cost_usd=None, billed=None)
    )

    assert [found[name] for name in ("fps", "duration_s", "frames", "cost_usd", "billed")] == [None] * 5


def test_a_clock_that_was_set_back_makes_no_negative_time() -> None:
    assert line(work=replace(DONE, finished_at=1.0))["seconds"] == 0.0


def test_own_columns_follow_ours_in_their_order(tmp_path: Path) -> None:
    own = {"zulu": "1", "alpha": "2", "Scene": "3"}
    (found,) = written(tmp_path, line(own=own), own=list(own))

    assert list(found)[: len(FIRST)] == FIRST
    assert list(found)[-len(own) - len(LAST) :] == [*LAST, "zulu", "alpha", "Scene"]
    assert {name: found[name] for name in own} == own


def test_an_own_column_with_one_of_our_names_is_kept_beside_ours(tmp_path: Path) -> None:
    own = {"status": "approved", "Status": "x", "cost_usd": "12"}
    (found,) = written(tmp_path, line(own=own), own=list(own))

    assert (found["status"], found["my_status"], found["Status"], found["my_cost_usd"]) == (
        "planned",
        "approved",
        "x",
        "12",
    )


@pytest.mark.parametrize(
    "own", [["status", "my_status"], ["my_status", "status"], ["my_status", "my_my_status", "status"]]
)
def test_no_own_column_is_lost_to_another(tmp_path: Path, own: list[str]) -> None:
    (found,) = written(tmp_path, line(own={name: f"the {name}" for name in own}), own=own)

    assert {f"the {name}" for name in own} <= set(found.values())
    assert found["my_status"] == "the my_status"


def test_rows_without_a_column_leave_it_empty(tmp_path: Path) -> None:
    found = written(tmp_path, line("a", own={"scene": "1"}), line("b", own={"take": "2"}), own=["scene", "take"])

    assert [(row["scene"], row["take"]) for row in found] == [("1", ""), ("", "2")]


@for_all(st.text())
@example("'")
@example("''=1")
@example("'=1")
@example("-5")
def test_the_guard_is_undone_exactly(text: str) -> None:
    assert results.unguarded(str(results.guarded(text))) == text


@for_all(st.sampled_from("=+-@\t\r'"), st.text())
def test_no_guarded_text_begins_like_a_formula(first: str, rest: str) -> None:
    assert str(results.guarded(first + rest)).startswith("'")


@pytest.mark.parametrize(
    ("value", "cell"), [(None, ""), (-0.5, -0.5), (7, 7), ("", ""), ("wool", "wool"), ("a=b", "a=b")]
)
def test_numbers_and_harmless_texts_stay_as_they_are(value: object, cell: object) -> None:
    assert results.guarded(value) == cell


texts = st.text(st.characters(exclude_categories=["Cs"]))


@for_all(st.lists(st.tuples(texts, texts), min_size=1, max_size=5))
def test_every_text_comes_back(tmp_path_factory: pytest.TempPathFactory, cells: list[tuple[str, str]]) -> None:
    folder = tmp_path_factory.getbasetemp() / "results"
    lines = [line(str(number), prompt=prompt, own={"note": note}) for number, (prompt, note) in enumerate(cells)]
    found = written(folder, *lines, own=["note"])

    assert [(row["prompt"], row["note"]) for row in found] == cells


@pytest.mark.parametrize("name", ["=cmd()", "+1", "-", "@x", "'quoted", "a,b", 'a"b', "a\nb", " "])
def test_a_header_does_nothing_in_a_spreadsheet_either(tmp_path: Path, name: str) -> None:
    place = results.write(tmp_path, [line(own={name: "kept"})], [name])
    with place.open(encoding="utf-8-sig", newline="") as file:
        headers = next(csv.reader(file))

    assert not headers[-1].startswith(("=", "+", "-", "@"))
    assert next(results.read(place))[name] == "kept"


def test_half_a_character_does_not_lose_the_table(tmp_path: Path) -> None:
    (found,) = written(tmp_path, line(prompt="half \ud83d"))

    assert found["prompt"] == "half ?"


def test_spreadsheets_see_utf_8(tmp_path: Path) -> None:
    place = results.write(tmp_path, [line(prompt="Größe 日本 🧶")], [])

    assert place == tmp_path / "results.csv"
    assert place.read_bytes().startswith(b"\xef\xbb\xbfid,")
    assert "Größe 日本 🧶" in place.read_text("utf-8")


def test_a_plain_reader_of_csv_reads_it(tmp_path: Path) -> None:
    results.write(tmp_path, [line("a", prompt='two\nlines, and "quotes"'), line("b")], [])
    with (tmp_path / "results.csv").open(encoding="utf-8-sig", newline="") as file:
        found = list(csv.DictReader(file))

    assert [row["id"] for row in found] == ["a", "b"]
    assert found[0]["prompt"] == 'two\nlines, and "quotes"'


def test_lines_with_more_cells_than_headers_are_read(tmp_path: Path) -> None:
    """As a person leaves them who wrote a note beside the table."""
    place = results.write(tmp_path, [line("a")], [])
    place.write_text(place.read_text("utf-8").rstrip() + ",a note\n", "utf-8")

    assert [row["id"] for row in results.read(place)] == ["a"]


def test_a_table_without_rows_has_its_headers(tmp_path: Path) -> None:
    assert written(tmp_path) == []
    assert (tmp_path / "results.csv").read_text("utf-8-sig").startswith("id,status,output,")


def test_lines_that_fail_leave_the_old_table(tmp_path: Path) -> None:
    results.write(tmp_path, [line("old")], [])

    def broken() -> Any:
        yield line("new")
        raise RuntimeError("the record broke")

    with pytest.raises(RuntimeError):
        results.write(tmp_path, broken(), [])

    assert [row["id"] for row in results.read(tmp_path / "results.csv")] == ["old"]


def test_twenty_thousand_lines_take_seconds(tmp_path: Path) -> None:
    began = time.process_time()
    lines = (
        line(f"shot-{n}", number=n, work=DONE, prompt="a doll of wool", own={"scene": "12A"}) for n in range(20_000)
    )
    place = results.write(tmp_path, lines, ["scene"])
    count = sum(1 for _ in results.read(place))

    assert count == 20_000
    assert time.process_time() - began < 6


def test_the_table_has_numbers_where_the_schema_says_so(tmp_path: Path) -> None:
    results.write(tmp_path, [line("a", work=DONE, prompt="=1", own={"shot": "007"}), line("b", number=2)], ["shot"])
    table = results.frame(tmp_path)

    assert table["row"].dtype == "int64"
    assert {
        name: table[name].dtype.kind for name in ("cost_usd", "seconds", "width", "version", "frames")
    } == dict.fromkeys(("cost_usd", "seconds", "width", "version", "frames"), "f")
    assert table["width"].tolist()[0] == 640
    assert pd.isna(table["width"][1])
    assert table["fps"].tolist() == ["24000/1001", ""]
    assert table["has_audio"].tolist() == ["true", ""]
    assert table["prompt"].tolist() == ["=1", ""]
    assert table["shot"].tolist() == ["007", ""]


def test_ids_stay_texts_in_the_table(tmp_path: Path) -> None:
    results.write(tmp_path, [line("007"), line("1e5"), line("NA")], [])

    assert results.frame(tmp_path)["id"].tolist() == ["007", "1e5", "NA"]


def test_money_adds_up_in_the_table(tmp_path: Path) -> None:
    lines = [line(str(number), work=replace(DONE, cost_usd=0.25)) for number in range(4)]
    results.write(tmp_path, [*lines, line("planned")], [])

    assert results.frame(tmp_path)["cost_usd"].sum() == 1.0


def test_pandas_alone_reads_it_too(tmp_path: Path) -> None:
    results.write(tmp_path, [line("a", work=DONE, prompt="two\nlines")], [])
    table = pd.read_csv(tmp_path / "results.csv", encoding="utf-8-sig")

    assert table.columns[0] == "id"
    assert table["prompt"].tolist() == ["two\nlines"]
