"""A results.csv is a manifest: run again it sends nothing, edited what was edited, wherever it was copied to."""

import csv
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.servers.everyone import STAND_INS
from tests.servers.segmind import SegmindStandIn
from tests.support import PACE, Ran, Shoot, call, read_results, shoot, write_clip, write_manifest, write_picture

Line = dict[str, str]


@pytest.fixture
def server() -> Iterator[SegmindStandIn]:
    with SegmindStandIn(queued_s=0, processing_s=0) as running:
        yield running


def files_for(folder: Path) -> list[dict[str, Any]]:
    """Rows with local clips below a folder, as different as rows can be."""
    for name in ("a", "b"):
        write_clip(folder / f"clips/{name}.mp4", mark=name)
    write_picture(folder / "frames/a.png")
    return [
        {"id": "one", "video_url": "clips/a.mp4", "prompt": "a {status} doll, {{plain}}", "status": "woollen"},
        {"id": "two", "video_url": "clips/b.mp4", "first_frame_url": "frames/a.png", "mode": "flex_2", "variant": 2},
        {"id": "three", "video_url": "clips/a.mp4", "prompt": "'quoted' and\nbroken", "note": "=1+1"},
        {"id": "four", "video_url": "clips/a.mp4", "source_id": "A012", "prompt": "as clay"},
        {"id": "held", "video_url": "clips/b.mp4", "prompt": "not yet", "hold": True},
    ]


@pytest.fixture
def work(server: SegmindStandIn, tmp_path: Path) -> Shoot:
    """A batch that has run."""
    folder = tmp_path / "project"
    work = shoot(folder, server, files_for(folder), naming="{status}/{id}_v{version:03d}", name="autumn")
    assert work.run("--output", str(work.folder)).code == 0
    return work


def again(work: Shoot, table: Path, *argv: str) -> Ran:
    """Run a table of results, without a word of what the manifest was run with."""
    return call("run", table, "--yes", *PACE, *argv, environ=work.environ, cwd=table.parent)


def edited(source: Path, target: Path, change: Callable[[list[Line]], object]) -> Path:
    """A copy of a results.csv as a person leaves it who worked in it."""
    with source.open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.DictReader(file))
    names = list(lines[0])
    change(lines)
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(lines)
    return target


def without_times(folder: Path) -> list[Mapping[str, str]]:
    return [{name: cell for name, cell in line.items() if name != "run_id"} for line in read_results(folder)]


def test_run_again_where_it_lies_nothing_is_sent_and_nothing_changes(work: Shoot) -> None:
    before, sent = without_times(work.folder), work.server.ledger.submits_seen
    done = again(work, work.folder / "results.csv")

    assert (done.code, work.server.ledger.submits_seen) == (0, sent)
    assert without_times(work.folder) == before
    assert {line["status"] for line in before} == {"succeeded", "held"}
    assert sorted(path.name for path in work.folder.rglob("*.mp4")) == [
        "four_v001.mp4", "one_v001.mp4", "three_v001.mp4", "two_v001.mp4",
    ]  # fmt: skip
    assert not (work.folder / "outputs").exists()


def test_then_the_manifest_itself_has_nothing_to_send_either(work: Shoot) -> None:
    before, sent = without_times(work.folder), work.server.ledger.submits_seen
    again(work, work.folder / "results.csv")
    done = work.run("--output", str(work.folder))

    assert (done.code, work.server.ledger.submits_seen) == (0, sent)
    assert without_times(work.folder) == before


def test_copied_elsewhere_it_still_belongs_to_its_folder(work: Shoot, tmp_path: Path) -> None:
    sent = work.server.ledger.submits_seen
    (tmp_path / "desk top").mkdir()
    copy = Path(shutil.copy(work.folder / "results.csv", tmp_path / "desk top/for review.csv"))
    done = again(work, copy)

    assert (done.code, work.server.ledger.submits_seen) == (0, sent)
    assert list(copy.parent.iterdir()) == [copy]
    assert call("status", copy, environ=work.environ).out.startswith(f"{work.folder}: 5 rows: 4 succeeded, 1 held")


def test_a_project_that_was_moved_with_its_results_goes_on(work: Shoot, tmp_path: Path) -> None:
    sent = work.server.ledger.submits_seen
    moved = work.manifest.parent.rename(tmp_path / "archive")
    done = again(work, moved / "outputs/shots/results.csv")

    assert (done.code, work.server.ledger.submits_seen) == (0, sent)


