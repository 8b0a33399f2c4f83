"""A run with nothing to do asks the record many jobs at a time, and leaves everything as it is."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from batchmod import app, index, planning
from batchmod.app import past
from batchmod.app.options import Options
from batchmod.app.services import Services
from batchmod.checkpoint import FILE_NAME, Checkpoint
from batchmod.planning import Action
from batchmod.rows import kept, records
from tests.servers.segmind import SegmindStandIn
from tests.support import Shoot

ROWS = 24
WRITTEN = ("results.csv", "report.html")


@pytest.fixture
def server() -> Iterator[SegmindStandIn]:
    with SegmindStandIn() as running:
        yield running


@pytest.fixture
def work(tmp_path: Path, server: SegmindStandIn, monkeypatch: pytest.MonkeyPatch) -> Shoot:
    """A sheet whose rows are not kept, in blocks of a few rows; all of them are done."""
    monkeypatch.setattr(records, "BLOCK_BYTES", 300)
    monkeypatch.setattr(kept, "MOST_KEPT", 0)
    made = Shoot(server=server, home=tmp_path / "home", manifest=tmp_path / "shots.csv")
    write(made, {})
    assert made.run().code == 0
    return made


def write(work: Shoot, other: dict[int, str]) -> None:
    """The sheet, with other prompts in some rows."""
    lines = ["id,video_url,prompt,scene"]
    lines += [f"s{n},https://clips.example.com/{n}.mp4,{other.get(n, f'look {n}')},{n}" for n in range(ROWS)]
    work.manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")


def stamps(work: Shoot) -> list[int]:
    return [(work.folder / name).stat().st_mtime_ns for name in WRITTEN]


def test_it_writes_nothing_anew_and_sends_nothing(work: Shoot) -> None:
    before, seen = stamps(work), len(work.server.ledger.requests)

    again = work.run()

    assert again.code == 0
    assert f"{ROWS} succeeded" in again.out
    assert stamps(work) == before
    assert len(work.server.ledger.requests) == seen


def test_one_edited_row_among_many_is_sent_and_shown(work: Shoot) -> None:
    before = stamps(work)
    write(work, {17: "another look"})

    assert work.run().code == 0

    assert work.server.ledger.accepted == ROWS + 1
    assert work.results()["s17"]["prompt"] == "another look"
    assert work.results()["s17"]["version"] == "2"
    assert [line["status"] for line in work.results().values()] == ["succeeded"] * ROWS
    assert stamps(work) > before


def test_a_cell_of_the_users_own_is_shown_too(work: Shoot) -> None:
    text = work.manifest.read_text(encoding="utf-8")
    work.manifest.write_text(text.replace("look 9,9", "look 9,nine"), encoding="utf-8")

    assert work.run().code == 0

    assert work.results()["s9"]["scene"] == "nine"
    assert work.server.ledger.accepted == ROWS


def test_a_file_that_is_gone_is_fetched_again(work: Shoot) -> None:
    (work.folder / "videos" / "s3_v001.mp4").unlink()

    assert work.run().code == 0

    assert (work.folder / "videos" / "s3_v001.mp4").exists()
    assert work.server.ledger.accepted == ROWS


@pytest.mark.parametrize("change", ["", "UPDATE work SET status = 'failed', billed = 0 WHERE work_id = 5"])
@pytest.mark.parametrize("gone", [(), ("s3", "s20")])
def test_asked_at_once_the_record_says_what_it_says_job_by_job(work: Shoot, change: str, gone: tuple[str, ...]) -> None:
    write(work, {11: "never sent", 12: "look 3"})
    for name in gone:
        (work.folder / "videos" / f"{name}_v001.mp4").unlink()
    with closing(sqlite3.connect(work.folder / FILE_NAME)) as db, db:
        db.executescript(change)
    loaded = app.load(work.manifest, Options(provider="segmind"), Services(environ=work.environ))
    facts = {"segmind": loaded.services.facts("segmind")}

    with Checkpoint.look_at(work.folder / FILE_NAME) as record:
        known = past.known(record, work.folder, facts)
        one, other = (
            planning.plan(loaded.jobs, known=each, facts=facts, clips={}, flaws={})
            for each in (known, replace(known, at_once=None, works=dict(known.works)))
        )
        assert list(one.items) == list(other.items)
    assert one.count(Action.KEEP) == ROWS - 2 - len(gone) - bool(change)
    assert any(isinstance(part, planning.Alike) for part in one.items.parts)


def claims(work: Shoot) -> dict[str, str]:
    with Checkpoint.look_at(work.folder / FILE_NAME) as record:
        found = index.claims_of(work.home / index.FILE_NAME, record.fact("folder_id") or "")
    return {key: claim.status for key, claim in found.items()}


def in_the_index(work: Shoot, *statements: str) -> None:
    with closing(sqlite3.connect(work.home / index.FILE_NAME)) as db, db:
        for statement in statements:
            db.execute(statement)


@pytest.mark.parametrize(
    "loss",
    [
        "DELETE FROM claim WHERE rowid = 3",
        "DELETE FROM claim",
        "UPDATE claim SET status = 'failed' WHERE rowid = 3",
        "UPDATE claim SET cost_usd = 99 WHERE rowid = 3",
    ],
)
def test_what_the_index_has_lost_it_is_told_again(work: Shoot, loss: str) -> None:
    whole = claims(work)
    in_the_index(work, loss)

    assert work.run().code == 0

    assert claims(work) == whole
    assert len(whole) == ROWS


def test_an_index_that_knows_everything_is_left_as_it_is(work: Shoot) -> None:
    in_the_index(work, "CREATE TRIGGER told AFTER INSERT ON claim BEGIN SELECT RAISE(ABORT, 'told again'); END")

    assert work.run().code == 0


def test_the_index_is_told_again_by_the_run_after_one_that_was_killed(work: Shoot) -> None:
    with closing(sqlite3.connect(work.folder / FILE_NAME)) as db, db:
        db.execute("UPDATE folder SET value = CAST(value AS INTEGER) + 1 WHERE name = 'epoch'")
        db.execute("UPDATE work SET status = 'failed', billed = 0 WHERE work_id = 3")

    assert work.run().code == 1

    assert len(claims(work)) == ROWS - 1
