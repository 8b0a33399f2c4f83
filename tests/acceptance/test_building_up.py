"""Manifests that are built up, and rows that are not ready: from the command line to the outputs, paid once."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from tests.servers.segmind import SegmindStandIn
from tests.support import PACE, call, read_results, write_clip


@pytest.fixture
def server() -> Iterator[SegmindStandIn]:
    with SegmindStandIn(queued_s=0, processing_s=0) as running:
        yield running


def _environ(server: SegmindStandIn, folder: Path) -> dict[str, str]:
    return {**server.environment(), "BATCHMOD_HOME": str(folder / "home")}


def _run(server: SegmindStandIn, folder: Path, *words: str) -> Any:
    environ = _environ(server, folder)
    return call("run", "--provider", "segmind", "--yes", *PACE, *words, environ=environ, cwd=folder)


def test_a_workbook_a_matrix_and_a_pattern_make_one_batch(server: SegmindStandIn, tmp_path: Path) -> None:
    for name in ("clips/1.mp4", "clips/2.mp4", "day1/plate.mp4"):
        write_clip(tmp_path / name, mark=name)
    book: Any = openpyxl.Workbook()
    book.active.append(["Shot", "Plate", "Look"])
    book.active.append([7, "plate.mp4", "brass"])
    book.active["A2"].number_format = "000"
    stream = io.BytesIO()
    book.save(stream)
    (tmp_path / "day1" / "shots.xlsx").write_bytes(stream.getvalue())
    (tmp_path / "batch.yaml").write_text(
        "defaults: {prompt: 'as {Look}'}\n"
        "matrix: {mode: [adhere_1, flex_1]}\n"
        "clips: [{video_url: 'clips/*.mp4', Look: wool, variants: 2}]\n"
        "include: [{file: day1/shots.xlsx, columns: {id: Shot, video_url: Plate}}]\n",
        encoding="utf-8",
    )
    first = _run(server, tmp_path, "batch.yaml")
    second = _run(server, tmp_path, "batch.yaml")

    assert (first.code, second.code) == (0, 0), first.err + second.err
    lines = read_results(tmp_path / "outputs" / "batch")
    assert [line["id"] for line in lines] == [
        *("1-adhere_1", "1-adhere_1-variant2", "2-adhere_1", "2-adhere_1-variant2"),
        *("1-flex_1", "1-flex_1-variant2", "2-flex_1", "2-flex_1-variant2", "007-adhere_1", "007-flex_1"),
    ]
    assert {line["prompt"] for line in lines} == {"as wool", "as brass"}
    assert server.ledger.billed == 10


def test_a_pattern_over_all_folders_does_not_pay_for_what_was_made(server: SegmindStandIn, tmp_path: Path) -> None:
    write_clip(tmp_path / "clips" / "a.mp4", mark="a")
    turned = write_clip(tmp_path / "outputs" / "later" / "prepared" / "a-0123456789.mp4", mark="prepared")
    turned.with_name("prepared.json").write_text("{}", encoding="utf-8")
    (tmp_path / "all.yaml").write_text("clips: [{video_url: '**/*.mp4', prompt: wool}]\n", encoding="utf-8")
    (tmp_path / "next.yaml").write_text(
        "clips: [{video_url: 'outputs/all/videos/*.mp4', prompt: clay}]\n", encoding="utf-8"
    )
    ran = [_run(server, tmp_path, "all.yaml") for _ in range(2)]

    assert [each.code for each in ran] == [0, 0], ran
    assert server.ledger.billed == 1
    assert _run(server, tmp_path, "next.yaml").code == 0, "whoever names the folder means what lies in it"
    assert server.ledger.billed == 2


def test_one_late_plate_does_not_cost_the_night(server: SegmindStandIn, tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4")
    sheet = "id,video_url,mode,Status\ngood,clip.mp4,,ready\nlate,no.mp4,,ready\nbad,clip.mp4,flex_9,\nid/,clip.mp4,,\n"
    (tmp_path / "s.csv").write_text(sheet, encoding="utf-8")
    refused = _run(server, tmp_path, "s.csv")
    done = _run(server, tmp_path, "s.csv", "--skip-invalid")

    assert refused.code == 2
    assert done.code == 1
    lines = {line["id"]: line for line in read_results(tmp_path / "outputs" / "s")}
    assert [(name, line["status"], line["row"]) for name, line in lines.items()] == [
        *(("good", "succeeded", "1"), ("late", "invalid", "2"), ("bad", "invalid", "3"), ("id/", "invalid", "4")),
    ]
    assert lines["bad"]["error"] == "mode: 'flex_9' is not a mode"
    assert lines["bad"]["error_code"] == "bad_manifest"
    assert lines["late"]["error"].startswith("video_url: 'no.mp4' is not there")
    assert lines["late"]["Status"] == "ready"
    assert "s.csv: 3 invalid rows left out; the others go on." in done.err
    assert "s.csv:4:C (mode): 'flex_9' is not a mode; did you mean 'flex_3'?" in done.err
    assert server.ledger.billed == 1

    write_clip(tmp_path / "no.mp4", mark="late")
    mended = _run(server, tmp_path, "s.csv", "--skip-invalid", "--where", "Status=ready")

    assert mended.code == 0, mended.err
    assert server.ledger.billed == 2


def test_a_row_that_became_bad_keeps_what_was_paid_for(server: SegmindStandIn, tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4")
    sheet = tmp_path / "s.csv"
    sheet.write_text("id,video_url,prompt\na,clip.mp4,wool\nb,clip.mp4,clay\n", encoding="utf-8")
    first = _run(server, tmp_path, "s.csv")
    sheet.write_text("id,video_url,prompt\na,clip.mp4,{wool}\nb,clip.mp4,clay\n", encoding="utf-8")
    bad = _run(server, tmp_path, "s.csv", "--skip-invalid")
    sheet.write_text("id,video_url,prompt\na,clip.mp4,wool\nb,clip.mp4,clay\n", encoding="utf-8")
    again = _run(server, tmp_path, "s.csv")

    assert (first.code, bad.code, again.code) == (0, 1, 0), again.err
    assert server.ledger.billed == 2
    assert (tmp_path / "outputs" / "s" / "videos" / "a_v001.mp4").exists()


def test_where_names_a_column_that_is_there(server: SegmindStandIn, tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4")
    (tmp_path / "s.csv").write_text(
        "id,video_url,prompt,Status\na,clip.mp4,wool,ready\nb,clip.mp4,clay,\n", encoding="utf-8"
    )
    slip = _run(server, tmp_path, "s.csv", "--where", "Staus=ready")
    done = _run(server, tmp_path, "s.csv", "--where", "Status=ready")

    assert slip.code == 2
    assert "--where: s.csv has no column 'Staus'; did you mean 'Status'?" in slip.err
    assert done.code == 0
    assert [line["status"] for line in read_results(tmp_path / "outputs" / "s")] == ["succeeded", "planned"]


def test_a_variable_of_the_environment_moves_the_clips(server: SegmindStandIn, tmp_path: Path) -> None:
    write_clip(tmp_path / "plates" / "clip.mp4")
    (tmp_path / "m.yaml").write_text(
        'output: "${BATCHMOD_VAR_OUT}"\nclips: [{video_url: "${BATCHMOD_VAR_PLATES}/clip.mp4"}]\n', encoding="utf-8"
    )
    named = {"BATCHMOD_VAR_OUT": "there", "BATCHMOD_VAR_PLATES": "plates"}
    environ = _environ(server, tmp_path)
    without = call("plan", "m.yaml", "--provider", "segmind", environ=environ, cwd=tmp_path)
    done = call("run", "m.yaml", "--provider", "segmind", "--yes", *PACE, environ=environ | named, cwd=tmp_path)
    status = call("status", "m.yaml", environ=environ | named, cwd=tmp_path)

    assert without.code == 2
    assert "m.yaml:1:9 (output): the environment variable BATCHMOD_VAR_OUT is not set" in without.err
    assert (done.code, status.code) == (0, 0), done.err + status.err
    assert (tmp_path / "there" / "videos" / "clip_v001.mp4").exists()


def test_the_folder_of_a_sheet_is_found_however_the_sheet_is_read(server: SegmindStandIn, tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4")
    (tmp_path / "s.csv").write_bytes("id,video_url,prompt\na,clip.mp4,forêt\n".encode("cp1252"))
    refused = _run(server, tmp_path, "s.csv")
    done = _run(server, tmp_path, "s.csv", "--encoding", "cp1252")
    status = call("status", "s.csv", environ={}, cwd=tmp_path)

    assert refused.code == 2
    assert (
        "may be 'forêt' (cp1252) or 'foręt' (cp1250); `--encoding cp1252` or `--encoding cp1250` decides" in refused.err
    )
    assert (done.code, status.code) == (0, 0), done.err + status.err
    assert read_results(tmp_path / "outputs" / "s")[0]["prompt"] == "forêt"


def test_hidden_rows_and_how_a_sheet_was_read_are_said(server: SegmindStandIn, tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4")
    book: Any = openpyxl.Workbook()
    for row in (["id", "video_url"], ["a", "clip.mp4"], ["b", "clip.mp4"]):
        book.active.append(row)
    book.active.row_dimensions[3].hidden = True
    book.save(tmp_path / "book.xlsx")
    (tmp_path / "s.csv").write_bytes("id;video_url;prompt\na;clip.mp4;café\n".encode("cp1252"))
    every = call("plan", "book.xlsx", "s.csv", environ={}, cwd=tmp_path)
    visible = call("plan", "book.xlsx", "--visible-only", "--json", environ={}, cwd=tmp_path)

    assert (every.code, visible.code) == (0, 0)
    assert "book.xlsx: sheet 'Sheet', 2 rows; 1 row hidden or filtered out, read like the others" in every.err
    assert "s.csv: cp1252, ';', 1 row" in every.err
    assert (visible.err, visible.out.count('"job_key"')) == ("", 1)
