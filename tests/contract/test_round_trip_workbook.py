"""results.xlsx: the user's own sheet with what became of each row, and a manifest that sends nothing a second time."""

import io
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import av
import openpyxl
import pytest

from tests.servers.segmind import SegmindStandIn
from tests.support import PACE, Ran, Shoot, call, read_results, write_clip, write_manifest

COLUMNS = [word for each in ("id=Shot", "video_url=Plate", "prompt=Look") for word in ("--column", each)]
HEADERS = ("Notes", "Shot", "Plate", "Look", "status", "Priority", "Due", "variants", "Notes")
RESULTS = ["status", "version", "output", "cost_usd", "problem", "thumbnail", "review"]
ROWS: list[tuple[object, ...]] = [
    ("=1+1", "010", "clips/a.mp4", "wool of {Shot}, {status}", "ready", 7, date(2026, 5, 3), None, "left"),
    ("+49", "020", "clips/b.mp4", "clay {{as it is}}", None, 0.5, None, 2, "#N/A is no error"),
    (None, "roll", "clips/*.mp4", "glass", "late", None, None, None, None),
]


@pytest.fixture
def server() -> Iterator[SegmindStandIn]:
    with SegmindStandIn(queued_s=0, processing_s=0) as running:
        yield running


@pytest.fixture
def work(server: SegmindStandIn, tmp_path: Path) -> Shoot:
    """A workbook that has run, with the switches it needed."""
    folder = tmp_path / "project"
    for name in ("a", "b"):
        write_clip(folder / f"clips/{name}.mp4", mark=name)
    book: Any = openpyxl.Workbook()
    book.active.title = "Day 1"
    for row in (HEADERS, *ROWS):
        book.active.append(row)
    book.active["A2"].data_type = "s"
    book.active["G2"].number_format = "dd.mm.yyyy"
    book.create_sheet("Secrets")
    book.save(folder / "shots.xlsx")
    work = Shoot(server=server, home=tmp_path / "home", manifest=folder / "shots.xlsx")
    done = work.run(*COLUMNS)
    assert (done.code, server.ledger.submits_seen) == (0, 5), done.err
    return work


def again(work: Shoot, table: Path, *argv: str) -> Ran:
    """Run it without a word of what the manifest was run with."""
    return call("run", table, "--yes", *PACE, *argv, environ=work.environ, cwd=table.parent)


def cells(path: Path) -> list[tuple[Any, ...]]:
    book: Any = openpyxl.load_workbook(path)
    return [tuple(cell.value for cell in row) for row in book.worksheets[0]]


def edited(source: Path, target: Path, change: Callable[[Any], object]) -> Path:
    """A copy as a person leaves it who worked in it."""
    book: Any = openpyxl.load_workbook(source)
    change(book.worksheets[0])
    book.save(target)
    return target


def column(sheet: Any, header: str) -> int:
    return next(int(cell.column) for cell in sheet[1] if cell.value == header)


def test_the_users_columns_come_first_as_they_were_then_what_became_of_each_row(work: Shoot) -> None:
    header, *rows = cells(work.folder / "results.xlsx")
    wide = len(HEADERS)

    assert list(header[:wide]) == [name if name != "status" else "my_status" for name in HEADERS]
    assert list(header[wide : wide + len(RESULTS)]) == RESULTS
    assert rows[0][:wide] == (
        "=1+1", "010", "clips/a.mp4", "wool of {Shot}, {status}", "ready", 7, "03.05.2026", None, "left",
    )  # fmt: skip
    assert [row[1] for row in rows] == ["010", "020", "020-variant2", "roll-a", "roll-b"]
    assert [row[2] for row in rows[3:]] == ["clips/a.mp4", "clips/b.mp4"]
    assert [row[wide : wide + 4] for row in rows] == [
        ("succeeded", 1, f"videos/{row[1]}_v001.mp4", 0.6) for row in rows
    ]


def test_it_is_made_to_be_worked_in(work: Shoot) -> None:
    book: Any = openpyxl.load_workbook(work.folder / "results.xlsx")
    sheet = book.worksheets[0]
    output = sheet.cell(2, column(sheet, "output"))
    offered = {str(each.sqref)[:1]: each.formula1 for each in sheet.data_validations.dataValidation}

    assert (sheet.title, sheet.freeze_panes, sheet.auto_filter.ref[:3]) == ("Day 1", "A2", "A1:")
    assert (output.value, output.hyperlink.target) == ("videos/010_v001.mp4", "videos/010_v001.mp4")
    assert '"keep,redo,hold"' in offered.values()
    assert [each.sheet_state for each in book.worksheets] == ["visible", "hidden"]
    hidden = {header.value for header in sheet[1] if sheet.column_dimensions[header.column_letter].hidden}
    assert {"job_key", "manifest", "provider"} <= hidden
    assert not hidden & {*HEADERS, *RESULTS}


