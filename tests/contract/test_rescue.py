"""What was paid for elsewhere is found in the provider's history, booked and brought home; nothing is sent."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from batchmod.providers import luma, replicate, segmind
from tests.replies import answer
from tests.servers.luma import LumaStandIn
from tests.servers.replicate import ReplicateStandIn
from tests.servers.segmind import Job, SegmindStandIn
from tests.support import Ran, Shoot, call, remote_rows, shoot, write_clip, write_picture


@pytest.fixture
def server() -> Iterator[SegmindStandIn]:
    with SegmindStandIn(queued_s=0, processing_s=0, record_life_s=7 * 86400.0) as running:
        yield running


def body(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a script would have sent for a row."""
    return {"video_url": row["video_url"], "prompt": row["prompt"], "mode": "adhere_1"}


def rescue(work: Shoot, *more: str, environ: Mapping[str, str] | None = None, provider: str = "segmind") -> Ran:
    words = ("rescue", str(work.manifest), "--provider", provider, "--polls-per-minute", "60000", *more)
    return call(*words, environ=work.environ if environ is None else environ)


def output(work: Shoot, row_id: str) -> bytes:
    return (work.folder / work.results()[row_id]["output"]).read_bytes()


def pair(row_id: str, job: Job) -> tuple[str, str]:
    return "--pair", f"{row_id}={job.request_id}"


def test_what_a_script_paid_for_is_booked_fetched_and_not_paid_again(tmp_path: Path, server: SegmindStandIn) -> None:
    rows = remote_rows("a", "b", "c")
    work = shoot(tmp_path, server, rows)
    theirs = {row["id"]: server.seed(body(row)) for row in rows[:2]}
    done = rescue(work)

    assert done.code == 0, done
    assert server.ledger.submits_seen == 0
    assert work.statuses() == {"a": "succeeded", "b": "succeeded", "c": "planned"}
    for row_id, job in theirs.items():
        assert output(work, row_id) == server.output_of(job.request_id)
        assert work.results()[row_id]["request_id"] == job.request_id
        assert float(work.results()[row_id]["cost_usd"]) == 0.6
        assert job.request_id in done.out

    assert (work.run().code, server.ledger.submits_seen) == (0, 1)
    assert rescue(work).code == 0
    assert set(work.outputs()) == {f"{row_id}_v001.mp4" for row_id in "abc"}


def test_a_request_whose_poll_record_has_expired_is_fetched_through_the_history(
    tmp_path: Path, server: SegmindStandIn
) -> None:
    server.configure(record_life_s=0.0)
    rows = remote_rows("a")
    work = shoot(tmp_path, server, rows)
    theirs = server.seed(body(rows[0]), ago_s=86400.0)

    assert rescue(work).code == 0
    assert output(work, "a") == server.output_of(theirs.request_id)


def test_quotes_white_space_and_signatures_do_not_hide_a_request(tmp_path: Path, server: SegmindStandIn) -> None:
    row = {"id": "a", "video_url": "https://example.com/a.mp4?X-Amz-Signature=tonight", "prompt": "the ‘doll’"}
    work = shoot(tmp_path, server, [row])
    server.seed(body(row) | {"video_url": "https://example.com/a.mp4?X-Amz-Signature=then", "prompt": " the 'doll' "})

    assert (rescue(work).code, work.statuses()) == (0, {"a": "succeeded"})


def test_a_clip_that_this_folder_sent_up_is_known_by_its_url(tmp_path: Path, server: SegmindStandIn) -> None:
    for name in ("one", "two"):
        write_clip(tmp_path / f"{name}.mp4", mark=name)
    rows = [{"id": name, "video_url": f"{name}.mp4", "prompt": "as wool"} for name in ("one", "two")]
    work = shoot(tmp_path, server, [{**row, "prompt": "another look"} for row in rows])
    assert work.run().code == 0
    first = server.ledger.job(work.results()["one"]["request_id"])
    assert first is not None
    work.rows(rows)
    server.seed({**first.inputs, "prompt": "as wool"})
    done = rescue(work)

    assert (done.code, work.statuses()) == (0, {"one": "succeeded", "two": "planned"})


