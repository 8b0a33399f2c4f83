"""What the bar counts: rows that ended, those that were done before, and frames of those being made."""

from typing import Any

from batchmod.cli.progress import Tally
from batchmod.model import Event


def event(kind: str, key: str | None = None, **facts: Any) -> Event:
    return Event(kind=kind, at="2026-05-03T10:00:00.000Z", run_id="r", id=key, job_key=key, facts=facts)


def test_rows_done_before_count_from_the_start() -> None:
    tally = Tally(10)
    tally.add(event("planned", counts={"keep": 7, "leave": 1, "send": 2}))

    assert (tally.ended, tally.count("done"), tally.count("failed")) == (8, 7, 1)


def test_a_row_that_was_uncertain_and_then_found_counts_once() -> None:
    tally = Tally(2)
    for kind in ("intended", "uncertain", "resolved", "succeeded"):
        tally.add(event(kind, "a", cost_usd=0.6))

    assert (tally.ended, tally.words()) == (1, "1 done, 0 failed, 0 in flight, $0.60")


def test_identical_rows_end_together() -> None:
    tally = Tally(3)
    tally.add(event("succeeded", "a", also=["b", "c"]))

    assert tally.ended == 3


def test_frames_of_a_row_being_made_move_the_bar() -> None:
    tally = Tally(2)
    tally.add(event("intended", "a"))
    tally.add(event("progress", "a", frames_done=36, frames=72))

    assert (tally.reached, tally.ended) == (0.5, 0)

    tally.add(event("succeeded", "a"))

    assert tally.reached == 1.0


def test_a_clip_whose_length_nobody_knows_moves_nothing_until_it_ends() -> None:
    tally = Tally(1)
    tally.add(event("progress", "a", frames_done=36, frames=0))

    assert tally.reached == 0