def test_without_a_home_that_remembers_the_folder_is_named(work: Shoot, tmp_path: Path) -> None:
    sent = work.server.ledger.submits_seen
    copy = Path(shutil.copy(work.folder / "results.csv", tmp_path / "copy.csv"))
    environ = {**work.environ, "BATCHMOD_HOME": str(tmp_path / "another home")}
    refused = call("run", copy, "--yes", environ=environ)
    named = call("run", copy, "--yes", "--output", work.folder, environ=environ)

    assert refused.code == 2
    assert "copy.csv:1:AP (manifest): these are results, and the output folder that they are from" in refused.err
    assert (named.code, work.server.ledger.submits_seen) == (0, sent)


def test_a_sheet_that_was_run_with_switches_needs_none_of_them_again(server: SegmindStandIn, tmp_path: Path) -> None:
    sheet = tmp_path / "shots.csv"
    sheet.write_text(
        "Shot,Plate,Look,status\n007,https://example.com/a.mp4,wool of {Shot},mine\n"
        "8,https://example.com/b.mp4,clay,\n",
        encoding="utf-8",
    )
    work = Shoot(server=server, home=tmp_path / "home", manifest=sheet)
    columns = [word for name in ("id=Shot", "video_url=Plate", "prompt=Look") for word in ("--column", name)]
    first = work.run(*columns, "--output", str(tmp_path / "elsewhere/out"))
    table = tmp_path / "elsewhere/out/results.csv"
    before = without_times(table.parent)

    assert (first.code, again(work, table).code, again(work, table, *columns).code) == (0, 0, 0)
    assert server.ledger.submits_seen == 2
    assert without_times(table.parent) == before


@pytest.mark.parametrize("provider", sorted(STAND_INS))
def test_what_no_column_says_comes_from_the_manifest(provider: str, tmp_path: Path) -> None:
    """Options that change the result, and fields that a provider has not got and defaults name."""
    options: dict[str, Any] = {"luma-agents": {"resolution": "540p"}, "kie": {"watermark": "w"}, "runway": {"seed": 3}}
    made: Any = STAND_INS[provider]
    with made() as server:
        rows = [{"id": "a", "video_url": "https://example.com/a.mp4", "prompt": "as wool and clay"}]
        top = {"provider": provider, "limits": {"price_usd": 1}}
        work = shoot(tmp_path, server, rows, at=provider, **top, provider_options=options.get(provider, {}))
        first = work.run()
        done = again(work, work.folder / "results.csv")

        assert (first.code, done.code, done.err) == (0, 0, done.err)
        assert server.ledger.submits_seen == 1


def test_a_rehearsal_comes_back_as_a_rehearsal(work: Shoot) -> None:
    pytest.importorskip("cv2")
    rehearsed = work.run("--rehearse", "--only", "four", "--output", str(work.folder))
    table = work.folder / "rehearsal/results.csv"
    sent = work.server.ledger.submits_seen
    done = again(work, table, "--only", "four")

    assert (rehearsed.code, done.code, work.server.ledger.submits_seen) == (0, 0, sent)
    assert not (work.folder / "rehearsal/rehearsal").exists()
    assert "nothing new to make" in done.out


def test_an_output_folder_that_is_a_link_is_no_other_one(server: SegmindStandIn, tmp_path: Path) -> None:
    (tmp_path / "big disk/deep/down").mkdir(parents=True)
    work = shoot(tmp_path / "project", server, files_for(tmp_path / "project"))
    work.folder.parent.mkdir()
    work.folder.symlink_to(tmp_path / "big disk/deep/down")
    assert work.run().code == 0
    sent = server.ledger.submits_seen
    copy = Path(shutil.copy(work.folder / "results.csv", tmp_path / "copy.csv"))
    done = [again(work, path) for path in (work.folder / "results.csv", work.folder.resolve() / "results.csv", copy)]

    assert [each.code for each in done] == [0, 0, 0], [each.err for each in done]
    assert server.ledger.submits_seen == sent


def test_a_column_that_looks_like_a_slip_was_meant_so_before(server: SegmindStandIn, tmp_path: Path) -> None:
    rows = [{"id": "a", "video_url": "https://example.com/a.mp4", "holds": "1", "Video": "The Doll"}]
    work = shoot(tmp_path, server, rows, extra_columns=["holds", "Video"])
    assert work.run().code == 0
    done = again(work, work.folder / "results.csv")

    assert (done.code, done.err, server.ledger.submits_seen) == (0, done.err, 1)
    assert (work.results()["a"]["holds"], work.results()["a"]["Video"]) == ("1", "The Doll")


