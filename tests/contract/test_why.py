"""One row's story: its values with their places, its requests, its files, and what run would do with it now."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.servers.segmind import SegmindStandIn
from tests.support import PACE, Ran, Shoot, call, remote_rows, shoot, write_clip, write_picture

_PAGE = (Path(__file__).parents[2] / "docs" / "plan.md").read_text("utf-8")


@pytest.fixture
def server() -> Iterator[SegmindStandIn]:
    with SegmindStandIn(queued_s=0, processing_s=0) as running:
        yield running


def why(work: Shoot, row_id: str, *argv: str, path: Path | None = None) -> Ran:
    words = ("--provider", "segmind") if path is None else ()
    return call("why", path or work.manifest, row_id, *words, *argv, environ=work.environ)


def story(work: Shoot, row_id: str, *argv: str, path: Path | None = None) -> dict[str, Any]:
    done = why(work, row_id, *argv, "--json", path=path)
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert isinstance(found, dict)
    return found


def places(told: Mapping[str, Any]) -> dict[str, tuple[str, str | None, str]]:
    return {cell["field"]: (cell["value"], cell["place"], cell["origin"]) for cell in told["values"]}


YAML = """version: 1
defaults: {mode: flex_1}
clips:
  - id: one
    video_url: https://example.com/a.mp4
    prompt: wool, {shot}
    shot: 12A
  - video_url: https://example.com/b.mp4
    prompt: clay