def test_no_text_of_the_users_is_a_formula(work: Shoot) -> None:
    book: Any = openpyxl.load_workbook(work.folder / "results.xlsx")
    risky = [cell for row in book.worksheets[0] for cell in row if str(cell.value or "")[:1] in "=+-@#" and cell.value]

    assert [(cell.value, cell.data_type, cell.quotePrefix) for cell in risky] == [
        ("=1+1", "s", True),
        ("+49", "s", True),
        ("#N/A is no error", "s", True),
        ("+49", "s", True),
        ("#N/A is no error", "s", True),
    ]


def test_each_output_has_a_small_picture_over_its_cell(work: Shoot) -> None:
    path = work.folder / "results.xlsx"
    with zipfile.ZipFile(path) as archive:
        pictures = [name for name in archive.namelist() if name.startswith("xl/media/")]
        with av.open(io.BytesIO(archive.read(pictures[0])), "r", format="jpeg_pipe") as picture:
            stream = picture.streams.video[0]
            assert (stream.width, stream.height) == (128, 96)
        drawing = archive.read("xl/drawings/drawing1.xml").decode()

    assert len(pictures) == 5
    assert drawing.count("<oneCellAnchor>") == 5
    assert path.stat().st_size < 40_000


def test_a_row_that_failed_says_so_in_words(server: SegmindStandIn, tmp_path: Path) -> None:
    book: Any = openpyxl.Workbook()
    for row in (("id", "video_url", "mode"), ("a", "https://example.com/a.mp4", ""), ("b", "c.mp4", "flex_9")):
        book.active.append(row)
    book.save(tmp_path / "shots.xlsx")
    server.faults.add("failed_422", times=None)
    work = Shoot(server=server, home=tmp_path / "home", manifest=tmp_path / "shots.xlsx")
    done = work.run("--skip-invalid")
    header, first, second = cells(work.folder / "results.xlsx")
    problem = header.index("problem")

    assert done.code == 1
    assert (first[3], first[problem]) == ("failed", work.results()["a"]["error"])
    assert second[:4] == ("b", "c.mp4", "flex_9", "invalid")
    assert "'flex_9' is not a mode" in second[problem]


@pytest.mark.parametrize("where", ["in place", "elsewhere"])
def test_run_again_nothing_is_sent_and_nothing_changes(work: Shoot, tmp_path: Path, where: str) -> None:
    before, lines = cells(work.folder / "results.xlsx"), read_results(work.folder)
    table = work.folder / "results.xlsx"
    if where == "elsewhere":
        table = Path(shutil.copy(table, tmp_path / "for review.xlsx"))
    done = [again(work, table) for _ in range(2)]

    assert [each.code for each in done] == [0, 0], done[0].err
    assert work.server.ledger.submits_seen == 5
    assert cells(work.folder / "results.xlsx") == before
    assert read_results(work.folder) == lines
    assert "sheet 'Day 1', 5 rows" in done[0].err


def test_then_the_users_own_workbook_has_nothing_to_send_either(work: Shoot) -> None:
    again(work, work.folder / "results.xlsx")

    assert (work.run(*COLUMNS).code, work.server.ledger.submits_seen) == (0, 5)


def test_of_one_prompt_changed_exactly_one_is_sent(work: Shoot, tmp_path: Path) -> None:
    def change(sheet: Any) -> None:
        sheet.cell(2, column(sheet, "Look")).value = "silk of {Shot}, {status}"

    done = again(work, edited(work.folder / "results.xlsx", tmp_path / "copy.xlsx", change))

    assert (done.code, work.server.ledger.submits_seen) == (0, 6)
    assert work.results()["010"]["prompt"] == "silk of 010, ready"
    assert cells(work.folder / "results.xlsx")[1][3] == "silk of {Shot}, {status}"


def test_a_review_filled_in_orders_once(work: Shoot) -> None:
    table = work.folder / "results.xlsx"

    def change(sheet: Any) -> None:
        for row, word in ((2, "redo"), (3, "keep"), (4, "hold")):
            sheet.cell(row, column(sheet, "review")).value = word

    edited(table, table, change)

    assert [again(work, table).code for _ in range(3)] == [0, 0, 0]
    assert work.server.ledger.submits_seen == 6
    header, *rows = cells(table)
    assert [row[header.index("review")] for row in rows] == ["redo", "keep", "hold", None, None]
    assert [row[header.index("version")] for row in rows] == [2, 1, 1, 1, 1]