def test_a_local_clip_is_matched_where_one_row_and_one_request_fit(tmp_path: Path, server: SegmindStandIn) -> None:
    write_clip(tmp_path / "clip.mp4")
    write_picture(tmp_path / "frame.png")
    rows = [
        {"id": "bare", "video_url": "clip.mp4", "prompt": "as wool"},
        {"id": "framed", "video_url": "clip.mp4", "prompt": "as wool", "first_frame_url": "frame.png"},
    ]
    work = shoot(tmp_path, server, rows)
    urls = {"video_url": "https://cdn.example.com/x.mp4", "first_frame_url": "https://cdn.example.com/x.png"}
    theirs = server.seed(body(rows[1]) | urls)

    assert rescue(work).code == 0
    assert work.statuses() == {"bare": "planned", "framed": "succeeded"}
    assert output(work, "framed") == server.output_of(theirs.request_id)


def test_a_request_that_left_the_mode_to_the_service_is_one_in_the_services_own_mode(
    tmp_path: Path, server: SegmindStandIn
) -> None:
    rows = remote_rows("a", "b")
    work = shoot(tmp_path, server, [rows[0], {**rows[1], "mode": "flex_1"}])
    theirs = [server.seed({"video_url": row["video_url"], "prompt": row["prompt"]}) for row in rows]
    done = rescue(work)

    assert (done.code, work.statuses()) == (0, {"a": "succeeded", "b": "planned"})
    assert work.results()["a"]["request_id"] == theirs[0].request_id


def test_a_mode_that_was_left_out_is_not_written_into_the_inputs_that_prove_a_history() -> None:
    sent = {"video_url": "https://example.com/a.mp4", "prompt": "as wool"}
    for dialect, page, inputs in (
        (segmind, {"data": [{"request_id": "r-1", "request_body": sent}]}, sent),
        (replicate, {"results": [{"id": "r-1", "input": {"video": "x"}}]}, {"input": {"video": "x"}}),
    ):
        rows = dialect.history_rows(answer(200, page))
        assert rows is not None

        assert rows[0].inputs == inputs
        assert (rows[0].fields or {})["mode"] == "adhere_1"


def test_a_prediction_that_left_the_mode_to_replicate_is_one_in_its_own_mode(tmp_path: Path) -> None:
    with ReplicateStandIn() as server:
        rows = remote_rows("a", "b")
        work = shoot(tmp_path, server, [rows[0], {**rows[1], "mode": "flex_1"}], at="replicate")
        for row in rows:
            server.seed({"input": {"video": row["video_url"], "prompt": row["prompt"]}}, ago_s=60.0)
        done = rescue(work, provider="replicate")

        assert (done.code, work.statuses()) == (0, {"a": "succeeded", "b": "planned"}), done.out + done.err


def test_the_output_of_another_model_is_not_taken(tmp_path: Path) -> None:
    with LumaStandIn() as server:
        rows = remote_rows("a", "b")
        work = shoot(tmp_path, server, [rows[0], {**rows[1], "model": "ray-flash-2"}], at="luma")
        theirs = {}
        for row, model in ((rows[0], "ray-2"), (rows[0], "ray-flash-2"), (rows[1], "ray-2")):
            asked = {"generation_type": "modify_video", "media": {"url": row["video_url"]}, "mode": "adhere_1"}
            inputs = {**asked, "model": model, "prompt": row["prompt"]}
            theirs[row["id"], model] = server.seed(inputs, ago_s=60.0).request_id
        done = rescue(work, provider="luma")

        assert (done.code, work.statuses()) == (0, {"a": "succeeded", "b": "planned"}), done.out + done.err
        assert work.results()["a"]["request_id"] == theirs["a", "ray-2"]

        named = rescue(work, "--pair", f"b={theirs['b', 'ray-2']}", provider="luma")
        assert "not what b asks for (model)" in named.out


def test_a_generation_names_its_model_beside_its_request_too() -> None:
    request = {"media": {"url": "https://example.com/a.mp4"}, "mode": "flex_1"}
    rows = luma.history_rows(answer(200, {"generations": [{"id": "r-1", "model": "ray-flash-2", "request": request}]}))
    assert rows is not None

    assert (rows[0].fields or {})["model"] == "ray-flash-2"
    assert rows[0].inputs == request


def test_identical_rows_get_a_copy_each(tmp_path: Path, server: SegmindStandIn) -> None:
    row = remote_rows("a")[0]
    work = shoot(tmp_path, server, [row, {**row, "id": "twin"}])
    server.seed(body(row))

    assert (rescue(work).code, work.statuses()) == (0, {"a": "succeeded", "twin": "succeeded"})
    assert output(work, "a") == output(work, "twin")


