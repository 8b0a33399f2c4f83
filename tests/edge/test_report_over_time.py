"""What report.html says of time: progress and cost, what the newest run changed, earlier versions, kept shots."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchmod.report import Background, Since
from batchmod.report.timeline import Timeline
from tests.edge.test_report import done, line, written


def test_progress_and_cost_are_drawn_with_the_same_in_words(tmp_path: Path) -> None:
    lines = [done(n, submitted_at="2026-05-03T09:00:00Z", finished_at=f"2026-05-03T09:{n}0:00Z") for n in range(1, 6)]

    seen = written(tmp_path, [*lines, line(6, "planned")])
    labels = [attrs["aria-label"] for attrs in seen.all("svg")]

    assert labels == [
        "Progress over time: 5 of 6 rows had ended after 50 min 0 s",
        "Cost over time: $3.00 after 50 min 0 s",
    ]
    assert {"09:00", "09:50", "$2.00", "6"} <= set(seen.of("text.time") + seen.of("text.level"))


def test_where_nothing_was_paid_there_is_no_chart_of_cost_and_of_one_moment_none_at_all(tmp_path: Path) -> None:
    free = [done(n, cost_usd=None, submitted_at="2026-05-03T09:00:00Z") for n in (1, 2)]

    assert len(written(tmp_path, free).all("svg")) == 1
    assert not written(tmp_path, [done(1)]).all("svg")


@given(st.lists(st.floats(0, 4e9), min_size=1), st.data())
def test_a_timeline_loses_nothing_however_long_it_is(moments: list[float], data: st.DataObject) -> None:
    timeline = Timeline()
    for moment in (*moments, *range(0, 2_000_000, 997)):
        timeline.add(float(moment), done=1, cost_usd=0.5)
    points = list(timeline.points())

    assert len(points) <= 512
    assert points[-1].done == len(moments) + len(range(0, 2_000_000, 997))
    assert points[-1].cost_usd == pytest.approx(points[-1].done * 0.5)
    assert [point.at for point in points] == sorted({point.at for point in points})
    assert points[-1].at >= max(moments)


TEN = Since(began=1777802400.0, began_at="2026-05-03T10:00:00Z", is_first=False, succeeded=2, failed=1, cost_usd=1.2)


def test_what_the_newest_run_changed_is_said_and_marked(tmp_path: Path) -> None:
    lines = [
        done(1, finished_at="2026-05-03T09:59:59Z"),
        done(2, version=1),
        done(3, version=2),
        line(4, "failed", finished_at="2026-05-03T10:05:00Z"),
        line(5, "submitted", submitted_at="2026-05-03T10:05:00Z"),
        line(6, "planned"),
    ]

    seen = written(tmp_path, lines, background=Background(since=TEN))
    news = {card["id"]: card.get("news") for card in seen.cards}

    assert news == {
        "shot-1": None, "shot-2": "new", "shot-3": "version", "shot-4": "failed", "shot-5": "sent", "shot-6": None,
    }  # fmt: skip
    assert "Since the previous run: 2 new outputs, 1 failed, $1.20 (run of " in seen.of("p.news")[0]


def test_of_the_first_run_nothing_is_called_new(tmp_path: Path) -> None:
    first = Background(since=replace(TEN, is_first=True))

    seen = written(tmp_path, [done(1)], background=first)

    assert "news" not in seen.cards[0]
    assert "first run" in seen.of("p.news")[0]


def test_earlier_versions_stand_behind_the_row(tmp_path: Path) -> None:
    before = done(1, version=1, prompt="as clay", mode="flex_1")
    now = done(1, version=2, output="videos/shot-1_v002.mp4", prompt="as wool", mode="flex_1")

    (shown,) = written(tmp_path, [now], background=Background(older={"shot-1": [before]})).cards

    assert [(clip["v"], clip["href"]) for clip in (shown["clip"], *shown["older"])] == [
        (2, "videos/shot-1_v002.mp4"), (1, "videos/shot-1_v001.mp4"),
    ]  # fmt: skip
    assert shown["older"][0]["about"] == "as clay"


def test_the_foot_says_what_a_kept_shot_took(tmp_path: Path) -> None:
    paid = Background(generations=5, spent_usd=3.0)

    kept = written(tmp_path, [done(1, review="keep"), done(2, review="keep"), done(3)], background=paid)
    none = written(tmp_path, [done(1)], background=Background(generations=1, spent_usd=0.6))

    assert "5 generations, $3.00; 2 kept: 2.5 generations and $1.50 per kept shot." in kept.of("p")
    guessed = written(tmp_path, [done(1)], background=replace(paid, is_estimated=True))

    assert "1 generation, $0.60; no shot is kept yet." in none.of("p")
    assert "5 generations, about $3.00; no shot is kept yet." in guessed.of("p")