def test_a_column_that_was_added_is_the_users_own(work: Shoot) -> None:
    table = work.folder / "results.xlsx"

    def change(sheet: Any) -> None:
        sheet.cell(1, sheet.max_column + 1).value = "Client says"
        sheet.cell(2, sheet.max_column).value = "lovely"

    assert again(work, edited(table, table, change)).code == 0
    header, first, *_ = cells(table)
    assert (header[len(HEADERS)], first[len(HEADERS)], header[len(HEADERS) + 1]) == ("Client says", "lovely", "status")
    assert work.results()["010"]["Client says"] == "lovely"


def test_results_csv_goes_on_with_the_workbook(work: Shoot) -> None:
    before = cells(work.folder / "results.xlsx")
    done = again(work, work.folder / "results.csv")
    after = cells(work.folder / "results.xlsx")

    assert (done.code, work.server.ledger.submits_seen) == (0, 5)
    assert after[0] == before[0]
    assert after[2][3] == "clay {{as it is}}"
    assert again(work, work.folder / "results.xlsx").code == 0
    assert work.server.ledger.submits_seen == 5


def test_a_column_that_looks_like_a_slip_was_meant_so_before(server: SegmindStandIn, tmp_path: Path) -> None:
    book: Any = openpyxl.Workbook()
    for row in (("id", "video_url", "mod"), ("a", "https://example.com/a.mp4", "x")):
        book.active.append(row)
    book.save(tmp_path / "shots.xlsx")
    work = Shoot(server=server, home=tmp_path / "home", manifest=tmp_path / "shots.xlsx")
    assert work.run("--extra-column", "mod").code == 0
    done = again(work, work.folder / "results.xlsx")

    assert (done.code, done.err, server.ledger.submits_seen) == (0, done.err, 1)


@pytest.mark.skipif(shutil.which("soffice") is None, reason="LibreOffice is not installed")
@pytest.mark.parametrize("form", ["xlsx", "csv"])
def test_saved_by_libreoffice_it_is_still_the_same_batch(work: Shoot, tmp_path: Path, form: str) -> None:
    profile = f"-env:UserInstallation={(tmp_path / 'profile').as_uri()}"
    words = ["soffice", profile, "--headless", "--convert-to", form, "--outdir", str(tmp_path / "lo")]
    subprocess.run([*words, str(work.folder / "results.xlsx")], check=True, capture_output=True, timeout=200)
    saved = tmp_path / f"lo/results.{form}"
    # another form than .xlsx keeps no hidden sheet, and with it the names of the user's columns
    switches = () if form == "xlsx" else COLUMNS
    done = again(work, saved, *switches)

    assert done.code == 0, done.err
    assert work.server.ledger.submits_seen == 5


def test_a_table_that_a_spreadsheet_holds_open_gets_a_sibling_and_a_word(work: Shoot) -> None:
    old = (work.folder / "results.xlsx").read_bytes()
    lock = work.folder / ".~lock.results.xlsx#"
    lock.write_text(",me,here,26.11.2026 19:00,file:///home/me;", encoding="utf-8")
    done = work.run(*COLUMNS, "--pay-again", "010")
    sibling = work.folder / "results (2).xlsx"

    assert done.code == 0
    assert (work.folder / "results.xlsx").read_bytes() == old
    assert "results.xlsx is open in a spreadsheet, so the new one is results (2).xlsx; close it, and" in done.err
    assert "results.csv and" in done.out
    assert "results (2).xlsx" in done.out
    assert cells(sibling)[1][len(HEADERS) + 1] == 2

    lock.unlink()
    assert work.run(*COLUMNS).code == 0
    assert cells(work.folder / "results.xlsx") == cells(sibling)
    assert again(work, sibling).code == 0
    assert work.server.ledger.submits_seen == 6


def test_results_csv_held_open_is_said_by_report_too(work: Shoot) -> None:
    (work.folder / ".~lock.results.csv#").write_text(",me", encoding="utf-8")
    done = call("report", work.folder, environ=work.environ)

    assert (done.code, f"{work.folder}/results (2).csv" in done.out) == (0, True)
    assert "results.csv is open in a spreadsheet" in done.err


def test_a_manifest_in_yaml_has_no_workbook(work: Shoot, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path / "other/m.yaml", [{"id": "a", "video_url": "https://example.com/a.mp4"}])
    other = Shoot(server=work.server, home=work.home, manifest=manifest)
    other.run()

    assert (other.folder / "results.csv").exists()
    assert not (other.folder / "results.xlsx").exists()
