"""A record of an older form: copied, brought to this form in one go, and read without being changed."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from batchmod import checkpoint
from batchmod.checkpoint import Checkpoint, values
from batchmod.errors import RecordRefused, StoppedEarly
from batchmod.model import Scored, Scores, Status
from tests import given

FORM_1: Final = (Path(__file__).parent / "form_1.sql").read_text("utf-8")
"""The record's SQL as it was before there were scores."""
JOB: Final = given.job("shot", prompt="wool")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A record of form 1, with an output that was paid for."""
    path = tmp_path / checkpoint.FILE_NAME
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.executescript(FORM_1)
        db.execute("INSERT INTO folder VALUES ('folder_id', 'f1')")
        db.execute(
            "INSERT INTO work (job_key, provider, origin, options, inputs, status, sha256, cost_usd, facts) "
            "VALUES (?, 'hosted', 'https://api.example.com', '{}', ?, 'succeeded', ?, 0.5, ?)",
            (JOB.key, values.dump(values.inputs_of(JOB)), "a" * 64, values.dump(values.facts_as_json(given.CLIP))),
        )
        db.execute("INSERT INTO delivery VALUES ('shot', 'shot', 1, 1, 'videos/shot_v001.mp4', 1, 'shot_v')")
        db.execute("INSERT INTO run VALUES ('r1', 1.0, 2.0, 0, NULL)")
    return path


def copy_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.form-1")


def form(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def contents(path: Path, *, without: tuple[str, ...] = ()) -> dict[str, list[Any]]:
    with closing(sqlite3.connect(path)) as db:
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: db.execute(f"SELECT * FROM {name}").fetchall() for name in tables if name not in without}


def statements(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as db:
        return {row[0] for row in db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}


def test_what_an_older_record_knows_is_known_after_it_was_opened(path: Path) -> None:
    before = contents(path)

    with Checkpoint.open(path, create=False) as record:
        found = record.latest_work(JOB.key)

    assert found is not None
    assert (found.status, found.cost_usd, found.facts) == (Status.SUCCEEDED, 0.5, given.CLIP)
    assert (form(path), contents(path, without=("score",))) == (checkpoint.VERSION, before)


def test_it_is_then_like_one_that_was_made_new(path: Path, tmp_path: Path) -> None:
    Checkpoint.open(path).close()
    Checkpoint.open(tmp_path / "new.sqlite3").close()

    assert statements(path) == statements(tmp_path / "new.sqlite3")


def test_the_older_one_stays_beside_it_as_it_was(path: Path) -> None:
    before = contents(path)

    Checkpoint.open(path).close()
    Checkpoint.open(path).close()  # the second time there is nothing to do

    assert (form(copy_of(path)), contents(copy_of(path))) == (1, before)
    assert sorted(each.name for each in path.parent.iterdir()) == [path.name, copy_of(path).name]


def test_looking_at_an_older_record_changes_nothing(path: Path) -> None:
    before = path.read_bytes()

    with Checkpoint.look_at(path) as record:
        found = record.latest_work(JOB.key)
        scores, unscored = record.scores_of([1]), record.unscored(1)

    assert found is not None
    assert (scores, unscored) == ({}, [1])
    assert path.read_bytes() == before
    assert not copy_of(path).exists()


def test_where_no_copy_can_be_made_nothing_is_changed(path: Path) -> None:
    copy_of(path).mkdir()
    (copy_of(path) / "in the way").touch()
    before = contents(path)

    with pytest.raises(StoppedEarly, match="could not be copied"):
        Checkpoint.open(path)

    assert (form(path), contents(path)) == (1, before)


def test_a_copy_that_a_killed_process_left_is_no_hindrance(path: Path) -> None:
    copy_of(path).write_bytes(b"half")
    copy_of(path).with_name(f".{copy_of(path).name}.part").write_bytes(b"half")

    Checkpoint.open(path).close()

    assert (form(path), form(copy_of(path))) == (checkpoint.VERSION, 1)


def test_a_change_that_breaks_in_its_middle_leaves_the_older_form(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE score (something INTEGER)")  # the statement that makes it will fail
        db.commit()

    with pytest.raises(StoppedEarly, match="could not be copied and brought to this one"):
        Checkpoint.open(path)

    assert form(path) == 1


def test_an_older_batchmod_sees_at_once_that_it_must_not_write(path: Path) -> None:
    """It looks at the file's first bytes, so the form must not stand in the log alone."""
    with Checkpoint.open(path):
        head = path.read_bytes()[60:64]

    assert int.from_bytes(head, "big") == checkpoint.VERSION


def test_a_newer_form_that_stands_in_the_log_alone_is_refused(path: Path) -> None:
    Checkpoint.open(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA user_version = {checkpoint.VERSION + 1}")
        head = path.read_bytes()[60:64]
        for opening in (Checkpoint.open, Checkpoint.look_at):
            with pytest.raises(RecordRefused, match=f"has form {checkpoint.VERSION + 1}"):
                opening(path)

    assert int.from_bytes(head, "big") == checkpoint.VERSION


def kept(record: Checkpoint, *, sha256: str = "a" * 64, form: int = 1, **scores: Any) -> None:
    record.keep_scores([Scored(work_id=1, sha256=sha256, scores=Scores(**scores))], form=form)


def test_scores_come_back_as_they_were_kept(path: Path) -> None:
    full: dict[str, Any] = {
        "motion": 41.5,
        "drift": 0.0,
        "black": ((1.0, 1.5),),
        "source": given.CLIP,
        "notes": ("a",),
        "differs": "b",
    }
    with Checkpoint.open(path) as record:
        kept(record, **full)
    with Checkpoint.open(path) as record:
        assert record.scores_of([1, 7]) == {1: Scored(work_id=1, sha256="a" * 64, scores=Scores(**full))}
        assert record.unscored(1) == []


def test_scores_of_another_output_do_not_count(path: Path) -> None:
    with Checkpoint.open(path) as record:
        kept(record, sha256="b" * 64, motion=90.0)

        assert (record.scores_of([1]), record.unscored(1)) == ({}, [1])


def test_better_formulas_ask_for_new_scores_and_stand_beside_the_old(path: Path) -> None:
    with Checkpoint.open(path) as record:
        kept(record, motion=90.0)
        assert record.unscored(2) == [1]
        kept(record, form=2, motion=30.0)

        found = record.scores_of([1])[1].scores
        assert found is not None
        assert (found.motion, record.unscored(2)) == (30.0, [])
        assert len(record._db.execute("SELECT * FROM score").fetchall()) == 2


def test_why_there_are_no_scores_is_kept_and_asked_again(path: Path) -> None:
    with Checkpoint.open(path) as record:
        record.keep_scores([Scored(work_id=1, sha256="a" * 64, problem="gone")], form=1)

        assert record.scores_of([1])[1].problem == "gone"
        assert record.unscored(1) == [1]


def test_outputs_of_clips_on_the_web_are_told_apart(path: Path) -> None:
    with Checkpoint.open(path) as record:
        record._db.execute("UPDATE work SET inputs = json_set(inputs, '$.video.local', json('false'))")

        assert (record.unscored(1), record.unscored(1, remote=False)) == ([1], [])
