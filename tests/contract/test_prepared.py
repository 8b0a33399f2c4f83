"""Clips that `check --fix` wrote anew are sent in place of the originals, and never make paid work look new."""

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from batchmod import media
from batchmod.app import preparing
from batchmod.checkpoint import FILE_NAME
from tests.colours import write_card
from tests.servers.clips import Clip
from tests.servers.segmind import SegmindStandIn
from tests.support import Ran, Shoot, call, read_events, shoot, write_clip

TURNED = {"id": "turned", "video_url": "turned.mp4", "prompt": "as wool"}
LONG = {"id": "long", "video_url": "long.mp4", "prompt": "as wool"}


@pytest.fixture
def server() -> Iterator[SegmindStandIn]:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        yield server


@pytest.fixture
def work(tmp_path: Path, server: SegmindStandIn) -> Shoot:
    """A clip that only its rotation speaks against, at the service that bills what it accepts."""
    write_card(tmp_path / "turned.mp4", rotation=90, size=(64, 48))
    return shoot(tmp_path, server, [TURNED])


def long_clip(folder: Path, seconds: int = 31) -> Path:
    return write_clip(folder / "long.mp4", Clip(frames=5 * seconds, fps=5))


def check(work: Shoot, *words: str) -> Ran:
    return call("check", work.manifest, "--provider", "segmind", *words, environ=work.environ)


def plan(work: Shoot, *words: str) -> dict[str, Any]:
    """Id → its line of the plan."""
    done = call("plan", work.manifest, "--provider", "segmind", "--json", *words, environ=work.environ)
    return {item["id"]: item for item in json.loads(done.out)[0]["items"]}


def prepared(work: Shoot) -> list[Path]:
    return sorted((work.folder / "prepared").glob("*.mp4"))


def sent(server: SegmindStandIn) -> list[bytes]:
    """The clips of the requests that the service has accepted."""
    found = (server.storage.at(job.inputs["video_url"]) for job in server.ledger.jobs)
    return [asset.content for asset in found if asset is not None]


def test_a_clip_that_is_too_long_is_cut_and_what_was_cut_is_sent(tmp_path: Path, server: SegmindStandIn) -> None:
    long_clip(tmp_path)
    work = shoot(tmp_path, server, [LONG])
    refused = check(work)

    mended = check(work, "--fix")
    (made,) = prepared(work)
    facts = media.probe_video(made)

    assert refused.code == 2
    assert "long.mp4" not in refused.out
    assert "clip lasts 31.0 s; segmind takes less than 30 s; `batchmod check --fix` mends it" in refused.err
    assert mended.code == 0
    assert mended.out.startswith(f"long: outputs/shots/prepared/{made.name} is long.mp4 as upright H.264 in MP4, ")
    assert "cut from 31.0 s to 29.9 s; runs take it" in mended.out
    assert facts.duration_s is not None
    assert 29.6 < facts.duration_s < 30
    assert facts.has_audio
    assert work.run().code == 0
    assert server.ledger.billed == 1
    assert sent(server) == [made.read_bytes()]


def test_more_than_a_fifth_of_a_clip_is_not_cut_off(tmp_path: Path, server: SegmindStandIn) -> None:
    long_clip(tmp_path, 40)
    work = shoot(tmp_path, server, [LONG])

    done = check(work, "--fix")

    assert done.code == 2
    assert "the clip lasts 40.0 s; segmind takes less than 30 s\n" in done.err
    assert prepared(work) == []


def test_a_run_uses_what_was_prepared_and_the_next_one_sends_nothing(work: Shoot, server: SegmindStandIn) -> None:
    check(work, "--fix")
    first, second = work.run(), work.run()

    assert (first.code, second.code, server.ledger.billed) == (0, 0, 1)
    assert sent(server) == [prepared(work)[0].read_bytes()]
    assert media.clip_facts(prepared(work)[0]).rotation == 0


def test_its_identity_is_the_original_and_what_was_done_to_it_whatever_its_own_bytes(
    work: Shoot, server: SegmindStandIn
) -> None:
    check(work, "--fix")
    key = plan(work)["turned"]["job_key"]
    (made,) = prepared(work)
    ledger = made.with_name("prepared.json")
    original = hashlib.sha256((work.manifest.parent / "turned.mp4").read_bytes()).hexdigest()
    made.write_bytes(made.read_bytes() + b"\0\0\0\x08free")  # as another encoder would have written it
    ledger.write_text(json.dumps({f"prepared:h264-1:sha256:{original}": hashlib.sha256(made.read_bytes()).hexdigest()}))

    assert plan(work)["turned"]["job_key"] == key
    assert json.loads(ledger.read_text()) != {}


def test_what_was_paid_with_its_own_clip_is_neither_prepared_nor_paid_again(
    work: Shoot, server: SegmindStandIn
) -> None:
    work.run()

    fixed, again = check(work, "--fix"), work.run()

    assert (fixed.code, again.code, server.ledger.billed) == (0, 0, 1)
    assert prepared(work) == []
    assert plan(work)["turned"]["action"] == "keep"


def test_what_is_under_way_with_its_own_clip_keeps_it(tmp_path: Path) -> None:
    write_card(tmp_path / "turned.mp4", rotation=90, size=(64, 48))
    with SegmindStandIn(queued_s=0, processing_s=3600) as server:
        work = shoot(tmp_path, server, [TURNED])
        work.run("--no-wait")
        check(work, "--fix")

        assert plan(work)["turned"]["action"] == "resume"
        server.advance(3600)
        assert work.run().code == 0
        assert server.ledger.billed == 1