@pytest.mark.skipif(shutil.which("soffice") is None, reason="LibreOffice is not installed")
def test_saved_by_libreoffice_it_is_still_the_same_batch(work: Shoot, tmp_path: Path) -> None:
    profile = f"-env:UserInstallation={(tmp_path / 'profile').as_uri()}"
    words = ["soffice", profile, "--headless", "--convert-to", "csv:Text - txt - csv (StarCalc):44,34,76"]
    words.append("--infilter=CSV:44,34,76,1")  # what its window takes it for, without asking
    table = work.folder / "results.csv"
    subprocess.run([*words, "--outdir", tmp_path / "lo", table], check=True, capture_output=True, timeout=200)
    before, sent = without_times(work.folder), work.server.ledger.submits_seen
    saved = tmp_path / "lo/results.csv"
    done = again(work, saved)

    assert (done.code, work.server.ledger.submits_seen) == (0, sent), done.err
    assert saved.read_bytes() != table.read_bytes()
    assert without_times(work.folder) == before


@pytest.mark.parametrize("where", ["in place", "elsewhere"])
def test_of_one_prompt_changed_exactly_one_is_sent(work: Shoot, tmp_path: Path, where: str) -> None:
    sent = work.server.ledger.submits_seen
    table = work.folder / "results.csv"
    target = table if where == "in place" else tmp_path / "copy.csv"

    def change(lines: list[Line]) -> None:
        lines[0]["prompt"] = "a glass doll, {plain}"

    done = again(work, edited(table, target, change))
    found = {line["id"]: line for line in read_results(work.folder)}

    assert (done.code, work.server.ledger.submits_seen) == (0, sent + 1)
    assert (found["one"]["prompt"], found["one"]["output"]) == ("a glass doll, {plain}", "videos/woollen/one_v002.mp4")
    assert len(found) == 5
    assert again(work, table).code == 0
    assert work.server.ledger.submits_seen == sent + 1


def test_a_row_that_is_added_belongs_to_the_same_manifest(work: Shoot) -> None:
    sent = work.server.ledger.submits_seen
    table = work.folder / "results.csv"

    def change(lines: list[Line]) -> None:
        lines.append({"id": "new", "video_url": "clips/b.mp4", "prompt": "as glass", "provider": "segmind"})

    done = again(work, edited(table, table, change))

    assert (done.code, work.server.ledger.submits_seen) == (0, sent + 1)
    assert read_results(work.folder)[-1]["output"] == "videos/none/new_v001.mp4"


def test_a_review_filled_in_orders_once(work: Shoot) -> None:
    table, sent = work.folder / "results.csv", work.server.ledger.submits_seen

    def change(lines: list[Line]) -> None:
        lines[0]["review"], lines[1]["review"], lines[2]["review"] = "redo", "keep", "hold"
        lines[1]["prompt"] = "another"

    assert again(work, edited(table, table, change)).code == 0
    assert work.server.ledger.submits_seen == sent + 1
    found = {line["id"]: line for line in read_results(work.folder)}
    assert (found["one"]["version"], found["one"]["review"], found["one"]["review_of"]) == ("2", "redo", "1")
    assert (found["two"]["review"], found["three"]["review"]) == ("keep", "hold")

    # its own lines, read back, are no new wish
    assert [again(work, table).code for _ in range(2)] == [0, 0]
    assert work.server.ledger.submits_seen == sent + 1

    def once_more(lines: list[Line]) -> None:
        lines[0]["review_of"] = "2"

    assert again(work, edited(table, table, once_more)).code == 0
    assert work.server.ledger.submits_seen == sent + 2


def test_the_users_own_column_with_one_of_our_names_keeps_its_text(work: Shoot) -> None:
    again(work, work.folder / "results.csv")

    assert [line["my_status"] for line in read_results(work.folder)] == ["woollen", "", "", "", ""]


def test_an_included_one_takes_its_clips_from_where_its_manifest_has_them(work: Shoot, tmp_path: Path) -> None:
    sent = work.server.ledger.submits_seen
    outer = write_manifest(
        work.manifest.parent / "outer.yaml", [], provider="segmind", include=["outputs/shots/results.csv"]
    )
    plan = call("plan", outer, environ=work.environ)

    assert plan.code == 0, plan.err
    assert "4 reuse" in plan.out
    assert work.server.ledger.submits_seen == sent


