"""`init` as a stranger meets it: it works as it is, an editor finds its schema, nothing is overwritten."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from batchmod import files
from tests.servers.segmind import SegmindStandIn
from tests.support import PACE, call, read_results

FORMS = ("shots.yaml", "shots.csv", "shots.xlsx")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where somebody has said `batchmod init`."""
    place = tmp_path / "my shoot"
    place.mkdir()
    assert call("init", environ={}, cwd=place).code == 0
    return place


@pytest.mark.parametrize("name", FORMS)
def test_each_form_is_without_a_problem_and_costs_nothing(folder: Path, name: str) -> None:
    check = call("check", name, environ={}, cwd=folder)
    (plan,) = json.loads(call("plan", name, "--json", environ={}, cwd=folder).out)

    assert (check.code, check.out) == (0, f"{name}: 3 rows, no problems.\n")
    assert (plan["counts"], plan["cost_usd"]["high"]) == ({"send": 2, "held": 1}, 0.0)


def test_the_three_forms_are_one_batch(folder: Path, tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        environ = {**server.environment(), "BATCHMOD_HOME": str(tmp_path / "home")}
        done = [
            call("run", name, "--provider", "segmind", "--yes", *PACE, environ=environ, cwd=folder) for name in FORMS
        ]

        assert [each.code for each in done] == [0, 0, 0]
        assert server.ledger.submits_seen == 2
        assert {line["id"]: line["status"] for line in read_results(folder / "outputs/shots")} == {
            "autumn-from-frame": "succeeded",
            "pencil": "succeeded",
            "comic": "held",
        }


@pytest.mark.slow
def test_it_runs_as_written(folder: Path) -> None:
    done = call("run", "shots.yaml", environ={"BATCHMOD_HOME": str(folder / "home")}, cwd=folder)

    assert (done.code, sorted(path.name for path in (folder / "outputs/shots/videos").iterdir())) == (
        0,
        ["autumn-from-frame_v001.mp4", "pencil_v001.mp4"],
    )


def test_an_editor_finds_the_schema_that_the_first_line_names(folder: Path) -> None:
    text = (folder / "shots.yaml").read_text("utf-8")
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    assert named is not None

    def beside(uri: str) -> Resource[Any]:
        return Resource.from_contents(json.loads((folder / "schemas" / uri).read_text("utf-8")))

    schema = json.loads((folder / named[1]).read_text("utf-8"))
    validator = Draft202012Validator(schema, registry=Registry(retrieve=beside))  # type: ignore[call-arg]

    assert list(validator.iter_errors(yaml.safe_load(text))) == []
    assert [error.message for error in validator.iter_errors(yaml.safe_load(text.replace("flex_3", "flex_9")))]


def test_the_workbook_offers_the_modes_and_keeps_its_header_in_view(folder: Path) -> None:
    sheet: Any = openpyxl.load_workbook(folder / "shots.xlsx").active
    offered = {str(each.sqref): each.formula1 for each in sheet.data_validations.dataValidation}
    modes = files.schema("row")["properties"]["mode"]["enum"]

    assert sheet.freeze_panes == "A2"
    assert [cell.value for cell in sheet[1]][3] == "mode"
    assert offered["D2:D1048576"] == f'"{",".join(modes)}"'
    assert all(cell.comment for cell in sheet[1])


def test_spreadsheets_see_that_the_csv_is_utf_8(folder: Path) -> None:
    assert (folder / "shots.csv").read_bytes().startswith(b"\xef\xbb\xbfid,video_url,")


def test_what_is_there_already_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "shots.csv").write_text("mine", encoding="utf-8")
    (tmp_path / "shots.xlsx").symlink_to(tmp_path / "nowhere")
    first = call("init", tmp_path, environ={})
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    second = call("init", tmp_path, environ={})

    assert "Left as it was, since it was there already: shots.csv, shots.xlsx." in first.out
    assert (tmp_path / "shots.csv").read_text("utf-8") == "mine"
    assert not (tmp_path / "nowhere").exists()
    assert "Written" not in second.out
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_another_folder_can_be_named_and_is_made(tmp_path: Path) -> None:
    done = call("init", "new/shoot", environ={}, cwd=tmp_path)

    assert done.code == 0
    assert done.out.splitlines()[-1].startswith("Next: batchmod plan new/shoot/shots.yaml")
    assert (tmp_path / "new/shoot/shots.yaml").exists()


def test_a_file_where_the_folder_should_be_is_no_bug(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("x", encoding="utf-8")
    refused = call("init", "taken", environ={}, cwd=tmp_path)

    assert refused.code == 2
    assert refused.err.endswith("; name another folder [usage]\n")


def test_without_openpyxl_there_is_the_rest_and_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    done = call("init", tmp_path, environ={})

    assert (done.code, (tmp_path / "shots.csv").exists(), (tmp_path / "shots.xlsx").exists()) == (0, True, False)
    assert "pip install 'batchmod[xlsx]'" in done.err
    assert not list(tmp_path.glob(".*"))
