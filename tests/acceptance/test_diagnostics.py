"""What `check` says of mistakes: with source lines, counted where they repeat, for machines, in a copy of the sheet."""

import csv
import json
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from tests.support import Ran, call, command, write_clip

_SHEET = "id,video_url,mode,prompt\na,clip.mp4,flex_9,x\nb,clip.mp4,,{y}\nc,clip.mp4,,\n"


def _check(folder: Path, *words: str) -> Ran:
    if not (folder / "clip.mp4").exists():
        write_clip(folder / "clip.mp4")
    return call("check", *words, environ={}, cwd=folder)


def test_a_mistake_in_a_text_is_shown_with_its_line_and_a_caret(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("clips:\n  - {video_url: clip.mp4, mode: flex_9}\n", encoding="utf-8")
    (tmp_path / "r.jsonl").write_text('{"video_url": "clip.mp4", "mode": "flex_9"}\n', encoding="utf-8")

    assert _check(tmp_path, "m.yaml", "r.jsonl").err.splitlines() == [
        "m.yaml:2:33 (mode): 'flex_9' is not a mode; did you mean 'flex_3'?",
        "  2 |   - {video_url: clip.mp4, mode: flex_9}",
        "    |                                 ^",
        "r.jsonl:1:35 (mode): 'flex_9' is not a mode; did you mean 'flex_3'?",
        '  1 | {"video_url": "clip.mp4", "mode": "flex_9"}',
        "    |                                   ^",
        "2 problems; nothing was sent.",
    ]


def test_a_long_line_is_cut_around_its_caret_and_shows_no_control_character(tmp_path: Path) -> None:
    filler = "é" * 200
    (tmp_path / "m.yaml").write_text(
        f"clips:\n  - {{video_url: clip.mp4, note: {filler}, mode: flex_9, x: '\u2066'}}\n", encoding="utf-8"
    )
    _, line, caret, _ = _check(tmp_path, "m.yaml").err.splitlines()

    assert len(line) < 120
    assert line[caret.index("^") :].startswith("flex_9")
    assert line.isprintable()


def test_a_mistake_in_an_anchor_is_shown_where_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(
        "clips:\n  - &a {id: a, video_url: clip.mp4, mode: flex_9}\n  - {<<: *a, id: b}\n", encoding="utf-8"
    )
    problem, line, _, count = _check(tmp_path, "m.yaml").err.splitlines()

    assert problem.startswith("m.yaml:2:43 (mode): 'flex_9' is not a mode")
    assert line == "  2 |   - &a {id: a, video_url: clip.mp4, mode: flex_9}"
    assert count == "1 problem; nothing was sent."


def test_a_mistake_that_repeats_a_thousand_times_is_counted(tmp_path: Path) -> None:
    rows = "".join(f"s{n},no{n}.mp4,flex_9\n" for n in range(1000))
    (tmp_path / "s.csv").write_text(f"id,video_url,mode\n{rows}last,clip.mp4,\nlast,clip.mp4,\n", encoding="utf-8")
    lines = _check(tmp_path, "s.csv").err.splitlines()
    every = json.loads(_check(tmp_path, "s.csv", "--format", "json").out)["problems"]

    assert [line.split(" ")[0] for line in lines] == [
        *("s.csv:2:B", "s.csv:3:B", "s.csv:4:B", "s.csv:"),
        *("s.csv:2:C", "s.csv:3:C", "s.csv:4:C", "s.csv:"),
        *("s.csv:1003:A", "2,001"),
    ]
    assert lines[3] == "s.csv: 997 more like these, in lines 5 to 1,001; --format json lists each"
    assert len(every) == 2001


def test_nineteen_mistakes_of_one_kind_are_all_said(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("video_url,mode\n" + "clip.mp4,x\n" * 19, encoding="utf-8")

    assert len(_check(tmp_path, "s.csv").err.splitlines()) == 20


def test_problems_as_json_have_every_part_of_their_place(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(_SHEET.replace(",", ";"), encoding="utf-8")
    done = _check(tmp_path, "s.csv", "--format", "json")
    said = json.loads(done.out)

    assert (done.code, done.err) == (2, "")
    assert said["problems"][0] == {
        "file": "s.csv",
        "line": 2,
        "column": None,
        "cell": "C",
        "sheet": None,
        "field": "mode",
        "row": 1,
        "severity": "error",
        "slug": "bad_manifest",
        "message": "'flex_9' is not a mode",
        "hint": "did you mean 'flex_3'?",
    }
    assert said["notes"] == ["s.csv: UTF-8, ';', 3 rows"]


def test_problems_as_sarif_name_rule_file_and_region(tmp_path: Path) -> None:
    (tmp_path / "my shots.yaml").write_text("clips:\n  - {video_url: clip.mp4, mode: flex_9}\n", encoding="utf-8")
    (tmp_path / "s.csv").write_text(_SHEET, encoding="utf-8")
    log = json.loads(_check(tmp_path, "my shots.yaml", "s.csv", "--format", "sarif").out)
    (run,) = log["runs"]
    places = [result["locations"][0]["physicalLocation"] for result in run["results"]]

    assert log["version"] == "2.1.0"
    assert {rule["id"] for rule in run["tool"]["driver"]["rules"]} == {result["ruleId"] for result in run["results"]}
    assert places[0] == {
        "artifactLocation": {"uri": "my%20shots.yaml"},
        "region": {"startLine": 2, "startColumn": 33},
    }
    assert places[1]["region"] == {"startLine": 2}
    assert run["results"][1]["locations"][0]["logicalLocations"][0]["fullyQualifiedName"] == "C2"
    assert run["results"][1]["message"]["text"] == "mode: 'flex_9' is not a mode; did you mean 'flex_3'?"


def test_problems_for_github_are_workflow_commands(tmp_path: Path) -> None:
    (tmp_path / "100%.yaml").write_text("clips:\n  - {video_url: clip.mp4, mode: flex_9}\n", encoding="utf-8")

    assert _check(tmp_path, "100%.yaml", "--format", "github").out == (
        "::error file=100%25.yaml,line=2,col=33,title=mode::'flex_9' is not a mode; did you mean 'flex_3'?\n"
    )


@pytest.mark.parametrize(("form", "start"), [("json", '{\n  "problems": []'), ("sarif", "{"), ("github", "")])
def test_that_nothing_is_wrong_is_said_to_machines_too(form: str, start: str, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("video_url\nclip.mp4\n", encoding="utf-8")
    done = _check(tmp_path, "s.csv", "--format", form)

    assert done.code == 0
    assert done.out.startswith(start)
    assert form != "sarif" or json.loads(done.out)["runs"][0]["results"] == []
    assert form != "github" or done.out == ""


def test_a_run_that_is_refused_says_so_in_the_form_that_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(_SHEET, encoding="utf-8")
    write_clip(tmp_path / "clip.mp4")
    done = call("run", "s.csv", "--format", "github", environ={}, cwd=tmp_path)

    assert done.code == 2
    assert done.out.startswith("::error file=s.csv,line=2,")


def test_a_reader_that_goes_away_is_no_bug(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("video_url,mode\n" + "https://x.example/a.mp4,x\n" * 5000, encoding="utf-8")
    words = ("sh", "-c", '"$@" | head -c 10 >/dev/null', "sh")
    done = command("check", "s.csv", "--format", "json", environ={}, cwd=tmp_path, under=words)

    assert "Traceback" not in done.err


def test_an_annotated_copy_of_a_csv_is_the_sheet_and_a_column(tmp_path: Path) -> None:
    sheet = (
        '\r\nid;video_url;mode;prompt\r\na;clip.mp4;flex_9;"café;\r\n2"\r\n\r\nb;clip.mp4;;it’s {y}\r\nc;clip.mp4;;\r\n'
    )
    (tmp_path / "s.csv").write_bytes(sheet.encode("cp1252"))
    done = _check(tmp_path, "s.csv", "--annotate")
    copy = (tmp_path / "s.annotated.csv").read_bytes().decode("cp1252")
    rows = [row for row in csv.reader(copy.splitlines(keepends=True), delimiter=";") if row]

    assert done.code == 2
    assert done.err.startswith("s.annotated.csv: a copy of the sheet")
    assert rows == [
        ["id", "video_url", "mode", "prompt", "batchmod: problems"],
        ["a", "clip.mp4", "flex_9", "café;\r\n2", "C (mode): 'flex_9' is not a mode; did you mean 'flex_3'?"],
        ["b", "clip.mp4", "", "it’s {y}", "D (prompt): {y} is no column of this row; write {{ and }} for plain braces"],
        ["c", "clip.mp4", "", "", ""],
    ]
    assert [line.count("\r") for line in copy.split("\n")] == [line.count("\r") for line in sheet.split("\n")]


def test_a_copy_that_was_mended_is_annotated_anew_in_its_column(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(_SHEET, encoding="utf-8")
    _check(tmp_path, "s.csv", "--annotate")
    copy = tmp_path / "s.annotated.csv"
    copy.write_text(copy.read_text("utf-8-sig").replace("flex_9", "flex_1"), encoding="utf-8")
    _check(tmp_path, "s.annotated.csv", "--annotate")
    with (tmp_path / "s.annotated.annotated.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))

    assert rows[0] == ["id", "video_url", "mode", "prompt", "batchmod: problems"]
    assert [bool(row[4]) for row in rows[1:]] == [False, True, False]


def test_an_annotated_copy_says_what_is_wrong_with_the_header(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("video_url,promt\nclip.mp4,x\n", encoding="utf-8")
    _check(tmp_path, "s.csv", "--annotate")

    first = (tmp_path / "s.annotated.csv").read_text("utf-8-sig").splitlines()[0]
    assert first.startswith("video_url,promt,\"batchmod: problems; B: unknown field 'promt'; did you mean 'prompt'?")


def test_an_annotated_copy_of_a_workbook_has_the_column_and_red_cells(tmp_path: Path) -> None:
    book: Any = openpyxl.Workbook()
    book.active.title = "notes"
    sheet: Any = book.create_sheet("shots")
    for row in ([], ["id", "video_url", "mode"], ["a", "clip.mp4", "flex_9"], ["b", "clip.mp4", "flex_1"]):
        sheet.append(row)
    sheet["B3"].number_format = "@"
    book.save(tmp_path / "s.xlsx")
    done = _check(tmp_path, "s.xlsx", "--sheet", "shots", "--annotate")
    copy: Any = openpyxl.load_workbook(tmp_path / "s.annotated.xlsx")["shots"]

    assert done.code == 2
    assert [copy["D2"].value, copy["D3"].value, copy["D4"].value] == [
        "batchmod: problems",
        "C (mode): 'flex_9' is not a mode; did you mean 'flex_3'?",
        None,
    ]
    assert copy["C3"].fill.start_color.rgb == "FFF4CCCC"
    assert copy["C4"].fill.fill_type is None


def test_two_sheets_of_one_workbook_each_have_their_own_mistakes(tmp_path: Path) -> None:
    book: Any = openpyxl.Workbook()
    for sheet, mode in ((book.active, "flex_9"), (book.create_sheet("Day 2"), "adhere_7")):
        sheet.append(["id", "video_url", "mode"])
        sheet.append([mode, "https://example.com/a.mp4", mode])
    book.active.title = "Day 1"
    book.save(tmp_path / "s.xlsx")
    entries = "{file: s.xlsx, sheet: Day 1}, {file: s.xlsx, sheet: Day 2}"
    (tmp_path / "m.yaml").write_text(f"include: [{entries}]\n", encoding="utf-8")

    done = _check(tmp_path, "m.yaml", "--annotate")
    copy: Any = openpyxl.load_workbook(tmp_path / "s.annotated.xlsx")

    assert "s.xlsx[Day 1]:2:C (mode): 'flex_9' is not a mode" in done.err
    assert "s.xlsx[Day 2]:2:C (mode): 'adhere_7' is not a mode" in done.err
    assert copy["Day 1"]["D2"].value == "C (mode): 'flex_9' is not a mode; did you mean 'flex_3'?"
    assert copy["Day 2"]["D2"].value == "C (mode): 'adhere_7' is not a mode; did you mean 'adhere_1'?"


def test_what_cannot_be_annotated_is_said(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("clips: [{video_url: clip.mp4, mode: x}]\n", encoding="utf-8")
    (tmp_path / "s.csv").write_text('video_url,mode\nclip.mp4,"x\n', encoding="utf-8")
    done = _check(tmp_path, "m.yaml", "s.csv", "--annotate")

    assert done.err.startswith("--annotate: no problem stands in a .csv, .tsv or .xlsx that could be copied")
    assert not list(tmp_path.glob("*annotated*"))