def test_a_row_whose_clip_was_late_comes_back_whole_and_is_sent_when_it_is_there(
    server: SegmindStandIn, tmp_path: Path
) -> None:
    clips = tmp_path / "clips"
    write_clip(clips / "a.mp4", mark="a")
    sheet = tmp_path / "shots.csv"
    sheet.write_text("id,video_url,mode,prompt\na,clips/a.mp4,flex_2,as wool\nb,clips/b.mp4,flex_3,as clay\n", "utf-8")
    work = Shoot(server=server, home=tmp_path / "home", manifest=sheet)
    first = call(
        "run", sheet, "--provider", "segmind", "--yes", "--skip-invalid", *PACE, environ=work.environ, cwd=tmp_path
    )
    assert (first.code, server.ledger.billed) == (1, 1), first.err

    write_clip(clips / "b.mp4", mark="b")
    second = again(work, work.folder / "results.csv")

    assert (second.code, server.ledger.billed) == (0, 2), second.err
    assert [(job.inputs["mode"], job.inputs["prompt"]) for job in server.ledger.jobs][-1] == ("flex_3", "as clay")


def test_the_results_of_two_manifests_are_no_manifest(work: Shoot) -> None:
    more = write_manifest(work.manifest.with_name("more.yaml"), [{"id": "m", "video_url": "clips/a.mp4"}])
    Shoot(server=work.server, home=work.home, manifest=more).run("--output", str(work.folder), "--add")
    sent = work.server.ledger.submits_seen
    refused = again(work, work.folder / "results.csv")
    kept = edited(work.folder / "results.csv", work.folder.parent / "of one.csv", lambda lines: lines.pop())

    assert refused.code == 2
    assert "(manifest): these are the results of 2 manifests: '../../shots.yaml', '../../more.yaml'" in refused.err
    assert again(work, kept).code == 0
    assert work.server.ledger.submits_seen == sent


def test_results_without_their_record_are_refused_with_the_cure(work: Shoot) -> None:
    (work.folder / "checkpoint.sqlite3").unlink()
    refused = again(work, work.folder / "results.csv")

    assert refused.code == 2
    assert "--rebuild" in refused.err


def test_results_whose_manifest_is_gone_are_refused(work: Shoot) -> None:
    work.manifest.unlink()
    refused = again(work, work.folder / "results.csv")

    assert refused.code == 2
    assert "the manifest that these results name: " in refused.err
    assert "shots.yaml: cannot be read" in refused.err


def test_a_table_does_not_choose_which_folders_files_are_sent(server: SegmindStandIn, tmp_path: Path) -> None:
    write_clip(tmp_path / "sheets/a.mp4")
    write_clip(tmp_path / "private/a.mp4", mark="private")
    sheet = tmp_path / "sheets/shots.csv"
    sheet.write_text("id,video_url\na,a.mp4\n", encoding="utf-8")
    work = Shoot(server=server, home=tmp_path / "home", manifest=sheet)
    assert work.run().code == 0

    def aim(lines: list[Line]) -> None:
        lines[0]["manifest"] = "../../../private/shots.csv"

    with closing(sqlite3.connect(work.folder / "checkpoint.sqlite3")) as db, db:
        db.execute("UPDATE folder SET value = '../../../private/shots.csv' WHERE name = 'manifest_file'")
    table = edited(work.folder / "results.csv", work.folder / "results.csv", aim)
    refused, meant = again(work, table), again(work, table, "--allow-outside")

    assert (refused.code, "is not there" in refused.err, "--allow-outside" in refused.err) == (2, True, True)
    assert (meant.code, server.ledger.submits_seen) == (0, 2)


def test_a_row_that_was_left_out_is_mended_in_the_results_and_goes_where_it_was_meant_to(
    tmp_path: Path, server: SegmindStandIn
) -> None:
    (tmp_path / "shots.csv").write_text(
        "id,video_url,prompt,mode,variant,hold,look\n"
        "a,https://example.com/a.mp4,as {look},flex_1,,,wool\n"
        "b,https://example.com/b.mp4,as {look},flex_9,2,,felt\n"
        "c,https://example.com/c.mp4,as {lok},flex_9,,yes,clay\n"
    )
    work = Shoot(server=server, home=tmp_path / "home", manifest=tmp_path / "shots.csv")
    assert work.run("--skip-invalid").code == 1
    table = work.folder / "results.csv"
    lines = work.results()

    told = ("provider", "mode", "prompt", "video_url", "variant")
    assert [lines["b"][name] for name in told] == ["segmind", "flex_9", "as felt", "https://example.com/b.mp4", "2"]
    assert lines["c"]["prompt"] == "", "a prompt that could not be put together must not be sent as it stands"
    assert lines["c"]["hold"] == "true"
    assert again(work, table).code == 2
    assert again(work, table, "--skip-invalid").code == 1
    assert server.ledger.accepted == 1

    table.write_text(table.read_text(encoding="utf-8-sig").replace("flex_9", "flex_2"), encoding="utf-8-sig")
    assert again(work, table).code == 0
    assert work.results()["b"]["status"] == "succeeded"
    assert server.ledger.accepted == 2
