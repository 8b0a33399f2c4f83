"""A request that is not known word for word: found where nothing else fits, never said not to be accepted."""

from typing import Any

import pytest

from batchmod import reconcile
from batchmod.model import Attempt, HistoryRow
from batchmod.urls import CUT, cut
from tests import given

URL = "https://example.com/a.mp4"
SIGNED = f"{URL}?signature=then"


def body(url: Any, prompt: str = "wool") -> dict[str, Any]:
    return {"video_url": url, "prompt": prompt}


def listed(request_id: str, *, url: str = SIGNED, at: float = 10_000.0, prompt: str = "wool") -> HistoryRow:
    return HistoryRow(request_id=request_id, at=at, status="COMPLETED", inputs=body(url, prompt))


def resolved(attempts: list[Attempt], *rows: HistoryRow, known: Any = None) -> list[reconcile.Verdict]:
    """Verdicts long after the grace, from a walk that has proved itself unless `known` says otherwise."""
    proof = reconcile.Known(request_id="ours", body=body("https://example.com/z.mp4"))
    walk = reconcile.Walk(rows=(*rows, listed("ours", url="https://example.com/z.mp4")), complete=True)
    return reconcile.resolve(attempts, walk=walk, known=[known or proof], now=1e6, grace_s=0.0)


GAPPY = given.attempt(1, body=body(reconcile.gap(URL)))
BLANK = given.attempt(1, body=body(reconcile.gap()))


@pytest.mark.parametrize("attempt", [GAPPY, BLANK])
def test_the_one_request_that_fits_is_found(attempt: Attempt) -> None:
    (verdict,) = resolved([attempt], listed("theirs"), listed("other", prompt="stone"))

    assert isinstance(verdict, reconcile.Found)
    assert verdict.row.request_id == "theirs"


@pytest.mark.parametrize(
    ("attempts", "rows"),
    [
        pytest.param([GAPPY], [listed("one"), listed("two")], id="two requests fit"),
        pytest.param([GAPPY, given.attempt(2, body=GAPPY.body)], [listed("one")], id="two attempts fit"),
        pytest.param([GAPPY], [listed("one", url="https://example.com/b.mp4?x=1")], id="another clip"),
        pytest.param([GAPPY], [listed("one", at=10_000.0 + 601.0)], id="much later"),
        pytest.param([GAPPY], [listed("one", at=10_000.0 - 601.0)], id="much earlier"),
        pytest.param([GAPPY], [], id="none fits"),
        pytest.param([given.attempt(1, body={})], [listed("one")], id="nothing is known of it"),
    ],
)
def test_otherwise_it_stays_open_and_is_never_said_not_to_have_been_accepted(
    attempts: list[Attempt], rows: list[HistoryRow]
) -> None:
    verdicts = resolved(attempts, *rows)

    assert [type(verdict) for verdict in verdicts] == [reconcile.StillOpen] * len(attempts)
    assert not any(reconcile.readable(verdict) for verdict in verdicts)


def test_what_is_known_word_for_word_comes_first() -> None:
    exact = given.attempt(2, body=body(SIGNED))
    gappy, word_for_word = resolved([GAPPY, exact], listed("theirs"))

    assert isinstance(word_for_word, reconcile.Found)
    assert isinstance(gappy, reconcile.StillOpen)


def test_a_request_with_a_gap_proves_no_history() -> None:
    known = reconcile.Known(request_id="ours", body=body(reconcile.gap("https://example.com/z.mp4")))
    (verdict,) = resolved([given.attempt(1, body=body(URL))], known=known)

    assert isinstance(verdict, reconcile.StillOpen)
    assert verdict.reason == reconcile.UNPROVEN


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (SIGNED, f"{URL}{CUT}"),
        (f"url:{SIGNED}", f"url:{URL}{CUT}"),
        (f"{URL}#part", f"{URL}{CUT}"),
        (URL, URL),
        ("what is this? wool", "what is this? wool"),
        ("sha256:00ff", "sha256:00ff"),
        ("/clips/what?.mp4", "/clips/what?.mp4"),
    ],
)
def test_a_query_is_cut_from_a_url_and_from_nothing_else(value: str, kept: str) -> None:
    assert cut(value) == kept