def test_only_the_chosen_rows_are_rescued(tmp_path: Path, server: SegmindStandIn) -> None:
    rows = remote_rows("a", "b")
    work = shoot(tmp_path, server, rows)
    for row in rows:
        server.seed(body(row))

    assert rescue(work, "--only", "b").code == 0
    assert work.statuses() == {"a": "planned", "b": "succeeded"}


def test_two_requests_for_one_row_are_shown_and_one_is_taken_by_hand(tmp_path: Path, server: SegmindStandIn) -> None:
    rows = remote_rows("a")
    work = shoot(tmp_path, server, rows)
    older, newer = (server.seed(body(rows[0]), ago_s=ago) for ago in (7200.0, 3600.0))
    shown = rescue(work)

    assert (shown.code, work.statuses()) == (1, {"a": "planned"})
    assert all(f"--pair a={job.request_id}" in shown.out for job in (older, newer))

    assert rescue(work, *pair("a", newer)).code == 0
    assert output(work, "a") == server.output_of(newer.request_id)
    assert server.ledger.submits_seen == 0


def test_one_request_for_two_local_clips_is_shown_and_taken_by_hand(tmp_path: Path, server: SegmindStandIn) -> None:
    rows = []
    for name in ("one", "two"):
        write_clip(tmp_path / f"{name}.mp4", mark=name)
        rows.append({"id": name, "video_url": f"{name}.mp4", "prompt": "as wool"})
    work = shoot(tmp_path, server, rows)
    theirs = server.seed(body(rows[0]) | {"video_url": "https://cdn.example.com/x.mp4"})

    assert (rescue(work).code, set(work.statuses().values())) == (1, {"planned"})
    assert rescue(work, *pair("two", theirs)).code == 0
    assert work.statuses() == {"one": "planned", "two": "succeeded"}


def test_a_variant_is_another_request_and_which_is_which_is_asked(tmp_path: Path, server: SegmindStandIn) -> None:
    row = remote_rows("a")[0]
    work = shoot(tmp_path, server, [row, {**row, "id": "b", "variant": 2}])
    one, two = (server.seed(body(row)) for _ in range(2))

    assert rescue(work).code == 1
    assert rescue(work, *pair("a", one), *pair("b", two)).code == 0
    assert output(work, "b") == server.output_of(two.request_id)


def test_a_request_is_the_output_of_one_row_for_ever(tmp_path: Path, server: SegmindStandIn) -> None:
    row = remote_rows("a")[0]
    work = shoot(tmp_path, server, [row])
    theirs = server.seed(body(row))
    assert rescue(work).code == 0
    work.rows([row, {**row, "id": "b", "variant": 2}])
    refused = rescue(work, *pair("b", theirs))

    assert (refused.code, "belongs to another row" in refused.err) == (2, True)
    assert rescue(work).code == 0
    assert work.statuses() == {"a": "succeeded", "b": "planned"}


def test_an_uncertain_row_takes_the_request_it_is_given(tmp_path: Path, server: SegmindStandIn) -> None:
    rows = remote_rows("a")
    work = shoot(tmp_path, server, rows)
    server.faults.add("reset_before_accept")
    assert work.run(environ={k: v for k, v in work.environ.items() if "HISTORY" not in k}).code == 1
    theirs = server.seed(body(rows[0]), ago_s=7200.0)
    shown = rescue(work)
    assert (shown.code, work.statuses()) == (0, {"a": "uncertain"})

    assert rescue(work, *pair("a", theirs)).code == 0
    assert work.statuses() == {"a": "succeeded"}


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"mode": "flex_1"}, id="another mode"),
        pytest.param({"prompt": "as stone"}, id="another prompt"),
        pytest.param({"video_url": "https://example.com/z.mp4"}, id="another clip"),
        pytest.param({"first_frame_url": "https://example.com/z.png"}, id="a first frame"),
    ],
)
def test_what_is_otherwise_is_not_taken(tmp_path: Path, server: SegmindStandIn, other: dict[str, str]) -> None:
    rows = remote_rows("a")
    work = shoot(tmp_path, server, rows)
    server.seed({**body(rows[0]), **other})
    done = rescue(work)

    assert (done.code, work.statuses()) == (0, {"a": "planned"})
    assert "1 other request" in done.out


def test_a_request_that_failed_or_is_too_old_is_not_taken(tmp_path: Path, server: SegmindStandIn) -> None:
    rows = remote_rows("a", "b")
    work = shoot(tmp_path, server, rows)
    server.seed(body(rows[0]), error="Generation failed")
    server.seed(body(rows[1]), ago_s=9 * 86400.0)

    assert (rescue(work).code, work.statuses()) == (0, {"a": "planned", "b": "planned"})


