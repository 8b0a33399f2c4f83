"""Whether a clip on the web is another one: only where nobody can doubt it."""

import pytest

from batchmod import freshness
from batchmod.freshness import Look, Seen, Verdict

AT = "2026-05-03T02:00:00.000Z"
SEEN = Seen(first="10-a", now="10-a", etags={'"one"': "10-a"})
CHANGED = Seen(first="10-a", now="11-b", etags={'"one"': "10-a", '"two"': "11-b"}, changed_at=AT)


def _look(etag: str, content: str | None = None, **facts: object) -> Look:
    given: dict[str, object] = {"again_etag": etag, **facts}
    return Look(etag=etag, content=content, **given)  # type: ignore[arg-type]


def test_the_first_look_is_the_beginning() -> None:
    assert freshness.judged(None, _look('"one"', "10-a"), at=AT) == (SEEN, Verdict.FIRST)
    assert SEEN.changed is None


def test_another_etag_with_other_bytes_is_another_clip() -> None:
    assert freshness.judged(SEEN, _look('"two"', "11-b"), at=AT) == (CHANGED, Verdict.CHANGED)
    assert CHANGED.changed == "11-b"


def test_another_etag_with_the_same_bytes_is_the_same_clip() -> None:
    now, verdict = freshness.judged(SEEN, _look('"two"', "10-a"), at=AT)

    assert verdict is Verdict.SAME
    assert now is not None
    assert (now.changed, now.etags) == (None, {'"one"': "10-a", '"two"': "10-a"})


def test_a_clip_that_is_put_back_is_what_it_was() -> None:
    now, verdict = freshness.judged(CHANGED, _look('"one"'), at="later")

    assert verdict is Verdict.CHANGED
    assert now is not None
    assert now.changed is None


@pytest.mark.parametrize("known", [None, SEEN, CHANGED])
@pytest.mark.parametrize(
    ("look", "verdict"),
    [
        (Look(reached=False), Verdict.UNREACHABLE),
        (_look("", "12-c"), Verdict.NO_ETAG),
        (_look('W/"two2"', "12-c"), Verdict.NO_ETAG),
        (_look("two2", "12-c"), Verdict.NO_ETAG),
        (_look('"new"', None), Verdict.UNSURE),
        (_look('"new"', "12-c", again_etag='"newer"'), Verdict.UNSURE),
        (_look('"new"', "12-c", again_etag=""), Verdict.UNSURE),
        (_look('"new"', "12-c", is_media=False), Verdict.NO_MEDIA),
    ],
)
def test_whatever_is_doubtful_leaves_things_as_they_were(known: Seen | None, look: Look, verdict: Verdict) -> None:
    assert freshness.judged(known, look, at=AT) == (known, verdict)


def test_what_is_known_by_its_etag_is_not_read() -> None:
    assert not freshness.must_be_read(SEEN, '"one"')
    assert freshness.must_be_read(SEEN, '"two"')
    assert freshness.must_be_read(None, '"one"')
    assert not freshness.must_be_read(None, 'W/"one"')


def test_a_content_is_size_beginning_and_end_and_nothing_less() -> None:
    whole = freshness.content_of(6, b"abcd", b"ef", piece=4)

    assert whole is not None
    assert whole.startswith("6-")
    assert freshness.content_of(3, b"abc", b"", piece=4) is not None
    assert freshness.content_of(6, b"abcd", b"eg", piece=4) != whole
    for size, head, tail in [(None, b"abcd", b"ef"), (0, b"", b""), (6, b"abc", b"ef"), (6, b"abcd", b"")]:
        assert freshness.content_of(size, head, tail, piece=4) is None


def test_what_is_kept_is_read_back_and_what_is_damaged_is_not() -> None:
    assert freshness.from_json(freshness.as_json(CHANGED)) == CHANGED
    broken: tuple[object, ...] = (None, [], {}, {"first": 1, "now": "a", "etags": {}}, {"first": "a", "now": "b"})
    for damaged in broken:
        assert freshness.from_json(damaged) is None


def test_the_etags_that_are_kept_are_bounded() -> None:
    known: Seen | None = SEEN
    for number in range(100):
        known, _ = freshness.judged(known, _look(f'"{number}"', "10-a"), at=AT)

    assert known is not None
    assert len(known.etags) == 20