"""


def test_each_value_has_its_place(tmp_path: Path, server: SegmindStandIn) -> None:
    work = shoot(tmp_path, server, [])
    work.manifest.write_text(YAML, encoding="utf-8")
    file = work.manifest

    assert places(story(work, "one")) == {
        "id": ("one", f"{file}:4:9", "row"),
        "video_url": ("https://example.com/a.mp4", f"{file}:5:16", "row"),
        "prompt": ("wool, 12A", f"{file}:6:13", "row"),
        "mode": ("flex_1", f"{file}:2:18", "defaults"),
        "provider": ("segmind", None, "command line"),
        "shot": ("12A", f"{file}:7:11", "row"),
    }
    assert places(story(work, "b"))["id"] == ("b", None, "made")


@pytest.mark.parametrize(
    ("name", "text", "where"),
    [
        ("s.csv", "id,video_url,Shot\none,https://example.com/a.mp4,12A\n", "s.csv:2:C"),
        ("s.jsonl", '{"id": "one", "video_url": "https://example.com/a.mp4", "Shot": "12A"}\n', "s.jsonl:1:65"),
        (
            "s.yaml",
            "matrix: {Shot: [12A, 12B]}\nclips: [{id: one, video_url: https://example.com/a.mp4}]\n",
            "s.yaml:1:17",
        ),
    ],
)
def test_a_column_of_the_users_own_has_its_place_in_every_format(
    name: str, text: str, where: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    row = "one-12A" if name.endswith("yaml") else "one"
    told = json.loads(call("why", name, row, "--json", environ={}, cwd=tmp_path).out)

    assert places(told)["Shot"] == ("12A", where, "row")


def test_values_of_a_table_of_results_stand_in_its_rows(tmp_path: Path, server: SegmindStandIn) -> None:
    work = shoot(tmp_path, server, remote_rows("a"))
    work.run()
    table = work.folder / "results.csv"

    told = places(story(work, "a", path=table))
    assert {told[name][2] for name in ("id", "video_url", "prompt", "mode", "provider")} == {"row"}
    assert told["id"] == ("a", f"{table}:2:A", "row")


def test_a_frame_that_was_paired_is_told_as_such(tmp_path: Path, server: SegmindStandIn) -> None:
    work = shoot(tmp_path, server, remote_rows("a"), pair_frames=True)
    frame = write_picture(tmp_path / "frames" / "a.edited.png")

    value, place, origin = places(story(work, "a"))["first_frame_url"]
    assert (value, place, origin) == (str(frame.relative_to(tmp_path)), None, "paired")
    assert "paired by its name" in why(work, "a").out


def test_a_row_tells_its_requests_attempts_cost_and_versions(tmp_path: Path, server: SegmindStandIn) -> None:
    work = shoot(tmp_path, server, remote_rows("one", "two"))
    work.run()
    work.run("--pay-again", "one")
    told = story(work, "one")
    first, second = told["requests"]
    ids = [job.request_id for job in server.ledger.jobs if "one.mp4" in str(job.inputs)]

    assert [each["request_id"] for each in (first, second)] == ids
    assert [each["attempts"][0]["outcome"] for each in (first, second)] == ["accepted", "accepted"]
    assert [each["outputs"][0]["path"] for each in (first, second)] == ["videos/one_v001.mp4", "videos/one_v002.mp4"]
    assert all(each["outputs"][0]["there"] for each in (first, second))
    assert told["spent_usd"] == pytest.approx(1.2)
    assert {event["event"] for event in told["events"]} >= {"intended", "submitted", "output_known", "succeeded"}
    assert all(event["id"] == "one" for event in told["events"])
    assert (told["plan"]["action"], told["verdict"]) == ("keep", "run would keep it as it is: done.")


def test_a_folder_knows_its_manifest_and_the_provider_that_was_asked(tmp_path: Path, server: SegmindStandIn) -> None:
    work = shoot(tmp_path, server, remote_rows("one"))
    work.run()
    told = story(work, "one", path=work.folder)

    assert (told["manifest"], told["plan"]["action"]) == (str(work.manifest), "keep")
    assert told["job"]["provider"] == "segmind"
    assert told["requests"][0]["current"] is True


def test_an_edited_row_says_which_field_and_keeps_its_history(tmp_path: Path, server: SegmindStandIn) -> None:
    rows = remote_rows("one")
    work = shoot(tmp_path, server, rows)
    work.run()
    rows[0]["prompt"] = "as clay"
    work.rows(rows)
    told = story(work, "one")

    assert [each["field"] for each in told["change"]["fields"]] == ["prompt"]
    assert (told["plan"]["action"], told["plan"]["why"]) == ("send", "changed: prompt")
    assert [each["current"] for each in told["requests"]] == [False]
    assert told["last_seen"]["prompt"] == "as wool, one"


def test_a_deleted_row_still_has_its_story(tmp_path: Path, server: SegmindStandIn) -> None:
    work = shoot(tmp_path, server, remote_rows("one", "two"))
    work.run()
    work.rows(remote_rows("two"))
    told = story(work, "ONE")
    from_folder = why(work, "one", path=work.folder)
    work.manifest.unlink()
    without_manifest = why(work, "one", path=work.folder)

    assert (told["id"], told["row"], told["plan"]) == ("one", None, None)
    assert told["verdict"] == "run would do nothing with it: no row has this id any more."
    assert "no row of shots.yaml any more" in from_folder.out
    assert (without_manifest.code, "videos/one_v001.mp4, there" in without_manifest.out) == (0, True)
    assert "the manifest that it comes from is not there any more" in without_manifest.out
    assert "asks for something else" not in without_manifest.out


def test_an_unfinished_request_of_a_deleted_row_is_collected(tmp_path: Path, server: SegmindStandIn) -> None:
    server.configure(processing_s=600)
    work = shoot(tmp_path, server, remote_rows("one", "two"))
    work.run("--no-wait")
    work.rows(remote_rows("two"))

    assert story(work, "one")["verdict"].startswith("run would collect what is unfinished")
    assert story(work, "two")["plan"]["action"] == "resume"


def test_a_lost_request_tells_its_attempts(tmp_path: Path, server: SegmindStandIn) -> None:
    server.faults.add("accept_then_reset")
    work = shoot(tmp_path, server, remote_rows("one"))
    work.run(environ={name: value for name, value in work.environ.items() if "HISTORY" not in name})
    told, said = story(work, "one"), why(work, "one").out
    (request,) = told["requests"]

    assert (request["status"], request["attempts"][0]["outcome"]) == ("uncertain", "unknown")
    assert request["reserved_usd"] > 0
    assert told["plan"]["action"] == "uncertain"
    assert "run would look it up at the provider, and send nothing by a guess" in said


def test_a_wrong_row_says_what_is_wrong_with_it(tmp_path: Path, server: SegmindStandIn) -> None:
    rows = remote_rows("one", "two")
    rows[0]["mode"] = "flex_9"
    work = shoot(tmp_path, server, rows)
    told = story(work, "one")

    assert len(told["problems"]) == 1
    assert "'flex_9' is not a mode; did you mean 'flex_3'?" in told["problems"][0]
    assert "run would be refused" in told["verdict"]
    assert story(work, "two")["plan"]["action"] == "send"


def test_an_id_that_nobody_has_is_refused_with_what_was_meant(tmp_path: Path, server: SegmindStandIn) -> None:
    work = shoot(tmp_path, server, remote_rows("woman-clay"))
    done = why(work, "womanclay")

    assert done.code == 2
    assert "no row has the id 'womanclay', and none had it; did you mean 'woman-clay'?" in done.err


def test_a_path_that_is_not_there_is_refused(tmp_path: Path, server: SegmindStandIn) -> None:
    done = why(shoot(tmp_path, server, []), "one", path=tmp_path / "nowhere.yaml")

    assert (done.code, "is not there; give a manifest or an output folder" in done.err) == (2, True)


def test_the_story_needs_neither_key_nor_network_and_writes_nothing(tmp_path: Path, server: SegmindStandIn) -> None:
    write_clip(tmp_path / "a.mp4")
    work = shoot(tmp_path, server, [{"id": "one", "video_url": "a.mp4", "prompt": "wool"}])
    work.run()
    before = {path: path.stat().st_mtime_ns for path in work.folder.rglob("*") if path.is_file()}
    asked = len(server.ledger.requests)
    bare = {name: value for name, value in work.environ.items() if name != "SEGMIND_API_KEY"}
    done = call("why", work.manifest, "one", "--provider", "segmind", environ=bare)

    assert done.code == 0
    assert len(server.ledger.requests) == asked
    assert {path: path.stat().st_mtime_ns for path in work.folder.rglob("*") if path.is_file()} == before


def test_the_query_of_a_url_stays_out_of_the_story(tmp_path: Path, server: SegmindStandIn) -> None:
    row = {"id": "one", "video_url": "https://example.com/a.mp4?X-Amz-Signature=secret", "prompt": "wool"}
    work = shoot(tmp_path, server, [row])
    work.run()
    said = why(work, "one").out + json.dumps(story(work, "one")) + json.dumps(story(work, "one", path=work.folder))

    assert "example.com/a.mp4" in said
    assert "secret" not in said


def keys_in_page(of: str) -> list[str]:
    """The first cells of the table that lists the keys of this."""
    table = _PAGE[_PAGE.index(f"| key of {of} |") :].partition("\n\n")[0]
    return re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)


def test_the_page_lists_the_keys_of_plans_and_stories(tmp_path: Path, server: SegmindStandIn) -> None:
    work = shoot(tmp_path, server, remote_rows("one"))
    (plan,) = json.loads(call("plan", work.manifest, "--provider", "segmind", "--json", environ=work.environ).out)

    assert keys_in_page("a plan") == list(plan)
    assert keys_in_page("a provider") == list(plan["providers"][0])
    assert keys_in_page("an item") == list(plan["items"][0])
    assert keys_in_page("a story") == list(story(work, "one"))


def test_paths_given_relative_stay_short(tmp_path: Path, server: SegmindStandIn) -> None:
    work = shoot(tmp_path, server, remote_rows("one"))
    call("run", "shots.yaml", "--provider", "segmind", "--yes", *PACE, environ=work.environ, cwd=tmp_path)
    done = call("why", "outputs/shots", "one", environ=work.environ, cwd=tmp_path)

    assert done.out.startswith("one: row 1 of shots.yaml, into outputs/shots; its newest output is videos/one_v001.mp4")
    assert re.search(r"^  id +one +shots\.yaml:\d+:\d+$", done.out, flags=re.MULTILINE), done.out
