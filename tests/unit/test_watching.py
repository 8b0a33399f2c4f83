"""What a watcher concludes from what it sees: the phase of a run, its rate, and lines that fit."""

import json
from pathlib import Path
from typing import Any

import pytest

from batchmod import clock, files, lease
from batchmod.app.tailing import Tail
from batchmod.app.watching import Phase, holder_of, left_of, phase_of, rate_of
from batchmod.checkpoint import LastRun, Seen
from batchmod.cli import screen

AT = 1_800_000_000.0


def run(*, ended: bool = False, started: float = AT - 600.0) -> LastRun:
    return LastRun("r1", started, AT if ended else None, 0 if ended else None, None)


def line(kind: str, *, ago: float, **facts: Any) -> dict[str, Any]:
    return {"event": kind, "at": clock.iso(AT - ago), "run_id": "r1", **facts}


@pytest.mark.parametrize(
    ("last", "is_held", "phase"),
    [
        (None, False, Phase.WAITING),
        (None, True, Phase.PREPARING),
        (run(), True, Phase.RUNNING),
        (run(), False, Phase.CUT_OFF),
        (run(ended=True), False, Phase.ENDED),
        (run(ended=True), True, Phase.PREPARING),
    ],
)
def test_the_phase_follows_from_the_record_and_who_holds_the_folder(
    last: LastRun | None, *, is_held: bool, phase: Phase
) -> None:
    assert phase_of(last, is_held=is_held) is phase


def test_the_rate_is_of_the_last_minutes_and_of_this_run() -> None:
    events = [
        line("succeeded", ago=900),
        line("succeeded", ago=299, also=["b", "c"]),
        line("polled", ago=100),
        line("failed", ago=1),
    ]

    assert rate_of(events, run(), at=AT) == pytest.approx(4 / 5)
    assert rate_of(events, run(started=AT - 60.0), at=AT) == pytest.approx(1.0)
    assert rate_of(events, run(started=AT - 2.0), at=AT) is None
    assert rate_of(events[2:], run(), at=AT) == pytest.approx(60 / 100)


@pytest.mark.parametrize(
    ("events", "left_s"),
    [
        ([line("planned", ago=100, counts={"send": 10, "keep": 5}), line("succeeded", ago=50)], 540.0),
        ([line("succeeded", ago=50)], 1200.0),
        ([line("planned", ago=100, counts={"send": 1}), line("succeeded", ago=50)], 0.0),
    ],
)
def test_what_is_left_is_of_the_selected_rows_where_the_log_tells_the_plan(
    events: list[dict[str, Any]], left_s: float
) -> None:
    seen = Seen(run(), 26, {"succeeded": 6, "planned": 15, "submitted": 5}, 0.0, 0.0, 5, ())

    assert left_of(1.0, seen, events) == left_s
    assert left_of(0.0, seen, events) is None


def test_a_lock_is_seen_without_touching_it(tmp_path: Path) -> None:
    assert holder_of(tmp_path) is None
    with files.locked(tmp_path):
        assert (holder_of(tmp_path) or "").startswith("process ")
    assert holder_of(tmp_path) is None
    (tmp_path / files.LOCK_NAME).write_text("process 1", encoding="utf-8")  # of a run that was killed

    assert holder_of(tmp_path) is None


def test_a_lease_is_seen_without_touching_it(tmp_path: Path) -> None:
    with lease.held(tmp_path):
        before = sorted(path.name for path in tmp_path.iterdir())
        assert "process" in (holder_of(tmp_path) or "")
        assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert holder_of(tmp_path) is None


def test_a_lease_of_another_host_counts_while_its_heart_beats(tmp_path: Path) -> None:
    about = {"host": "elsewhere", "pid": 1, "boot": "b", "started": "1", "token": "t"}
    (tmp_path / ".batchmod.lease.000001").write_text(json.dumps(about), encoding="utf-8")
    now = clock.now()

    assert str(lease.living(tmp_path, now=now)) == "process 1 on elsewhere"
    assert lease.living(tmp_path, now=now + 61.0) is None


def kinds(tail: Tail) -> list[str]:
    tail.read()
    return [event["event"] for event in tail.events]


def append(path: Path, *texts: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(texts))


def test_a_log_is_followed_while_it_grows_is_moved_away_and_is_cut(tmp_path: Path) -> None:
    log, tail = tmp_path / "events.jsonl", Tail(tmp_path)
    assert kinds(tail) == []
    append(log, '{"event": "a"}\n', '{"event": "b"')
    assert kinds(tail) == ["a"]
    append(log, "}\n", "no json\n", "[1]\n")
    assert kinds(tail) == ["a", "b"]
    append(log, '{"event": "c"}\n')
    log.rename(tmp_path / "events.000001.jsonl")
    assert kinds(tail) == ["a", "b", "c"]
    append(log, '{"event": "d"}\n')
    assert kinds(tail) == ["a", "b", "c", "d"]
    log.write_text('{"event": "e"}\n', encoding="utf-8")
    append(log, "")
    assert kinds(tail)[-1] in ("d", "e")
    log.write_text("", encoding="utf-8")
    tail.read()
    append(log, '{"event": "f"}\n')
    assert kinds(tail)[-1] == "f"
    tail.close()


def test_of_a_long_log_only_the_end_is_read(tmp_path: Path) -> None:
    text = "".join(f'{{"event": "e{number}", "padding": "{"x" * 1000}"}}\n' for number in range(3000))
    (tmp_path / "events.jsonl").write_text(text, encoding="utf-8")
    tail = Tail(tmp_path)

    found = kinds(tail)
    tail.close()

    assert (found[-1], 900 < len(found) < 1100) == ("e2999", True)


def test_of_a_log_that_was_rotated_just_now_the_part_before_is_looked_at(tmp_path: Path) -> None:
    text = "".join(f'{{"event": "e{number}", "padding": "{"x" * 1000}"}}\n' for number in range(3000))
    (tmp_path / "events.000001.jsonl").write_text('{"event": "older"}\n', encoding="utf-8")
    (tmp_path / "events.000002.jsonl").write_text(text, encoding="utf-8")
    append(tmp_path / "events.jsonl", '{"event": "new"}\n')
    tail = Tail(tmp_path)

    found = kinds(tail)
    tail.close()

    assert (found[-2:], 900 < len(found) < 1100) == (["e2999", "new"], True)


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [
        ("short", 10, "short"),
        ("exactly 10", 10, "exactly 10"),
        ("more than ten", 10, "more th..."),
        ("日本語です", 10, "日本語です"),
        ("日本語ですか", 10, "日本語..."),
        ("e\u0301te\u0301", 3, "e\u0301te\u0301"),
        ("a\x1b[2Jb\tc\n", 20, "a?[2Jb?c?"),
        ("anything", 2, ".."),
    ],
)
def test_a_line_is_as_wide_as_the_terminal_at_most(text: str, columns: int, shown: str) -> None:
    assert screen.fitted(text, columns, encoding="utf-8") == shown


def test_what_an_encoding_lacks_is_replaced_before_it_is_measured() -> None:
    assert screen.fitted("日本語", 3, encoding="ascii") == "???"
