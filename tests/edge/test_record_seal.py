"""A record is looked at page by page once a day, and whenever it is not the very file that a run has left."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from batchmod import clock
from batchmod.checkpoint import Checkpoint, opening, seal
from batchmod.errors import RecordRefused


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """One of many pages, closed in good order and sealed."""
    path = tmp_path / "checkpoint.sqlite3"
    with Checkpoint.open(path) as made:
        made.set_facts({f"fact {number}": "x" * 500 for number in range(200)})
    seal(path, opened_at=clock.now())
    return path


def looks(path: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether opening it to look goes through its pages."""
    heard: list[str] = []
    connect = sqlite3.connect

    def listening(*words: object, **named: object) -> sqlite3.Connection:
        made = connect(*words, **named)  # type: ignore[call-overload]
        made.set_trace_callback(heard.append)
        return made  # type: ignore[no-any-return]

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", listening)
        Checkpoint.look_at(path).close()
    return any("quick_check" in statement for statement in heard)


def test_what_a_run_has_left_is_not_looked_at_again(record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not looks(record, monkeypatch)
    with Checkpoint.open(record, create=False):
        pass
    assert not looks(record, monkeypatch)


def touched(path: Path) -> None:
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(8 * 4096)
        file.write(b"\xff" * 4096)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as if nothing had happened


def written(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE folder SET value = 'y' WHERE name = 'fact 3'")


def copied_back(path: Path) -> None:
    copy = path.with_name("copy")
    shutil.copy2(path, copy)
    copy.replace(path)


def half_logged(path: Path) -> None:
    path.with_name(f"{path.name}-wal").write_bytes(b"\0" * 100)


def unsealed(path: Path) -> None:
    path.with_name(opening.SEAL_NAME).write_text('{"file": [')


def of_yesterday(path: Path) -> None:
    text = path.with_name(opening.SEAL_NAME).read_text()
    looked_at = text.rpartition(" ")[2].rstrip("}")
    path.with_name(opening.SEAL_NAME).write_text(text.replace(looked_at, str(clock.now() - 86401)))


def of_tomorrow(path: Path) -> None:
    text = path.with_name(opening.SEAL_NAME).read_text()
    looked_at = text.rpartition(" ")[2].rstrip("}")
    path.with_name(opening.SEAL_NAME).write_text(text.replace(looked_at, str(clock.now() + 86401)))


@pytest.mark.parametrize("change", [written, copied_back, half_logged, unsealed, of_yesterday, of_tomorrow])
def test_whatever_may_have_changed_since_is_looked_at(
    change: Callable[[Path], None], record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(record)

    assert looks(record, monkeypatch)


def test_a_damaged_page_is_found_though_the_file_bears_its_old_time(record: Path) -> None:
    touched(record)

    with pytest.raises(RecordRefused, match="cannot be read"):
        Checkpoint.look_at(record)


def test_a_run_that_did_not_end_in_good_order_leaves_a_record_that_is_looked_at(
    record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Checkpoint.open(record, create=False) as again:
        again.set_facts({"fact 3": "y"})

    assert looks(record, monkeypatch)
    seal(record, opened_at=clock.now())
    assert not looks(record, monkeypatch)


def test_a_seal_keeps_the_time_at_which_the_pages_were_looked_at(record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_yesterday(record)
    seal(record, opened_at=clock.now() - 86000)  # when it was not a day old yet
    assert looks(record, monkeypatch)

    seal(record, opened_at=clock.now())
    assert not looks(record, monkeypatch)