def test_a_prepared_file_that_is_gone_makes_nothing_that_was_paid_look_new(work: Shoot, server: SegmindStandIn) -> None:
    check(work, "--fix")
    work.run()
    shutil.rmtree(work.folder / "prepared")

    assert plan(work)["turned"]["action"] == "keep"
    assert work.run().code == 0
    assert server.ledger.billed == 1
    done = check(work, "--fix")
    assert (done.code, prepared(work)) == (0, []), done.err


def test_once_more_with_a_prepared_file_that_is_gone_is_said_and_can_be_mended(
    work: Shoot, server: SegmindStandIn
) -> None:
    check(work, "--fix")
    work.run()
    shutil.rmtree(work.folder / "prepared")
    work.rows([{**TURNED, "review": "redo"}])

    assert "cannot be made once more: its prepared clip is gone" in plan(work)["turned"]["why"]
    assert check(work).code == 2
    assert check(work, "--fix").code == 0
    assert work.run().code == 0
    assert server.ledger.billed == 2


def test_a_recipe_that_nobody_asks_for_any_more_is_still_the_one_that_was_paid(
    work: Shoot, server: SegmindStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a service takes other clips from today on, or a newer batchmod knows better."""
    check(work, "--fix")
    work.run()
    monkeypatch.setattr(preparing, "recipe_of", lambda *_: None)

    assert plan(work)["turned"]["action"] == "keep"
    assert work.run().code == 0
    assert server.ledger.billed == 1


def test_another_folder_reuses_what_was_paid_with_a_prepared_clip(work: Shoot, server: SegmindStandIn) -> None:
    check(work, "--fix")
    work.run()

    assert plan(work, "--output", str(work.folder.with_name("other")))["turned"]["action"] == "reuse"


def test_another_folder_prepares_nothing_for_what_was_paid_with_its_own_clip(
    work: Shoot, server: SegmindStandIn
) -> None:
    work.run()
    other = work.folder.with_name("other")
    check(work, "--fix", "--output", str(other))

    assert not other.exists()
    assert plan(work, "--output", str(other))["turned"]["action"] == "reuse"


def test_a_file_that_somebody_changed_is_not_sent(tmp_path: Path, server: SegmindStandIn) -> None:
    long_clip(tmp_path)
    work = shoot(tmp_path, server, [LONG])
    check(work, "--fix")
    (made,) = prepared(work)
    made.write_bytes((tmp_path / "long.mp4").read_bytes())

    assert plan(work)["long"]["action"] == "will fail"
    assert check(work, "--fix").code == 0
    assert work.run().code == 0
    assert media.probe_video(made).duration_s == pytest.approx(29.8)


def test_a_request_that_failed_unbilled_and_has_lost_its_clip_says_how_to_get_it_back(
    work: Shoot, server: SegmindStandIn
) -> None:
    server.faults.add("failed_422", on="submit")
    check(work, "--fix")
    work.run()
    shutil.rmtree(work.folder / "prepared")

    lost = plan(work)["turned"]
    check(work, "--fix")

    assert lost["action"] == "leave"
    assert len(prepared(work)) == 1


def test_rows_of_one_clip_are_prepared_once(tmp_path: Path, server: SegmindStandIn) -> None:
    write_card(tmp_path / "turned.mp4", rotation=90, size=(64, 48))
    work = shoot(tmp_path, server, [TURNED, {**TURNED, "id": "more", "prompt": "as clay"}])

    done = check(work, "--fix")

    assert "turned and 1 other row: " in done.out
    assert len(prepared(work)) == 1
    assert work.run().code == 0
    assert (server.ledger.billed, server.ledger.uploads) == (2, 1)


def test_a_new_row_of_a_clip_takes_the_prepared_one_and_a_paid_row_keeps_its_own(
    work: Shoot, server: SegmindStandIn
) -> None:
    work.run()
    work.rows([TURNED, {**TURNED, "id": "more", "prompt": "as clay"}])
    check(work, "--fix")
    actions = {name: item["action"] for name, item in plan(work).items()}
    work.run()

    assert actions == {"turned": "keep", "more": "send"}
    assert server.ledger.billed == 2
    assert sent(server)[1] == prepared(work)[0].read_bytes()


def test_a_file_that_the_service_could_not_read_and_did_not_bill_is_sent_as_it_was_mended(
    work: Shoot, server: SegmindStandIn
) -> None:
    work.run()
    with closing(sqlite3.connect(work.folder / FILE_NAME)) as db, db:
        db.execute("UPDATE work SET status = 'failed', error_code = 'unreadable_source', billed = 0, request_id = NULL")
        db.execute("DELETE FROM delivery")
    with closing(sqlite3.connect(work.home / "paid.sqlite3")) as db, db:
        db.execute("DELETE FROM claim")
    before = plan(work)["turned"]["action"]
    check(work, "--fix")

    assert before == "leave"
    assert plan(work)["turned"]["action"] == "send"


def test_rows_that_are_not_chosen_are_not_prepared(tmp_path: Path, server: SegmindStandIn) -> None:
    write_card(tmp_path / "turned.mp4", rotation=90, size=(64, 48))
    write_card(tmp_path / "more.mp4", rotation=180, size=(64, 48))
    work = shoot(tmp_path, server, [TURNED, {"id": "more", "video_url": "more.mp4"}])

    check(work, "--fix", "--only", "more")

    assert [path.name.partition("-")[0] for path in prepared(work)] == ["more"]


def test_the_record_remembers_that_prepared_clips_were_sent(work: Shoot, server: SegmindStandIn) -> None:
    check(work, "--fix")
    work.run()

    assert [event["event"] for event in read_events(work.folder)].count("submitted") == 1
    assert (
        "would send a clip that `check --fix` wrote anew"
        not in call("plan", work.manifest, "--provider", "segmind", environ=work.environ).out
    )
