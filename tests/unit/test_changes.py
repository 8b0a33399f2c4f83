"""How rows differ from what the last run saw, from values alone."""

from collections.abc import Mapping
from typing import Any

from batchmod import changes
from batchmod.changes import CONTENT, QUERY, Changes, Seen
from batchmod.model import Job, Status, Work
from tests import given


def seen(job: Job, **fields: Any) -> Seen:
    every = {"provider": job.provider, "mode": job.mode, "prompt": job.prompt, "video_url": "a.mp4", **fields}
    return Seen(id=job.id, job_key=job.key, fields=every)


def work_of(job: Job) -> Mapping[str, Work]:
    inputs = {
        "video": {"identity": job.video.identity},
        "first_frame": {"identity": job.first_frame.identity} if job.first_frame else None,
    }
    return {job.key: given.work(job, Status.SUCCEEDED, inputs=inputs)}


def between(before: Seen, now: Seen, job: Job, works: Mapping[str, Work] | None = None) -> Changes:
    return changes.between([before], [(now, job)], folder="out", chosen=lambda _: True, work_of=(works or {}).get)


def fields(found: Changes) -> list[tuple[str, str | None]]:
    (change,) = found.changed
    return [(each.field, each.note) for each in change.fields]


def test_what_is_as_it_was_is_no_change() -> None:
    job = given.job()

    assert between(seen(job), seen(job), job) == Changes(folder="out")


def test_ids_are_compared_without_regard_to_case() -> None:
    one, other = given.job("Shot"), given.job("shot")

    assert between(seen(one), seen(other), other) == Changes(folder="out")


def test_another_content_behind_the_same_name_is_found_by_what_was_sent() -> None:
    old, new = given.job(video=given.source("a")), given.job(video=given.source("b"))

    assert fields(between(seen(old), seen(new), new, work_of(old))) == [("video_url", CONTENT)]


def test_a_first_frame_with_another_content() -> None:
    old, new = (given.job(first_frame=given.source(name)) for name in "ab")

    assert fields(between(seen(old), seen(new), new, work_of(old))) == [("first_frame_url", CONTENT)]


def test_a_clip_that_is_named_anew_and_is_another_is_one_difference() -> None:
    old, new = given.job(video=given.source("a")), given.job(video=given.source("b"))
    found = between(seen(old), seen(new, video_url="b.mp4"), new, work_of(old))

    assert fields(found) == [("video_url", None)]
    assert not found.changed[0].same_request


def test_a_clip_that_was_moved_makes_the_same_request() -> None:
    job = given.job()
    found = between(seen(job), seen(job, video_url="moved/a.mp4"), job, work_of(job))

    assert found.changed[0].same_request


def test_where_nothing_was_sent_and_no_word_differs_it_is_a_file_or_an_option() -> None:
    old, new = given.job(video=given.source("a")), given.job(video=given.source("b"))

    assert fields(between(seen(old), seen(new), new)) == [("content", "a file or an option is another one")]


def test_the_query_of_a_url_is_named_and_not_shown() -> None:
    job = given.job()
    one, other = (seen(job, video_url=f"https://example.com/a.mp4?sig={word}") for word in ("old", "new"))
    found = between(one, other, job)

    assert fields(found) == [("video_url", QUERY)]
    assert "sig" not in repr(found)


def test_rows_that_are_not_chosen_are_neither_new_nor_changed() -> None:
    job = given.job()
    found = changes.between(
        [seen(job, prompt="old")], [(seen(job), job)], folder="out", chosen=lambda _: False, work_of=lambda _: None
    )

    assert found == Changes(folder="out")
    fresh = changes.between([], [(seen(job), job)], folder="out", chosen=lambda _: True, work_of=lambda _: None)
    assert fresh.new == ("shot",)


def test_an_empty_cell_and_no_column_are_the_same() -> None:
    job = given.job()

    assert between(seen(job, own={}), seen(job, own={"notes": ""}), job) == Changes(folder="out")


def test_rows_that_have_moved_are_no_change() -> None:
    jobs = [given.job(f"j{number}", number=number) for number in range(6)]
    rows = [seen(job) for job in jobs]
    now = [*zip(rows, jobs, strict=True)]
    moved = [now[5], *now[:5]]
    found = changes.between(rows, moved, folder="out", chosen=lambda _: True, work_of=lambda _: None)

    assert found == Changes(folder="out")
    grown = changes.between(rows[1:5], now, folder="out", chosen=lambda _: True, work_of=lambda _: None)
    assert (grown.new, grown.gone) == (("j0", "j5"), ())
