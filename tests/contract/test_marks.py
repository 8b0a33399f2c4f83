"""Marks set in a report come home: run as they are, or written into the user's sheet; none is paid for twice."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from batchmod import judgement
from batchmod.checkpoint import Checkpoint
from batchmod.model import Scored, Scores
from tests.servers.segmind import SegmindStandIn
from tests.support import PACE, Ran, Shoot, call, read_results, remote_rows, shoot

HEADERS = ("id", "review", "review_of", "review_note", "output", "job_key", "run_id", "manifest")


@pytest.fixture
def server() -> Iterator[SegmindStandIn]:
    with SegmindStandIn(queued_s=0, processing_s=0) as running:
        yield running


@pytest.fixture
def work(server: SegmindStandIn, tmp_path: Path) -> Shoot:
    """A batch that has run; one row of it was added later and not sent."""
    work = shoot(tmp_path / "project", server, remote_rows("one", "two", "three"), name="autumn")
    assert work.run("--output", str(work.folder)).code == 0
    return work


def marks_of(folder: Path, path: Path, **marks: tuple[str, int | str, str]) -> Path:
    """The file that the report of a folder exports."""
    lines = {line["id"]: line for line in read_results(folder)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, HEADERS, extrasaction="ignore")
        writer.writeheader()
        for row_id, (review, of, note) in marks.items():
            known = lines.get(row_id, {})
            writer.writerow({**known, "id": row_id, "review": review, "review_of": of, "review_note": note})
    return path


def run(work: Shoot, marks: Path, *argv: str) -> Ran:
    return call("run", marks, "--yes", *PACE, *argv, environ=work.environ, cwd=marks.parent)


def reviews(folder: Path) -> Mapping[str, tuple[str, str, str]]:
    return {
        line["id"]: (line["review"], line["review_of"], line.get("review_note", "")) for line in read_results(folder)
    }


def test_a_file_of_marks_is_a_manifest_wherever_it_lies(work: Shoot, tmp_path: Path) -> None:
    marks = marks_of(
        work.folder, tmp_path / "down loads/marks (1).csv", two=("redo", 1, "hands, melting"), three=("keep", 1, "")
    )

    done = run(work, marks)

    assert (done.code, work.server.ledger.submits_seen) == (0, 4), done.err
    assert work.outputs() == ["one_v001.mp4", "three_v001.mp4", "two_v001.mp4", "two_v002.mp4"]
    assert reviews(work.folder) == {
        "one": ("", "1", ""), "two": ("redo", "1", "hands, melting"), "three": ("keep", "1", ""),
    }  # fmt: skip
    assert [path.name for path in marks.parent.iterdir()] == ["marks (1).csv"]


def test_the_page_then_shows_both_versions_and_what_the_run_has_changed(work: Shoot, tmp_path: Path) -> None:
    first = page_of(work.folder)
    run(work, marks_of(work.folder, tmp_path / "marks.csv", two=("redo", 1, "hands")))
    text, page = (work.folder / "report.html").read_text(encoding="utf-8"), page_of(work.folder)
    two = next(card for card in page["cards"] if card["id"] == "two")

    assert [card.get("news") for card in first["cards"]] == [None, None, None]
    assert [card.get("news") for card in page["cards"]] == [None, "version", None]
    assert (two["clip"]["href"], [clip["href"] for clip in two["older"]]) == (
        "videos/two_v002.mp4", ["videos/two_v001.mp4"],
    )  # fmt: skip
    assert (two["review"], two["of"], two["note"]) == ("redo", 1, "hands")
    assert "Since the previous run: 1 new output, $0.60" in text
    assert "4 generations, $2.40; no shot is kept yet." in text
    assert page["about"]["folder"] == first["about"]["folder"] != ""


def test_an_earlier_version_has_the_scores_that_it_was_given(work: Shoot, tmp_path: Path) -> None:
    with Checkpoint.open(work.folder / "checkpoint.sqlite3", create=False) as record:
        ((_, first),) = record.delivered_to(["two"])
        assert first.sha256 is not None
        found = Scored(work_id=first.work_id, sha256=first.sha256, scores=Scores(motion=12.0))
        record.keep_scores([found], form=judgement.FORM)
    run(work, marks_of(work.folder, tmp_path / "marks.csv", two=("redo", 1, "hands")), "--no-scores")

    two = next(card for card in page_of(work.folder)["cards"] if card["id"] == "two")

    assert "scores" not in two
    assert [(clip["scores"][0], clip["doubt"].split(" at ")[0]) for clip in two["older"]] == [
        (12.0, "needs_review: motion 12 of")
    ]


def page_of(folder: Path) -> dict[str, Any]:
    text = (folder / "report.html").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text.split('id="data">')[1].split("</script>")[0])
    return found


def test_brought_in_twice_it_pays_once_whatever_ran_between(work: Shoot, tmp_path: Path) -> None:
    marks = marks_of(work.folder, tmp_path / "marks.csv", two=("redo", 1, "again"))

    codes = [run(work, marks).code, run(work, marks).code]
    codes.append(work.run("--output", str(work.folder)).code)  # which sees the row without its redo
    late = run(work, marks)

    assert [*codes, late.code] == [0, 0, 0, 0]
    assert work.server.ledger.submits_seen == 4
    assert "marks.csv:2:A (id): version 1 of 'two' was made once more already: its redo is over" in late.err


def test_broken_off_the_same_command_goes_on_and_pays_once(work: Shoot, tmp_path: Path) -> None:
    marks = marks_of(work.folder, tmp_path / "marks.csv", two=("redo", 1, ""))
    work.server.configure(processing_s=600)
    left = run(work, marks, "--no-wait")
    work.server.configure(processing_s=0)
    work.server.advance(700)

    again = run(work, marks)

    assert (left.code, again.code, work.server.ledger.submits_seen) == (3, 0, 4), again.err
    assert work.results()["two"]["output"] == "videos/two_v002.mp4"


def test_a_redo_of_the_newer_version_counts_again(work: Shoot, tmp_path: Path) -> None:
    run(work, marks_of(work.folder, tmp_path / "marks.csv", two=("redo", 1, "")))
    done = run(work, marks_of(work.folder, tmp_path / "marks.csv", two=("redo", 2, "")))

    assert (done.code, work.server.ledger.submits_seen) == (0, 5)
    assert work.results()["two"]["output"] == "videos/two_v003.mp4"


def test_only_the_marked_rows_are_done(work: Shoot, tmp_path: Path) -> None:
    marks = marks_of(work.folder, tmp_path / "marks.csv", one=("redo", 1, ""))
    work.rows(remote_rows("one", "two", "three", "new"), name="autumn")
    work.run("--output", str(work.folder), "--only", "one")

    done = run(work, marks)

    assert done.code == 0
    assert work.statuses() == {"one": "succeeded", "two": "succeeded", "three": "succeeded", "new": "planned"}
    assert work.server.ledger.submits_seen == 4


def test_a_version_that_was_kept_stays_the_one_that_was_kept(work: Shoot, tmp_path: Path) -> None:
    run(work, marks_of(work.folder, tmp_path / "marks.csv", two=("redo", 1, "")))
    run(work, marks_of(work.folder, tmp_path / "marks.csv", two=("keep", 1, "the first was better")))
    again = call("run", work.folder / "results.csv", "--yes", *PACE, environ=work.environ)

    assert again.code == 0
    assert reviews(work.folder)["two"] == ("keep", "1", "the first was better")


def test_a_mark_taken_away_is_away(work: Shoot, tmp_path: Path) -> None:
    run(work, marks_of(work.folder, tmp_path / "marks.csv", two=("hold", 1, "wait")))
    assert reviews(work.folder)["two"] == ("hold", "1", "wait")
    done = run(work, marks_of(work.folder, tmp_path / "marks.csv", two=("", "", "")))

    assert (done.code, reviews(work.folder)["two"]) == (0, ("", "1", ""))


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        (("reedo", 1, ""), "marks.csv:2:B (review): a mark is keep, redo, hold or nothing, not 'reedo'"),
        (("redo", "", ""), "marks.csv:2:C (review_of): a redo says which version it is about"),
        (
            ("keep", "first", ""),
            "marks.csv:2:C (review_of): the version a mark is about is a number from 1, not 'first'",
        ),
    ],
)
def test_what_makes_no_sense_in_it_is_said_with_its_place(
    mark: tuple[str, int | str, str], said: str, work: Shoot, tmp_path: Path
) -> None:
    done = run(work, marks_of(work.folder, tmp_path / "marks.csv", two=mark))

    assert (done.code, work.server.ledger.submits_seen) == (2, 3)
    assert said in done.err


def test_marks_of_rows_and_versions_that_are_not_there_are_said_and_pay_nothing(work: Shoot, tmp_path: Path) -> None:
    done = run(work, marks_of(work.folder, tmp_path / "marks.csv", one=("redo", 7, ""), gone=("keep", 1, "")))

    assert (done.code, work.server.ledger.submits_seen) == (0, 3)
    assert "'one' has no version 7 that could be made once more" in done.err
    assert "no row is called 'gone' any more" in done.err


def test_marks_of_a_folder_that_nobody_knows_are_refused(work: Shoot, tmp_path: Path) -> None:
    marks = marks_of(work.folder, tmp_path / "marks.csv", one=("keep", 1, ""))
    (tmp_path / "videos").mkdir()
    environ = {**work.environ, "BATCHMOD_HOME": str(tmp_path / "another home")}

    refused = call("run", marks, "--yes", environ=environ)
    named = call("run", marks, "--yes", "--output", work.folder, environ=environ)

    assert (refused.code, named.code) == (2, 0)
    assert "these are marks of a report, and the output folder that they are of is not known here" in refused.err


def test_status_and_plan_take_it_too(work: Shoot, tmp_path: Path) -> None:
    marks = marks_of(work.folder, tmp_path / "marks.csv", one=("redo", 1, ""))

    plan, status = (call(name, marks, environ=work.environ) for name in ("plan", "status"))

    assert (plan.code, status.code) == (0, 0)
    assert "once more, as asked" in plan.out or "1 to send" in plan.out
    assert status.out.startswith(f"{work.folder}: 3 rows")


SHEET = 'Shot;Plate;Look;"Reg\u00edsseur"\r\n"one";https://example.com/a.mp4;"wool; soft"; x \r\n\r\ntwo;https://example.com/b.mp4;clay\r\n'


@pytest.fixture
def sheet(server: SegmindStandIn, tmp_path: Path) -> Shoot:
    path = tmp_path / "project/shots.csv"
    path.parent.mkdir()
    path.write_bytes(SHEET.encode("cp1252"))
    work = Shoot(server=server, home=tmp_path / "home", manifest=path)
    assert work.run(*COLUMNS).code == 0
    return work


COLUMNS = [word for name in ("id=Shot", "video_url=Plate", "prompt=Look") for word in ("--column", name)]


def report(work: Shoot, marks: Path) -> Ran:
    return call("report", "--no-scores", work.manifest, "--marks", marks, *COLUMNS, environ=work.environ)


def test_marks_are_written_into_the_sheet_and_nothing_else_is_touched(sheet: Shoot, tmp_path: Path) -> None:
    marks = marks_of(sheet.folder, tmp_path / "marks.csv", two=("redo", 1, "=too \u201cflat\u201d; again"))

    done = report(sheet, marks)
    text = sheet.manifest.read_bytes().decode("cp1252")

    assert done.code == 0, done.err
    assert "shots.csv: 1 row marked; what it was before is shots.csv.before-marks" in done.out
    _, *rest = SHEET.split("\r\n")
    assert text.split("\r\n")[:3] == ["Shot;Plate;Look;Reg\u00edsseur;review;review_of;review_note", *rest[:2]]
    assert list(csv.reader(io.StringIO(text), delimiter=";"))[3] == [
        "two", "https://example.com/b.mp4", "clay", "", "redo", "1", " =too \u201cflat\u201d; again",
    ]  # fmt: skip
    assert sheet.manifest.with_name("shots.csv.before-marks").read_bytes() == SHEET.encode("cp1252")


def test_the_sheet_then_asks_for_one_version_and_for_no_more(sheet: Shoot, tmp_path: Path) -> None:
    marks = marks_of(sheet.folder, tmp_path / "marks.csv", two=("redo", 1, ""), one=("keep", 1, ""))
    report(sheet, marks)

    codes = [sheet.run(*COLUMNS).code, sheet.run(*COLUMNS).code]
    late = report(sheet, marks)
    codes.append(sheet.run(*COLUMNS).code)
    codes.append(run(sheet, marks).code)

    assert codes == [0, 0, 0, 0]
    assert sheet.server.ledger.submits_seen == 3
    assert "its redo is over" in late.err


def test_a_workbook_gets_its_marks_in_its_own_columns(server: SegmindStandIn, tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    path = tmp_path / "shots.xlsx"
    book = openpyxl.Workbook()
    rows = [["id", "Note", "review", "video_url"], ["one", "+1", "hold", "https://example.com/a.mp4"]]
    for row in [*rows, ["two", "mine", None, "https://example.com/b.mp4"]]:
        book.active.append(row)
    book.create_sheet("other").append(["=1+1"])
    book.save(path)
    work = Shoot(server=server, home=tmp_path / "home", manifest=path)
    work.run("--only", "two")
    marks = marks_of(work.folder, tmp_path / "marks.csv", one=("", "", ""), two=("redo", 1, "=not a formula"))

    done = call("report", "--no-scores", path, "--marks", marks, environ=work.environ)
    found = openpyxl.load_workbook(path)

    assert done.code == 0, done.err
    assert [[cell.value for cell in row] for row in found.worksheets[0]] == [
        ["id", "Note", "review", "video_url", "review_of", "review_note"],
        ["one", "+1", None, "https://example.com/a.mp4", None, None],
        ["two", "mine", "redo", "https://example.com/b.mp4", 1, "=not a formula"],
    ]
    assert found.worksheets[0]["F3"].data_type == "s"
    assert found["other"]["A1"].value == "=1+1"


def test_rows_that_stand_in_no_sheet_are_named(work: Shoot, tmp_path: Path) -> None:
    before = work.manifest.read_bytes()
    marks = marks_of(work.folder, tmp_path / "marks.csv", one=("keep", 1, ""))

    done = call("report", "--no-scores", work.manifest, "--output", work.folder, "--marks", marks, environ=work.environ)

    assert (done.code, work.manifest.read_bytes()) == (0, before)
    assert "'one' does not stand in a .csv, .tsv or .xlsx: `batchmod run` takes the file of marks itself" in done.err


def test_marks_of_two_manifests_go_into_both_sheets_and_are_run_one_by_one(
    server: SegmindStandIn, tmp_path: Path
) -> None:
    for name in ("first", "other"):
        (tmp_path / f"{name}.csv").write_text(f"id,video_url,prompt\n{name}-a,https://example.com/a.mp4,{name}\n")
    work = Shoot(server=server, home=tmp_path / "home", manifest=tmp_path / "first.csv")
    other = replace(work, manifest=tmp_path / "other.csv")
    assert [each.run("--output", str(work.folder), "--add").code for each in (work, other)] == [0, 0]
    marks = marks_of(work.folder, tmp_path / "marks.csv", **{"first-a": ("keep", 1, ""), "other-a": ("hold", 1, "")})
    write = ("report", "--no-scores", work.folder, "--marks", marks)

    refused, written = run(work, marks), call(*write, environ=work.environ)

    assert (refused.code, refused.err.count("marks.csv:1")) == (2, 1), refused.err
    assert "other.csv'), and each runs by itself" in refused.err
    assert (written.code, written.err) == (0, "")
    assert [each.manifest.read_text().splitlines()[1].split(",")[3] for each in (work, other)] == ["keep", "hold"]

    other.manifest.unlink()
    assert "other.csv" in call(*write, environ=work.environ).err  # it is said which one is not there


def test_marks_go_into_the_sheet_that_a_manifest_includes(server: SegmindStandIn, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "rows.csv").write_text("id,video_url\none,https://example.com/a.mp4\n", encoding="utf-8")
    (folder / "shots.yaml").write_text("version: 1\ninclude: [rows.csv]\n", encoding="utf-8")
    work = Shoot(server=server, home=tmp_path / "home", manifest=folder / "shots.yaml")
    assert work.run().code == 0
    marks = marks_of(work.folder, tmp_path / "marks.csv", one=("keep", 1, "good"))

    done = call("report", "--no-scores", work.folder, "--marks", marks, environ=work.environ, cwd=tmp_path)

    assert done.code == 0, done.err
    text = (folder / "rows.csv").read_text(encoding="utf-8")
    assert text == "id,video_url,review,review_of,review_note\none,https://example.com/a.mp4,keep,1,good\n"


def test_a_file_of_something_else_is_no_marks(work: Shoot) -> None:
    done = call("report", "--no-scores", work.folder, "--marks", work.folder / "results.csv", environ=work.environ)

    assert done.code == 2
    assert "is no file of marks" in done.err


def test_marks_do_not_go_into_results_which_are_written_anew(work: Shoot, tmp_path: Path) -> None:
    marks = marks_of(work.folder, tmp_path / "marks.csv", one=("keep", 1, ""))

    done = call("report", "--no-scores", work.folder / "results.csv", "--marks", marks, environ=work.environ)

    assert done.code == 2
    assert "is a table of results, which is written anew" in done.err