def test_a_held_row_is_left_alone(tmp_path: Path, server: SegmindStandIn) -> None:
    rows = remote_rows("a")
    work = shoot(tmp_path, server, [{**rows[0], "hold": True}])
    theirs = server.seed(body(rows[0]))

    assert (rescue(work).code, work.statuses()) == (0, {"a": "held"})
    assert rescue(work, *pair("a", theirs)).code == 2


def test_pairs_that_cannot_be_are_refused_before_anything_is_booked(tmp_path: Path, server: SegmindStandIn) -> None:
    rows = remote_rows("a", "b")
    work = shoot(tmp_path, server, rows)
    theirs = server.seed(body(rows[0]))
    for wrong in (
        ("--pair", "a"),
        ("--pair", f"nobody={theirs.request_id}"),
        ("--pair", "b=no-such-request"),
        (*pair("a", theirs), *pair("b", theirs)),
        (*pair("a", theirs), "--pair", "A=other"),
    ):
        assert rescue(work, *wrong).code == 2, wrong

    assert rescue(work).code == 0
    assert work.statuses() == {"a": "succeeded", "b": "planned"}


def test_a_pair_by_hand_that_looks_wrong_is_booked_and_said(tmp_path: Path, server: SegmindStandIn) -> None:
    rows = remote_rows("a")
    work = shoot(tmp_path, server, rows)
    theirs = server.seed(body(rows[0]) | {"prompt": "as wool, with a typo"})
    done = rescue(work, *pair("a", theirs))

    assert (done.code, work.statuses()) == (0, {"a": "succeeded"})
    assert "not what a asks for (prompt)" in done.out


def test_without_a_history_a_key_or_a_provider_there_is_nothing_to_look_into(
    tmp_path: Path, server: SegmindStandIn
) -> None:
    work = shoot(tmp_path, server, remote_rows("a"))
    blind = {name: value for name, value in work.environ.items() if "HISTORY" not in name}
    keyless = {name: value for name, value in work.environ.items() if "KEY" not in name}

    assert (rescue(work, environ=blind).code, rescue(work, environ=keyless).code) == (2, 2)
    assert rescue(work, provider="local").code == 2
    assert "no history" in rescue(work, environ=blind).err
    assert not work.folder.exists()


def test_a_history_that_cannot_be_read_books_nothing(tmp_path: Path, server: SegmindStandIn) -> None:
    rows = remote_rows("a")
    work = shoot(tmp_path, server, rows)
    server.seed(body(rows[0]))
    server.faults.add("error_500_json", on="history", times=None)
    done = rescue(work)

    assert (done.code, "history_unread" in done.err) == (3, True)
    server.faults.clear()
    assert rescue(work).code == 0


def test_an_output_that_does_not_come_now_stays_booked(tmp_path: Path, server: SegmindStandIn) -> None:
    rows = remote_rows("a")
    work = shoot(tmp_path, server, rows)
    server.seed(body(rows[0]))
    server.faults.add("error_401_invalid", on="status")
    stopped = rescue(work)

    assert (stopped.code, work.statuses()) == (3, {"a": "submitted"})
    assert (work.run().code, server.ledger.submits_seen) == (0, 0)
    assert work.statuses() == {"a": "succeeded"}


def test_machines_are_told_in_json(tmp_path: Path, server: SegmindStandIn) -> None:
    rows = remote_rows("a", "b")
    work = shoot(tmp_path, server, rows)
    theirs = server.seed(body(rows[0]))
    both = [server.seed(body(rows[1])).request_id for _ in range(2)]
    told = json.loads(rescue(work, "--json").out)[0]

    assert told["booked"] == [{"id": "a", "request_id": theirs.request_id, "status": "succeeded"}]
    assert [(each["id"], sorted(each["request_ids"])) for each in told["choices"]] == [("b", sorted(both))]
    assert told["spent_usd"] == 0.6


def test_what_was_rescued_survives_the_loss_of_the_record(tmp_path: Path, server: SegmindStandIn) -> None:
    rows = remote_rows("a")
    work = shoot(tmp_path, server, rows)
    theirs = server.seed(body(rows[0]))
    assert rescue(work).code == 0
    (work.folder / "checkpoint.sqlite3").unlink()

    assert call("resolve", work.manifest, "--rebuild", environ=work.environ).code == 0
    assert (work.run().code, server.ledger.submits_seen) == (0, 0)
    assert work.results()["a"]["request_id"] == theirs.request_id
